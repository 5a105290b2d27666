"""Every public function and class: names stand for objects, and a wrong argument is one of the package's errors."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import pytest
import typing_extensions
from fakes import PlantedEncoder

import zsprompt as zs
from zsprompt._utils.arguments import matches
from zsprompt.errors import DataError, PlanError, UnknownName, UsageError
from zsprompt.prompts import load_bank
from zsprompt.testing import planted_world, random_images


@dataclass(frozen=True)
class World:
    """Something of each kind."""

    data: zs.Dataset
    store: zs.EmbeddingStore
    result: zs.Result
    thresholds: zs.Thresholds
    course: Any
    ablation: zs.Ablation
    predictions: zs.Predictions
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    data, encoder = planted_world()
    store = zs.EmbeddingStore(encoder, cache=None)
    result = zs.run("per-label", data, store, resamples=2)
    zs.save_result(result, folder / "run")
    resources = _resources(store)
    return World(
        data=data,
        store=store,
        result=result,
        thresholds=zs.choose_thresholds(result, folds=2),
        course=zs.train("knn", data, store, validation=0, out=folder / "adapter"),
        ablation=zs.ablate(zs.grid(strategy="per-label", dataset=data), folder / "table", resources=resources),
        predictions=zs.Predictions(result.images, result.labels, result.prediction.scores, result.prediction.decisions),
        folder=folder,
    )


def _resources(store: zs.EmbeddingStore) -> Any:
    from zsprompt.experiments.spec import Resources

    return Resources(make_store=lambda model: zs.EmbeddingStore(store.encoder, cache=None))


# Each function with arguments that suit it.
CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "ablate": lambda w: {"rows": [zs.RunSpec("per-label", w.data)], "out": w.folder / "other"},
    "build_report": lambda w: {"folders": w.folder / "run"},
    "choose_thresholds": lambda w: {"result": w.result},
    "compare": lambda w: {"first": w.result, "second": w.result},
    "expected_thresholds": lambda w: {"predictions": w.predictions, "recipe": w.result.recipe, "share": 0.1},
    "load_adapter": lambda w: {"path": w.folder / "adapter"},
    "load_bank": lambda w: {"name": "scenes"},
    "load_dataset": lambda w: {"name": "scenes"},
    "load_encoder": lambda w: {"name": "fakes:PlantedEncoder"},
    "load_prompts": lambda w: {"name": "photo"},
    "load_result": lambda w: {"folder": w.folder / "run"},
    "load_strategy": lambda w: {"text": "top-all"},
    "load_thresholds": lambda w: {"path": w.folder / "t.json"},
    "predict": lambda w: {"paths": str(w.folder), "labels": ["cat"], "store": w.store},
    "reproduce": lambda w: {"table": "mmm-clip-4"},
    "run": lambda w: {"strategy": "per-label", "dataset": w.data, "store": w.store},
    "save_ablation": lambda w: {"ablation": w.ablation, "folder": w.folder / "saved"},
    "save_result": lambda w: {"result": w.result, "folder": w.folder / "saved"},
    "save_thresholds": lambda w: {"thresholds": w.thresholds, "path": w.folder / "saved.json"},
    "save_training_curve": lambda w: {"course": w.course, "folder": w.folder / "saved"},
    "suggest_logit_scale": lambda w: {"images": random_images(3), "texts": w.store},
    "show": lambda w: {"predictions": w.predictions, "folder": w.folder / "shown"},
    "unlabelled": lambda w: {"paths": str(w.folder), "labels": ["cat"]},
    "train": lambda w: {"kind": "knn", "dataset": w.data, "store": w.store},
    "with_thresholds": lambda w: {"strategy": "per-label", "thresholds": w.thresholds, "store": w.store},
}

# Each class that a user makes, with arguments that suit it.
MADE: dict[str, Callable[[World], dict[str, Any]]] = {
    "Adapter": lambda w: {"trained": w.course.trained},
    "Captions": lambda w: {"bank": load_bank("scenes")},
    "Compound": lambda w: {},
    "Dataset": lambda w: {key: getattr(w.data, key) for key in ("name", "labels", "images", "targets")},
    "EmbeddingStore": lambda w: {"encoder": w.store.encoder},
    "ImageFile": lambda w: {"id": "a", "path": Path("a.png")},
    "ListAll": lambda w: {},
    "Llm": lambda w: {},
    "Matched": lambda w: {"strategy": zs.PerLabel()},
    "Normalised": lambda w: {"strategy": zs.PerLabel()},
    "PerLabel": lambda w: {},
    "ReferenceWords": lambda w: {},
    "Regions": lambda w: {"strategy": zs.PerLabel()},
    "Row": lambda w: {},
    "Rule": lambda w: {},
    "RunSpec": lambda w: {},
    "Schedule": lambda w: {},
    "SelfTraining": lambda w: {"strategy": zs.PerLabel()},
    "Softmax": lambda w: {"strategy": zs.PerLabel()},
    "Thresholded": lambda w: {"strategy": zs.PerLabel(), "thresholds": w.thresholds},
    "TopAll": lambda w: {},
    "YesOrNo": lambda w: {},
}

OTHERS = {
    "grid": "takes the fields of RunSpec",
    **dict.fromkeys(("Encoder", "ImageRef", "Strategy"), "a protocol"),
    **dict.fromkeys(("Ablation", "Comparison", "Images", "Predictions", "Result"), "made by the package"),
    **dict.fromkeys(("PromptSet", "Thresholds"), "read with a load_ function"),
    "Prediction": "the return value of a strategy, which `run` checks",
    "MLDecoder": "a torch module",
    "ZspromptError": "an error",
    "__version__": "a text",
}
"""Public names that are not called with arguments of a user."""

WRONG: dict[str, Any] = {
    "int": 3,
    "none": None,
    "text": "zs-misspelt",
    "object": object(),
    "class": zs.TopAll,
    "list": [object()],
    "mapping": {3: 4},
    "number": 2.5,
}
"""A value of each kind. Where it suits an argument it is left out."""

PARTLY = {"Dataset": {"labels", "images", "targets", "name"}}
"""Fields that are checked, where not all are, and without what is in their lists: `check_dataset` checks a loader."""

NONE_IS_NOTHING = {("RunSpec", "without"), ("Row", "without")}
"""Fields for which None is a value, though their hint has another for it."""


def test_every_public_name_is_in_one_of_the_tables() -> None:
    assert set(CALLS) | set(MADE) | set(OTHERS) == set(zs.__all__)
    assert len(CALLS) + len(MADE) + len(OTHERS) == len(zs.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_a_wrong_kind_is_one_of_our_errors(name: str, world: World) -> None:
    function, good = getattr(zs, name), CALLS[name](world)
    hints = get_type_hints(function)
    tried = 0
    for parameter in inspect.signature(function).parameters:
        for value in WRONG.values():
            if matches(value, hints[parameter]):
                continue
            with pytest.raises(
                UsageError, match=rf"expected {parameter}(\[0\])? to be |unknown {parameter} "
            ) as caught:
                function(**(good | {parameter: value}))
            assert "\n" not in str(caught.value)
            tried += 1
    assert tried > 4


@pytest.mark.parametrize("name", MADE)
def test_a_field_of_a_wrong_kind_is_one_of_our_errors(name: str, world: World) -> None:
    kind, good = getattr(zs, name), MADE[name](world)
    kind(**good)
    names = (
        [part.name for part in fields(kind) if part.init]
        if is_dataclass(kind)
        else [*inspect.signature(kind).parameters]
    )
    hints = get_type_hints(kind if is_dataclass(kind) else kind.__init__)
    for field in names:
        wrong = [value for value in WRONG.values() if not matches(value, hints[field])]
        if name in PARTLY:
            wrong = [value for value in wrong if field in PARTLY[name] and not isinstance(value, list)]
        for value in wrong if (name, field) not in NONE_IS_NOTHING else wrong[:1]:
            with pytest.raises(UsageError) as caught:
                kind(**(good | {field: value}))
            assert "\n" not in str(caught.value)


MISSPELT: dict[str, Callable[[World], object]] = {
    "strategy of run": lambda w: zs.run("top-al", w.data, w.store),
    "field of a strategy": lambda w: zs.run("top-all,scal=3", w.data, w.store),
    "data set of run": lambda w: zs.run("top-all", "scens"),
    "field of a data set": lambda w: zs.run("top-all", "scenes,spilt=val"),
    "split of run": lambda w: zs.run("top-all", "scenes,split=tset"),
    "model of run": lambda w: zs.run("top-all", w.data, "tny"),
    "prompts of run": lambda w: zs.run("top-all", w.data, w.store, prompts="bar"),
    "difficult of run": lambda w: zs.run("top-all", w.data, w.store, difficult="ignored"),
    "strategy of predict": lambda w: zs.predict(w.folder, ["cat"], w.store, strategy="top-al"),
    "model of predict": lambda w: zs.predict(w.folder, ["cat"], "conze"),
    "prompts of predict": lambda w: zs.predict(w.folder, ["cat"], w.store, prompts="foto"),
    "kind of train": lambda w: zs.train("mdl", w.data, w.store),
    "data set of train": lambda w: zs.train("knn", "scens"),
    "model of train": lambda w: zs.train("knn", w.data, "tny"),
    "prompts of train": lambda w: zs.train("knn", w.data, w.store, prompts="foto"),
    "validation of train": lambda w: zs.train("knn", w.data, w.store, validation="scens"),
    "strategy of with_thresholds": lambda w: zs.with_thresholds("per-lable", w.thresholds, w.store),
    "model of with_thresholds": lambda w: zs.with_thresholds("per-label", w.thresholds, "tny"),
    "data set of with_thresholds": lambda w: zs.with_thresholds("per-label", w.thresholds, w.store, "scens"),
    "field of a grid": lambda w: zs.grid(strategi="top-all", dataset="scenes"),
    "choice of a grid": lambda w: zs.grid(difficult="ignored"),
    "model of a store": lambda w: zs.EmbeddingStore("tny"),
    "load_strategy": lambda w: zs.load_strategy("top-al"),
    "load_dataset": lambda w: zs.load_dataset("scens"),
    "load_encoder": lambda w: zs.load_encoder("tny"),
    "load_prompts": lambda w: zs.load_prompts("bar"),
    "load_bank": lambda w: zs.load_bank("scens"),
    "table of reproduce": lambda w: zs.reproduce("mmm-clip-11"),
    "ground of reproduce": lambda w: zs.reproduce("mmm-clip-4", on="scense"),
    "calibration": lambda w: zs.choose_thresholds(w.result, calibrate="plat"),  # type: ignore[arg-type]
    "rule": lambda w: zs.Rule("per-lable"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_name_is_answered_with_the_right_one(name: str, world: World) -> None:
    with pytest.raises(UnknownName, match="Did you mean '"):
        MISSPELT[name](world)


def test_rows_as_mappings_are_checked_like_runs(world: World) -> None:
    with pytest.raises(PlanError, match=r"row 2: unknown field of a run 'strategi'\. Did you mean 'strategy'"):
        zs.ablate([{"strategy": "top-all"}, {"strategi": "top-all"}], world.folder / "rows")
    with pytest.raises(PlanError, match="row 1: expected limit to be a whole number or None, found 'x'"):
        zs.ablate([{"limit": "x"}], world.folder / "rows")
    assert not (world.folder / "rows").exists()


def test_a_wrong_number_or_name_of_arguments_is_pythons_own_error(world: World) -> None:
    with pytest.raises(TypeError, match=r"run\(\) missing 1 required positional argument: 'dataset'"):
        zs.run("top-all")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"run\(\) got an unexpected keyword argument 'prompt'"):
        zs.run("top-all", "scenes", prompt="bare")  # type: ignore[call-arg]


# -- names stand for objects -------------------------------------------------------------------------------------

SCENES = "scenes,limit=12"

ROUNDING = 1e-4
"""Texts that share a batch with others are rounded otherwise."""


@pytest.fixture(scope="module")
def tiny() -> zs.EmbeddingStore:
    return zs.EmbeddingStore(zs.load_encoder("tiny", device="cpu"), cache=None)


def scenes() -> zs.Dataset:
    return zs.load_dataset("scenes").first(12)


@pytest.mark.parametrize("model", [None, "tiny"])
@pytest.mark.parametrize("prompts", [None, "seed-code"])
def test_run_takes_names(prompts: str | None, model: str | None, tiny: zs.EmbeddingStore) -> None:
    named = zs.run("top-all,scale=20", SCENES, model, prompts=prompts)
    strategy = zs.TopAll(zs.load_prompts(prompts or "bare"), scale=20)
    made = zs.run(strategy, scenes(), tiny)
    np.testing.assert_allclose(named.prediction.scores, made.prediction.scores, rtol=ROUNDING)
    assert named.recipe["strategy_digest"] == made.recipe["strategy_digest"]
    assert named.recipe["fingerprint"] == made.recipe["fingerprint"]
    assert named.recipe["run"]["limit"] == 12
    by_encoder = zs.run(strategy, SCENES, tiny.encoder)
    np.testing.assert_allclose(named.prediction.scores, by_encoder.prediction.scores, rtol=ROUNDING)


def test_predict_takes_names(tmp_path: Path, tiny: zs.EmbeddingStore) -> None:
    data = scenes()
    for number, image in enumerate(data.images):
        (tmp_path / f"{number:02}.png").write_bytes(image.read())
    named = zs.predict(tmp_path, "dog, car", "tiny", strategy="yes-or-no", prompts="seed-code")
    made = zs.predict([tmp_path], ["dog", "car"], tiny, strategy=zs.YesOrNo(zs.load_prompts("seed-code")))
    np.testing.assert_allclose(named.scores, made.scores, rtol=ROUNDING)
    assert named.labels == made.labels == ("dog", "car")


def test_images_are_looked_for_before_a_model_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "damaged.pt").write_text("no weights")
    with pytest.raises(DataError, match="expected an image or a folder of images at"):
        zs.predict(tmp_path / "nowhere", "dog", str(tmp_path / "damaged.pt"))


def test_an_adapter_by_name_predicts_its_own_labels(tmp_path: Path, tiny: zs.EmbeddingStore) -> None:
    course = zs.train("knn", "scenes,split=train:60", tiny, validation=0, out=tmp_path / "adapter")
    data = scenes()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(data.images[0].read())
    answer = zs.predict(tmp_path / "images", strategy=f"adapter:{tmp_path / 'adapter'}")
    assert answer.labels == course.trained.labels
    np.testing.assert_array_equal(
        answer.scores, zs.predict(tmp_path / "images", answer.labels, tiny, strategy=zs.Adapter(course.trained)).scores
    )


def test_train_takes_names_and_the_training_split(tiny: zs.EmbeddingStore) -> None:
    one = zs.train("knn", "scenes,limit=80", validation="scenes,split=test,limit=20", prompts="bare")
    data = zs.load_dataset("scenes", split="train").first(80)
    two = zs.train(
        "knn",
        data,
        tiny,
        validation=zs.load_dataset("scenes", split="test").first(20),
        prompts=zs.load_prompts("bare"),
    )
    assert one.trained.facts["data"]["split"] == "train[:80]"
    assert one.trained.digest == two.trained.digest


def test_a_loaded_model_trains_on_any_device(world: World) -> None:
    for store in (world.store, world.store.encoder, None):
        data = "scenes,split=train,limit=80" if store is None else world.data
        assert zs.train("knn", data, store, validation=0, device="cpu").trained.labels


def test_an_alias_of_a_type_is_the_type() -> None:
    alias = typing_extensions.TypeAliasType("alias", np.ndarray)
    assert matches(np.zeros(2), alias)
    assert not matches([0.0], alias)


def test_thresholds_take_names(tmp_path: Path, tiny: zs.EmbeddingStore) -> None:
    found = zs.choose_thresholds(zs.run("per-label", "scenes,split=train:40", tiny), folds=2)
    zs.save_thresholds(found, str(tmp_path / "t.json"))
    made = zs.with_thresholds(zs.PerLabel(), found, tiny, scenes())
    for thresholds in (found, tmp_path / "t.json", str(tmp_path / "t.json")):
        assert zs.with_thresholds("per-label", thresholds, "tiny", SCENES) == made


def test_rows_are_runs_or_mappings_with_names_or_objects(tmp_path: Path) -> None:
    rows = [
        {"strategy": "top-all", "dataset": SCENES, "prompts": "bare"},
        zs.RunSpec(zs.TopAll(), SCENES),
        {"strategy": "top-all", "dataset": scenes(), "model": "tiny", "prompts": zs.load_prompts("bare")},
    ]
    records = zs.ablate(rows, tmp_path / "out").records()
    assert [record["error"] for record in records] == [None] * 3
    assert len({record["mAP"] for record in records}) == 1
    assert {record["prompts"].split()[0] for record in records} == {"bare"}
    (row,) = zs.grid(strategy="top-all", dataset="scenes", prompts=zs.load_prompts("bare"))
    assert row.to_dict()["prompts"] == "bare"


def test_a_data_set_with_fields_is_the_same_run_as_the_fields() -> None:
    assert zs.RunSpec("top-all", "voc,root=here,sample=5,seed=2,skip_bad=yes") == zs.RunSpec(
        "top-all", "voc", root="here", sample=5, seed=2, skip_bad=True
    )
    with pytest.raises(UsageError, match="expected limit once, found it in 'scenes,limit=3' and alone"):
        zs.RunSpec("top-all", "scenes,limit=3", limit=4)


def test_a_given_store_stays_open_and_an_opened_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[zs.EmbeddingStore] = []
    close = zs.EmbeddingStore.close
    monkeypatch.setattr(zs.EmbeddingStore, "close", lambda self: (closed.append(self), close(self))[1])
    data, encoder = planted_world()
    store = zs.EmbeddingStore(encoder, cache=None)
    zs.run("per-label", data, store)
    assert closed == []
    zs.run("per-label", data, encoder)
    zs.run("per-label", data, "fakes:PlantedEncoder")
    with pytest.raises(zs.ZspromptError):
        zs.run("normalised:top-all,threshold=2.6", data.with_labels(data.labels[:4]), PlantedEncoder())
    assert len(closed) == 2
    assert store not in closed


def test_a_strategy_that_returns_something_else_is_named() -> None:
    data, encoder = planted_world()

    @dataclass(frozen=True)
    class Odd:
        def predict(self, images: object, labels: object, texts: object) -> Any:
            return np.zeros((1, 1))

    with pytest.raises(UsageError, match=r"expected what Odd.predict returns to be a prediction, found an array"):
        zs.run(Odd(), data, encoder)


def test_any_iterable_of_paths_and_labels_will_predict(tmp_path: Path, tiny: zs.EmbeddingStore) -> None:
    for number, image in enumerate(scenes().images):
        (tmp_path / f"{number:02}.png").write_bytes(image.read())
    expected = zs.predict(sorted(tmp_path.glob("*.png")), ["dog", "car"], tiny).scores
    for labels in ({"dog": 1, "car": 2}.keys(), np.array(["dog", "car"]), pd.Series(["dog", "car"])):
        paths = (path for path in sorted(tmp_path.glob("*.png")))
        np.testing.assert_array_equal(zs.predict(paths, labels, tiny).scores, expected)
