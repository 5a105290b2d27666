"""The adapter as a strategy: the contract of strategies, its refusals, and its facts in results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapter_world import Rows
from fakes import LABELS, PlantedEncoder, SpatialPlanted, draw, draw_files
from hypothesis import given
from hypothesis import strategies as st
from messages import heard_by

from zsprompt._utils.arrays import Floats, unit_rows
from zsprompt._utils.id_digests import count_shared, packed
from zsprompt.adapters import (
    Examples,
    Kind,
    Schedule,
    Sizes,
    Trained,
    fit,
    save_adapter,
)
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.kinds.dm_decoder import DmDecoderSpec
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.forest import ForestSpec
from zsprompt.adapters.kinds.fusion import FusionSpec
from zsprompt.adapters.kinds.knn import KnnSpec
from zsprompt.adapters.kinds.linear_probe import LinearProbeSpec
from zsprompt.adapters.kinds.ml_decoder import MlDecoderSpec
from zsprompt.adapters.kinds.mld import MldSpec
from zsprompt.adapters.training import train
from zsprompt.data import Dataset
from zsprompt.errors import AdapterError, DataError, LabelError, ThresholdError, UnknownName, UsageError, ZspromptError
from zsprompt.evaluation.predict import predict
from zsprompt.evaluation.provenance import describe, learnt_from
from zsprompt.evaluation.run import run
from zsprompt.evaluation.thresholds import choose_thresholds, with_thresholds
from zsprompt.prompts import load_prompts
from zsprompt.prompts.labels import label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import (
    Adapter,
    Normalised,
    PerLabel,
    Thresholded,
    TopAll,
    available_strategies,
    load_strategy,
    on_device,
    reads,
    supervision,
)
from zsprompt.testing import RandomSpace, check_strategy, random_images

pytestmark = pytest.mark.usefixtures("one_thread")

DIM = 24  # RandomSpace's
KINDS: dict[str, Kind] = {
    "fc": FcSpec(),
    "linear-probe": LinearProbeSpec(),
    "mld": MldSpec(heads=2, feed_forward=16),
    "mld,spatial": MldSpec(heads=2, feed_forward=16, tokens="spatial"),
    "ml-decoder": MlDecoderSpec(heads=2, feed_forward=16),
    "ml-decoder,groups": MlDecoderSpec(heads=2, feed_forward=16, groups=3),
    "dm-decoder": DmDecoderSpec(blocks=2, heads=2, feed_forward=16),
    "fusion": FusionSpec(hidden=16),
    "fusion,image": FusionSpec(hidden=16, inputs="image"),
    "knn": KnnSpec(k=5),
    "knn,both": KnnSpec(k=5, inputs="both"),
    "forest": ForestSpec(trees=10, depth=5),
}


def images(count: int, seed: int = 0) -> Images:
    """Random images with everything that an adapter can read."""
    random = np.random.default_rng(seed + 100)
    tokens = Rows(unit_rows(random.normal(size=(count, 3, DIM))).astype(np.float16))
    return Images(random_images(count, seed).vectors, tokens, unit_rows(random.normal(size=(count, 2, DIM))))


def one_of(images: Images, row: int) -> Images:
    assert isinstance(images.tokens, Rows)
    assert images.captions is not None
    rows = slice(row, row + 1)
    return Images(images.vectors[rows], Rows(images.tokens.array[rows]), images.captions[rows])


def texts_of(labels: Any = LABELS) -> Floats:
    return label_vectors(load_prompts("photo"), labels, RandomSpace())


@pytest.fixture(scope="module", params=KINDS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """An adapter of a kind, trained briefly on random images."""
    return made(KINDS[request.param])


def made(kind: Kind, labels: tuple[str, ...] = LABELS, **changes: Any) -> Adapter:
    seen = images(40, seed=9)
    targets = (np.random.default_rng(1).random((40, len(labels))) < 0.4).astype(np.int8)
    sizes = Sizes(DIM, DIM, len(labels), 2 if "captions" in kind.reads else 0)
    schedule = replace(kind.schedule, epochs=2, lr=0.01, batch_size=16)
    examples = Examples(seen, targets)
    weights = fit(kind, sizes, examples, texts_of(labels), schedule).weights
    captions = ("given", "written") if "captions" in kind.reads else ()
    facts = {"kind": kind, "sizes": sizes, "labels": labels, "weights": weights, "captions": captions} | changes
    return Adapter(
        Trained(**({"prompts": load_prompts("photo"), "model": "random", "fingerprint": "random/1"} | facts)),
        device="cpu",
    )


# -- the contract of all strategies ------------------------------------------------------------------------------------


def test_the_contract_of_strategies(adapter: Adapter) -> None:
    check_strategy(adapter, images=images(9))
    answer = adapter.predict(images(7), LABELS, RandomSpace())
    assert (answer.overflowed, answer.worded, answer.probabilities) == (0, {}, None)
    assert answer.scores.std(axis=1).min() > 1e-4  # distinguishes permuted columns


@pytest.mark.parametrize(
    "labels",
    [(), "dog", ("a\udcff",), ("dog", " "), ("dog", "cat", "dog"), ("dog", "Dog"), ("a\nb",), ("a|b",)],
    ids=repr,
)
def test_bad_labels_are_refused(adapter: Adapter, labels: tuple[str, ...]) -> None:
    with pytest.raises(LabelError):
        adapter.predict(images(2), labels, RandomSpace())


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_kinds_for_any_labels_take_any_number_of_labels(adapter: Adapter, count: int) -> None:
    if adapter.trained.kind.bound:
        with pytest.raises(AdapterError, match="found no "):
            adapter.predict(images(3), LABELS[:count], RandomSpace())
        adapter = made(replace(adapter.trained.kind), LABELS[:count]) if count >= 3 else made(FcSpec(), LABELS[:count])  # type: ignore[type-var]
    answer = adapter.predict(images(3), LABELS[:count], RandomSpace())
    assert answer.scores.shape == (3, count)
    assert np.isfinite(answer.scores).all()


@pytest.mark.parametrize("name", ["mld", "ml-decoder", "dm-decoder"])
def test_unseen_labels_get_scores(name: str) -> None:
    unseen = ("zebra", "teapot", *LABELS[:2])
    answer = made(KINDS[name]).predict(images(5), unseen, RandomSpace())
    assert answer.scores.shape == (5, 4)
    assert not np.allclose(answer.scores[:, 0], answer.scores[:, 1])


def test_a_label_too_long_for_the_context_is_refused() -> None:
    with pytest.raises(LabelError, match="shorten"):
        made(KINDS["mld"]).predict(images(2), ("dog", "x" * 300), RandomSpace(fits_up_to=200))


def test_is_frozen_hashable_and_its_repr_shows_its_fields(adapter: Adapter) -> None:
    assert hash(adapter) == hash(adapter)
    assert f"digest='{adapter.trained.digest}'" in repr(adapter)
    assert f"digest='{load_prompts('photo').digest}'" in repr(adapter)
    assert repr(adapter.trained.kind) in repr(adapter)
    assert "array" not in repr(adapter)
    assert len(repr(adapter)) < 350
    with pytest.raises(AttributeError):
        adapter.threshold = 0.4  # type: ignore[misc]


@pytest.mark.parametrize("threshold", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_label_is_present_above_its_probability(threshold: float) -> None:
    answer = replace(made(KINDS["fc"]), threshold=threshold).predict(images(50), LABELS, RandomSpace())
    assert np.array_equal(answer.decisions, 1 / (1 + np.exp(-answer.scores.astype(float))) > threshold)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.5, 2.0, float("nan"), float("inf")])
def test_thresholds_outside_0_to_1_are_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold between 0 and 1, a probability"):
        replace(made(KINDS["fc"]), threshold=threshold).predict(images(2), LABELS, RandomSpace())


def test_what_an_adapter_declares() -> None:
    assert supervision(made(KINDS["fc"])) == supervision(Normalised(made(KINDS["fc"]))) == "trained"
    assert reads(made(KINDS["fc"])) == frozenset()
    assert reads(made(KINDS["ml-decoder"])) == reads(Normalised(made(KINDS["ml-decoder"]))) == {"tokens"}
    assert reads(made(KINDS["fusion"])) == {"captions"}
    assert reads(TopAll()) == frozenset()
    assert "adapter:FILE" in available_strategies()


# -- another encoder, other captions -----------------------------------------------------------------------------------


class OtherSpace(RandomSpace):
    """A space of the same width and another encoder."""

    fingerprint = "random/2"


def test_another_encoder_of_the_same_width_is_refused(adapter: Adapter) -> None:
    with pytest.raises(AdapterError, match=r"random \(random/1\), found random/2; use --model random") as caught:
        adapter.predict(images(2), LABELS, OtherSpace())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fusion", "knn,both"])
def test_another_number_of_captions_is_refused(name: str) -> None:
    strategy, given = made(KINDS[name]), images(3)
    assert given.captions is not None
    for captions, result in ((None, 0), (given.captions[:, :1], 1), (np.repeat(given.captions, 2, axis=1), 4)):
        with pytest.raises(AdapterError, match=rf"2 captions per image \(given, written\), .* found {result}; use"):
            strategy.predict(replace(given, captions=captions), LABELS, RandomSpace())


def test_images_without_tokens_are_refused() -> None:
    with pytest.raises(ZspromptError, match="tokens=pooled"):
        made(KINDS["ml-decoder"]).predict(random_images(3), LABELS, RandomSpace())


def test_an_unknown_device_is_one_line() -> None:
    with pytest.raises(UnknownName, match="unknown device 'tpu'"):
        replace(made(KINDS["fc"]), device="tpu").predict(images(2), LABELS, RandomSpace())


# -- specifications ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run, with what a strategy reads."""
    result = tmp_path_factory.mktemp("trained")
    save_adapter(made(KINDS["mld"]).trained, result / FILE)
    return result


