"""The tar files of a data set of shards, their splits, and the texts next to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zsprompt._utils.files import read_fault, unreadable
from zsprompt.data.datasets.find_folder import USUAL_SPLITS, find_base
from zsprompt.data.images import is_hidden
from zsprompt.data.remarks import Remarks
from zsprompt.data.tars import PACKED_SUFFIXES, TAR_SUFFIXES
from zsprompt.errors import DataError, UnknownName

NAME_FILES = ("classnames.txt", "classes.txt")
"""Files next to the shards, or above their folder, that name the class numbers, one per line from 0."""

_TEMPLATES = "zeroshot_classification_templates.txt"
_COUNT_FILE = "nshards.txt"


@dataclass(frozen=True)
class ShardFiles:
    """The tar files of one split.

    Attributes:
        base: folder of the data set.
        paths: the tar files, sorted; at least one.
        split: name of the split.
    """

    base: Path
    paths: tuple[Path, ...]
    split: str

    def near(self, *names: str) -> Path | None:
        """The first file of these names next to the shards, or in a folder above them up to `base`.

        If `base` is the folder of a split, its parent is searched too.
        """
        folder = self.paths[0].parent
        folders = [folder, *folder.parents]
        folders = folders[: folders.index(self.base) + 1 + (self.base.resolve().name in USUAL_SPLITS)]
        return next((one / name for one in folders for name in names if (one / name).is_file()), None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the other files of CLIP_benchmark's layout say against the shards, and which are not used."""
        notes = []
        folder = self.paths[0].parent
        if (folder / _COUNT_FILE).is_file():
            written, found = " ".join(text_lines(folder / _COUNT_FILE)), len(list(folder.glob("*.tar")))
            if written != str(found):
                notes.append(f"{folder / _COUNT_FILE} says {written} shards, found {found}; are some missing?")
        if (templates := self.near(_TEMPLATES)) is not None:
            notes.append(f"{templates.name} is not used; --prompts chooses the templates")
        return tuple(notes)


def find_shards(root: Path, split: str | None, remarks: Remarks) -> ShardFiles:
    """The shards of a split at `root`, a .tar file or a folder of them.

    Raises:
        DataError: there are no shards, or a path cannot be read.
        UnknownName: there is no shard of that split.
    """
    base, groups = _groups(root, remarks)
    given = set(groups.values())
    if split is not None and split not in given:
        raise UnknownName(f"split (of the shards in {base})", split, given)
    in_folders = all(path.parent != base for path in groups)
    if split is None and in_folders and given <= set(USUAL_SPLITS):
        split = next(name for name in USUAL_SPLITS if name in given)
        remarks.add("default-split", f"{split} (of {', '.join(sorted(given))})")
    elif not in_folders and (split is not None or len(given) > 1):
        for name in sorted(given):
            remarks.add("shard-split", name or "no name")
    return ShardFiles(base, tuple(path for path in groups if split in (None, groups[path])), split or "all")


def text_lines(path: Path) -> list[str]:
    """The lines of a text file without blanks around them; blank lines at its end are dropped.

    Raises:
        DataError: the file cannot be read as UTF-8.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, ValueError) as error:
        raise DataError(unreadable(path, error)) from None
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _groups(root: Path, remarks: Remarks) -> tuple[Path, Mapping[Path, str]]:
    """The folder of the shards, and the split of each shard."""
    try:
        alone = root.is_file()
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {root}: {read_fault(root, error)}") from None
    base = root.parent if alone else find_base(root, "tar files (shards)", (), lambda folder: bool(_tars(folder)))
    every = [root] if alone else [path for path in _tars(base) if not _left_out(path, base, remarks)]
    if not every:
        raise DataError(
            f"expected tar files (shards) in {base}, found none: "
            + "; ".join(remark.sentence for remark in remarks.found())
        )
    return base, {path: _group(base, path) for path in every}


def _tars(folder: Path) -> list[Path]:
    endings = (*TAR_SUFFIXES, *PACKED_SUFFIXES)
    return sorted(path for path in folder.rglob("*") if path.name.lower().endswith(endings) and path.is_file())


def _left_out(path: Path, base: Path, remarks: Remarks) -> bool:
    """Whether a tar file does not count; `remarks` gets it then."""
    inside = path.relative_to(base)
    hidden = any(is_hidden(part) for part in inside.parts)
    if hidden or path.name.lower().endswith(PACKED_SUFFIXES):
        remarks.add("hidden" if hidden else "packed-shard", str(inside))
        return True
    return False


def _group(base: Path, shard: Path) -> str:
    """Split of a shard: its folder below `base`, else its name without the number ("val" for "val-000012.tar")."""
    parts = shard.relative_to(base).parts
    return parts[0] if len(parts) > 1 else shard.stem.rstrip("0123456789").rstrip("-_")
