"""Images inside tar files (WebDataset shards), read in place without unpacking."""

from __future__ import annotations

import os
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsprompt.data.images import SUFFIXES, file_facts, is_hidden
from zsprompt.data.remarks import Remarks
from zsprompt.data.signatures import HEAD, recognised
from zsprompt.errors import DataError, ImageError

TAR_SUFFIXES = (".tar",)
PACKED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")

_BLOCK = 512


@dataclass(frozen=True)
class TarMember:
    """A file inside a tar file; an ImageRef.

    Attributes:
        id: name in messages and result files.
        tar: the tar file.
        name: name of the member in the tar file.
        offset: position of its first byte.
        size: in bytes.
    """

    __slots__ = ("id", "name", "offset", "size", "tar")

    id: str
    tar: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Read the member.

        Raises:
            ImageError: it is empty, or the tar file has been removed or truncated.
        """
        try:
            with self.tar.open("rb", buffering=0) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise ImageError(f"{self.tar.name}: {error.strerror or type(error).__name__}") from None
        if len(data) < self.size:
            raise ImageError(f"{self.tar.name} is cut short")
        if not data:
            raise ImageError("empty file")
        return data

    def identity(self, *, settled: bool = False) -> bytes | None:
        """Size, times, inode and path of the tar file, and the position in it; see ImageRef."""
        facts = file_facts(self.tar, settled=settled)
        return facts and f"tar {self.offset} {self.size} ".encode() + facts

    @property
    def suffix(self) -> str:
        """Suffix of its name, in lower case."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 - called per member; Path would be slow

    @property
    def is_image(self) -> bool:
        """Whether its suffix is that of an image."""
        return self.suffix in SUFFIXES


def read_members(tar: Path, remarks: Remarks | None = None) -> Iterator[TarMember]:
    """Regular files of a tar file, in order; folders, links, devices and hidden files are left out.

    Args:
        tar: the file.
        remarks: gets what is left out, except folders.

    Raises:
        DataError: the file is missing, empty, compressed, not a tar file, damaged or cut short.
    """
    remarks = Remarks() if remarks is None else remarks
    if tar.name.lower().endswith(PACKED_SUFFIXES):
        raise DataError(f"expected a plain .tar at {tar}, found a compressed one; unpack it to .tar first")
    try:
        _check_start(tar)
        with tarfile.open(tar, "r:") as file:
            while (member := file.next()) is not None:
                file.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them in memory
                if _kept(member, tar, remarks):
                    yield TarMember(f"{tar}/{member.name}", tar, member.name, member.offset_data, member.size)
            end = file.offset
        _check_end(tar, end)
    except FileNotFoundError:
        raise DataError(f"expected a tar file at {tar}, found none") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{tar}: expected a tar file, found a damaged or different file ({error})") from None
    except OSError as error:
        raise DataError(f"cannot read {tar}: {error.strerror or error}") from None


def read_samples(tar: Path, remarks: Remarks) -> Iterator[tuple[str, dict[str, TarMember]]]:
    """Samples of a tar file: the members whose names are equal up to the first dot of the file name.

    Members of a sample need not be adjacent. A few numbers per member are kept until the end of the file is read.

    Returns:
        The key of each sample, in the order of their first members, and its members by ending (".seg.png"), in lower
        case.

    Raises:
        DataError: see `read_members`; or a sample has two members with the same ending.
    """
    keys: dict[str, int] = {}
    endings: dict[str, int] = {}
    facts = tuple(array("q") for _ in range(4))  # key, ending, offset and size of each member
    for member in read_members(tar, remarks):
        key = _key(member.name)
        row = keys.setdefault(key, len(keys)), endings.setdefault(member.name[len(key) :], len(endings))
        for column, value in zip(facts, (*row, member.offset, member.size), strict=True):
            column.append(value)
    order = np.argsort(np.frombuffer(facts[0], dtype=np.int64), kind="stable") if keys else ()
    key_of, ending_of = list(keys), list(endings)
    members: dict[str, TarMember] = {}
    sample = 0
    for number in order:
        owner, ending, offset, size = (column[number] for column in facts)
        if owner != sample:
            yield key_of[sample], members
            sample, members = owner, {}
        key, name = key_of[owner], key_of[owner] + ending_of[ending]
        if (low := ending_of[ending].lower()) in members:
            raise DataError(f"{tar}: expected each sample once, found {name!r} twice; give each a key of its own")
        members[low] = TarMember(f"{tar}/{name}", tar, name, offset, size)
    if members:
        yield key_of[sample], members


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _kept(member: tarfile.TarInfo, tar: Path, remarks: Remarks) -> bool:
    """Whether a member counts as a file; `remarks` gets it otherwise."""
    if member.isdir():
        return False
    if any(is_hidden(part) for part in member.name.split("/") if part not in (".", "..")):
        remarks.add("hidden", f"{tar}/{member.name}")
        return False
    if member.isreg() and member.sparse is None:
        return True
    remarks.add("special-member", f"{tar}/{member.name}")
    return False


def _check_start(tar: Path) -> None:
    """Raise DataError for an empty file, and for one that is recognised as something else."""
    with tar.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise DataError(f"{tar}: expected a tar file, found an empty file (0 bytes); download or create it again")
    kind = recognised(head)
    if kind and kind.name not in _TAR_HEADS:
        raise DataError(f"{tar}: expected a tar file, found {kind.name}; {kind.remedy}")


_TAR_HEADS = ("a tar file", "a file of zeros only")  # an empty tar file consists of zeros


def _check_end(tar: Path, offset: int) -> None:
    """Raise DataError unless a block of zeros ends the tar file: tarfile stops silently at damage."""
    with tar.open("rb") as file:
        file.seek(offset)
        block = file.read(_BLOCK)
    if block != bytes(_BLOCK):
        what = "cut short" if len(block) < _BLOCK else "damaged"
        raise DataError(f"{tar}: {what} after {offset:,} bytes; download or create it again")
