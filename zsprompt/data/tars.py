"""Images inside tar files (WebDataset shards), read where they lie; nothing is unpacked."""

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
    """An ImageRef to a file inside a tar file.

    Attributes:
        id: what people call it.
        tar: the tar file.
        name: its name in there.
        offset, size: where its bytes lie.
    """

    __slots__ = ("id", "name", "offset", "size", "tar")

    id: str
    tar: Path
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            ImageError: empty, or the tar file is gone or shorter than it was.
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
        """The tar file's size, times, inode and path, and the place in it; see ImageRef."""
        facts = file_facts(self.tar, settled=settled)
        return facts and f"tar {self.offset} {self.size} ".encode() + facts

    @property
    def suffix(self) -> str:
        """The ending of its name, in lower case."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 - a million times, and names are no paths here

    @property
    def is_image(self) -> bool:
        """Whether its name ends like an image's."""
        return self.suffix in SUFFIXES


def read_members(tar: Path) -> Iterator[TarMember]:
    """The regular files in a tar file, in its order; folders, links, devices and hidden files are passed over.

    Raises:
        DataError: missing, compressed, not a tar file, damaged, or cut short.
    """
    if tar.name.lower().endswith(PACKED_SUFFIXES):
        raise DataError(f"expected a plain .tar at {tar}, found a compressed one; unpack it to .tar first")
    try:
        with tarfile.open(tar, "r:") as file:
            while (member := file.next()) is not None:
                file.members = []  # type: ignore[attr-defined]  # tarfile would keep every one
                if member.isreg() and member.sparse is None and not _hidden(member.name):
                    yield TarMember(f"{tar}/{member.name}", tar, member.name, member.offset_data, member.size)
            end = file.offset
        _check_end(tar, end)
    except FileNotFoundError:
        raise DataError(f"expected a tar file at {tar}, found none") from None
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{tar}: expected a tar file, found one that is damaged or none ({error})") from None
    except OSError as error:
        raise DataError(f"cannot read {tar}: {error.strerror or error}") from None


def _hidden(name: str) -> bool:
    return name.rsplit("/", 1)[-1].startswith(".")


def _check_end(tar: Path, offset: int) -> None:
    """A tar file ends in a block of zeros; where tarfile stops for another reason, it says nothing."""
    with tar.open("rb") as file:
        file.seek(offset)
        block = file.read(_BLOCK)
    if block != bytes(_BLOCK):
        what = "cut short" if len(block) < _BLOCK else "damaged"
        raise DataError(f"{tar}: {what} after {offset:,} bytes; fetch or pack it again")
