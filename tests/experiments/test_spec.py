"""RunSpec: one description of a run for plans, Python and provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import LABELS, PlantedEncoder, draw_files

import zsprompt as zs
from zsprompt.data import Dataset
from zsprompt.errors import LabelError, PlanError, ThresholdError, UnknownName, UsageError
from zsprompt.evaluation.run import run as evaluate
from zsprompt.evaluation.thresholds import choose_thresholds
from zsprompt.experiments.ablation import Row, grid, read_plan
from zsprompt.experiments.spec import Prepared, Resources, RunSpec
from zsprompt.llm import Captions
from zsprompt.prompts import load_bank
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import ListAll, Llm, PerLabel, Thresholded, TopAll, save_thresholds

FIELDS = [part.name for part in fields(RunSpec)]
CHANGED: dict[str, object] = {
    "strategy": "top-all,scale=20",
    "dataset": "scenes",
    "prompts": "bare",
    "model": "tiny",
    "root": "here",
    "split": "val",
    "names": "raw",
    "labels": "dog, cat",
    "without": ("dog",),
    "captions": "scenes",
    "image_captions": "captions.csv",
    "llm": "qwen:qwen-plus",
    "thresholds": "t.json",
    "difficult": "negative",
    "limit": 3,
    "sample": 4,
    "seed": 5,
    "device": "cpu",
    "precision": "int8",
    "skip_bad": True,
}
NEEDS: dict[str, dict[str, object]] = {"seed": {"sample": 4}}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Thirty drawn images."""
    random = np.random.default_rng(1)
    sets = [tuple(label for label in LABELS if random.random() < 0.3) for _ in range(30)]
    targets = np.array([[int(label in present) for label in LABELS] for present in sets], dtype=np.int8)
    return Dataset("drawn", LABELS, tuple(draw_files(tmp_path / "photos", sets)), targets, split="all")


@pytest.fixture
def spec(data: Dataset) -> RunSpec:
    return RunSpec("per-label", data, model=PlantedEncoder())


@pytest.fixture
def resources() -> Resources:
    """They keep nothing."""
    return Resources(cache=None)


