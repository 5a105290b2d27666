"""Pyramid-Forwarding: an image at several sizes, cut into patches of the size for which a frozen tower was trained.

Source: Xu et al. 2022, A Dual Modality Approach For (Zero-Shot) Multi-Label Classification, section Pyramid-Forwarding.
Its text counts (i + 1)² patches on level i, but its cost formula 4^i. This module follows the formula.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt._utils.text import finite
from zsprompt.encoders.base import Encoder, OfDomain, Precision, Resizable, ScaleOnUse, SpatialEncoder
from zsprompt.encoders.registry import check_model, load_encoder
from zsprompt.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST = 16
"""Largest d: 341 patches per image."""

_IMAGES = 64  # a batch has at most as many pixels as this many images of the tower's size
_PATCHES = 128  # patches per call of the tower
_PREFIX = "pyramid"
_FIELDS = ("d", "levels", "keep", "seed")

T = TypeVar("T", int, float)


class Pyramid(ScaleOnUse):
    """`encoder` on images d times as large as its tower's S by S pixels. The tower itself is unchanged.

    Level i = 0 … ceil(log2 d) has the image at S · 2^i pixels per side; the top level has it at S · d. Each level is
    cut into 2^i by 2^i patches of S by S pixels, which overlap evenly if they do not fit exactly. All patches go
    through the tower. Their tokens are stacked level by level, patch by patch, row by row. A level's vector is the
    mean over its patches. The image's vector is the mean over its levels, normalised. Texts are embedded by `encoder`.

    Args:
        encoder: a SpatialEncoder that is also Resizable.
        d: 1 to MOST.
        levels: "all", "top", or the levels to use: "0+2".
        keep: share of the patches on levels above 0 that go through the tower; at least one per level. The choice
            depends on the image's pixels, so an embedding does not depend on other images.
        seed: selects another choice of patches.

    Raises:
        UsageError: a value is out of range, or the encoder is not spatial and resizable.
    """

    def __init__(self, encoder: Encoder, *, d: int = 2, levels: str = "all", keep: float = 1.0, seed: int = 0) -> None:
        chosen = _chosen_levels(d, levels, keep)
        if not (isinstance(encoder, SpatialEncoder) and isinstance(encoder, Resizable)):
            raise UsageError(
                f"expected a model with spatial tokens that can prepare larger images for pyramid, "
                f"found {encoder.name}; use an OpenAI CLIP model, a vision transformer of open_clip, tiny or conse"
            )
        self._texts: Encoder = encoder
        self._tower: SpatialEncoder = encoder
        self._preparing: Resizable = encoder
        self._seed = seed
        self._square = encoder.image_size
        self._sizes = {level: self._square * min(2**level, d) for level in chosen}
        self._counts = {level: _kept_count(4**level, keep) if level else 1 for level in chosen}
        self.image_size = max(self._sizes.values())
        self.image_batch = max(1, _IMAGES * self._square**2 // self.image_size**2)
        tokens, width = encoder.token_shape
        self.token_shape = sum(self._counts.values()) * tokens, width
        self.dim, self.context_length = encoder.dim, encoder.context_length
        self.text_batch = encoder.text_batch
        if isinstance(encoder, OfDomain):
            self.domain = encoder.domain
        which = "+".join(map(str, chosen))
        self.fingerprint = f"pyramid/1 d={d} levels={which} keep={float(keep)} seed={seed} {encoder.fingerprint}"
        optional = [("levels", levels, "all"), ("keep", keep, 1.0), ("seed", seed, 0)]
        changed = [f"{field}={value}" for field, value, default in optional if value != default]
        self.name = f"{','.join((_PREFIX, f'd={d}', *changed))}:{encoder.name}"

    def read_logit_scale(self) -> float | None:
        """See ScaleOnUse; that of `encoder`."""
        return self._texts.logit_scale

    def read_logit_bias(self) -> float | None:
        """See ScaleOnUse; that of `encoder`."""
        return self._texts.logit_bias

    def clean(self, text: str) -> str:
        """See Encoder; as `encoder` does."""
        return self._texts.clean(text)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """See Encoder; as `encoder` embeds them."""
        return self._texts.encode_texts(texts)

    def fits(self, texts: Sequence[str]) -> Bools:
        """See Encoder; as for `encoder`."""
        return self._texts.fits(texts)

    def unfamiliar(self, texts: Sequence[str]) -> list[str]:
        """See Encoder; as for `encoder`."""
        return self._texts.unfamiliar(texts)

    def prepare(self, image: Image) -> Image:
        """The part of the image that the encoder uses, at the size of the largest level."""
        return self._preparing.prepare_at(image, self.image_size)

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        parts = [self._texts.encode_images(patches) for patches in self._batches(images)]
        return self._pooled(np.concatenate(parts)) if parts else np.empty((0, self.dim), dtype=np.float32)

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. Token 0 is the first patch's, not the pooled vector."""
        vectors, tokens = [np.empty((0, self.dim), dtype=np.float32)], []
        for patches in self._batches(images):
            patch_vectors, patch_tokens = self._tower.encode_tokens(patches)
            vectors.append(patch_vectors)
            tokens.append(patch_tokens)
        stacked = np.concatenate(tokens) if tokens else np.empty((0, self.token_shape[1]), dtype=np.float16)
        return self._pooled(np.concatenate(vectors)), stacked.reshape(len(images), *self.token_shape)

    def patches(self, image: Image) -> Iterator[Image]:
        """The [S, S] patches of an image that go through the tower: level by level, row by row."""
        from PIL import Image as Pillow

        prepared, square = self.prepare(image), self._square
        for level, size in self._sizes.items():
            sized = prepared
            if prepared.size != (size, size):
                sized = prepared.resize((size, size), Pillow.Resampling.BICUBIC)
            for left, top in self._kept(corners(size, square, level), level, prepared):
                yield sized if size == square else sized.crop((left, top, left + square, top + square))

    def _kept(self, places: list[tuple[int, int]], level: int, prepared: Image) -> list[tuple[int, int]]:
        """The `places` that are kept, in their order."""
        if len(places) == self._counts[level]:
            return places
        pixels = hashlib.sha256(prepared.tobytes()).digest()
        lots = [hashlib.sha256(f"{self._seed} {level} {i} ".encode() + pixels).digest() for i in range(len(places))]
        first = sorted(range(len(places)), key=lots.__getitem__)[: self._counts[level]]
        return [places[i] for i in sorted(first)]

    def _batches(self, images: Sequence[Image]) -> Iterator[list[Image]]:
        patches = (patch for image in images for patch in self.patches(image))
        while batch := list(islice(patches, _PATCHES)):
            yield batch

    def _pooled(self, vectors: Floats) -> Floats:
        """[N, D] unit rows from the vectors of all patches of N images, image by image."""
        if self.image_size == self._square:
            return vectors  # one patch per image: bit for bit the encoder's own vectors
        by_image = vectors.reshape(-1, sum(self._counts.values()), self.dim)
        ends = np.cumsum(list(self._counts.values()))[:-1]
        means = [level.mean(axis=1, dtype=np.float64) for level in np.split(by_image, ends, axis=1)]
        return unit_rows(np.mean(means, axis=0))


