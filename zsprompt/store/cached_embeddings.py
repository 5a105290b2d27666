"""Cached vectors and spatial tokens of one encoder. A key covers everything that changes the value."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zsprompt._utils.arrays import Floats, Halves, Indices
from zsprompt._utils.byte_cache import ByteCache
from zsprompt._utils.text import counted, in_bytes
from zsprompt.encoders import Encoder, ScaleOnUse, SpatialEncoder
from zsprompt.errors import CacheError
from zsprompt.store.image_files import cache_key
from zsprompt.store.image_parts import ImagePart

logger = logging.getLogger(__name__)

_DECODER = "rgb/1"  # version of data.images.decode, which turns bytes into pixels: change it with that function
_NUMBER = struct.Struct("<d")
_READ_BLOCK = 4096
_TOKENS_BLOCK = 64  # images whose tokens are read per call of the cache
_DISK_FACTOR = 1.3  # upper bound on disk space per byte of tokens: pages are not full, and the database has a log


@dataclass(frozen=True)
class StoredTokens:
    """Tokens in a cache, under `keys`; see Tokens. One thread may read while another embeds."""

    cache: ByteCache
    keys: tuple[bytes, ...]
    token_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, L, D')."""
        return len(self.keys), *self.token_shape

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        """[n, L, D'] float16: the tokens of the images at `rows`, in that order.

        Raises:
            CacheError: the cache is closed, or an entry is damaged or missing.
        """
        if self.cache.closed:
            raise CacheError(f"expected an open store to read tokens from, found {self.cache.folder} closed")
        result = np.empty((len(rows), *self.token_shape), dtype=np.float16)
        for start in range(0, len(rows), _TOKENS_BLOCK):
            keys = [self.keys[row] for row in rows[start : start + _TOKENS_BLOCK]]
            for i, value in enumerate(self.cache.get_many(keys), start):
                if value is None or len(value) != result[i].nbytes:
                    raise CacheError(
                        f"expected spatial tokens in cache {self.cache.folder}, found a damaged or missing entry; "
                        f"run `zsprompt cache verify --cache '{self.cache.folder}'`, then repeat the command"
                    )
                result[i] = np.frombuffer(value, dtype=np.float16).reshape(self.token_shape)
        return result


@dataclass(frozen=True)
class CachedEmbeddings:
    """The entries of `encoder` in `cache`. Without a cache, nothing is found and nothing is kept."""

    encoder: Encoder
    cache: ByteCache | None

    def logit_scale(self) -> float | None:
        """The encoder's; cached if the encoder would read its weights for it."""
        return self._number("logit scale", lambda: self.encoder.logit_scale)

    def logit_bias(self) -> float | None:
        """The encoder's; cached likewise."""
        return self._number("logit bias", lambda: self.encoder.logit_bias)

    def _number(self, kind: str, read: Callable[[], float | None]) -> float | None:
        """A number of the encoder, or None; cached, None as NaN, if the encoder would read its weights for it."""
        if not isinstance(self.encoder, ScaleOnUse):
            return read()
        key = cache_key(kind, self.encoder.fingerprint, b"")
        (stored,) = self.get([key])
        if stored is not None and len(stored) == _NUMBER.size:
            number = float(_NUMBER.unpack(stored)[0])
            return None if math.isnan(number) else number
        fresh = read()
        self.put({key: _NUMBER.pack(math.nan if fresh is None else fresh)})
        return fresh

    def text_key(self, text: str) -> bytes:
        """The key of a text's vector."""
        return cache_key("text", self.encoder.fingerprint, text.encode("utf-8", "surrogatepass"))

    def image_key(self, digest: bytes) -> bytes:
        """The key of an image's vector, from the digest of its content."""
        return cache_key(f"image {_DECODER}", self.encoder.fingerprint, digest)

    def tokens_key(self, digest: bytes, token_shape: tuple[int, int]) -> bytes:
        """The key of an image's spatial tokens, from the digest of its content."""
        return cache_key(f"tokens/1 {token_shape} {_DECODER}", self.encoder.fingerprint, digest)

    def get(self, keys: Sequence[bytes]) -> Iterator[bytes | None]:
        """The stored value of each key, or None. Read in blocks: a million values at once would fill gigabytes."""
        if self.cache is None:
            yield from (None for _ in keys)
            return
        for start in range(0, len(keys), _READ_BLOCK):
            yield from self.cache.get_many(keys[start : start + _READ_BLOCK])

    def put(self, entries: Mapping[bytes, bytes]) -> None:
        """Store values by key, in one transaction."""
        if self.cache:
            self.cache.put_many(entries)

    def vectors(self, keys: Sequence[bytes]) -> Iterator[Floats | None]:
        """[D] the vector under each key; None if it is missing or of another width."""
        for value in self.get(keys):
            yield np.frombuffer(value, dtype=np.float32) if value and len(value) == 4 * self.encoder.dim else None

    def part_key(self, digest: bytes, kind: str, key: str) -> bytes:
        """The key of an image's rows of one kind, from the digest of its content; see ImagePart.kinds."""
        return cache_key(f"{kind}/1 {key} {_DECODER}", self.encoder.fingerprint, digest)

    def has_part(self, digests: Sequence[bytes], part: ImagePart) -> list[bool]:
        """Whether all rows of a part are stored, for each content."""
        if self.cache is None:
            return [False] * len(digests)
        stored = [
            self.cache.has_many([self.part_key(digest, kind, key) for digest in digests])
            for kind, key in part.kinds.items()
        ]
        return [all(of_content) for of_content in zip(*stored, strict=True)]

    def images(
        self, digests: Sequence[bytes], spatial: SpatialEncoder | None = None, parts: Sequence[ImagePart] = ()
    ) -> Iterator[Floats | None]:
        """[D] the vector of each content; None if it is missing, or if its `spatial` tokens or `parts` are."""
        complete = [True] * len(digests)
        if spatial and self.cache:
            complete = self.cache.has_many([self.tokens_key(digest, spatial.token_shape) for digest in digests])
        for part in parts:
            complete = [a and b for a, b in zip(complete, self.has_part(digests, part), strict=True)]
        vectors = self.vectors([self.image_key(digest) for digest in digests])
        for is_complete, vector in zip(complete, vectors, strict=True):
            yield vector if is_complete else None


def check_space(cache: ByteCache, images: int, bytes_per_image: Mapping[str, int]) -> None:
    """Log the disk space that `images` images need. Raises CacheError if the disk has too little.

    Args:
        cache: where they are stored.
        images: number of images.
        bytes_per_image: what is stored of an image -> its size.
    """
    if not images or not bytes_per_image:
        return
    what = f"{' and '.join(bytes_per_image)} of {counted(images, 'image')}"
    needed, free = images * sum(bytes_per_image.values()), cache.free_bytes()
    if needed * _DISK_FACTOR > free:
        raise CacheError(
            f"expected {in_bytes(int(needed * _DISK_FACTOR))} free for {what} in {cache.folder}, "
            f"found {in_bytes(free)}; use a folder with more space (--cache DIR)"
        )
    logger.info(f"{what}: {in_bytes(needed)} in {cache.folder}")
