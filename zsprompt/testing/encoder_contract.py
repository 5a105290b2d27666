"""The contract of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt.encoders import BatchedEncoder, ClassEncoder, Encoder, SpatialEncoder, WindowEncoder
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ContractError, LabelError
from zsprompt.testing.contract import require, require_array, require_close, require_unit_rows

if TYPE_CHECKING:
    from PIL.Image import Image

_TEXTS = ("dog", "a photo of a cat", "cat", "nothing", "an aeroplane, a sofa and a tv monitor", "dog")
_LONG = "dog " * 400
_HALF_TOLERANCE = 2e-3  # for float16 unit rows

Input = TypeVar("Input")


def check_encoder(encoder: Encoder, *, tolerance: float = 1e-5) -> None:
    """Check that an encoder fulfils the contract of `zsprompt.Encoder`. Encodes about 90 texts and 60 images.

    The windows of a WindowEncoder are encoded for 10 images more, for 25 if it is a ClassEncoder.

    The clauses:

    - Its attributes are in range.
    - Embeddings are [T, D] or [N, D] float32, finite, unit rows, in the order of the inputs.
    - An embedding does not depend on the other inputs of the batch.
    - Duplicates have equal embeddings.
    - Repeated calls give the same bits, and calls from two threads the same embeddings.
    - No inputs give an array of shape [0, D].
    - `clean` is idempotent, and a text and its cleaned text have the same embedding.
    - `prepare` gives an RGB image, changes no bit of an embedding, and is idempotent.
    - `encode_texts` raises LabelError for exactly those texts that `fits` rejects.
    - A SpatialEncoder's tokens are [N, L, D'] float16 unit rows, with the vectors of `encode_images`.
    - A WindowEncoder's windows are [W, D] float16 unit rows per image, W as its grid says, and do not depend on the
      other images of the batch.
    - A ClassEncoder's logits are [2 + W, K] float16, finite, and do not depend on the other images of the batch; its
      vectors of them are those of the windows.

    Args:
        encoder: the encoder to check.
        tolerance: largest difference between embeddings that should be equal, and between a length and 1.

    Raises:
        ContractError: a clause does not hold. The message says what was expected and what was found.
    """
    require(isinstance(encoder, Encoder), "encoder", "an object with all members of Encoder", type(encoder).__name__)
    _check_facts(encoder)
    _check_embeddings(_named(encoder.encode_texts), list(_TEXTS), encoder.dim, "texts", tolerance)
    images = _noise_images()
    _check_embeddings(_named(encoder.encode_images), images, encoder.dim, "images", tolerance)
    _check_clean(encoder, tolerance)
    _check_prepare(encoder, images)
    _check_fits(encoder)
    if isinstance(encoder, SpatialEncoder):
        _check_tokens(encoder, encoder.encode_images(images), images, tolerance)
    if isinstance(encoder, WindowEncoder):
        _check_windows(encoder, encoder.dim, images)
    if isinstance(encoder, ClassEncoder):
        _check_classes(encoder, encoder.dim, images)


def _noise_images() -> list[Image]:
    """Images of several sizes; the last is a copy of the first."""
    from PIL import Image

    random = np.random.default_rng(0)
    sizes = [(60 + 11 * n, 97 - 7 * n) for n in range(4)]
    images = [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
    return [*images, images[0].copy()]


def _check_facts(encoder: Encoder) -> None:
    for attribute in ("name", "fingerprint", "dim", "logit_scale", "context_length"):
        require(hasattr(encoder, attribute), attribute, f"an attribute {attribute}", "none")
    for attribute, text in (("name", encoder.name), ("fingerprint", encoder.fingerprint)):
        require(isinstance(text, str) and text != "", attribute, f"a text as {attribute}", repr(text))
    require(_is_count(encoder.dim), "dim", "a whole number of at least 1 as dim", repr(encoder.dim))
    _check_scale(encoder.logit_scale, encoder.logit_bias)
    length = encoder.context_length
    is_length = length is None or _is_count(length)
    require(is_length, "context_length", "a context_length of at least 1 or None", repr(length))
    require(_is_count(encoder.text_batch), "text_batch", "a text_batch of at least 1", repr(encoder.text_batch))
    if isinstance(encoder, BatchedEncoder):
        batch = encoder.image_batch
        require(_is_count(batch), "image_batch", "an image_batch of at least 1", repr(batch))


def _is_count(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _check_scale(scale: float | None, bias: float | None) -> None:
    for attribute, value in (("logit_scale", scale), ("logit_bias", bias)):
        require(value is None or isinstance(value, Real), attribute, f"a number or None as {attribute}", repr(value))
    require(scale is None or 0 < scale < np.inf, "logit_scale", "a logit_scale above 0 or None", scale)
    require(bias is None or -np.inf < bias < np.inf, "logit_bias", "a finite logit_bias or None", bias)
    require(bias is None or scale is not None, "logit_scale", "a logit_scale along with the logit_bias", scale)


def _named(encode: Callable[[Sequence[Input]], Floats]) -> Callable[[Sequence[Input]], Floats]:
    """`encode`, whose errors say that it failed."""
    name = encode.__name__

    def named(inputs: Sequence[Input]) -> Floats:
        try:
            return encode(inputs)
        except Exception as error:  # an author's code may raise anything
            raise ContractError(
                name, f"expected embeddings of {len(inputs)} inputs from {name}, found {type(error).__name__}: {error}"
            ) from error

    return named


def _check_embeddings(
    encode: Callable[[Sequence[Input]], Floats], inputs: Sequence[Input], dim: int, what: str, tolerance: float
) -> None:
    """The last input must be a duplicate of the first."""
    vectors = encode(inputs)
    require_array(vectors, "embeddings", f"embeddings of {what}", (len(inputs), dim), np.float32)
    require_unit_rows(vectors, f"embeddings of {what}", tolerance)
    same = vectors.tobytes() == encode(inputs).tobytes()
    require(same, "deterministic", f"the same bits from the same {what}", "different ones")
    require_close(vectors[-1], vectors[0], "duplicates", f"equal embeddings of equal {what}", tolerance)
    reversed_vectors = encode(inputs[::-1])[::-1]
    require_close(reversed_vectors, vectors, "order", f"the embeddings in the order of the {what}", tolerance)
    alone = np.concatenate([encode([one]) for one in inputs])
    require_close(alone, vectors, "batching", f"the same embeddings of {what} alone and in a batch", tolerance)
    require_array(encode(inputs[:0]), "no inputs", f"embeddings of no {what}", (0, dim), np.float32)
    with ThreadPoolExecutor(2) as threads:
        for one in threads.map(encode, [inputs] * 4):
            require_close(one, vectors, "threads", f"the same embeddings of {what} from two threads", tolerance)


def _check_clean(encoder: Encoder, tolerance: float) -> None:
    texts = ["Dog", "A photo of a  CAT!", *_TEXTS]
    cleaned = [encoder.clean(text) for text in texts]
    require(all(isinstance(text, str) for text in cleaned), "clean", "texts from clean", cleaned[:3])
    require([encoder.clean(text) for text in cleaned] == cleaned, "clean", "clean to leave a cleaned text", "a change")
    require_close(
        encoder.encode_texts(cleaned),
        encoder.encode_texts(texts),
        "clean",
        "the embeddings of cleaned texts",
        tolerance,
    )


def _check_prepare(encoder: Encoder, images: Sequence[Image]) -> None:
    once = [encoder.prepare(image) for image in images]
    modes = {image.mode for image in once}
    require(modes == {"RGB"}, "prepare", "RGB images from prepare", ", ".join(sorted(modes)))
    twice = [encoder.prepare(image) for image in once]
    same = all(a.size == b.size and a.tobytes() == b.tobytes() for a, b in zip(once, twice, strict=True))
    require(same, "prepare twice", "prepare to leave a prepared image unchanged", "a change")
    same = encoder.encode_images(once).tobytes() == encoder.encode_images(images).tobytes()
    require(same, "prepare", "the same bits from prepared and unprepared images", "different ones")


def _check_fits(encoder: Encoder) -> None:
    texts = [*_TEXTS, _LONG]
    fit = encoder.fits(texts)
    require_array(fit, "fits", "the result of fits", (len(texts),), np.bool_)
    for text, fits in zip((_TEXTS[0], _LONG), (fit[0], fit[-1]), strict=True):
        try:
            encoder.encode_texts([text])
        except LabelError as error:
            require(not fits, "fits", "a text that fits to be encoded", f"LabelError: {error}")
        except Exception as error:
            raise ContractError("fits", f"expected LabelError or an embedding, found {type(error).__name__}") from error
        else:
            require(bool(fits), "fits", "LabelError for a text that does not fit", "an embedding")


def _check_tokens(encoder: SpatialEncoder, expected: Floats, images: Sequence[Image], tolerance: float) -> None:
    vectors, tokens = encoder.encode_tokens(images)
    require_array(vectors, "tokens", "vectors from encode_tokens", expected.shape, np.float32)
    require_close(vectors, expected, "tokens", "the vectors of encode_images from encode_tokens", tolerance)
    require_array(tokens, "tokens", "tokens", (len(images), *encoder.token_shape), np.float16)
    require_unit_rows(tokens, "tokens", _HALF_TOLERANCE)


def _check_windows(encoder: WindowEncoder, dim: int, images: Sequence[Image]) -> None:
    key, prefers = encoder.windows_key, encoder.prefers_dense
    require(isinstance(key, str) and key != "", "windows_key", "a text as windows_key", repr(key))
    require(isinstance(prefers, bool), "prefers_dense", "True or False as prefers_dense", repr(prefers))
    prepared, grids = _prepared_windows(encoder, images)
    windows = encoder.encode_windows(prepared, grids)
    require(len(windows) == len(images), "windows", f"windows of {len(images)} images", len(windows))
    for image, grid, rows in zip(prepared, grids, windows, strict=True):
        require_array(rows, "windows", "windows of an image", (len(grid), dim), np.float16)
        require_unit_rows(rows, "windows", _HALF_TOLERANCE)
        (alone,) = encoder.encode_windows([image], [grid])
        require_close(alone, rows, "windows", "the same windows of an image alone and in a batch", _HALF_TOLERANCE)


def _check_classes(encoder: ClassEncoder, dim: int, images: Sequence[Image]) -> None:
    texts = encoder.class_texts
    different = len(set(texts)) == len(texts) > 0 and all(isinstance(text, str) for text in texts)
    require(different, "class_texts", "different class_texts, at least one", texts[:3])
    prepared, grids = _prepared_windows(encoder, images)
    classes = encoder.encode_classes(prepared, grids)
    require(len(classes) == len(images), "classes", f"class logits of {len(images)} images", len(classes))
    windows = encoder.encode_windows(prepared, grids)
    for image, grid, logits, expected in zip(prepared, grids, classes, windows, strict=True):
        require_array(logits, "classes", "class logits of an image", (2 + len(grid), len(texts)), np.float16)
        (alone,) = encoder.encode_classes([image], [grid])
        require_close(alone, logits, "classes", "the same logits of an image alone and in a batch", _HALF_TOLERANCE)
        vectors = encoder.vectors_of(logits[2:])
        require_array(vectors, "vectors_of", "vectors of class logits", (len(grid), dim), np.float16)
        require_close(vectors, expected, "vectors_of", "the windows from vectors_of", _HALF_TOLERANCE)


def _prepared_windows(encoder: WindowEncoder, images: Sequence[Image]) -> tuple[list[Image], list[Grid]]:
    """The images as `encode_windows` takes them, and their grids."""
    from PIL.Image import Image as PillowImage

    grids = [encoder.grid(*image.size) for image in images]
    other = [type(grid).__name__ for grid in grids if not isinstance(grid, Grid)]
    require(not other, "grid", "a Grid from grid", ", ".join(other[:1]))
    prepared = [encoder.prepare_windows(image, grid) for image, grid in zip(images, grids, strict=True)]
    modes = {image.mode if isinstance(image, PillowImage) else type(image).__name__ for image in prepared}
    require(modes == {"RGB"}, "prepare_windows", "RGB images from prepare_windows", ", ".join(sorted(modes)))
    return prepared, grids
