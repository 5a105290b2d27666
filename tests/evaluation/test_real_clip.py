"""Real CLIP vectors: what they say about the strategies. ZSPROMPT_TEST_DATA names a folder with realclip/.

Expected numbers were measured on this bank. No constant of the package was chosen on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_vectors import (
    A_NAME,
    RealVectors,
    breeds,
    known_words,
    names_in_both,
    pets,
    photo_prompts,
    photographs,
    real_clip_folder,
)

import zsprompt as zs
from zsprompt import metrics
from zsprompt._utils.registry import DEFAULT_STRATEGY
from zsprompt.data.images import decode
from zsprompt.errors import DataError, ModelError, ThresholdError
from zsprompt.strategies.z_scores import standardise
from zsprompt.testing import check_dataset, check_encoder

EXACT = 0.002
"""Rounding differs between processors, and may change the order of two images."""


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    try:
        return real_clip_folder(test_data)
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def real(folder: Path) -> RealVectors:
    return RealVectors(folder)


@pytest.fixture(scope="module")
def space(real: RealVectors) -> zs.EmbeddingStore:
    return zs.EmbeddingStore(real, cache=None)


@pytest.fixture(scope="module")
def photos(folder: Path) -> zs.Dataset:
    return photographs(folder)


def compare_with(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `words` the neutral words."""
    for module in ("z_scores", "softmax", "logit_scale"):
        monkeypatch.setattr(f"zsprompt.strategies.{module}.neutral_words", lambda: tuple(words))


@pytest.fixture(autouse=True)
def _words_of_the_bank(real: RealVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    """15 of the 60 neutral words have no vector."""
    compare_with(known_words(real), monkeypatch)


def measured(spec: str, data: zs.Dataset, space: zs.EmbeddingStore) -> zs.Result:
    return zs.run(zs.load_strategy(spec, prompts=A_NAME), data, space)


def single_label_accuracy(result: zs.Result) -> float:
    best = result.prediction.scores.argmax(axis=1)
    return float((best == result.targets.argmax(axis=1)).mean())


# -- the encoder of the bank -------------------------------------------------------------------------------------


class ForAnyInput(RealVectors):
    """Takes some row of the bank for an input that the bank lacks, always the same."""

    def _text_row(self, text: str) -> int:
        return super()._text_row(text) if self.has(text) else len(text)

    def _image_row(self, image: Image.Image) -> int:
        try:
            return super()._image_row(image)
        except ModelError:
            return int(np.asarray(image).sum()) % 213


def test_it_keeps_the_contract_of_encoders(folder: Path) -> None:
    """The contract's own texts and images are not in the bank."""
    check_encoder(ForAnyInput(folder))


def test_the_bank_is_complete(real: RealVectors, photos: zs.Dataset, folder: Path) -> None:
    check_dataset(photos, read=4)
    check_dataset(pets(folder), read=4)
    assert (len(photos.images), len(photos.labels)) == (213, 12)
    assert (len(pets(folder).images), len(breeds(folder).images), len(breeds(folder).labels)) == (3669, 1298, 13)
    assert len(known_words(real)) == 45


def test_an_unknown_text_is_refused_in_one_line(photos: zs.Dataset, space: zs.EmbeddingStore) -> None:
    with pytest.raises(ModelError, match=r"^expected one of the 2,610 texts .*, found 'a photo of a unicorn'; use .*$"):
        space.texts(["a dog", "a photo of a unicorn"])
    with pytest.raises(ModelError, match="found 'a photo of a"):  # the default wording is not in the bank
        zs.run("per-label", photos, space)


def test_an_unknown_image_is_refused_in_one_line(real: RealVectors, photos: zs.Dataset) -> None:
    with pytest.raises(ModelError, match=r"^expected one of the 3,882 images .*, of 40 × 30 pixels; use .*$"):
        real.encode_images([Image.new("RGB", (40, 30))])
    turned = decode(photos.images[0].read()).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with pytest.raises(ModelError, match="found another"):
        real.encode_images([turned])


def test_a_folder_without_the_bank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected the bank of real CLIP vectors"):
        real_clip_folder(tmp_path)


def test_the_two_exports_of_texts_agree(folder: Path, real: RealVectors) -> None:
    """Of the 283 names that both have, "a NAME" is closest to its own "a photo of a NAME"."""
    shared = names_in_both(folder)
    short = real.encode_texts([f"a {name}" for name in shared])
    long = real.encode_texts([text for texts in photo_prompts(shared).ensemble(shared) for text in texts])
    cosines = short @ long.T
    assert len(shared) == 283
    assert (cosines.argmax(axis=1) == np.arange(283)).all()
    assert np.diag(cosines).mean() == pytest.approx(0.955, abs=0.001)


# -- 213 photographs, 12 labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "mean_ap", "precision", "recall", "micro_f1"),
    [
        ("per-label", 0.858, 0.942, 0.663, 0.778),
        ("normalised:per-label", 0.952, 0.942, 0.663, 0.778),
        (DEFAULT_STRATEGY, 0.956, 0.880, 0.748, 0.809),
        (f"{DEFAULT_STRATEGY},cut=0.1", 0.956, 0.912, 0.701, 0.792),
        (f"{DEFAULT_STRATEGY},reference=labels", 0.948, 0.754, 0.793, 0.773),
    ],
)
def test_quality_on_the_photographs(
    spec: str,
    mean_ap: float,
    precision: float,
    recall: float,
    micro_f1: float,
    photos: zs.Dataset,
    space: zs.EmbeddingStore,
) -> None:
    """Standardising keeps the decisions of per-label, which standardises to decide, and adds 9 points of mAP."""
    result = measured(spec, photos, space)
    decided = {"precision": result.f1.overall.OP, "recall": result.f1.overall.OR, "F1": result.f1.micro}
    assert result.mAP == pytest.approx(mean_ap, abs=EXACT)
    expected = {"precision": precision, "recall": recall, "F1": micro_f1}
    assert decided == pytest.approx(expected, abs=0.004)  # a decision changes recall by 0.0034
    low, high = result.mAP_interval
    assert low < result.mAP < high
    assert 0.02 < high - low < 0.08