@pytest.mark.parametrize("name", ["", FILE])
def test_a_specification_names_the_file_or_its_folder(name: str, folder: Path) -> None:
    plain = load_strategy(f"adapter:{folder / name}")
    assert isinstance(plain, Adapter)
    assert (plain.threshold, plain.device) == (0.5, "auto")
    assert plain.trained.digest == made(KINDS["mld"]).trained.digest
    changed = load_strategy(f"adapter:{folder / name},threshold=0.3,device=cpu")
    assert (changed.threshold, changed.device) == (0.3, "cpu")  # type: ignore[attr-defined]
    wrapped = load_strategy(f"normalised:adapter:{folder / name},device=cpu,threshold=1.5")
    assert isinstance(wrapped, Normalised)
    assert wrapped.threshold == 1.5
    assert wrapped.strategy.device == "cpu"  # type: ignore[attr-defined]
    assert wrapped.predict(images(4), LABELS, RandomSpace()).scores.shape == (4, len(LABELS))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adapter:", "expected an adapter"),
        ("adapter:nowhere", "expected an adapter at nowhere, found nothing"),
        ("adapter:{}/nowhere", "found nothing"),
        (f"adapter:{'x' * 5000},threshold=0.5", "File name too long"),
        ("adapter:{},weights=3", "unknown field of Adapter 'weights'. Known: device, threshold"),
        ("adapter:{},trained=3", "unknown field of Adapter"),
        ("adapter:{},threshold=high", "threshold to be a number"),
        ("adapter:{},threshold", "field=value"),
        ("adapter:{},threshold=0.1,threshold=0.2", "twice"),
        ("normalised:normalised:adapter:{}", "once"),
        ("adapters:{}", "unknown strategy"),
    ],
)
def test_invalid_specifications_are_refused_in_one_line(text: str, message: str, folder: Path) -> None:
    with pytest.raises(ZspromptError, match=message) as caught:
        load_strategy(text.format(folder))
    assert "\n" not in str(caught.value)


