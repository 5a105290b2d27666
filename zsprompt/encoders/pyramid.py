"""Pyramid-Forwarding: an image at several sizes, cut into squares of the one size that a frozen tower was trained for.

Source: Xu et al. 2022, A Dual Modality Approach For (Zero-Shot) Multi-Label Classification, section Pyramid-Forwarding.
Its text counts (i + 1)² patches on level i, its own cost formula 4^i, which is what stands here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.encoders.base import Encoder, Precision, Resizable, SpatialEncoder
from zsprompt.encoders.registry import load_encoder
from zsprompt.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 16
"""The largest d: 341 patches an image."""

_IMAGES = 64  # of the tower's own size: what a batch's pixels may take
_PATCHES = 128  # that go to the tower at a time
_PREFIX = "pyramid"
_FIELDS = ("d", "levels", "keep", "seed")

T = TypeVar("T", int, float)


class Pyramid(Encoder):
    """`encoder` on images d times as large as its tower's S by S pixels, with the tower as it is.

    Level i = 0 … ceil(log2 d) has the image at S · 2^i pixels a side, the top level at S · d, cut into 2^i by 2^i
    patches of S by S, which overlap evenly where they do not just fit. All go through the tower; their tokens are
    stacked level by level, patch by patch, row by row. The vector of an image is the mean of its levels', each the
    mean of its patches', made unit again. Texts are the encoder's own.

    Args:
        encoder: one with spatial tokens that can prepare images for other sizes: SpatialEncoder and Resizable.
        d: 1 to MOST.
        levels: "all", "top", or the levels to use: "0+2".
        keep: share of the patches on levels above 0 that go through the tower; at least one a level does. Which ones
            is drawn from the image's own pixels, so that an image's embedding is its own affair.
        seed: makes it another draw.

    Raises:
        UsageError: a value out of its range, or an encoder that cannot.
    """

    def __init__(self, encoder: Encoder, *, d: int = 2, levels: str = "all", keep: float = 1.0, seed: int = 0) -> None:
        chosen = _chosen(d, levels, keep)
        if not (isinstance(encoder, SpatialEncoder) and isinstance(encoder, Resizable)):
            raise UsageError(
                f"expected a model with spatial tokens that can prepare larger pictures for pyramid, "
                f"found {encoder.name}; use an OpenAI CLIP model, tiny or conse"
            )
        self._texts: Encoder = encoder
        self._tower: SpatialEncoder = encoder
        self._preparing: Resizable = encoder
        self._seed = seed
        self._square = encoder.image_size
        self._sizes = {level: self._square * min(2**level, d) for level in chosen}
        self._counts = {level: _kept(4**level, keep) if level else 1 for level in chosen}
        self.image_size = max(self._sizes.values())
        self.image_batch = max(1, _IMAGES * self._square**2 // self.image_size**2)
        tokens, width = encoder.token_shape
        self.token_shape = sum(self._counts.values()) * tokens, width
        self.dim, self.logit_scale, self.context_length = encoder.dim, encoder.logit_scale, encoder.context_length
        self.text_batch = encoder.text_batch
        which = "+".join(map(str, chosen))
        self.fingerprint = f"pyramid/1 d={d} levels={which} keep={float(keep)} seed={seed} {encoder.fingerprint}"
        others = [("levels", levels, "all"), ("keep", keep, 1.0), ("seed", seed, 0)]
        said = [f"{field}={value}" for field, value, default in others if value != default]
        self.name = f"{','.join((_PREFIX, f'd={d}', *said))}:{encoder.name}"

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """See Encoder: the encoder's own."""
        return self._texts.encode_texts(texts)

    def fits(self, texts: Sequence[str]) -> Bools:
        """See Encoder: the encoder's own."""
        return self._texts.fits(texts)

    def unfamiliar(self, texts: Sequence[str]) -> list[str]:
        """See Encoder: the encoder's own."""
        return self._texts.unfamiliar(texts)

    def prepare(self, image: Image) -> Image:
        """What the encoder would cut out, as large as the largest of the levels."""
        return self._preparing.prepare_at(image, self.image_size)

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        parts = [self._texts.encode_images(patches) for patches in self._batches(images)]
        return self._pooled(np.concatenate(parts)) if parts else np.empty((0, self.dim), dtype=np.float32)

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder; the first token is the first patch's, not the pooled vector."""
        vectors, tokens = [np.empty((0, self.dim), dtype=np.float32)], []
        for patches in self._batches(images):
            some, theirs = self._tower.encode_tokens(patches)
            vectors.append(some)
            tokens.append(theirs)
        stacked = np.concatenate(tokens) if tokens else np.empty((0, self.token_shape[1]), dtype=np.float16)
        return self._pooled(np.concatenate(vectors)), stacked.reshape(len(images), *self.token_shape)

    def patches(self, image: Image) -> Iterator[Image]:
        """The [S, S] pieces of an image that go through the tower: level by level, row by row."""
        from PIL import Image as Pillow

        picture, square = self.prepare(image), self._square
        for level, size in self._sizes.items():
            sized = picture
            if picture.size != (size, size):
                sized = picture.resize((size, size), Pillow.Resampling.BICUBIC)
            for left, top in self._drawn(corners(size, square, level), level, picture):
                yield sized if size == square else sized.crop((left, top, left + square, top + square))

    def _drawn(self, places: list[tuple[int, int]], level: int, picture: Image) -> list[tuple[int, int]]:
        """As many of `places` as are kept, in their order."""
        if len(places) == self._counts[level]:
            return places
        pixels = hashlib.sha256(picture.tobytes()).digest()
        lots = [hashlib.sha256(f"{self._seed} {level} {i} ".encode() + pixels).digest() for i in range(len(places))]
        first = sorted(range(len(places)), key=lots.__getitem__)[: self._counts[level]]
        return [places[i] for i in sorted(first)]

    def _batches(self, images: Sequence[Image]) -> Iterator[list[Image]]:
        every = (patch for image in images for patch in self.patches(image))
        while some := list(islice(every, _PATCHES)):
            yield some

    def _pooled(self, vectors: Floats) -> Floats:
        """[N, D] unit rows from the vectors of all patches of N images, one after the other."""
        if self.image_size == self._square:
            return vectors  # the image itself: the encoder's own answer, to the bit
        by_image = vectors.reshape(-1, sum(self._counts.values()), self.dim)
        ends = np.cumsum(list(self._counts.values()))[:-1]
        means = [level.mean(axis=1, dtype=np.float64) for level in np.split(by_image, ends, axis=1)]
        return unit_rows(np.mean(means, axis=0))


