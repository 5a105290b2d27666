"""An encoder with an image tower and a text tower, whose weights are read on first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

from zsprompt._utils.arrays import Bools, Bytes, Floats, Halves, unit_rows
from zsprompt.encoders.base import ScaleOnUse
from zsprompt.encoders.preprocessing import Preprocess
from zsprompt.errors import LabelError, ModelError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

# Images per call of the image tower. On a CPU, a block's hidden states should stay in the cache.
_CPU_IMAGES, _GPU_IMAGES = 32, 2**12

TokenIds = tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """What a program must know of a dual encoder before it reads the weights.

    Attributes:
        dim: D, the width of an embedding.
        image_size: side of the image tower's square input, in pixels.
        tokens: L, number of spatial tokens of an image: the pooled one and the places; None if it has none.
        context_length: maximum number of tokens in a text.
    """

    dim: int
    image_size: int
    tokens: int | None
    context_length: int = 77


class Tokenizer(Protocol):
    """Turns texts into token ids."""

    def __call__(self, texts: Sequence[str]) -> list[TokenIds]:
        """The ids of each text, marks of its start and end included. Nothing is cut off, nothing padded."""
        ...

    def fits(self, text: str, context_length: int) -> bool:
        """Whether the text has at most so many tokens."""
        ...


class Towers(Protocol):
    """The two towers of a model, on a device.

    Attributes:
        sizes: as the weights have them.
        logit_scale: factor on a cosine before a softmax or sigmoid.
        logit_bias: added to the scaled cosine before a sigmoid; None if the model was trained with a softmax.
    """

    sizes: Sizes
    logit_scale: float
    logit_bias: float | None

    def text(self, sequences: Sequence[TokenIds], /) -> torch.Tensor:
        """[T, D] from the token ids of T different texts, each within the context."""
        ...

    def image(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """[N, D] from normalised pixels [N, 3, S, S]."""
        ...

    def image_tokens(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """[N, L, D] from the same: the vector of `image`, then the places, row by row."""
        ...


AnyTowers = TypeVar("AnyTowers", bound=Towers)


class DualEncoder(ScaleOnUse, Generic[AnyTowers]):
    """An Encoder with two towers. It is a SpatialEncoder if its sizes say so, and Resizable.

    Neither the weights nor the tokeniser are read before they are needed. A run whose embeddings are all stored needs
    neither.

    Args:
        towers: loads the towers on a device.
        tokenizer: loads the tokeniser.
        sizes: compared with those of the weights.
        preprocess: from an image to pixels.
        name, fingerprint, text_batch: see Encoder.
        device: "cpu" or "cuda".
        clean: what the tokeniser does to a text at first; see Encoder.

    Raises:
        ModelError: on first use: the weights are damaged, missing, or have other sizes.
    """

    def __init__(
        self,
        towers: Callable[[str], AnyTowers],
        tokenizer: Callable[[], Tokenizer],
        *,
        sizes: Sizes,
        preprocess: Preprocess,
        name: str,
        fingerprint: str,
        text_batch: int,
        device: str,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.name, self.fingerprint, self.text_batch = name, fingerprint, text_batch
        self.image_size, self.dim, self.context_length = sizes.image_size, sizes.dim, sizes.context_length
        if sizes.tokens is not None:
            self.token_shape = sizes.tokens, sizes.dim
        self.preprocess = preprocess
        self._clean = clean
        self._sizes = sizes
        self._device = device
        self._images_per_part = _CPU_IMAGES if device == "cpu" else _GPU_IMAGES
        self._load_towers, self._load_tokenizer = towers, tokenizer
        self._loaded_towers: AnyTowers | None = None
        self._loaded_tokenizer: Tokenizer | None = None
        self._loading = RLock()  # threads that share an encoder load it once

    @property
    def towers(self) -> AnyTowers:
        """The towers, loaded on first use."""
        with self._loading:
            if self._loaded_towers is None:
                towers = self._load_towers(self._device)
                if towers.sizes != self._sizes:
                    raise ModelError(f"expected {self._sizes} in the weights of {self.name}, found {towers.sizes}")
                self._loaded_towers = towers
            return self._loaded_towers

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokeniser, loaded on first use."""
        with self._loading:
            if self._loaded_tokenizer is None:
                self._loaded_tokenizer = self._load_tokenizer()
            return self._loaded_tokenizer

    def read_logit_scale(self) -> float:
        """See ScaleOnUse."""
        return self.towers.logit_scale

    def read_logit_bias(self) -> float | None:
        """See ScaleOnUse."""
        return self.towers.logit_bias

    def clean(self, text: str) -> str:
        """See Encoder."""
        return self._clean(text)

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most `context_length` tokens, marks of its start and end included."""
        return np.array([self.tokenizer.fits(text, self._sizes.context_length) for text in texts], dtype=np.bool_)

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows. Raises LabelError for a text that does not fit the context."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        sequences = self.tokenizer(texts)
        longest = max(range(len(texts)), key=lambda i: len(sequences[i]))
        # fewer tokens than the context always fit; at its length, a tokeniser may need a place for one more
        if len(sequences[longest]) >= self._sizes.context_length and not self.fits([texts[longest]])[0]:
            raise LabelError(
                f"expected texts of at most {self._sizes.context_length} tokens, "
                f"found {len(sequences[longest])} in {texts[longest][:60]!r}…"
            )
        row_of = {sequence: i for i, sequence in enumerate(dict.fromkeys(sequences))}
        vectors = unit_rows(self.towers.text(list(row_of)).float().cpu().numpy())
        return vectors[[row_of[sequence] for sequence in sequences]]

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        import torch

        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            rows = [self.towers.image(pixels) for pixels in self._pixels(images)]
            return unit_rows(torch.cat(rows).float().cpu().numpy())

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. D' is D, and every token lies in the space of the texts."""
        import torch
        import torch.nn.functional as F

        if not images:
            return np.empty((0, self.dim), dtype=np.float32), np.empty((0, *self.token_shape), dtype=np.float16)
        rows, tokens = [], []
        with torch.inference_mode():
            for pixels in self._pixels(images):
                part = self.towers.image_tokens(pixels).float()
                rows.append(part[:, 0])
                tokens.append(F.normalize(part, dim=-1).half().cpu())
            vectors, halves = unit_rows(torch.cat(rows).cpu().numpy()), torch.cat(tokens).numpy()
        halves[:, 0] = vectors
        return vectors, halves

    def prepare(self, image: Image) -> Image:
        """[S, S] RGB; see Preprocess."""
        return self.preprocess.prepare(image)

    def prepare_at(self, image: Image, size: int) -> Image:
        """See Resizable."""
        return self.preprocess.prepare(image, size)

    def _pixels(self, images: Sequence[Image]) -> Iterator[torch.Tensor]:
        """[n, 3, S, S] normalised pixels of images, part by part."""
        return self._scaled([np.asarray(self.prepare(image)) for image in images], self._images_per_part)

    def _scaled(self, arrays: Sequence[Bytes], at_once: int) -> Iterator[torch.Tensor]:
        """[n, 3, height, width] normalised pixels, part by part; copied as bytes and scaled on the device."""
        import torch

        pixels = torch.from_numpy(np.stack(arrays))
        if self._device != "cpu":
            pixels = pixels.pin_memory()  # otherwise the copy waits for the device
        for part in torch.split(pixels, at_once):
            yield self.preprocess.pixels(part.to(self._device, non_blocking=True))
