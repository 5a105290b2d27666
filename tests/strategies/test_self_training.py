"""Self-training: against the formula written out, in a planted world of unlabelled clusters, and from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import one_line, run_here
from fakes import LABELS, PlantedEncoder, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st

import zsprompt as zs
from zsprompt import metrics
from zsprompt._utils.arrays import Bools, Floats, unit_rows
from zsprompt.adapters import load_adapter, save_adapter
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.discriminant import principal_components
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.data import Dataset, unlabelled
from zsprompt.encoders.windows import Grid
from zsprompt.errors import AdapterError, TrainingError, UsageError
from zsprompt.evaluation.predict import predict, predict_in_parts
from zsprompt.evaluation.run import run
from zsprompt.evaluation.self_training import self_train
from zsprompt.prompts import load_prompts
from zsprompt.prompts.labels import label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.store.image_embeddings import Images, RowsInMemory
from zsprompt.strategies import (
    ListAll,
    PerLabel,
    SelfTrained,
    SelfTraining,
    Softmax,
    Thresholds,
    TopAll,
    digest_of,
    load_strategy,
    needs_all_images,
    reads,
    reference_words,
    spec_of,
    strategy_of,
    supervision,
)
from zsprompt.testing import RandomSpace, check_strategy, random_images

FEW = 4  # what the tests let it learn from
SETS = [("cat",), ("dog",), ("cat", "dog"), ("car",), (), ("person",), ("person", "dog"), ("motorcycle",)] * 3


def by_hand(x: Floats, s: Floats, kind: SelfTrainingSpec) -> Floats:
    """The formula, one image and one label at a time."""
    n, d = x.shape
    m = x.mean(axis=0)
    cov = sum(np.outer(row - m, row - m) for row in x.astype(np.float64)) / n
    sigma = cov + kind.shrinkage * np.trace(cov) / d * np.eye(d)
    inverse = np.linalg.inv(sigma)
    k = min(n, max(5, round(kind.best * n)))
    result = s.astype(np.float64) / s.astype(np.float64).std()
    for turn in range(kind.rounds):
        ranking = s if turn == 0 else result
        result = s.astype(np.float64) / s.astype(np.float64).std()
        for c in range(s.shape[1]):
            best = sorted(range(n), key=lambda i: -ranking[i, c])[:k]
            mu = x[best].astype(np.float64).mean(axis=0)
            g = np.array([(row - m) @ inverse @ (mu - m) - 0.5 * (mu - m) @ inverse @ (mu - m) for row in x])
            result[:, c] += kind.weight * (g - g.mean()) / g.std()
    return result


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**16),
    st.floats(0.02, 0.4),
    st.floats(0, 2),
    st.floats(0.1, 2),
    st.integers(1, 3),
)
def test_scores_are_the_formula(seed: int, best: float, weight: float, shrinkage: float, rounds: int) -> None:
    kind = SelfTrainingSpec(best=best, weight=weight, shrinkage=shrinkage, rounds=rounds, fewest=1)
    random = np.random.default_rng(seed)
    x = unit_rows(random.normal(size=(40, 6)))
    s = random.normal(size=(40, 3)).astype(np.float32)
    learnt = kind.learn_from(Images(x), s, s > 1)
    np.testing.assert_allclose(kind.combined(learnt, Images(x), s), by_hand(x, s, kind), atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.lists(st.integers(0, 30), min_size=3, max_size=3))
def test_as_many_images_have_a_label_as_before(seed: int, counts: list[int]) -> None:
    random = np.random.default_rng(seed)
    images = Images(unit_rows(random.normal(size=(30, 5))))
    s = random.normal(size=(30, 3)).astype(np.float32)
    decisions = np.zeros((30, 3), dtype=bool)
    for c, count in enumerate(counts):
        decisions[np.argsort(-s[:, c])[:count], c] = True
    kind = SelfTrainingSpec(fewest=1)
    learnt = kind.learn_from(images, s, decisions)
    yes = kind.combined(learnt, images, s) > learnt["cuts"]
    assert yes.sum(axis=0).tolist() == counts


def clusters(seed: int = 0, count: int = 1500) -> tuple[Images, RandomSpace, Bools]:
    """Images whose clusters the texts point at only roughly: mostly their own directions tell them apart."""
    texts, random = RandomSpace(), np.random.default_rng(seed)
    named = label_vectors(load_prompts("photo"), LABELS, texts)
    own = unit_rows(random.normal(size=named.shape))
    present = random.random((count, len(LABELS))) < 0.15
    noise = random.normal(size=(count, named.shape[1])) / np.sqrt(named.shape[1])
    return Images(unit_rows(present @ (0.5 * named + own) + 0.3 * noise)), texts, present


def mean_ap(scores: Floats, present: Bools) -> float:
    return float(np.nanmean(metrics.average_precision(scores, present.astype(np.int8))))


@pytest.mark.parametrize("inner", [PerLabel(), Softmax(PerLabel(), reference="labels", scale=5.0)], ids=str)
def test_unlabelled_clusters_teach_what_the_texts_do_not_say(inner: zs.Strategy) -> None:
    images, texts, present = clusters()
    before = mean_ap(inner.predict(images, LABELS, texts).scores, present)
    after = mean_ap(SelfTraining(inner).predict(images, LABELS, texts).scores, present)
    assert before < 0.75
    assert after > before + 0.06


def test_what_clusters_teach_holds_on_other_images() -> None:
    images, texts, _ = clusters()
    others, _, present = clusters(seed=0, count=3000)
    others, present = others.read(range(1500, 3000)), present[1500:]
    inner = PerLabel()
    told = inner.predict(images, LABELS, texts)
    kind = SelfTrainingSpec()
    learnt = kind.learn_from(images, told.scores, told.decisions)
    scores = inner.predict(others, LABELS, texts).scores
    assert mean_ap(kind.combined(learnt, others, scores), present) > mean_ap(scores, present) + 0.06


@pytest.mark.parametrize("inner", ["per-label", "softmax:per-label", "normalised:per-label", "top-all", "yes-or-no"])
def test_the_contract_holds_and_it_is_transductive(inner: str) -> None:
    strategy = load_strategy(f"self-training:{inner},fewest={FEW}")
    check_strategy(strategy, images=random_images(30))
    assert supervision(strategy) == "transductive"
    assert needs_all_images(strategy)
    assert not needs_all_images(load_strategy(inner))
    assert load_strategy(spec_of(strategy)) == strategy


def test_too_few_images_are_refused_before_any_is_embedded(tmp_path: Path) -> None:
    data = dataset(tmp_path)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        for call in (
            lambda: run(SelfTraining(PerLabel()), data, store),
            lambda: predict(tmp_path, LABELS, store, strategy=SelfTraining(PerLabel())),
            lambda: self_train(SelfTrainingSpec(), PerLabel(), data, store),
        ):
            with pytest.raises(UsageError, match=r"at least 1,000 images for self-training, found 24.* fewest") as told:
                call()
            assert "\n" not in str(told.value)
        assert store.counts.images_encoded == 0
    with pytest.raises(UsageError, match="at least 1,000 images"):
        SelfTraining(PerLabel()).predict(random_images(5), LABELS, RandomSpace())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"best": -0.1}, "best of 0 to 1"),
        ({"best": 1.5}, "best of 0 to 1"),
        ({"weight": -1.0}, "weight of at least 0"),
        ({"shrinkage": float("inf")}, "shrinkage of at least 0"),
        ({"rounds": 0}, "rounds of at least 1"),
        ({"fewest": 0}, "fewest of at least 1"),
    ],
)
def test_fields_out_of_range_are_refused(fields: dict[str, float], message: str) -> None:
    for make in (lambda: SelfTraining(PerLabel(), **fields), lambda: SelfTrainingSpec(**fields)):
        with pytest.raises(UsageError, match=message):
            make()


def test_images_and_scores_that_are_all_the_same_teach_nothing_and_break_nothing() -> None:
    same = Images(np.repeat(unit_rows(np.ones((1, 5))), 12, axis=0))
    scores = np.full((12, 3), 0.3, dtype=np.float32)
    kind = SelfTrainingSpec(fewest=1, shrinkage=0.0)
    learnt = kind.learn_from(same, scores, scores > 1)
    assert np.allclose(kind.combined(learnt, same, scores), scores)


# -- class logits ------------------------------------------------------------------------------------------------------


def with_classes(count: int = 40, classes: int = 12) -> Images:
    random = np.random.default_rng(3)
    grid = Grid.of(1, 1)
    rows = [(grid, random.normal(size=(2 + len(grid), classes)).astype(np.float16)) for _ in range(count)]
    return Images(unit_rows(random.normal(size=(count, 24))), classes=RowsInMemory(rows))


def test_class_logits_are_read_where_there_are_any() -> None:
    images = with_classes()
    logits = np.stack([rows[1] for _, rows in images.classes.read(range(40))]).astype(np.float32)
    mean, components = principal_components(logits, 256)
    x = (logits - mean) @ components
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    s = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    kind = SelfTrainingSpec(fewest=1)
    learnt = kind.learn_from(images, s, s > 1)
    np.testing.assert_allclose(kind.combined(learnt, images, s), by_hand(x, s, kind), atol=2e-4)
    vectors = replace(kind, space="vectors").learn_from(images, s, s > 1)
    assert "components" not in vectors
    assert len(vectors["centre"]) == 24
    without = replace(images, classes=None)
    with pytest.raises(UsageError, match="images with class logits"):
        kind.combined(learnt, without, s)
    assert kind.combined(learnt, images.read([]), s[:0]).shape == (0, 3)


def test_components_are_the_directions_of_largest_variance() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 8)) * np.array([9, 1, 5, 1, 1, 1, 1, 3]) + 2
    mean, components = principal_components(rows.astype(np.float32), 3)
    singular = np.linalg.svd(rows - rows.mean(axis=0))[2][:3].T
    np.testing.assert_allclose(np.abs(np.sum(components * singular, axis=0)), 1, atol=1e-4)
    np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-4)


# -- files -------------------------------------------------------------------------------------------------------------


def dataset(folder: Path) -> Dataset:
    folder.mkdir(exist_ok=True)
    files = draw_files(folder, SETS)
    targets = np.array([[label in present for label in LABELS] for present in SETS], dtype=np.int8)
    return Dataset("planted", LABELS, files, targets)


@pytest.mark.parametrize(
    ("spec", "prompts"),
    [
        ("per-label", None),
        ("per-label", "seed-code"),
        ("softmax:per-label,cut=0.2", None),
        ("list-all,max_labels=2", "seed-code"),
        ("yes-or-no", "seed-code"),
        ("normalised:top-all", None),
    ],
)
def test_a_file_gives_what_the_wrapper_gives(spec: str, prompts: str | None, tmp_path: Path) -> None:
    data, inner = dataset(tmp_path / "images"), load_strategy(spec, prompts=prompts)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        course = self_train(SelfTrainingSpec(fewest=FEW), inner, data, store, out=tmp_path / "out")
        images = embed(data.images, store, frozenset(), []).images
        whole = SelfTraining(inner, fewest=FEW).predict(images, LABELS, store)
        loaded = load_strategy(f"adapter:{tmp_path / 'out'}")
        answer = loaded.predict(images, LABELS, store)
        assert isinstance(loaded, SelfTrained)
        assert digest_of(loaded.strategy) == digest_of(inner)
        assert loaded.trained.digest == course.trained.digest
        assert np.array_equal(answer.scores, whole.scores)
        assert np.array_equal(answer.decisions, whole.decisions)
        assert supervision(loaded) == "transductive"
        assert spec_of(loaded) == f"adapter:{tmp_path / 'out' / FILE}"
        assert not needs_all_images(loaded)
        words, told = reference_words(loaded, LABELS), reference_words(inner, LABELS)
        assert words == (told if told and told.in_scores else None)  # its decisions were made in training
        # image by image, and with the labels in another order
        for i in range(4):
            one = loaded.predict(images.read([i]), LABELS[::-1], store)
            np.testing.assert_allclose(one.scores[0, ::-1], answer.scores[i], atol=1e-5)


def test_its_targets_are_not_looked_at(tmp_path: Path) -> None:
    data = dataset(tmp_path / "images")
    kind = SelfTrainingSpec(fewest=FEW)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        folder = unlabelled(tmp_path / "images", LABELS)
        assert (folder.targets == -1).all()
        weights = [self_train(kind, PerLabel(), one, store).trained.weights for one in (data, folder)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_finished_training_is_resumed_and_another_is_refused(tmp_path: Path) -> None:
    data, kind = dataset(tmp_path / "images"), SelfTrainingSpec(fewest=FEW)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        first = self_train(kind, PerLabel(), data, store, out=tmp_path / "out")
        again = self_train(kind, PerLabel(), data, store, out=tmp_path / "out", resume=True)
        assert again.trained.digest == first.trained.digest
        with pytest.raises(TrainingError, match="expected no adapter"):
            self_train(kind, PerLabel(), data, store, out=tmp_path / "out")
        with pytest.raises(TrainingError, match="strategy"):
            self_train(kind, Softmax(PerLabel()), data, store, out=tmp_path / "out", resume=True)


def test_another_encoder_other_labels_and_fields_are_refused(tmp_path: Path) -> None:
    data, kind = dataset(tmp_path / "images"), SelfTrainingSpec(fewest=FEW)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        trained = self_train(kind, PerLabel(), data, store, out=tmp_path / "out").trained
        strategy = strategy_of(trained)
        with pytest.raises(AdapterError, match="expected the 8 labels"):
            strategy.predict(random_images(3), LABELS[:3], store)
    with pytest.raises(AdapterError, match="expected the encoder"):
        strategy.predict(random_images(3), LABELS, RandomSpace())
    with pytest.raises(UsageError, match="has no field threshold"):
        load_strategy(f"adapter:{tmp_path / 'out'},threshold=0.3")
    with pytest.raises(UsageError, match="trained on targets"):
        zs.Adapter(trained)
    with pytest.raises(AdapterError, match="expected the strategy that this adapter was trained with"):
        SelfTrained(TopAll(), trained)


def test_a_file_of_words_that_changed_is_refused(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("sky\nroad\n", encoding="utf-8")
    data, inner = dataset(tmp_path / "images"), Softmax(PerLabel(), reference=str(words))
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        self_train(SelfTrainingSpec(fewest=FEW), inner, data, store, out=tmp_path / "out")
    assert isinstance(load_strategy(f"adapter:{tmp_path / 'out'}"), SelfTrained)
    words.write_text("sky\nriver\n", encoding="utf-8")
    with pytest.raises(AdapterError, match="did a file of words or a prompt set change") as told:
        load_strategy(f"adapter:{tmp_path / 'out'}")
    assert "\n" not in str(told.value)
    words.unlink()
    with pytest.raises(AdapterError, match="cannot load the strategy"):
        load_strategy(f"adapter:{tmp_path / 'out'}")


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (zs.Llm(), "its captions are not part"),
        (zs.Thresholded(PerLabel(), Thresholds(LABELS, (0.1,) * 8, "", False, {}, {})), "does not hold all"),
        (SelfTraining(PerLabel()), "expected wrappers in the order"),
    ],
    ids=["llm", "thresholds", "self-training"],
)
def test_a_strategy_that_a_file_cannot_hold_is_refused(inner: zs.Strategy, message: str, tmp_path: Path) -> None:
    data = dataset(tmp_path / "images")
    with EmbeddingStore(PlantedEncoder(), cache=None) as store, pytest.raises(UsageError, match=message):
        self_train(SelfTrainingSpec(fewest=FEW), inner, data, store, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["centre", "directions", "cuts", "spread", "deviations"])
def test_a_damaged_file_is_refused(name: str, tmp_path: Path) -> None:
    data = dataset(tmp_path / "images")
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        trained = self_train(SelfTrainingSpec(fewest=FEW), PerLabel(), data, store).trained
    weights = dict(trained.weights)
    wrong = [{**weights, name: weights[name][:-1]}, {k: v for k, v in weights.items() if k != name}]
    wrong.append({**weights, name: np.full_like(weights[name], np.nan)})
    wrong.append({**weights, name: weights[name].astype(np.float64)})
    if name in ("spread", "deviations"):
        wrong.append({**weights, name: np.zeros_like(weights[name])})
    for i, one in enumerate(wrong):
        save_adapter(replace(trained, weights=one), tmp_path / str(i))
        with pytest.raises(AdapterError, match="train it again"):
            load_adapter(tmp_path / str(i))


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_line_learns_from_a_folder_and_applies_it(tmp_path: Path) -> None:
    dataset(tmp_path / "images")
    env = {"ZSPROMPT_CACHE": str(tmp_path / "cache")}
    model = ("--model", "fakes:PlantedEncoder")
    train = ("train", "images", "--labels", ", ".join(LABELS), "--out", "lesson", *model)
    done = run_here(*train, "--adapter", "self-training", cwd=tmp_path, env=env)
    assert "at least 1,000 images for self-training, found 24" in one_line(done.stderr)
    done = run_here(*train, "--adapter", f"self-training,fewest={FEW}", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "self-training,fewest=4 of softmax:per-label: 24 images of unlabelled all, 8 labels" in done.stdout
    done = run_here("predict", "images", "--strategy", "adapter:lesson", *model, "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["predictions"]) == len(SETS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--adapter", "self-training"), "either --dataset, or images and --labels"),
        (("images", "--adapter", "self-training"), 'expected --labels "dog, cat"'),
        (("images", "--dataset", "scenes", "--adapter", "self-training"), "found neither or both"),
        (("--dataset", "scenes", "--adapter", "self-training", "--schedule", "epochs=2"), "without targets"),
        (("--dataset", "scenes", "--adapter", "self-training", "--seeds", "2"), "without targets"),
        (("--dataset", "scenes", "--adapter", "self-training", "--strategy", "llm"), "its captions are not part"),
        (("--dataset", "scenes", "--adapter", "mld", "--strategy", "top-all"), "only self-training learns"),
        (("images", "--adapter", "mld"), "expected images with self-training alone"),
        (("--adapter", "mld"), "expected --dataset NAME, found none"),
    ],
)
def test_wrong_uses_are_refused_in_one_line(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    dataset(tmp_path / "images")
    done = run_here("train", *arguments, "--out", "lesson", cwd=tmp_path, env={})
    assert done.returncode != 0
    assert message in one_line(done.stderr)
    assert not (tmp_path / "lesson").exists()


def test_prompts_of_the_inner_strategy_are_kept(tmp_path: Path) -> None:
    data, inner = dataset(tmp_path / "images"), ListAll(prompts=load_prompts("seed-code"), max_labels=2)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        self_train(SelfTrainingSpec(fewest=FEW), inner, data, store, out=tmp_path / "out")
    loaded = load_strategy(f"adapter:{tmp_path / 'out'}")
    assert isinstance(loaded, SelfTrained)
    assert loaded.strategy.prompts.set_wording == load_prompts("seed-code").set_wording
    assert reads(loaded) == frozenset()


def test_prediction_hands_over_all_images_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, strategy = dataset(tmp_path / "images"), SelfTraining(PerLabel(), fewest=FEW)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        whole = run(strategy, data, store, resamples=10).prediction
        monkeypatch.setattr("zsprompt.evaluation.predict.PART", 5)
        parts = list(predict_in_parts(tmp_path / "images", LABELS, store, strategy=strategy))
        assert [len(part.images) for part in parts] == [len(SETS)]
        assert np.array_equal(parts[0].scores, whole.scores)
        others = list(predict_in_parts(tmp_path / "images", LABELS, store, strategy=PerLabel()))
        assert [len(part.images) for part in others] == [5, 5, 5, 5, 4]
