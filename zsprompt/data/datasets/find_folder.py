"""Locating the files of a data set below the folder that the user passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from zsprompt._utils.files import read_fault
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError

USUAL_SPLITS = ("val", "test", "train", "validation")
"""Usual names of the folders of splits, the default one first."""

_LAYOUTS = (
    ("*.arrow", "for a Hugging Face dataset, write it with to_parquet() and use --dataset list"),
    ("_annotations.coco.json", "for a COCO file use --dataset coco-json"),
    ("*/_annotations.coco.json", "for COCO files use --dataset coco-json"),
    ("annotations/instances_*.json", "for COCO files use --dataset coco-json"),
    ("Annotations/*.xml", "for annotations in VOC's format use --dataset voc-xml"),
    ("*.xml", "for annotations in VOC's format use --dataset voc-xml"),
    ("*/*.xml", "for annotations in VOC's format use --dataset voc-xml"),
    ("*.tar", "for WebDataset shards use --dataset shards"),
    ("labels.*", "for a list of images use --dataset list"),
    ("metadata.*", "for a list of images use --dataset list"),
    ("*/metadata.*", "for lists of images use --dataset list"),
    ("*/_classes.csv", "for lists of images use --dataset list"),
    ("*.csv", "for a CSV of another name use --dataset list --root FILE"),
)
"""Files that show another layout -> how to read it."""


def find_base(
    root: Path,
    expected: str,
    folders: Sequence[str],
    holds: Callable[[Path], bool],
    remarks: Remarks | None = None,
) -> Path:
    """The first folder that `holds` the data set: `root`, or one of `folders` in it.

    Args:
        root: folder that the user passed.
        expected: files that must be there, for the message.
        folders: usual names of the data set's folder.
        holds: whether a folder is the right one.
        remarks: gets the folder if several are right.

    Raises:
        DataError: none of the folders is the right one.
    """
    try:
        if not root.is_dir():
            raise DataError(f"expected {expected} in {root}, found {'a file' if root.exists() else 'no such folder'}")
        bases = _distinct(base for base in (root, *(root / name for name in folders)) if holds(base))
        if not bases:
            content = listed(sorted(path.name for path in root.iterdir()))
            raise DataError(f"expected {expected} in {root}, found {content}; {_advice(root)}")
    except (OSError, ValueError) as error:
        raise DataError(f"expected {expected} in {root}: {read_fault(root, error)}") from None
    if len(bases) > 1 and remarks is not None:
        remarks.add("data-folder", f"{bases[0]}, not {listed(base.name for base in bases[1:])}")
    return bases[0]


def _distinct(folders: Iterable[Path]) -> list[Path]:
    """The folders without those that are an earlier one under another name, as where capitals do not count."""
    distinct: list[Path] = []
    for folder in folders:
        if not any(folder.samefile(other) for other in distinct):
            distinct.append(folder)
    return distinct


def _advice(root: Path) -> str:
    other = next((advice for pattern, advice in _LAYOUTS if next(root.glob(pattern), None) is not None), "")
    return "pass the right folder with --root DIR" + (f"; {other}" if other else "")


def listed(names: Iterable[str]) -> str:
    """The first names, for a message."""
    names = list(names)
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
