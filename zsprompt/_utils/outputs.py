"""Output files: what they may replace, and writing them whole.

An output replaces nothing but an earlier output of the same kind, or any file with `force`. It never replaces a file
that the same command reads. A file appears under its name only when it is complete.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from zsprompt._utils.csv_cells import cell, protected
from zsprompt._utils.file_kinds import KINDS, CsvKind, FileKind, JsonKind, TextKind, kind_of
from zsprompt.errors import OutputError

Reads = Callable[[Path], bool]
"""Whether a command reads the existing file at a path."""

OUT = "--out"
"""The option that names an output, for messages, unless a command has another."""


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one existing file or folder."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def reads_file(path: Path) -> Reads:
    """For a command that reads the file `path`."""
    return lambda out: same_file(path, out)


def reads_folder(
    folder: Path, *, suffixes: Collection[str] | None = None, except_for: Collection[FileKind] = KINDS
) -> Reads:
    """For a command that may read every file in `folder` to any depth.

    Args:
        folder: the folder.
        suffixes: it reads files with these suffixes only, in lower case; None for any.
        except_for: it reads no files of these kinds.
    """

    def reads(out: Path) -> bool:
        wanted = suffixes is None or out.suffix.lower() in suffixes
        inside = wanted and any(same_file(folder, parent) for parent in out.resolve().parents)
        return inside and not any(kind.recognises(out) for kind in except_for)

    return reads


def check_output(
    path: Path, kind: FileKind, *, inputs: Iterable[Reads] = (), force: bool = False, option: str = OUT
) -> None:
    """Refuse an output before the work for it begins. Leaves no file.

    Args:
        path: the file to write.
        kind: its kind; an earlier file of this kind is replaced.
        inputs: what the command reads.
        force: replace any file that the command does not read.
        option: the option that names the output.

    Raises:
        OutputError: the command reads the file, it is of another kind, or it cannot be written.
    """
    if path.is_dir():
        raise OutputError(f"expected a file name to write to, found the folder {path}; choose another with {option}")
    if path.is_block_device():
        raise OutputError(f"expected a file name to write to, found the disk {path}; choose another with {option}")
    if _is_stream(path):
        return  # a pipe or device reports its own error on writing
    _refuse_inputs(path, inputs, option)
    _refuse_other_kinds(path, kind, force, option)
    try:
        with tempfile.TemporaryFile(dir=path.resolve().parent):
            pass
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror or error}); {_elsewhere(option)}") from None


def check_folder(
    folder: Path, files: Mapping[str, FileKind], *, inputs: Iterable[Reads] = (), force: bool = False
) -> None:
    """Refuse a folder of outputs before the work for it begins. Leaves no folder.

    Args:
        folder: the folder to write to; other files in it are left alone.
        files: the kinds of the files that are written there, by name.
        inputs: see `check_output`.
        force: see `check_output`.

    Raises:
        OutputError: a file is refused, see `check_output`, or the folder cannot be made or written to.
    """
    with new_folder(folder):
        inputs = tuple(inputs)
        for name, kind in files.items():
            check_output(folder / name, kind, inputs=inputs, force=force)


@contextmanager
def new_folder(folder: Path, *, option: str = OUT) -> Iterator[None]:
    """Make `folder` and its parents for the block to write to. Those that are new and still empty after it are removed.

    `option` is the option that names it.

    Raises:
        OutputError: it cannot be made or written to.
    """
    new: list[Path] = []
    try:
        try:
            new = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot write folder {folder} ({reason}); {_elsewhere(option)}") from None
        yield
    finally:
        for path in new:
            with suppress(OSError):  # folders that are not empty stay
                path.rmdir()


@contextmanager
def whole_path(path: Path, kind: FileKind, *, force: bool = False, option: str = OUT) -> Iterator[Path]:
    """A temporary path next to `path` to write to; it replaces `path` when the block ends without an error.

    `option` is the option that names the output.

    Raises:
        OutputError: `path` is a file of another kind and not `force`; the folder is missing or not writable, or the
            disk is full.
    """
    half = None
    try:
        path = path.resolve()
        _refuse_other_kinds(path, kind, force, option)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        half = Path(name)
        yield half
        with half.open("rb") as file:
            os.fsync(file.fileno())
        half.chmod(0o666 & ~_umask())
        _refuse_other_kinds(path, kind, force, option)  # again: the work may have taken hours
        half.replace(path)
        half = None
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror or error}); {_elsewhere(option)}") from None
    finally:
        if half is not None:
            half.unlink(missing_ok=True)


@contextmanager
def whole_text(path: Path, kind: FileKind, *, force: bool = False) -> Iterator[TextIO]:
    """Open `path` for writing text; it appears only when the block ends without an error.

    A link is kept and its target is replaced. A pipe or device is written to directly. File names that are not UTF-8
    keep their bytes (surrogateescape).

    Raises:
        OutputError: see `whole_path`.
    """
    if not _is_stream(path):
        with whole_path(path, kind, force=force) as half, _open(half) as file:
            yield file
        return
    try:
        with _open(path) as file:
            yield file
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror or error}); {_elsewhere(OUT)}") from None


def write_text(path: Path, kind: TextKind, text: str, *, force: bool = False) -> None:
    """Write a text that contains the mark of its kind. Raises OutputError, see `whole_path`."""
    with whole_text(path, kind, force=force) as file:
        file.write(text)


def write_json(path: Path, kind: JsonKind, facts: Mapping[str, Any], *, indent: int = 2, force: bool = False) -> None:
    """Write a JSON object with the mark of its kind. Raises OutputError, see `whole_path`."""
    with whole_text(path, kind, force=force) as file:
        file.write(kind.text(facts, indent))


class CsvWriter:
    """Writes the rows of a CSV file, and remembers whether all of it is ASCII."""

    def __init__(self, file: TextIO, quoted: bool = False) -> None:
        self.plain = True
        self._file = file
        # with "\r\n" the library quotes carriage returns, which Python before 3.13 otherwise reads as the end of a row
        self._csv = csv.writer(self, lineterminator="\r\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)

    def write(self, line: str) -> None:
        """Write a line of the library, ended by "\\n" alone."""
        self.plain = self.plain and line.isascii()
        self._file.write(f"{line[:-2]}\n")

    def header(self, columns: Iterable[str]) -> None:
        """Write the header. It has no quotes unless a name needs them."""
        csv.writer(self, lineterminator="\r\n").writerow(map(protected, columns))

    def row(self, values: Iterable[object], numbers: Iterable[str] = ()) -> None:
        """Write a row of values, see `csv_cells.cell`, then of numbers that are texts already."""
        self._csv.writerow([*map(cell, values), *numbers])


@contextmanager
def whole_csv(path: Path, kind: CsvKind, *, force: bool = False, option: str = OUT) -> Iterator[CsvWriter]:
    """Open `path` for the rows of a CSV file; it appears only when the block ends without an error.

    A file that is not all ASCII begins with a byte-order mark: without one, Excel takes it for another encoding. A pipe
    gets none, because programs read it. `option` is the option that names the output.

    Raises:
        OutputError: see `whole_path`.
    """
    if _is_stream(path):
        with whole_text(path, kind) as file:
            yield CsvWriter(file, kind.quoted)
        return
    with whole_path(path, kind, force=force, option=option) as half:
        with _open(half) as file:
            writer = CsvWriter(file, kind.quoted)
            yield writer
        if not writer.plain:
            _put_mark_before(half)


def remove(path: Path, kind: FileKind, *, force: bool = False, option: str = OUT) -> None:
    """Delete the file `path` if it exists. Raises OutputError if it is of another kind, or if that fails."""
    _refuse_other_kinds(path, kind, force, option)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot replace {path} ({error.strerror or error}); {_elsewhere(option)}") from None


def _elsewhere(option: str) -> str:
    return f"choose another place with {option}"


def _refuse_inputs(path: Path, inputs: Iterable[Reads], option: str) -> None:
    if _exists(path) and any(reads(path) for reads in inputs):
        raise OutputError(
            f"expected an output that the command does not read, found {path} among its inputs; choose another "
            f"{option} (--force does not replace an input)"
        )


def _refuse_other_kinds(path: Path, kind: FileKind, force: bool, option: str) -> None:
    """Raise OutputError for an existing file that is neither empty nor of this kind."""
    if force or not _exists(path) or not path.is_file() or not path.stat().st_size or kind.recognises(path):
        return
    other = kind_of(path)
    found = other.what if other else "a file that zsprompt did not write, or a damaged one"
    raise OutputError(
        f"expected no file at {path}, or {kind.what} written by zsprompt, found {found}; choose another "
        f"{option}, or pass --force (force=True) to replace it"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # opening the file reports a name that is too long
        return False


def _is_stream(path: Path) -> bool:
    """Whether `path` is a pipe or a device."""
    return _exists(path) and not path.is_file() and not path.is_dir()


def _open(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def _put_mark_before(half: Path) -> None:
    """Put a byte-order mark at the beginning of a file."""
    handle, name = tempfile.mkstemp(prefix=f"{half.name}.", dir=half.parent)
    try:
        with os.fdopen(handle, "wb") as marked, half.open("rb") as file:
            marked.write(b"\xef\xbb\xbf")
            shutil.copyfileobj(file, marked)
        Path(name).replace(half)
    finally:
        Path(name).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
