"""check_encoder: sound encoders pass, and one fault per clause is caught by that clause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import get_ident
from time import sleep

import numpy as np
import pytest
from fakes import ColourWindows
from PIL import Image

from zsprompt._utils.arrays import Bools, Floats, Halves, unit_rows
from zsprompt.encoders import Encoder
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ContractError
from zsprompt.testing import PlantedEncoder, SpatialPlantedEncoder, check_encoder


class Sound(PlantedEncoder):
    """Reads the mean colour of an image, so that images without planted labels differ."""

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        means = np.array([np.asarray(image).reshape(-1, 3).mean(axis=0) for image in images]).reshape(-1, 3)
        return unit_rows(np.pad(means + 1, ((0, 0), (0, self.dim - 3))))


class Shouting(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts(texts) * np.float32(2)


class Wide(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts(texts)[:, :-1]


class Double(Sound):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        return super().encode_images(images).astype(np.float64)


class Nan(Sound):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        return super().encode_images(images) * np.float32(np.nan)


class Listing(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts(texts).tolist()


class Dropout(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        vectors = super().encode_texts(texts)
        return unit_rows(vectors + 1e-6 * np.random.default_rng().random(vectors.shape))


class Sorting(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts(sorted(texts))


class ByPlace(Sound):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        vectors = super().encode_images(images)
        return unit_rows(vectors + np.arange(len(images))[:, None])


class Palindromes(Sound):
    """Equal at both ends of a batch, but other in the middle than alone."""

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        places = np.arange(len(images))
        inside = np.minimum(places, places[::-1])
        return unit_rows(super().encode_images(images) + inside[:, None])


class Unordered(Sound):
    """Encodes the second and third of a batch in alphabetical order, with equal ends."""

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts([*texts[:1], *sorted(texts[1:-1]), *texts[1:][-1:]])


class Cropping(Sound):
    def prepare(self, image: Image.Image) -> Image.Image:
        return image.crop((1, 1, image.width, image.height))


class Grey(Sound):
    def prepare(self, image: Image.Image) -> Image.Image:
        return image.convert("L")


class Halving(Sound):
    """Prepared twice is prepared once, but the embedding is another."""

    def prepare(self, image: Image.Image) -> Image.Image:
        return image.crop((0, 0, 16, 16))


class Cutting(Sound):
    """Says that a text does not fit, and encodes its beginning."""

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return super().encode_texts([" ".join(text.split()[: self.context_length]) for text in texts])


class Boasting(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return PlantedEncoder(context_length=20).encode_texts(texts)


class Crashing(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        if any(len(text) > 1000 for text in texts):
            raise IndexError("too long")
        return super().encode_texts(texts)


class Numbers(Sound):
    def fits(self, texts: Sequence[str]) -> Bools:
        return np.ones(len(texts), dtype=int)


class Spatial(SpatialPlantedEncoder):
    """Sound, with tokens that a subclass spoils."""

    def spoilt(self, vectors: Floats, tokens: Halves) -> tuple[Floats, Halves]:
        return vectors, tokens

    def encode_tokens(self, images: Sequence[Image.Image]) -> tuple[Floats, Halves]:
        return self.spoilt(*super().encode_tokens(images))


class OtherVectors(Spatial):
    def spoilt(self, vectors: Floats, tokens: Halves) -> tuple[Floats, Halves]:
        return np.roll(vectors, 1, axis=1), tokens


class WideTokens(Spatial):
    def spoilt(self, vectors: Floats, tokens: Halves) -> tuple[Floats, Halves]:
        return vectors, tokens.astype(np.float32)


class FewTokens(Spatial):
    def spoilt(self, vectors: Floats, tokens: Halves) -> tuple[Floats, Halves]:
        return vectors, tokens[:, 1:]


class LongTokens(Spatial):
    def spoilt(self, vectors: Floats, tokens: Halves) -> tuple[Floats, Halves]:
        return vectors, tokens * np.float16(2)


class Windows(ColourWindows):
    """Sound, with rows of windows, logits and vectors of them that a fault spoils."""

    def __init__(self, spoils: str = "", fault: Callable[[list[Halves]], list[Halves]] = list) -> None:
        super().__init__()
        self._spoils, self._fault = spoils, fault

    def _spoilt(self, what: str, rows: list[Halves]) -> list[Halves]:
        return self._fault(rows) if what == self._spoils else rows

    def encode_windows(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        return self._spoilt("windows", super().encode_windows(images, grids))

    def encode_classes(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        return self._spoilt("classes", super().encode_classes(images, grids))


class OtherVectorsOf(Windows):
    """Its windows are sound, but its vectors of logits are others."""

    def encode_windows(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        pairs = zip(images, grids, strict=True)
        return [ColourWindows.vectors_of(self, self._logits(image, grid)[2:]) for image, grid in pairs]

    def vectors_of(self, logits: Halves) -> Halves:
        (rows,) = self._fault([super().vectors_of(logits)])
        return rows


class NoGrid(Windows):
    def grid(self, width: int, height: int) -> Grid:
        return (7, 7)


class GreyWindows(Windows):
    def prepare_windows(self, image: Image.Image, grid: Grid) -> Image.Image:
        return super().prepare_windows(image, grid).convert("L")


class ArrayWindows(Windows):
    def prepare_windows(self, image: Image.Image, grid: Grid) -> Image.Image:
        return np.asarray(super().prepare_windows(image, grid))


class Bare(Encoder):
    name, fingerprint, logit_scale, context_length = "bare", "bare/1", 10.0, None

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return np.ones((len(texts), 1), dtype=np.float32)

    encode_images = encode_texts


class Failing(Sound):
    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        raise ZeroDivisionError("division by zero")


class NeedsSome(Sound):
    def encode_texts(self, texts: Sequence[str]) -> Floats:
        return np.stack([super(NeedsSome, self).encode_texts([text])[0] for text in texts])


class OneThread(Sound):
    """Keeps the batch at hand in itself."""

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        self._texts = list(texts)
        self._caller = get_ident()
        sleep(0.01)
        vectors = super().encode_texts(self._texts)
        return vectors if self._caller == get_ident() else np.roll(vectors, 1, axis=1)


class Shrinking(Sound):
    def clean(self, text: str) -> str:
        return text[:-1]


class Translating(Sound):
    def clean(self, text: str) -> str:
        return "cat"


class NoText(Sound):
    def clean(self, text: str) -> str:
        return None  # type: ignore[return-value]


def in_company(rows: list[Halves]) -> list[Halves]:
    """Other rows in a batch than alone."""
    return [np.roll(one, len(rows) - 1, axis=1) for one in rows]


def with_fact(encoder: Encoder | None = None, **facts: object) -> Encoder:
    encoder = encoder or Sound()
    for name, value in facts.items():
        setattr(encoder, name, value)
    return encoder


FAULTS = {
    "no name": (with_fact(name=""), "name"),
    "no fingerprint": (with_fact(fingerprint=None), "fingerprint"),
    "no width": (with_fact(dim=0), "dim"),
    "no scale": (with_fact(logit_scale=0.0), "logit_scale"),
    "NaN scale": (with_fact(logit_scale=float("nan")), "logit_scale"),
    "no context": (with_fact(context_length=0), "context_length"),
    "a text as dim": (with_fact(dim="4"), "dim"),
    "a text as context": (with_fact(context_length="7"), "context_length"),
    "a text as bias": (with_fact(logit_bias="x"), "logit_bias"),
    "no batch": (with_fact(text_batch=0), "text_batch"),
    "no image batch": (with_fact(image_batch=0), "image_batch"),
    "a bias without a scale": (with_fact(logit_scale=None, logit_bias=-10.0), "logit_scale"),
    "endless bias": (with_fact(logit_bias=float("inf")), "logit_bias"),
    "no width at all": (Bare(), "dim"),
    "fails": (Failing(), "encode_images"),
    "needs some": (NeedsSome(), "encode_texts"),
    "one thread": (OneThread(), "threads"),
    "cleans again": (Shrinking(), "clean"),
    "cleans to another": (Translating(), "clean"),
    "cleans to nothing": (NoText(), "clean"),
    "long rows": (Shouting(), "unit rows"),
    "another width": (Wide(), "embeddings"),
    "float64": (Double(), "embeddings"),
    "NaN": (Nan(), "finite"),
    "a list": (Listing(), "embeddings"),
    "dropout": (Dropout(), "deterministic"),
    "sorted": (Sorting(), "duplicates"),
    "by place": (ByPlace(), "duplicates"),
    "unordered": (Unordered(), "order"),
    "in company": (Palindromes(), "batching"),
    "prepares again": (Cropping(), "prepare twice"),
    "prepares grey": (Grey(), "prepare"),
    "prepares another": (Halving(), "prepare"),
    "cuts texts": (Cutting(context_length=20), "fits"),
    "boasts": (Boasting(), "fits"),
    "crashes": (Crashing(context_length=20), "fits"),
    "fits in numbers": (Numbers(), "fits"),
    "other vectors": (OtherVectors(), "tokens"),
    "float32 tokens": (WideTokens(), "tokens"),
    "few tokens": (FewTokens(), "tokens"),
    "long tokens": (LongTokens(), "unit rows"),
    "no key of windows": (with_fact(Windows(), windows_key=""), "windows_key"),
    "prefers perhaps": (with_fact(Windows(), prefers_dense="yes"), "prefers_dense"),
    "no grid": (NoGrid(), "grid"),
    "prepares grey windows": (GreyWindows(), "prepare_windows"),
    "prepares arrays": (ArrayWindows(), "prepare_windows"),
    "windows of too few images": (Windows("windows", lambda rows: rows[:-1]), "windows"),
    "too few windows": (Windows("windows", lambda rows: [one[1:] for one in rows]), "windows"),
    "narrow windows": (Windows("windows", lambda rows: [one[:, 1:] for one in rows]), "windows"),
    "float32 windows": (Windows("windows", lambda rows: [one.astype(np.float32) for one in rows]), "windows"),
    "NaN windows": (Windows("windows", lambda rows: [one * np.float16(np.nan) for one in rows]), "finite"),
    "long windows": (Windows("windows", lambda rows: [one * np.float16(2) for one in rows]), "unit rows"),
    "windows in company": (Windows("windows", in_company), "windows"),
    "windows of another image": (Windows("windows", lambda rows: rows[::-1]), "windows"),
    "no classes": (with_fact(Windows(), class_texts=()), "class_texts"),
    "the same class twice": (with_fact(Windows(), class_texts=("red", "red", "blue")), "class_texts"),
    "a class that is no text": (with_fact(Windows(), class_texts=("red", "green", 3)), "class_texts"),
    "another number of classes": (with_fact(Windows(), class_texts=("red", "green")), "classes"),
    "logits of too few images": (Windows("classes", lambda rows: rows[:-1]), "classes"),
    "logits of windows only": (Windows("classes", lambda rows: [one[2:] for one in rows]), "classes"),
    "float32 logits": (Windows("classes", lambda rows: [one.astype(np.float32) for one in rows]), "classes"),
    "endless logits": (Windows("classes", lambda rows: [one * np.float16(np.inf) for one in rows]), "finite"),
    "logits in company": (Windows("classes", in_company), "classes"),
    "other vectors of logits": (OtherVectorsOf(fault=lambda rows: [np.roll(rows[0], 1, axis=1)]), "vectors_of"),
    "narrow vectors of logits": (OtherVectorsOf(fault=lambda rows: [rows[0][:, 1:]]), "vectors_of"),
    "float32 vectors of logits": (OtherVectorsOf(fault=lambda rows: [rows[0].astype(np.float32)]), "vectors_of"),
}


@pytest.mark.parametrize(
    "encoder",
    [Sound(), Sound(context_length=20), PlantedEncoder(), SpatialPlantedEncoder(), Spatial(), Windows()],
    ids=lambda encoder: type(encoder).__name__,
)
def test_sound_encoders_pass(encoder: PlantedEncoder) -> None:
    assert check_encoder(encoder) is None


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_its_clause(name: str) -> None:
    encoder, clause = FAULTS[name]
    with pytest.raises(ContractError, match=r"expected .*, found ") as caught:
        check_encoder(encoder)
    assert caught.value.clause == clause
    assert "\n" not in str(caught.value)


def test_the_tolerance_may_be_wider() -> None:
    class Rough(Sound):
        def encode_texts(self, texts: Sequence[str]) -> Floats:
            return super().encode_texts(texts) * np.float32(1.001)

    with pytest.raises(ContractError):
        check_encoder(Rough())
    check_encoder(Rough(), tolerance=0.01)


def test_something_else_than_an_encoder_is_named() -> None:
    with pytest.raises(ContractError, match="expected an object with all members of Encoder, found NoneType"):
        check_encoder(None)  # type: ignore[arg-type]
