"""regions: and matched: against brute force, and in worlds of small things whose windows are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, ColourWindows
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import zsprompt as zs
from zsprompt import metrics
from zsprompt._utils.arrays import Floats, unit_rows
from zsprompt.data import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.encoders.windows import Grid
from zsprompt.errors import LabelError, UsageError, ZspromptError
from zsprompt.evaluation.run import run
from zsprompt.prompts import PromptSet, load_prompts, neutral_words
from zsprompt.prompts.labels import label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.store.image_embeddings import Images, RowsInMemory
from zsprompt.strategies import (
    Matched,
    Normalised,
    PerLabel,
    Regions,
    Softmax,
    Thresholded,
    Thresholds,
    load_strategy,
    refuse_labels,
)
from zsprompt.strategies.base import Prediction
from zsprompt.strategies.matched import log_matches
from zsprompt.strategies.regions import best_of_each
from zsprompt.strategies.z_scores import standardise
from zsprompt.testing import RandomSpace, check_strategy

LABELS = ("red thing", "green thing", "blue thing")
DIM, CLASSES = 24, 5


class ClassSpace(RandomSpace):
    """Random texts, with classes."""

    class_texts = tuple(f"class {k}" for k in range(CLASSES))


def random_images(count: int = 6, seed: int = 0) -> Images:
    """Images of several grids, with windows and class logits."""
    random = np.random.default_rng(seed)
    grids = [Grid.of(*random.integers(1, 100, 2)) for _ in range(count)]
    windows = [(grid, unit_rows(random.normal(size=(len(grid), DIM))).astype(np.float16)) for grid in grids]
    classes = [(grid, (4 * random.normal(size=(2 + len(grid), CLASSES))).astype(np.float16)) for grid in grids]
    vectors = unit_rows(random.normal(size=(count, DIM)))
    return Images(vectors, windows=RowsInMemory(windows), classes=RowsInMemory(classes))


def cosines_by_hand(images: Images, labels: tuple[str, ...], prompts: str = "photo") -> tuple[Floats, list[Floats]]:
    """[N, C] cosines of the whole images, and [W, C] of the windows of each."""
    texts = label_vectors(load_prompts(prompts), labels, RandomSpace())
    windows = [rows.astype(np.float32) @ texts.T for _, rows in images.windows.read(range(len(images)))]
    return images.vectors @ texts.T, windows


# -- regions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", ["photo", "ensemble"])
@pytest.mark.parametrize("block", [1, 4, 512])
def test_scores_are_the_formula(prompts: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.strategies.regions._BLOCK", block)
    images = random_images()
    words = (*LABELS, *neutral_words())
    whole, windows = cosines_by_hand(images, words, prompts)
    strategy = Regions(PerLabel(prompts=load_prompts(prompts)), threshold=0.5)
    answer = strategy.predict(images, LABELS, RandomSpace())
    best = np.stack([rows.max(axis=0) for rows in windows])
    expected = (whole + 2 * best) / 3
    np.testing.assert_allclose(answer.scores, expected[:, :3], atol=1e-3)
    assert np.array_equal(answer.decisions, standardise(expected, 3) > 0.5)
    assert 0 < answer.decisions.mean() < 1
    assert answer.windows is not None
    for i, rows in enumerate(windows):
        grid = images.windows.read([i])[0][0]
        for c in range(3):
            best = int(rows[:, c].argmax())
            assert answer.windows.best[i, c] == best
            assert np.allclose(answer.windows.box(i, c), grid.boxes()[best])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 4), st.integers(0, 2**16))
def test_the_best_of_each(counts: list[int], labels: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 4, (sum(counts), labels)).astype(np.float32)  # with ties
    starts = np.cumsum([0, *counts])
    best, positions = best_of_each(scores, starts)
    for row, (start, end) in enumerate(pairwise(starts)):
        for c in range(labels):
            column = scores[start:end, c].tolist()
            assert best[row, c] == max(column)
            assert positions[row, c] == column.index(max(column))


@pytest.mark.parametrize(
    "spec",
    [
        "regions:per-label",
        "softmax:regions:per-label",
        "softmax:regions:per-label,reference=labels",
        "normalised:regions:per-label",
        "matched:per-label",
        "matched:regions:per-label",
        "self-training:matched:regions:per-label,fewest=2",
    ],
)
def test_the_contract_holds(spec: str) -> None:
    check_strategy(load_strategy(spec), labels=LABELS, images=random_images(), texts=ClassSpace())


def test_outer_wrappers_take_its_score_in_place_of_the_cosine() -> None:
    images, labels = random_images(), tuple(f"label {n}" for n in range(30))
    inner = Regions(PerLabel())
    r = inner.predict(images, labels, RandomSpace())
    z = Normalised(inner).predict(images, labels, RandomSpace())
    np.testing.assert_allclose(z.scores, standardise(r.scores), atol=1e-4)
    logits = 20 * r.scores.astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    softmax = Softmax(inner, reference="labels", scale=20.0).predict(images, labels, RandomSpace())
    np.testing.assert_allclose(softmax.scores, expected, atol=1e-4)
    for answer in (z, softmax):
        assert answer.windows is not None
        assert r.windows is not None
        assert np.array_equal(answer.windows.best, r.windows.best)


def test_thresholds_stand_outside_and_keep_the_windows() -> None:
    thresholds = Thresholds(LABELS, (0.1,) * 3, "", False, {}, {})
    answer = Thresholded(Regions(PerLabel()), thresholds).predict(random_images(), LABELS, RandomSpace())
    assert answer.windows is not None
    assert np.array_equal(answer.decisions, answer.scores > 0.1)


def test_images_without_windows_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected images with windows for regions:, found none"):
        Regions(PerLabel()).predict(replace(random_images(), windows=None), LABELS, RandomSpace())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("regions:per-label", {"windows"}),
        ("regions:per-label,windows=dense", {"windows:dense"}),
        ("regions:per-label,windows=crops", {"windows:crops"}),
        ("matched:per-label", {"classes"}),
        ("matched:regions:per-label,windows=crops", {"classes", "windows:crops"}),
    ],
)
def test_fields_choose_what_is_read(spec: str, expected: set[str]) -> None:
    assert zs.strategies.reads(load_strategy(spec)) == expected


@pytest.mark.parametrize("value", ["both", "Dense", "", None, True])
def test_other_windows_are_refused(value: object) -> None:
    with pytest.raises(UsageError, match="windows") as told:
        Regions(PerLabel(), windows=value)  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("wrapper", [Regions, Matched])
@pytest.mark.parametrize(
    ("fields", "prompts", "error"),
    [
        ({}, "photo", None),
        ({"threshold": 4.0}, "photo", "expected a threshold below 3.87"),
        ({"threshold": float("nan")}, "photo", "expected a threshold below 3.87"),
        ({}, "described", "described"),
    ],
)
def test_what_predict_refuses_is_refused_without_a_model(
    wrapper: type[Regions | Matched], fields: dict[str, float], prompts: str, error: str | None
) -> None:
    """A threshold that no z exceeds; prompts that describe the labels, but not the reference words."""
    described = PromptSet("described", "0", "", "", described=tuple((label, (label,)) for label in LABELS))
    strategy = wrapper(PerLabel(described if prompts == "described" else load_prompts(prompts)), **fields)
    for call in (
        lambda: refuse_labels(strategy, LABELS),
        lambda: strategy.predict(random_images(), LABELS, ClassSpace()),
    ):
        if error is None:
            call()
            continue
        with pytest.raises(ZspromptError, match=error) as told:
            call()
        assert "\n" not in str(told.value)


@pytest.mark.parametrize("spec", ["regions:per-label", "matched:per-label", "matched:regions:per-label"])
def test_a_label_too_long_for_the_encoder_is_refused(spec: str) -> None:
    strategy, texts = load_strategy(spec), ClassSpace(fits_up_to=200)
    with pytest.raises(LabelError, match="shorten"):
        strategy.predict(random_images(), (*LABELS, "x" * 300), texts)


def test_reference_words_join_decisions_of_regions_and_scores_of_matched() -> None:
    for labels in (LABELS, (*LABELS, neutral_words()[0])):
        regions, matched = (
            load_strategy(f"{name}:per-label").reference_words(labels) for name in ("regions", "matched")
        )
        assert regions.words == matched.words == tuple(word for word in neutral_words() if word not in labels)
        assert (regions.in_scores, matched.in_scores) == (False, True)


def test_the_score_of_a_label_depends_on_that_label_alone() -> None:
    images, strategy = random_images(), Regions(PerLabel())
    together = strategy.predict(images, LABELS, RandomSpace())
    for c, label in enumerate(LABELS):
        alone = strategy.predict(images, (label,), RandomSpace())
        np.testing.assert_allclose(alone.scores[:, 0], together.scores[:, c], atol=1e-6)
        assert alone.windows is not None
        assert together.windows is not None
        assert np.array_equal(alone.windows.best[:, 0], together.windows.best[:, c])


def test_without_images_there_are_no_scores() -> None:
    for spec in ("regions:per-label", "matched:regions:per-label"):
        answer = load_strategy(spec).predict(random_images(0), LABELS, ClassSpace())
        assert answer.scores.shape == answer.decisions.shape == (0, 3)


# -- small things ------------------------------------------------------------------------------------------------------


def small_things(folder: Path, size: tuple[int, int], side: int, cast: int = 25) -> Dataset:
    """Grey images with up to two coloured squares, each of which fills part of a window."""
    random = np.random.default_rng(side)
    refs, targets = [], []
    for n in range(40):
        pixels = random.integers(90, 130, (size[1], size[0], 3)).astype(np.uint8)
        pixels[:] = pixels.mean(axis=2, keepdims=True)  # grey
        tint = random.integers(0, 3)  # a colour cast of the whole image, which misleads its mean
        pixels[..., tint] = np.minimum(255, pixels[..., tint] + random.integers(0, cast))
        present = random.permutation(3)[: random.integers(0, 3)]
        corners = [(0, 0), (size[0] - side, size[1] - side)]
        for (left, top), c in zip(corners, present, strict=False):
            pixels[top : top + side, left : left + side] = np.eye(3, dtype=np.uint8)[c] * 255
        path = folder / f"{size[0]}-{side}-{n}.png"
        Image.fromarray(pixels).save(path)
        refs.append(ImageFile(path.name, path))
        targets.append([int(c in present) for c in range(3)])
    return Dataset("small things", LABELS, refs, np.array(targets, dtype=np.int8))


def mean_ap(prediction: Prediction, data: Dataset) -> float:
    return float(np.nanmean(metrics.average_precision(prediction.scores, data.targets)))


@pytest.mark.parametrize("encoder", [ColourEncoder, ColourWindows])
@pytest.mark.parametrize(("size", "side", "cast"), [((160, 120), 24, 8), ((160, 120), 40, 25), ((90, 240), 40, 25)])
def test_windows_find_small_things_that_the_whole_image_does_not_show(
    encoder: type[ColourEncoder], size: tuple[int, int], side: int, cast: int, tmp_path: Path
) -> None:
    data = small_things(tmp_path, size, side, cast)
    with EmbeddingStore(encoder(), cache=None) as store:
        whole = run(PerLabel(), data, store, resamples=10)
        regions = run(Regions(PerLabel()), data, store, resamples=10)
    assert mean_ap(whole.prediction, data) < 0.95
    assert mean_ap(regions.prediction, data) > mean_ap(whole.prediction, data) + 0.05
    assert mean_ap(regions.prediction, data) > 0.97
    assert regions.prediction.windows is not None
    grid = Grid.of(*size)
    for i, c in zip(*np.nonzero(data.targets == 1), strict=True):  # the window is at a corner, where the things are
        left, top, right, bottom = regions.prediction.windows.box(int(i), int(c))
        assert (left, top) == (0, 0) or (right, bottom) == (1, 1), (grid, left, top, right, bottom)


# -- matched -----------------------------------------------------------------------------------------------------------


def test_matches_are_the_formula() -> None:
    random = np.random.default_rng(0)
    logits = (5 * random.normal(size=(4, CLASSES))).astype(np.float16)
    closeness = np.exp(random.normal(size=(3, CLASSES)))
    wide = logits.astype(np.float64)
    p = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    expected = [[np.log(sum(p[n, k] * closeness[c, k] for k in range(CLASSES))) for c in range(3)] for n in range(4)]
    np.testing.assert_allclose(log_matches(logits, closeness), expected, rtol=1e-9)
    extreme = np.array([[6e4, -6e4, 0, 0, 0]], dtype=np.float16)
    assert np.isfinite(log_matches(extreme, closeness)).all()


@pytest.mark.parametrize("regions", [False, True])
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("block", [1, 4, 64])
def test_scores_of_matched_are_the_formula(
    regions: bool, weight: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsprompt.strategies.matched._BLOCK", block)
    images, texts = random_images(), ClassSpace()
    words = (*LABELS, *neutral_words())
    inner = Regions(PerLabel()) if regions else PerLabel()
    answer = Matched(inner, weight=weight, threshold=0.5).predict(images, LABELS, texts)
    closeness = np.exp(30 * (texts.texts(words) @ texts.texts(texts.class_texts).T).astype(np.float64))
    views: list[list[Floats]] = [[], [], []]
    positions = []
    for _, logits in images.classes.read(range(len(images))):
        matches = log_matches(logits, closeness)
        views[0].append(matches[0])
        views[1].append(matches[1])
        views[2].append(matches[2:].max(axis=0))
        positions.append(matches[2:].argmax(axis=0)[:3])

    def z(scores: object) -> Floats:
        """Over labels and words that weigh 16 labels together."""
        values = np.asarray(scores, dtype=np.float64)
        weights = np.array([1.0] * 3 + [13 / len(neutral_words())] * len(neutral_words())) / 16
        mean = values @ weights
        return (values - mean[:, None]) / np.sqrt(((values - mean[:, None]) ** 2) @ weights)[:, None]

    match = z(z(views[0]) + z(views[1]) + z(views[2])) if regions else z(views[0])
    whole, windows = cosines_by_hand(images, words)
    r = (whole + 2 * np.stack([rows.max(axis=0) for rows in windows])) / 3 if regions else whole
    expected = match + weight * z(r)
    np.testing.assert_allclose(answer.scores, expected[:, :3], atol=2e-3)
    assert np.array_equal(answer.decisions, z(expected)[:, :3] > 0.5)
    assert 0 < answer.decisions.mean() < 1
    if regions:
        assert answer.windows is not None
        assert np.array_equal(answer.windows.best, positions)
    else:
        assert answer.windows is None


def test_classes_find_what_the_vectors_do_not_show(tmp_path: Path) -> None:
    """The planted class of a label decides where the vectors are noise."""
    random = np.random.default_rng(0)
    texts = ClassSpace()
    vectors = texts.texts(texts.class_texts)
    labels = ("a", "b", "c", "d", "e")

    class Near(ClassSpace):
        """Labels whose texts are those of the classes."""

        def texts(self, given: object, *, keep: bool = True) -> Floats:
            named = dict(zip(labels, vectors, strict=True))
            return np.stack([named.get(text, super(Near, self).texts([text])[0]) for text in given])  # type: ignore[attr-defined]

    present = random.random((60, CLASSES)) < 0.3
    grid = Grid.of(1, 1)
    rows = [(grid, np.tile(8.0 * row, (2 + len(grid), 1)).astype(np.float16)) for row in present]
    images = Images(unit_rows(random.normal(size=(60, DIM))), classes=RowsInMemory(rows))
    targets = present.astype(np.int8)
    cosines = PerLabel().predict(images, labels, Near())
    matched = Matched(PerLabel(), weight=0.0).predict(images, labels, Near())
    alone = float(np.nanmean(metrics.average_precision(cosines.scores, targets)))
    found = float(np.nanmean(metrics.average_precision(matched.scores, targets)))
    assert alone < 0.6
    assert found > 0.95


def test_an_encoder_without_classes_is_refused_before_images_are_embedded(tmp_path: Path) -> None:
    data = small_things(tmp_path, (20, 20), 4)
    with EmbeddingStore(ColourEncoder(), cache=None) as store:
        for strategy in ("matched:per-label", "matched:regions:per-label", "self-training:matched:per-label,fewest=2"):
            with pytest.raises(UsageError, match="expected a model that knows classes") as told:
                run(load_strategy(strategy), data, store)
            assert "\n" not in str(told.value)
        assert store.counts.images_encoded == 0
    with pytest.raises(UsageError, match="expected images with class logits for matched:"):
        Matched(PerLabel()).predict(replace(random_images(), classes=None), LABELS, ClassSpace())


@pytest.mark.parametrize("fields", [{"weight": -0.1}, {"weight": float("nan")}, {"scale": 0.0}, {"scale": 1e9}])
def test_fields_out_of_range_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Matched(PerLabel(), **fields)


def test_the_store_reads_what_they_need(tmp_path: Path) -> None:
    data = small_things(tmp_path, (40, 30), 10)
    with EmbeddingStore(ColourWindows(), cache=None) as store:
        for spec in ("matched:regions:per-label", "self-training:softmax:regions:per-label,fewest=2"):
            strategy = load_strategy(spec)
            images = embed(data.images, store, zs.strategies.reads(strategy)).images
            assert images.windows is not None
            assert images.classes is not None
            assert np.isfinite(strategy.predict(images, LABELS, store).scores).all()
