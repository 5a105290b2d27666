"""Images inside tar files (WebDataset shards), read in place without unpacking."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zsprompt.data.images import SUFFIXES, file_facts
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


def read_members(tar: Path) -> Iterator[TarMember]:
    """Regular files of a tar file, in order; folders, links, devices and hidden files are skipped.

    Raises:
        DataError: the file is missing, compressed, not a tar file, damaged or cut short.
    """
    if tar.name.lower().endswith(PACKED_SUFFIXES):
        raise DataError(f"expected a plain .tar at {tar}, found a compressed one; unpack it to .tar first")
    try:
        with tarfile.open(tar, "r:") as file:
            while (member := file.next()) is not None:
                file.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them in memory
                if member.isreg() and member.sparse is None and not _hidden(member.name):
                    yield TarMember(f"{tar}/{member.name}", tar, member.name, member.offset_data, member.size)
            end = file.offset
        _check_end(tar, end)
    except FileNotFoundError:
        raise DataError(f"expected a tar file at {tar}, found none") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{tar}: expected a tar file, found a damaged or different file ({error})") from None
    except OSError as error:
        raise DataError(f"cannot read {tar}: {error.strerror or error}") from None


def _hidden(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(".")


def _check_end(tar: Path, offset: int) -> None:
    """Raise DataError unless a block of zeros ends the tar file: tarfile stops silently at damage."""
    with tar.open("rb") as file:
        file.seek(offset)
        block = file.read(_BLOCK)
    if block != bytes(_BLOCK):
        what = "cut short" if len(block) < _BLOCK else "damaged"
        raise DataError(f"{tar}: {what} after {offset:,} bytes; download or create it again")