def line(kind: type[Exception], call: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- the fields --------------------------------------------------------------------------------------------------


def test_rows_of_plans_are_runs() -> None:
    assert Row is RunSpec is zs.Row


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_changed_is_kept_in_jsons_types(name: str) -> None:
    changed = CHANGED.get(name, "new")  # a field that is not listed is a text
    spec = RunSpec(**({name: changed} | NEEDS.get(name, {})))  # type: ignore[arg-type]
    kept = spec.to_dict()
    assert set(kept) == {name, *NEEDS.get(name, {})}
    assert json.loads(json.dumps(kept)) == kept
    assert RunSpec(**{key: tuple(value) if isinstance(value, list) else value for key, value in kept.items()}) == spec


def test_defaults_are_left_out() -> None:
    assert RunSpec().to_dict() == {}


def test_objects_stand_as_their_names(spec: RunSpec) -> None:
    kept = replace(spec, strategy=TopAll(scale=3.0)).to_dict()
    assert (kept["dataset"], kept["model"]) == ("drawn", "planted")
    assert str(kept["strategy"]).startswith("TopAll(")


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"limit": 3, "sample": 3}, UsageError, "expected either limit (the first N images) or sample"),
        ({"seed": 3}, UsageError, "expected sample with seed, found seed alone"),
        ({"labels": "a", "without": "b"}, UsageError, "expected either labels or without, found both"),
        ({"names": "old"}, UnknownName, "unknown names 'old'. Known: raw, readable"),
        ({"difficult": "nagative"}, UnknownName, "unknown difficult 'nagative'. Did you mean 'negative'?"),
        ({"device": "tpu"}, UnknownName, "unknown device 'tpu'"),
        ({"precision": "half"}, UnknownName, "unknown precision 'half'"),
    ],
)
def test_fields_that_exclude_each_other_are_refused(
    changes: dict[str, object], kind: type[Exception], text: str
) -> None:
    assert text in line(kind, lambda: RunSpec(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("labels", ["cat, dog", ("cat", "dog"), "@words.txt"])
def test_labels_are_names_a_text_or_a_file(
    labels: str | tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("cat\ndog\n")
    assert RunSpec(labels=labels).label_list == ("cat", "dog")


def test_no_labels_are_all(data: Dataset) -> None:
    assert RunSpec().label_list is None
    line(LabelError, lambda: RunSpec(labels="@nowhere").label_list)
    assert RunSpec(dataset=data).dataset_name == "drawn"
    assert (RunSpec(dataset="voc").dataset_name, RunSpec().dataset_name) == ("voc", "")


# -- plans and provenance ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIELDS)
def test_the_keys_of_a_plan_are_the_fields(name: str, tmp_path: Path) -> None:
    value = CHANGED.get(name, "new")
    row = {"strategy": "per-label", "dataset": "scenes"} | NEEDS.get(name, {})
    row[name] = list(value) if isinstance(value, tuple) else value
    text = "\n".join(f"{key} = {json.dumps(one)}" for key, one in row.items())
    (tmp_path / "plan.toml").write_text(f"[[row]]\n{text}\n")
    (read,) = read_plan(tmp_path / "plan.toml")
    expected = value[0] if isinstance(value, tuple) else value  # a list multiplies
    assert getattr(read, name) == expected


def test_a_plan_has_no_other_keys(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[row]]\nstrategy = "per-label"\ndataset = "scenes"\nbatch_size = 3\n')
    text = line(PlanError, lambda: read_plan(tmp_path / "plan.toml"))
    assert text.endswith(f"unknown key 'batch_size'; expected one of {', '.join(sorted(FIELDS))}")


def test_a_result_keeps_what_was_asked_for_under_run(spec: RunSpec, resources: Resources) -> None:
    asked = replace(spec, labels=("cat", "dog"), sample=20, seed=3, difficult="negative")
    kept = asked.run(resources).recipe["run"]
    assert kept == asked.to_dict()
    assert set(kept) <= set(FIELDS)


def test_grid_takes_the_fields() -> None:
    rows = grid(dataset="scenes", strategy=["top-all", "per-label"], labels=("cat", "dog"), skip_bad=True)
    assert rows == [
        RunSpec(strategy, "scenes", labels=("cat", "dog"), skip_bad=True) for strategy in ("top-all", "per-label")
    ]


# -- prepare and run ---------------------------------------------------------------------------------------------


def test_a_run_is_the_one_made_by_hand(spec: RunSpec, data: Dataset, resources: Resources) -> None:
    by_hand = evaluate(PerLabel(), data, EmbeddingStore(PlantedEncoder(), cache=None))
    described = spec.run(resources)
    np.testing.assert_array_equal(described.prediction.scores, by_hand.prediction.scores)
    np.testing.assert_array_equal(described.prediction.decisions, by_hand.prediction.decisions)
    assert {key: value for key, value in described.recipe.items() if key != "run"} == by_hand.recipe


def test_images_and_labels_are_those_that_the_fields_select(spec: RunSpec, data: Dataset, resources: Resources) -> None:
    few = replace(spec, labels="dog, cat", limit=7).run(resources)
    by_hand = zs.run(
        PerLabel(), data.first(7).with_labels(["dog", "cat"]), EmbeddingStore(PlantedEncoder(), cache=None)
    )
    assert (few.labels, few.images) == (("dog", "cat"), by_hand.images)
    np.testing.assert_array_equal(few.prediction.scores, by_hand.prediction.scores)
    drawn = replace(spec, without="dog", sample=9, seed=2).run(resources)
    assert drawn.images == tuple(image.id for image in data.sample(9, 2).images)
    assert drawn.labels == tuple(label for label in LABELS if label != "dog")


def test_prepare_gives_strategy_data_and_an_open_store(spec: RunSpec, data: Dataset, resources: Resources) -> None:
    with replace(spec, labels="cat").prepare(resources) as prepared:
        assert isinstance(prepared, Prepared)
        assert prepared.strategy == PerLabel()
        assert prepared.data.labels == prepared.labels == ("cat",)
        assert prepared.store.texts(["a cat"]).shape[0] == 1
        assert prepared.spec == replace(spec, labels="cat")
    assert data.labels == LABELS


def test_a_store_that_is_not_given_away_is_closed(spec: RunSpec, data: Dataset, tmp_path: Path) -> None:
    stores: list[EmbeddingStore] = []

    class Watched(EmbeddingStore):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    def make(model: object) -> EmbeddingStore:
        stores.append(Watched(PlantedEncoder(fingerprint="planted/2"), cache=None))
        return stores[-1]

    resources = Resources(make_store=make)
    cuts = choose_thresholds(spec.run(Resources(cache=None)))
    others = replace(data, name="others")
    line(ThresholdError, lambda: replace(spec, dataset=others, thresholds=cuts).prepare(resources))
    assert stores[0].closed  # type: ignore[attr-defined]


def test_thresholds_are_a_file_or_an_object(spec: RunSpec, data: Dataset, resources: Resources, tmp_path: Path) -> None:
    cuts = choose_thresholds(replace(spec, limit=15).run(resources))
    save_thresholds(cuts, tmp_path / "t.json")
    for thresholds in (cuts, str(tmp_path / "t.json")):
        others = replace(spec, dataset=replace(data, images=data.images[15:], targets=data.targets[15:]))
        with replace(others, thresholds=thresholds).prepare(resources) as prepared:
            assert isinstance(prepared.strategy, Thresholded)
            assert prepared.strategy.inner == PerLabel()
    assert RunSpec(thresholds=cuts).resolve(resources).labels == cuts.labels


def test_captions_reach_llm_inside_a_wrapper(spec: RunSpec, resources: Resources) -> None:
    cuts = choose_thresholds(spec.run(resources))
    inside = replace(spec, strategy=Thresholded(Llm(), cuts), captions="scenes").resolve(resources).strategy
    assert isinstance(inside, Thresholded)
    assert isinstance(inside.inner, Llm)
    assert inside.inner.captions is not None
    own = Llm(captions=Captions(load_bank("scenes")))
    assert replace(spec, strategy=own).resolve(resources).strategy == own


@pytest.mark.parametrize("name", ["root", "split", "without", "limit", "sample"])
def test_fields_of_a_data_set_need_one(name: str, resources: Resources) -> None:
    spec = RunSpec(**{name: CHANGED.get(name, "new")})  # type: ignore[arg-type]
    assert line(UsageError, lambda: spec.resolve(resources)) == f"expected a data set with {name}, found none"


def test_without_a_data_set_there_is_nothing_to_measure(resources: Resources) -> None:
    spec = RunSpec(labels="cat", model=PlantedEncoder())
    with spec.prepare(resources) as prepared:
        assert (prepared.labels, prepared.dataset) == (("cat",), None)
    assert line(UsageError, lambda: spec.run(resources)) == "expected a data set, found none"
    assert "expected --labels" in line(UsageError, lambda: RunSpec().resolve(resources).labels)


def test_prompts_belong_to_a_strategy_by_name(spec: RunSpec, resources: Resources) -> None:
    assert replace(spec, prompts="bare").resolve(resources).strategy != PerLabel()
    own = replace(spec, strategy=ListAll(), prompts="bare")
    assert "expected prompts for a strategy by name" in line(UsageError, lambda: own.resolve(resources))


def test_the_model_is_the_one_named_else_the_data_sets_else_the_default(resources: Resources) -> None:
    scenes = RunSpec(dataset="scenes", limit=3)
    assert scenes.resolve(resources).model == "tiny"
    assert replace(scenes, model="conse").resolve(resources).model == "conse"
    assert RunSpec(labels="cat").resolve(resources).model == "ViT-B/32"


# -- what runs share ---------------------------------------------------------------------------------------------


def test_runs_share_data_sets(resources: Resources) -> None:
    first, second, other = (
        RunSpec("top-all", "scenes", limit=3),
        RunSpec("per-label", "scenes", sample=3),
        RunSpec("per-label", "scenes", split="train:20"),
    )
    assert resources.dataset(first) is resources.dataset(second)
    assert resources.dataset(first) is not resources.dataset(other)


def test_runs_share_the_budget_of_an_llm(resources: Resources, tmp_path: Path) -> None:
    shared = Resources(cache=tmp_path / "cache")
    text = "url=http://127.0.0.1:9/v1,model=none,max_calls=3"
    writer = shared.writer(text)
    assert writer is not None
    assert shared.writer(text) is writer
    assert writer.budget.calls == 3
    assert shared.writer(f"{text},offline=yes") is not writer
    assert shared.writer(None) is None  # the environment names none


@pytest.mark.parametrize(
    "changed",
    [
        {"strategy": zs.TopAll},
        {"strategy": 3},
        {"dataset": 3},
        {"model": 3},
        {"prompts": 3},
        {"root": 3},
        {"labels": 3},
        {"labels": ("dog", 3)},
        {"limit": "5"},
        {"limit": True},
        {"limit": 5.0},
        {"skip_bad": "yes"},
        {"skip_bad": None},
        {"precision": None},
        {"thresholds": 3},
        {"split": ""},
        {"model": " "},
    ],
)
def test_a_field_of_another_type_is_named(changed: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"expected .*{next(iter(changed)).replace('_', ' ')}.* found"):
        RunSpec(**changed)


def test_paths_and_lists_of_labels_are_kept_as_texts_and_tuples() -> None:
    spec = RunSpec(root=Path("here"), labels=["dog", "cat"], thresholds=Path("t.json"))  # type: ignore[arg-type]
    assert (spec.root, spec.labels, spec.thresholds) == ("here", ("dog", "cat"), "t.json")
    assert spec == RunSpec(root="here", labels=("dog", "cat"), thresholds="t.json")


@pytest.mark.parametrize("field", ["names", "difficult", "skip_bad"])
def test_a_field_of_a_data_set_needs_one(field: str) -> None:
    with pytest.raises(UsageError, match=f"expected a data set with {field.replace('_', ' ')}, found none"):
        RunSpec(**{field: CHANGED[field]}).resolve(Resources())  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["root", "split", "names"])
def test_a_loaded_data_set_takes_no_fields_that_say_what_to_load(data: Dataset, field: str) -> None:
    with pytest.raises(UsageError, match=f"expected {field} with a data set by name, found one that is loaded"):
        RunSpec(dataset=data, **{field: CHANGED[field]})  # type: ignore[arg-type]


def test_a_run_without_a_data_set_is_refused_before_its_model_is_loaded() -> None:
    with pytest.raises(UsageError, match="expected a data set, found none"):
        RunSpec("top-all", model="missing.pt").run()