def corners(size: int, square: int, level: int) -> list[tuple[int, int]]:
    """(left, top) of 2^level by 2^level squares in an image of `size`, row by row, spread evenly from edge to edge."""
    steps = 2**level - 1
    ends = [(2 * i * (size - square) + steps) // (2 * steps) if steps else 0 for i in range(steps + 1)]
    return [(left, top) for top in ends for left in ends]


def load_pyramid(name: str, *, device: str, precision: Precision) -> Pyramid:
    """Load the encoder named pyramid[,field=value…]:MODEL.

    Raises:
        UsageError: no model, an unknown field, or a value out of range. Also what load_encoder raises for MODEL.
    """
    model, d, levels, keep, seed = _parsed(name)
    return Pyramid(load_encoder(model, device=device, precision=precision), d=d, levels=levels, keep=keep, seed=seed)


def check_pyramid(name: str, *, device: str, precision: Precision) -> None:
    """Raise what `load_pyramid` would raise without reading weights."""
    check_model(_parsed(name)[0], device=device, precision=precision)


def _parsed(name: str) -> tuple[str, int, str, float, int]:
    """MODEL, d, levels, keep and seed of pyramid[,field=value…]:MODEL. Raises UsageError, UnknownName."""
    head, colon, model = name.partition(":")
    if not colon or not model:
        raise UsageError(f"expected pyramid[,field=value…]:MODEL, found {name!r}; for example pyramid,d=2:ViT-B/32")
    fields: dict[str, str] = {}
    for setting in head.split(",")[1:]:
        field, _, value = (part.strip() for part in setting.partition("="))
        if field not in _FIELDS:
            raise UnknownName("field of pyramid", field, _FIELDS)
        if field in fields:
            raise UsageError(f"expected each field once, found {field} twice in {name!r}")
        fields[field] = value
    d, seed = (_number(field, fields.get(field, default), int) for field, default in (("d", "2"), ("seed", "0")))
    keep, levels = _number("keep", fields.get("keep", "1"), finite), fields.get("levels", "all")
    _chosen_levels(d, levels, keep)  # refuse bad values before a model is loaded or downloaded
    return model, d, levels, keep, seed


def _number(field: str, text: str, kind: Callable[[str], T]) -> T:
    try:
        return kind(text)
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise UsageError(f"expected {field} of pyramid to be {expected}, found {text!r}") from None


def _chosen_levels(d: int, levels: str, keep: float) -> list[int]:
    """The levels that `levels` names, lowest first. Raises UsageError for a value out of range."""
    if not 1 <= d <= MOST:
        raise UsageError(f"expected d of pyramid from 1 to {MOST}, found {d}")
    if not 0 < keep <= 1:
        raise UsageError(f"expected keep of pyramid above 0 and at most 1, found {keep}")
    top = (d - 1).bit_length()
    if levels in ("all", "top"):
        return list(range(top + 1)) if levels == "all" else [top]
    available = [str(level) for level in range(top + 1)]
    parts = levels.split("+")
    if not set(parts) <= set(available) or len(set(parts)) < len(parts):
        raise UsageError(
            f"expected levels of pyramid to be all, top, or levels from {'+'.join(available)} without repeats, "
            f"found {levels!r}"
        )
    return sorted(map(int, parts))


def _kept_count(patches: int, keep: float) -> int:
    return max(1, math.floor(keep * patches + 0.5))