def test_the_default_strategy_is_the_softmax() -> None:
    assert DEFAULT_STRATEGY == "softmax:per-label"


def test_plain_standardising_gains_nine_points(photos: zs.Dataset, real: RealVectors, space: zs.EmbeddingStore) -> None:
    """85.8 → 94.7 with every neutral word weighing as much as a label, 95.1 over the labels alone."""
    words = [word for word in known_words(real) if word not in photos.labels]
    images = zs.Images(space.images(photos.images).vectors)
    cosines = zs.PerLabel(A_NAME).cosines(images, (*photos.labels, *words), space)
    assert len(words) == 37

    def mean_ap(scores: np.ndarray) -> float:
        return float(metrics.average_precision(scores[:, :12].astype(np.float32), photos.targets).mean())

    assert mean_ap(cosines) == pytest.approx(0.858, abs=EXACT)
    assert mean_ap(standardise(cosines)) == pytest.approx(0.947, abs=EXACT)
    assert mean_ap(standardise(cosines[:, :12])) == pytest.approx(0.951, abs=EXACT)


@pytest.mark.parametrize(
    ("first", "second", "change", "interval"),
    [
        ("per-label", "normalised:per-label", 0.093, (0.061, 0.125)),
        ("per-label", "softmax:per-label", 0.098, (0.068, 0.129)),
        ("normalised:per-label", "softmax:per-label", 0.005, (-0.004, 0.014)),
    ],
)
def test_paired_changes(
    first: str,
    second: str,
    change: float,
    interval: tuple[float, float],
    photos: zs.Dataset,
    space: zs.EmbeddingStore,
) -> None:
    """Both wrappers gain for sure; the softmax is not shown to rank better than z."""
    difference = zs.compare(measured(first, photos, space), measured(second, photos, space)).mAP
    assert difference.value == pytest.approx(change, abs=EXACT)
    low, high = interval
    assert difference.low == pytest.approx(low, abs=0.004)
    assert difference.high == pytest.approx(high, abs=0.004)
    assert (difference.p < 0.01) == (change > 0.05)