def test_prompts_for_an_adapter_are_refused_because_it_has_its_own(folder: Path) -> None:
    with pytest.raises(UsageError, match="does not use prompts"):
        load_strategy(f"adapter:{folder}", prompts="bare")


# -- on images -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    random = np.random.default_rng(3)
    present = random.random((90, len(LABELS))) < 0.3
    sets = [tuple(label for label, there in zip(LABELS, row, strict=True) if there) for row in present]
    return Dataset("drawn", LABELS, draw_files(tmp_path_factory.mktemp("drawn"), sets), present.astype(np.int8))


@pytest.mark.parametrize("kind", ["mld,heads=2,feed_forward=32,tokens=spatial", "ml-decoder,feed_forward=32"])
def test_a_trained_decoder_is_right_in_the_planted_world(kind: str, drawn: Dataset) -> None:
    schedule = Schedule(epochs=10, batch_size=16, lr=1e-3, weight_decay=0, loss="bce")
    with EmbeddingStore(SpatialPlanted(), cache=None) as store:
        learning = drawn.select(list(range(60)))
        course = train(kind, learning, store, schedule=schedule, validation=0, device="cpu")
        strategy = Adapter(course.trained, device="cpu")
        result = run(strategy, drawn.select(list(range(60, 90))), store)
    assert result.mAP > 0.9
    assert result.f1.micro > 0.75


