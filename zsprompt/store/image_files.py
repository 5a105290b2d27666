"""Files on their way to an encoder: read ahead of need, named by their content, recognised by their stat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zsprompt.data.images import ImageRef
from zsprompt.errors import ImageError


@dataclass
class PictureFile:
    """One file's content.

    Attributes:
        position: of the picture among those asked for.
        digest: sha256 of the content.
        data: the content, until it is taken.
        settled_key: the file's stat key, if the file can be trusted not to have changed since.
    """

    position: int
    digest: bytes
    data: bytes | None
    settled_key: bytes | None

    def take_bytes(self) -> bytes:
        """The content, once: it need not stay in memory after decoding."""
        data, self.data = self.data or b"", None
        return data

    def shortcut(self, stat_key: bytes | None) -> dict[bytes, bytes]:
        """The cache entry that lets a later run recognise this file by its stat, if that is safe."""
        return {stat_key: self.digest} if stat_key and stat_key == self.settled_key else {}


def read_picture(position: int, ref: ImageRef) -> PictureFile | tuple[int, ImageError]:
    """The file behind `ref`, or its position and why it cannot be read."""
    try:
        data = ref.read()
    except ImageError as error:
        return position, error
    return PictureFile(position, hashlib.sha256(data).digest(), data, stat_key(ref, settled=True))


def stat_key(ref: ImageRef, *, settled: bool = False) -> bytes | None:
    """The cache key of a picture's identity; None where it has none, see ImageRef.identity."""
    identity = ref.identity(settled=settled)
    return cache_key("identity", "", identity) if identity else None


def cache_key(kind: str, owner: str, content: bytes) -> bytes:
    """32 bytes that stand for `content` of one kind under one owner (a model's fingerprint, a file's stat)."""
    head = f"{kind}\0{owner}\0".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + content).digest()
