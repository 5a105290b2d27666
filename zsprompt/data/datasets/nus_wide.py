"""NUS-WIDE from its official list files, or in the layout of ML-Decoder and CLIP-Decoder.

Source: Chua et al. 2009, NUS-WIDE: A Real-World Web Image Database from National University of Singapore. Zero-shot
protocols: Huynh and Elhamifar 2020, A Shared Multi-Attention Framework for Multi-Label Zero-Shot Learning. The 81
manually annotated concepts are unseen; the 925 other tags among the 1,000 most frequent are seen.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Bools, Indices, Targets
from zsprompt._utils.files import unreadable
from zsprompt.data.dataset import Dataset
from zsprompt.data.datasets.find_folder import find_base
from zsprompt.data.datasets.image_index import ImageIndex
from zsprompt.data.datasets.label_tables import Table, cached
from zsprompt.data.images import ImageFile
from zsprompt.data.remarks import Remarks
from zsprompt.errors import DataError, UnknownName

_FOLDERS = ("nus-wide", "NUS-WIDE", "nus_wide", "nuswide", "NUS_WIDE")
_ALIASES = {"test": "TestImagelist", "train": "TrainImagelist", "all": "Imagelist"}
_PROTOCOLS = ("zsl", "gzsl", "seen")
_SPLIT = re.compile(r"(?P<list>[^:]+?)(?P<labelled>-labelled)?(?P<here>-here)?(:(?P<protocol>.*))?")
_BLOCK = 2**23
_ZERO, _LINE_END = b"0\n"

# class of each byte in a file of flags
_VALUE, _BLANK, _OTHER = 1, 2, 3
_KINDS = np.full(256, _OTHER, dtype=np.uint8)
_KINDS[list(b"01")] = _VALUE
_KINDS[list(b" \t\r\n")] = _BLANK


def load(root: Path, *, split: str | None = None, names: str = "readable") -> Dataset:
    """NUS-WIDE, 81 concepts; splits test (default), train, all, any list; with -labelled, -here, :gzsl, :seen.

    A split is LIST[-labelled][-here][:zsl|:gzsl|:seen]. LIST is test, train, all, or another file in ImageList/.
    "-labelled" keeps the images with one of the 81 concepts, "-here" those whose file exists. The labels are the 81
    concepts (zsl, default), seen tags and concepts (gzsl), or only the seen tags (seen). For example, "test" is the
    official list of 107,859 images, and "test-labelled" the 83,898 of them with a concept.

    Args:
        root: folder with ImageList/, Groundtruth/AllLabels/, ConceptsList/Concepts81.txt, NUS_WID_Tags/ (for tags),
            and the images in Flickr/ or images/, in subfolders or not; or with data.csv and benchmark_81_v0.json,
            whose splits are val (also called test) and train.
        split: see above.
        names: ignored; NUS-WIDE's names are used unchanged.

    Raises:
        DataError: files are missing or broken: lists of different lengths, values other than 0 and 1, or repeated
            images.
        UnknownName: there is no such list or protocol.
    """
    wanted = _Split.parse(split or "test")
    remarks = Remarks()
    expected = "ImageList/ and Groundtruth/AllLabels/, or data.csv and benchmark_81_v0.json,"
    base = find_base(root, expected, _FOLDERS, _holds, remarks)
    layout = _official(base, wanted) if (base / "ImageList").is_dir() else _csv_layout(base, wanted)
    index = ImageIndex.below(base, ("Flickr", "images", "image", "Images"))
    kept, notes = _choose(layout, wanted, index)
    table = layout.table
    images = [ImageFile(table.ids[n], index.path(table.files[n])) for n in kept]
    labels = tuple(table.labels[c] for c in layout.columns)
    targets = table.targets[np.ix_(kept, layout.columns)]
    return Dataset(
        "nus-wide",
        labels,
        images,
        targets,
        split=str(wanted),
        names=names,
        notes=notes,
        remarks=remarks.found(),
    )


@dataclass(frozen=True)
class _Split:
    list: str
    labelled: bool
    here: bool
    protocol: str | None

    @classmethod
    def parse(cls, text: str) -> _Split:
        match = _SPLIT.fullmatch(text)
        if not match:
            raise UnknownName("split of NUS-WIDE", text, [*_ALIASES, "test-labelled", "test-here", "test:gzsl"])
        protocol = match["protocol"]
        if protocol is not None and protocol not in _PROTOCOLS:
            raise UnknownName(f"protocol in split {text!r}", protocol, _PROTOCOLS)
        return cls(match["list"], bool(match["labelled"]), bool(match["here"]), protocol)

    def __str__(self) -> str:
        ending = f":{self.protocol}" if self.protocol else ""
        return self.list + "-labelled" * self.labelled + "-here" * self.here + ending


@dataclass(frozen=True)
class _Layout:
    """Content of either layout: all images and labels, the rows of the list, the columns of the protocol."""

    table: Table
    rows: Indices
    concepts: Indices  # columns that decide whether an image is labelled
    columns: Indices


def _holds(folder: Path) -> bool:
    return (folder / "ImageList").is_dir() or (folder / "data.csv").is_file()


def _choose(layout: _Layout, wanted: _Split, index: ImageIndex) -> tuple[Indices, tuple[str, ...]]:
    """The rows to keep, and notes on unlabelled and missing images."""
    rows, table = layout.rows, layout.table
    labelled: Bools = np.asarray(table.targets[np.ix_(rows, layout.concepts)].any(axis=1))
    here = np.array([index.has(table.files[n]) for n in rows], dtype=np.bool_)
    notes = []
    if not labelled.all():
        effect = "excluded" if wanted.labelled else f"kept as negatives ({wanted.list}-labelled excludes them)"
        notes.append(
            f"{np.count_nonzero(~labelled):,} of the {len(rows):,} images of list {wanted.list} have none of the "
            f"{len(layout.concepts)} concepts: {effect}"
        )
    if not here.all():
        effect = "excluded" if wanted.here else f"split {wanted.list}-here excludes them"
        notes.append(
            f"{np.count_nonzero(~here):,} of the {len(rows):,} images of list {wanted.list} are not in "
            f"{index.home}: {effect}"
        )
    kept: Bools = np.logical_or(labelled, not wanted.labelled) & np.logical_or(here, not wanted.here)
    if not kept.any():
        raise DataError(f"expected images of split {wanted} in {index.home}, found none of {len(rows):,}")
    return rows[kept], tuple(notes)


# -- the official list files


def _official(base: Path, wanted: _Split) -> _Layout:
    lists = {path.stem: path for path in sorted((base / "ImageList").glob("*.txt"))}
    every = lists.get("Imagelist")
    if every is None:
        raise DataError(
            f"expected ImageList/Imagelist.txt in {base}, found none; label files have one row per image of it"
        )
    name = _ALIASES.get(wanted.list, wanted.list)
    if name not in lists:
        raise UnknownName(f"split (a list in {base / 'ImageList'})", wanted.list, [*_ALIASES, *lists])
    concepts = _read_concepts(base, every)
    table, columns = concepts, np.arange(len(concepts.labels))
    if wanted.protocol in ("gzsl", "seen"):
        tags = _read_tags(base, concepts)
        table = _joined(tags, concepts)
        columns = np.arange(len(tags.labels) if wanted.protocol == "seen" else len(table.labels))
    rows = np.arange(len(table.ids)) if name == "Imagelist" else _rows(lists[name], concepts)
    return _Layout(table, rows, np.arange(len(table.labels) - len(concepts.labels), len(table.labels)), columns)


def _read_concepts(base: Path, every: Path) -> Table:
    names = _lines(_first(base, ("ConceptsList/Concepts81.txt", "Concepts81.txt"), "the 81 concepts"))
    folder = _first(base, ("Groundtruth/AllLabels", "AllLabels"), "one label file per concept")
    files = [folder / f"Labels_{name}.txt" for name in names]
    # label files do not contain the names of the concepts, so the names are part of the key
    return cached(f"nus-wide concepts {names}", [every, *files], lambda: _parse_concepts(every, names, files))


def _parse_concepts(every: Path, names: Sequence[str], files: Sequence[Path]) -> Table:
    ids = _image_list(every)
    targets = np.empty((len(ids), len(names)), dtype=np.int8)
    for c, path in enumerate(files):
        targets[:, c] = read_flags(path, len(ids), 1)[:, 0]
    return Table(ids, ids, tuple(names), targets)


def _read_tags(base: Path, concepts: Table) -> Table:
    """The seen tags: those of the 1,000 tags that are not concepts."""
    names = _first(base, ("NUS_WID_Tags/TagList1k.txt", "TagList1k.txt"), "the 1,000 tags")
    flags = _first(base, ("NUS_WID_Tags/AllTags1k.txt", "AllTags1k.txt"), "the tags of each image")
    tags = _lines(names)
    seen = [c for c, tag in enumerate(tags) if tag not in concepts.labels]

    def parse() -> Table:
        targets = read_flags(flags, len(concepts.ids), len(tags), seen)
        return Table(concepts.ids, concepts.ids, tuple(tags[c] for c in seen), targets)

    return cached(f"nus-wide tags {sorted(concepts.labels)}", [names, flags], parse)


def _joined(tags: Table, concepts: Table) -> Table:
    both = tags.labels + concepts.labels
    return Table(concepts.ids, concepts.files, both, np.hstack([tags.targets, concepts.targets]))


def read_flags(path: Path, rows: int, columns: int, taken: Sequence[int] | None = None) -> Targets:
    """[rows, columns] int8: the 0s and 1s of a file, separated by blanks; only the columns `taken`, if given.

    Raises:
        DataError: the number of lines or cells is wrong, or a value is not 0 or 1. The message names the line.
    """
    taken = range(columns) if taken is None else taken
    targets = np.empty((rows, len(taken)), dtype=np.int8)
    done = 0
    for block in _blocks(path):
        cells, counts = _cells(path, done, block)
        wrong = np.flatnonzero(counts != columns)
        if len(wrong):
            line = done + wrong[0] + 1
            raise DataError(f"{path}, line {line}: expected {columns} cells of 0 or 1, found {counts[wrong[0]]}")
        if done + len(counts) > rows:
            raise DataError(f"{path}: expected {rows:,} lines, one per image of Imagelist.txt, found more")
        targets[done : done + len(counts)] = cells.reshape(len(counts), columns)[:, taken]
        done += len(counts)
    if done != rows:
        raise DataError(f"{path}: expected {rows:,} lines, one per image of Imagelist.txt, found {done:,}")
    return targets


def _cells(path: Path, before: int, block: bytes) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """The values of a block of whole lines, and the number of values in each line that is not blank."""
    raw = np.frombuffer(block, dtype=np.uint8)
    kinds = _KINDS[raw]
    value = kinds == _VALUE
    wrong = (kinds == _OTHER).any() or (value[1:] & value[:-1]).any()
    if wrong:
        at = int(np.flatnonzero((kinds == _OTHER) | np.append(value[1:] & value[:-1], False))[0])
        line = before + 1 + block.count(b"\n", 0, at)
        shown = block[at : at + 20].split(b"\n")[0].decode("latin-1")
        raise DataError(f"{path}, line {line}: expected 0s and 1s separated by blanks, found {shown!r}")
    ends = np.flatnonzero(raw == _LINE_END)
    starts = np.concatenate([[0], ends[:-1] + 1])
    counts = np.add.reduceat(value, starts, dtype=np.int64)
    return (raw[value] - _ZERO).astype(np.int8), counts[counts > 0]


def _blocks(path: Path) -> Iterator[bytes]:
    """Blocks of whole lines of a file; a missing last line end is added."""
    try:
        with path.open("rb") as file:
            rest = b""
            while block := file.read(_BLOCK):
                whole, line_end, rest = (rest + block).rpartition(b"\n")
                if line_end:
                    yield whole + line_end
            if rest:
                yield rest + b"\n"
    except FileNotFoundError:
        raise DataError(f"expected label file {path}, found none") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None


def _rows(path: Path, table: Table) -> Indices:
    """Positions in the table of the images of a list."""
    position = {name: n for n, name in enumerate(table.ids)}
    names = _image_list(path)
    unknown = [name for name in names if name not in position]
    if unknown:
        raise DataError(
            f"{path}: expected images of Imagelist.txt, found {unknown[0]!r} ({len(unknown):,} such), "
            "whose labels are unknown"
        )
    return np.array([position[name] for name in names], dtype=np.intp)


def _image_list(path: Path) -> tuple[str, ...]:
    # the official lists have Windows paths: actor\0001_2124494179.jpg
    names = tuple(line.replace("\\", "/") for line in _lines(path))
    if len(set(names)) < len(names):
        seen: set[str] = set()
        repeated = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise DataError(f"expected each image once in {path}, found {repeated} again")
    return names


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(unreadable(path, error)) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"expected one name per line in {path}, found an empty file")
    return lines


def _first(base: Path, places: Sequence[str], what: str) -> Path:
    path = next((base / place for place in places if (base / place).exists()), None)
    if path is None:
        raise DataError(f"expected {places[0]} ({what}) in {base}, found none")
    return path


# -- data.csv and benchmark_81_v0.json


def _csv_layout(base: Path, wanted: _Split) -> _Layout:
    path, benchmark = base / "data.csv", base / "benchmark_81_v0.json"
    table = cached("nus-wide data.csv", [path], lambda: _parse_csv(path))
    unseen = _test_classes(benchmark, table)
    concepts = np.array([c for c, label in enumerate(table.labels) if label in unseen], dtype=np.intp)
    seen = np.array([c for c, label in enumerate(table.labels) if label not in unseen], dtype=np.intp)
    columns = {"gzsl": np.arange(len(table.labels)), "seen": seen}.get(wanted.protocol or "", concepts)
    splits = np.array(table.texts)
    name = "val" if wanted.list == "test" and "test" not in table.texts else wanted.list
    if name != "all" and name not in table.texts:
        raise UnknownName(f"split (of {path})", wanted.list, {"all", "test", *table.texts})
    rows = np.flatnonzero((splits == name) | (name == "all"))
    return _Layout(table, rows, concepts, columns)


def _parse_csv(path: Path) -> Table:
    rows: list[tuple[str, list[str], str]] = []
    for line, cells in _csv_rows(path):
        if len(cells) != 3 or not cells[0] or not cells[2]:
            raise DataError(f"{path}, line {line}: expected an image, its labels and its split, found {cells}")
        names = [name.strip().strip("'\"") for name in cells[1].strip("[]").split(",")]
        rows.append((cells[0].replace("\\", "/"), [name for name in names if name], cells[2]))
    ids = tuple(image for image, _, _ in rows)
    if len(set(ids)) < len(ids) or not ids:
        raise DataError(f"expected each image once in {path}, found {len(ids):,} rows with {len(set(ids)):,} names")
    labels = tuple(sorted({name for _, names, _ in rows for name in names}))
    column = {label: c for c, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for n, (_, names, _) in enumerate(rows):
        targets[n, [column[name] for name in names]] = 1
    return Table(ids, ids, labels, targets, texts=tuple(split for _, _, split in rows))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row below the header."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader, None)
            yield from ((reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(unreadable(path, error)) from None


def _test_classes(path: Path, table: Table) -> set[str]:
    try:
        benchmark = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {str(name) for name in benchmark["test class"]}
    except FileNotFoundError:
        raise DataError(f"expected {path} next to data.csv (it names the unseen classes), found none") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(unreadable(path, error)) from None
    except (KeyError, TypeError):
        raise DataError(f"expected a list 'test class' in {path}, found none") from None
    if missing := sorted(names - set(table.labels)):
        raise DataError(f"expected the test classes of {path} among the labels of data.csv, found no {missing[0]!r}")
    return names