def test_recipes_are_json_and_identify_the_weights(drawn: Dataset) -> None:
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        course = train("knn,k=3", drawn, store)
        for strategy in (Adapter(course.trained), Normalised(Adapter(course.trained))):
            recipe = describe(strategy, store, LABELS)
            assert json.loads(json.dumps(recipe)) == recipe
            assert recipe["adapter"]["digest"] == course.trained.digest
            assert recipe["adapter"]["labels"] == len(LABELS)
            assert "ids" not in recipe["adapter"]["data"]
            assert recipe["prompts"] == [f"photo {load_prompts('photo').digest}"]


@given(st.sets(st.text(min_size=1), max_size=30), st.sets(st.text(min_size=1), max_size=30))
def test_images_are_recognised_by_their_ids(learnt: set[str], asked: set[str]) -> None:
    assert count_shared(sorted(asked), packed(sorted(learnt))) == len(asked & learnt)


def test_captions_of_another_origin_cause_a_warning(drawn: Dataset) -> None:
    words = tuple("a dog" for _ in drawn.images)
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        given_ones = replace(drawn, captions=words)
        trained = train("knn,k=3,inputs=both", given_ones, store).trained
        for data, warned in ((given_ones, 0), (replace(drawn, written=words), 1)):
            result = run(Adapter(trained, device="cpu"), data, store)
            assert sum("captions that were given, these are written" in text for text in result.warnings) == warned


@pytest.mark.parametrize("ids", ["$", "é", 5, "abc"])
def test_damaged_ids_cause_a_warning(ids: object) -> None:
    strategy = made(KINDS["fc"], facts={"data": {"dataset": "drawn", "ids": ids}})
    (warning,) = learnt_from(Normalised(strategy), "drawn", ["0000.png"])
    assert "file is damaged" in warning
    assert not list(learnt_from(strategy, "another", ["0000.png"]))
    assert not list(learnt_from(made(KINDS["fc"]), "drawn", ["0000.png"]))