def corners(size: int, square: int, level: int) -> list[tuple[int, int]]:
    """(left, top) of 2^level by 2^level squares in an image of `size`, row by row: spread evenly, edge to edge."""
    steps = 2**level - 1
    ends = [(2 * i * (size - square) + steps) // (2 * steps) if steps else 0 for i in range(steps + 1)]
    return [(left, top) for top in ends for left in ends]


def load_pyramid(name: str, *, device: str, precision: Precision) -> Pyramid:
    """The encoder that pyramid[,field=value…]:MODEL stands for.

    Raises:
        UsageError: no model, or a field or value that there is not; what load_encoder raises for MODEL.
    """
    head, colon, model = name.partition(":")
    if not colon or not model:
        raise UsageError(f"expected pyramid[,field=value…]:MODEL, found {name!r}; for example pyramid,d=2:ViT-B/32")
    given: dict[str, str] = {}
    for setting in head.split(",")[1:]:
        field, _, value = (part.strip() for part in setting.partition("="))
        if field not in _FIELDS:
            raise UnknownName("field of pyramid", field, _FIELDS)
        if field in given:
            raise UsageError(f"expected each field once, found {field} twice in {name!r}")
        given[field] = value
    d, seed = (_number(field, given.get(field, default), int) for field, default in (("d", "2"), ("seed", "0")))
    keep, levels = _number("keep", given.get("keep", "1"), float), given.get("levels", "all")
    _chosen(d, levels, keep)  # before a model is loaded, or fetched
    encoder = load_encoder(model, device=device, precision=precision)
    return Pyramid(encoder, d=d, levels=levels, keep=keep, seed=seed)


def _number(field: str, text: str, kind: Callable[[str], T]) -> T:
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"expected {field} of pyramid to be {what}, found {text!r}") from None


def _chosen(d: int, levels: str, keep: float) -> list[int]:
    """The levels that `levels` names, lowest first. Raises UsageError for a value out of its range."""
    if not 1 <= d <= MOST:
        raise UsageError(f"expected d of pyramid from 1 to {MOST}, found {d}")
    if not 0 < keep <= 1:
        raise UsageError(f"expected keep of pyramid above 0 and at most 1, found {keep}")
    top = (d - 1).bit_length()
    if levels in ("all", "top"):
        return list(range(top + 1)) if levels == "all" else [top]
    known = [str(level) for level in range(top + 1)]
    parts = levels.split("+")
    if not set(parts) <= set(known) or len(set(parts)) < len(parts):
        raise UsageError(
            f"expected levels of pyramid to be all, top, or some of {'+'.join(known)} each once, found {levels!r}"
        )
    return sorted(map(int, parts))


def _kept(patches: int, keep: float) -> int:
    return max(1, math.floor(keep * patches + 0.5))
