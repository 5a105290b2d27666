"""A wrapper that checks an encoder's results and turns its failures into ModelError."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zsprompt._utils.arrays import Floats, Halves
from zsprompt.encoders import Encoder, SpatialEncoder
from zsprompt.errors import ModelError, ZspromptError

if TYPE_CHECKING:
    from PIL.Image import Image

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class CheckedEncoder:
    """`encoder`, as the store calls it. Each method raises ModelError if the encoder fails or its result is wrong."""

    encoder: Encoder

    def spatial(self) -> SpatialEncoder:
        """The encoder, if it has spatial tokens."""
        if not isinstance(self.encoder, SpatialEncoder):
            raise ModelError(
                f"expected a model with spatial tokens, found {self.encoder.name}, which has none; "
                "use an adapter on pooled vectors, or choose another --model"
            )
        return self.encoder

    def texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows."""
        return self._vectors(self.encoder.encode_texts, texts)

    def images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        return self._vectors(self.encoder.encode_images, images)

    def tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """([N, D] float32 unit rows, [N, L, D'] float16)."""
        spatial = self.spatial()
        vectors, tokens = self._call(lambda batch: _two_arrays(spatial.encode_tokens(batch)), images)
        self._check(vectors, (len(images), self.encoder.dim))
        self._check(tokens, (len(images), *spatial.token_shape))
        return vectors, tokens

    def prepare(self, image: Image) -> Image:
        """`image`, prepared for the encoder."""
        return self.attempt(lambda: self.encoder.prepare(image), "to prepare an image")

    def attempt(self, work: Callable[[], B], doing: str) -> B:
        """The result of `work`; ModelError says that the encoder failed `doing` it."""
        try:
            return work()
        except ZspromptError:
            raise
        except Exception as error:  # a third-party encoder may raise anything
            hint = "; if memory ran out, use a smaller batch (--device auto,batch_size=B)" if "batch" in doing else ""
            raise ModelError(f"model {self.encoder.name} failed {doing} ({_reason(error)}){hint}") from error

    def _vectors(self, encode: Callable[[Sequence[A]], Floats], batch: Sequence[A]) -> Floats:
        vectors = self._call(lambda items: np.asarray(encode(items), dtype=np.float32), batch)
        self._check(vectors, (len(batch), self.encoder.dim))
        return vectors

    def _call(self, encode: Callable[[Sequence[A]], B], batch: Sequence[A]) -> B:
        return self.attempt(lambda: encode(batch), f"on a batch of {len(batch)}")

    def _check(self, array: Floats | Halves, expected: tuple[int, ...]) -> None:
        if array.shape != expected or not np.isfinite(array).all():
            found = f"shape {array.shape}" if array.shape != expected else "values that are not finite"
            kind = "embeddings" if len(expected) == 2 else "spatial tokens"
            raise ModelError(f"expected {kind} of shape {expected} from {self.encoder.name}, found {found}")


def _two_arrays(result: tuple[Floats, Halves]) -> tuple[Floats, Halves]:
    vectors, tokens = result
    return np.asarray(vectors, dtype=np.float32), np.asarray(tokens, dtype=np.float16)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