def test_thresholds_belong_to_one_adapter(drawn: Dataset) -> None:
    with EmbeddingStore(PlantedEncoder(), cache=None) as store:
        first = Adapter(train("knn,k=3", drawn.select(list(range(40))), store).trained, device="cpu")
        other = Adapter(train("knn,k=3", drawn.select(list(range(39))), store).trained, device="cpu")
        cuts = choose_thresholds(run(first, drawn.select(list(range(40, 70))), store))
        decided = with_thresholds(first, cuts, store, drawn.select(list(range(70, 90))))
        assert isinstance(decided, Thresholded)
        assert supervision(decided) == "trained"
        result = run(decided, drawn.select(list(range(40))), store)
        assert any("the adapter was trained on 40 of these 40" in warning for warning in result.warnings)
        with pytest.raises(ThresholdError, match="expected thresholds for strategy"):
            with_thresholds(other, cuts, store)
        elsewhere = replace(first, device="auto")  # the device is not part of its identity
        assert isinstance(with_thresholds(elsewhere, cuts, store, drawn.select(list(range(70, 90)))), Thresholded)


def test_images_of_your_own_get_scores(drawn: Dataset, tmp_path: Path) -> None:
    draw(("dog", "car")).save(tmp_path / "one.png")
    (tmp_path / "two.png").write_bytes(b"no image")
    with EmbeddingStore(SpatialPlanted(), cache=None) as store:
        schedule = Schedule(epochs=6, batch_size=16, lr=1e-3, weight_decay=0, loss="bce")
        course = train("ml-decoder,feed_forward=32", drawn, store, schedule=schedule, device="cpu")
        heard: list[str] = []
        with heard_by(heard.append):
            result = predict(tmp_path, LABELS, store, strategy=Adapter(course.trained, device="cpu"))
        assert [line.partition(":")[0] for line in heard] == ["tokens of 2 images"]
        assert [label for label, _ in result.present(0)] in (["dog", "car"], ["car", "dog"])
        assert [Path(name).name for name, _ in result.bad] == ["two.png"]
        captioned = replace(drawn, captions=tuple("dog" for _ in drawn.images))
        fusion = train("fusion,hidden=8", captioned, store, schedule=schedule, device="cpu")
        with pytest.raises(DataError, match="expected a caption per image"):
            predict(tmp_path, LABELS, store, strategy=Adapter(fusion.trained, device="cpu"))


@pytest.mark.parametrize("wrapped", [False, True])
def test_another_encoder_or_label_set_is_refused_before_any_image_is_embedded(
    wrapped: bool, drawn: Dataset, tmp_path: Path
) -> None:
    draw(("dog",)).save(tmp_path / "one.png")
    adapter = made(KINDS["fc"])
    ours = replace(adapter, trained=replace(adapter.trained, fingerprint=PlantedEncoder().fingerprint))
    for strategy, labels in ((adapter, LABELS), (ours, LABELS[:3])):
        chosen = Normalised(strategy) if wrapped else strategy
        with EmbeddingStore(PlantedEncoder(), cache=None) as store:
            with pytest.raises(AdapterError, match="expected the"):
                run(chosen, drawn.with_labels(labels), store)
            with pytest.raises(AdapterError, match="expected the"):
                predict(tmp_path, labels, store, strategy=chosen)
            assert (store.counts.images_encoded, store.counts.images_cached) == (0, 0)


@pytest.mark.parametrize("name", ["a,b", "a,b=1", "threshold=0.2,x"])
def test_a_path_can_contain_commas(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    save_adapter(made(KINDS["fc"]).trained, path)
    plain = load_strategy(f"adapter:{path}")
    assert plain == replace(plain, threshold=0.5)
    chosen = load_strategy(f"adapter:{path},threshold=0.25,device=cpu")
    assert (chosen.threshold, chosen.device) == (0.25, "cpu")


def test_a_command_sets_the_device_unless_the_adapter_has_one() -> None:
    adapter = made(KINDS["fc"])
    assert on_device(Normalised(adapter), "cpu").strategy.device == "cpu"
    assert on_device(replace(adapter, device="cuda"), "cpu").device == "cuda"
    assert on_device(PerLabel(), "cpu") == PerLabel()
    with pytest.raises(UnknownName, match="unknown device 'tpu'"):
        replace(adapter, device="tpu")