@pytest.mark.parametrize(
    ("spec", "start", "by_default", "by_thresholds"),
    [
        ("softmax:per-label", 0, 0.796, 0.901),
        ("softmax:per-label", 1, 0.822, 0.903),
        ("normalised:per-label", 0, 0.767, 0.893),
        ("normalised:per-label", 1, 0.789, 0.903),
        ("per-label", 0, 0.767, 0.716),
        ("per-label", 1, 0.789, 0.725),
    ],
)
def test_thresholds_of_one_half_decide_on_the_other(
    spec: str, start: int, by_default: float, by_thresholds: float, photos: zs.Dataset, space: zs.EmbeddingStore
) -> None:
    """One threshold per label gains 8 to 13 points of micro F1, except on raw cosines."""
    chosen_on, other = photos.select(range(start, 213, 2)), photos.select(range(1 - start, 213, 2))
    strategy = zs.load_strategy(spec, prompts=A_NAME)
    thresholds = zs.choose_thresholds(zs.run(strategy, chosen_on, space))
    decided = zs.run(zs.with_thresholds(strategy, thresholds, space, other), other, space)
    assert zs.run(strategy, other, space).f1.micro == pytest.approx(by_default, abs=0.008)
    assert decided.f1.micro == pytest.approx(by_thresholds, abs=0.008)  # one decision changes it by up to 0.004
    with pytest.raises(ThresholdError, match=r"found (106|107) of the 213 images"):
        zs.with_thresholds(strategy, thresholds, space, photos)


# -- pets: one label each ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "mean_ap", "micro_f1"),
    [
        ("per-label", 0.9968, 0.996),
        ("normalised:per-label", 0.9999, 0.996),
        ("softmax:per-label", 0.9994, 0.993),
        ("softmax:per-label,reference=labels", 1.0, 0.993),
    ],
)
def test_cats_and_dogs(spec: str, mean_ap: float, micro_f1: float, folder: Path, space: zs.EmbeddingStore) -> None:
    """All strategies rank the two labels of a pet alike: 6 of 3,669 pets are wrong."""
    result = measured(spec, pets(folder), space)
    assert single_label_accuracy(result) == pytest.approx(1 - 6 / 3669, abs=1e-9)
    assert result.mAP == pytest.approx(mean_ap, abs=0.0003)
    assert result.f1.micro == pytest.approx(micro_f1, abs=0.001)


@pytest.mark.parametrize(
    ("spec", "mean_ap", "micro_f1"),
    [("per-label", 0.919, 0.749), ("softmax:per-label,reference=labels", 0.994, 0.869)],
)
def test_breeds(
    spec: str,
    mean_ap: float,
    micro_f1: float,
    folder: Path,
    space: zs.EmbeddingStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """13 breeds, "a photo of a beagle". The softmax ranks the labels of an image as cosines do, images far better."""
    compare_with((), monkeypatch)  # neutral words have no vector in this wording
    data = breeds(folder)
    result = zs.run(zs.load_strategy(spec, prompts=photo_prompts(data.labels)), data, space)
    assert single_label_accuracy(result) == pytest.approx(0.971, abs=0.001)
    assert result.mAP == pytest.approx(mean_ap, abs=EXACT)
    assert result.f1.micro == pytest.approx(micro_f1, abs=EXACT)


# -- the logit scale, were it not known --------------------------------------------------------------------------


class BankTexts(RealVectors):
    """Without a logit scale, and with the bank's article for every word: "a bread", "a airplane"."""

    logit_scale = None

    def clean(self, text: str) -> str:
        return f"a {text.removeprefix('an ').removeprefix('a ')}"


def test_the_suggested_scale_is_close_to_the_true_one(photos: zs.Dataset, folder: Path) -> None:
    """With 45 of the 60 words; ViT-B/32's own is 100."""
    store = zs.EmbeddingStore(BankTexts(folder), cache=None)
    for data, expected in ((photos, 95.8), (pets(folder), 93.1)):
        images = zs.Images(store.images(data.images).vectors)
        assert zs.suggest_logit_scale(images, store) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("scale", "mean_ap", "precision", "recall"),
    [(50, 0.952, 0.842, 0.745), (95.8, 0.957, 0.871, 0.755), (200, 0.949, 0.904, 0.707)],
)
def test_what_another_scale_costs(
    scale: float, mean_ap: float, precision: float, recall: float, photos: zs.Dataset, space: zs.EmbeddingStore
) -> None:
    """At 100: 0.956, 0.880, 0.748."""
    result = measured(f"{DEFAULT_STRATEGY},scale={scale}", photos, space)
    decided = {"precision": result.f1.overall.OP, "recall": result.f1.overall.OR}
    assert result.mAP == pytest.approx(mean_ap, abs=EXACT)
    assert decided == pytest.approx({"precision": precision, "recall": recall}, abs=0.004)
