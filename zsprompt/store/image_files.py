"""Reading image files. An image is identified by its content; its file attributes allow skipping the read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from zsprompt.data.images import ImageRef
from zsprompt.errors import ImageError


@dataclass
class ImageContent:
    """The bytes of one image.

    Attributes:
        position: of the image among those requested.
        digest: sha256 of the bytes.
        data: the bytes, until they are taken.
        settled_key: the image's stat key, if the file is certainly unchanged since; see `stat_key`.
    """

    position: int
    digest: bytes
    data: bytes | None
    settled_key: bytes | None

    def take_bytes(self) -> bytes:
        """The bytes, once. They are then released: decoding needs them no longer."""
        data, self.data = self.data or b"", None
        return data

    def shortcut(self, expected_key: bytes | None) -> dict[bytes, bytes]:
        """The cache entry that lets a later run skip reading this file, if that is safe."""
        return {expected_key: self.digest} if expected_key and expected_key == self.settled_key else {}


@dataclass(frozen=True)
class Unreadable:
    """An image that could not be read: its position among those requested, and the reason."""

    position: int
    reason: str


def read_image(position: int, ref: ImageRef) -> ImageContent | Unreadable:
    """Read the image, or give the reason why it is unreadable."""
    try:
        data = ref.read()
    except ImageError as error:
        return Unreadable(position, str(error))
    return ImageContent(position, hashlib.sha256(data).digest(), data, stat_key(ref, settled=True))


def stat_key(ref: ImageRef, *, settled: bool = False) -> bytes | None:
    """The cache key of an image's identity; None if it has none. See ImageRef.identity."""
    identity = ref.identity(settled=settled)
    return cache_key("identity", "", identity) if identity else None


def cache_key(kind: str, owner: str, content: bytes) -> bytes:
    """32 bytes: a digest of `content`, its kind and its owner (an encoder's fingerprint)."""
    head = f"{kind}\0{owner}\0".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + content).digest()
