"""Ablations: every row once, compared with the first, and finished ones kept."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fakes import LABELS, PlantedEncoder, draw_files
from messages import heard_by

from zsprompt.data import Dataset
from zsprompt.errors import ModelError, PlanError
from zsprompt.evaluation.result_files import load_result
from zsprompt.experiments.ablation import Ablation, Row, ablate, grid, read_plan, title
from zsprompt.experiments.spec import Resources
from zsprompt.metrics import false_discovery
from zsprompt.prompts.labels import TextSpace
from zsprompt.report.tables import latex, markdown, save_ablation, terminal_table
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import PerLabel, Prediction


@dataclass(frozen=True)
class Noisy:
    """per-label with noise on its scores, the same every time."""

    noise: float

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        answer = PerLabel().predict(images, labels, texts)
        noise = np.random.default_rng(0).standard_normal(answer.scores.shape).astype(np.float32)
        return replace(answer, scores=answer.scores + self.noise * noise)


@dataclass(frozen=True)
class Broken:
    """A strategy that fails, or returns invalid predictions."""

    how: str

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        if self.how == "raise":
            raise KeyError("a mistake")
        scores = np.full((len(images.vectors), len(labels)), np.nan if self.how == "nan" else 0, dtype=np.float32)
        shape = scores.shape if self.how == "nan" else (1, 1)
        return Prediction(scores, np.zeros(shape, dtype=np.bool_))


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """Forty drawn images with up to three labels."""
    random = np.random.default_rng(0)
    sets = [tuple(random.choice(LABELS, size=random.integers(0, 4), replace=False)) for _ in range(40)]
    targets = np.array([[label in present for label in LABELS] for present in sets], dtype=np.int8)
    return Dataset("drawn", LABELS, draw_files(tmp_path / "drawn", sets), targets, split="all")


@pytest.fixture
def planted(tmp_path: Path) -> PlantedEncoder:
    return PlantedEncoder()


def measure(rows: list[Row], out: Path, planted: PlantedEncoder, heard: list[str] | None = None) -> Ablation:
    def store_of(model: object) -> EmbeddingStore:
        if model == "missing":
            raise ModelError("expected weights, found none")
        return EmbeddingStore(planted, cache=out.parent / "cache")

    with heard_by((heard if heard is not None else []).append):
        return ablate(rows, out, resources=Resources(make_store=store_of))


def test_rows_are_measured_compared_with_the_first_and_adjusted(
    data: Dataset, planted: PlantedEncoder, tmp_path: Path
) -> None:
    rows = grid(dataset=data, strategy=[PerLabel(), Noisy(0.3), Noisy(2.0), PerLabel()])
    done = measure(rows, tmp_path / "out", planted)
    records = done.records()
    assert [record["row"] for record in records] == [1, 2, 3, 4]
    assert records[0]["mAP"] == 1.0
    assert records[0]["compared_with"] is None
    assert [record["compared_with"] for record in records[1:]] == [1, 1, 1]
    assert records[2]["change"] < records[1]["change"] < 0
    assert records[2]["change_high"] < 0
    assert (records[3]["change"], records[3]["p"]) == (0, 1)
    p = np.array([record["p"] for record in records[1:]])
    np.testing.assert_allclose([record["p_adjusted"] for record in records[1:]], false_discovery(p))
    assert records[0]["supervision"] == "label-free"
    assert records[1]["supervision"] == "not declared"
    assert records[1]["change"] == pytest.approx(records[1]["mAP"] - records[0]["mAP"])


def test_images_and_texts_are_embedded_once(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> None:
    rows = grid(
        dataset=data, strategy=["per-label", "top-all", "normalised:per-label"], prompts=["bare", "photo"], model="m"
    )
    records = measure(rows, tmp_path / "out", planted).records()
    assert sum(planted.image_batches) == len({image.read() for image in data.images})
    assert len(planted.texts_seen) == len(set(planted.texts_seen))
    assert [record["images_embedded"] for record in records] == [sum(planted.image_batches), 0, 0, 0, 0, 0]
    assert all(record["texts"] >= record["texts_encoded"] for record in records)
    assert all(record["seconds_warm"] is not None for record in records)


def test_finished_rows_are_not_measured_again(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> None:
    rows = grid(dataset=data, strategy=["per-label", "yes-or-no"], model="m")
    first = measure(rows, tmp_path / "out", planted).records()
    folder = tmp_path / "out" / first[1]["folder"]
    (folder / "row.json").unlink()  # as a kill would leave it
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / first[0]["folder"]).iterdir()}
    shutil.rmtree(tmp_path / "cache")
    again = measure(rows, tmp_path / "out", planted).records()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert again[0] == first[0]
    assert again[1]["mAP"] == first[1]["mAP"]
    assert (folder / "row.json").exists()


def test_a_damaged_row_is_measured_again(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> None:
    rows = grid(dataset=data, strategy="per-label", model="m")
    first = measure(rows, tmp_path / "out", planted).records()
    scores = tmp_path / "out" / first[0]["folder"] / "scores.csv"
    scores.write_bytes(scores.read_bytes()[:200])
    again = measure(rows, tmp_path / "out", planted).records()
    assert again[0]["mAP"] == first[0]["mAP"]
    assert load_result(scores.parent).mAP == first[0]["mAP"]


def test_everything_that_changes_a_result_changes_its_folder(
    data: Dataset, planted: PlantedEncoder, tmp_path: Path
) -> None:
    """The same plan may mean something else later: prompt files and models change."""
    prompts = tmp_path / "mine.toml"
    row = Row("per-label", data, prompts=str(prompts), model="m")

    def folder(row: Row, planted: PlantedEncoder = planted) -> str:
        return measure([row], tmp_path / "out", planted).records()[0]["folder"]

    prompts.write_text('label = "a photo of {a_label}"\n')
    folders = {folder(row)}
    prompts.write_text('label = "{label}"\n')
    folders |= {folder(row), folder(replace(row, limit=39)), folder(replace(row, difficult="positive"))}
    folders.add(folder(row, PlantedEncoder(fingerprint="planted/2")))
    assert len(folders) == 5


def test_failed_rows_say_why_and_do_not_stop_the_others(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> None:
    rows = [
        Row("nonsense", data),
        Row("per-label", "nowhere"),
        Row("top-all", data, prompts="adds"),
        Row(Broken("raise"), data),
        Row(Broken("nan"), data),
        Row(Broken("shape"), data),
        Row("per-label", data, model="missing"),
        Row("llm", replace(data, bank=None)),
        Row("per-label", data, thresholds=str(tmp_path / "none.json")),
        Row(PerLabel(), data, prompts="bare"),
        Row("per-label", data),
        Row("yes-or-no", data),
    ]
    heard: list[str] = []
    records = measure(rows, tmp_path / "out", planted, heard).records()
    errors = [record["error"] for record in records]
    expected = (
        *("unknown strategy", "unknown data set", "has no [set]", "KeyError: 'a mistake'"),
        *("NaN or infinite", "of shape (40, 8)", "expected weights", "needs captions", "thresholds file"),
        "one that has its own",
    )
    for error, reason in zip(errors, expected, strict=False):
        assert reason in error
        assert "\n" not in error
    assert errors[10:] == [None, None]
    assert records[11]["compared_with"] == 11  # the first row that was measured
    assert len(heard) == 12
    assert sum("failed" in line for line in heard) == 10
    assert len(list((tmp_path / "out" / "rows").iterdir())) == 2  # failed rows leave nothing


def test_rows_of_different_data_or_conventions_have_different_first_rows(
    data: Dataset, planted: PlantedEncoder, tmp_path: Path
) -> None:
    hidden = data.targets.copy()
    hidden[::7, 2] = -1
    data = replace(data, targets=hidden)
    rows = [
        *grid(difficult=["ignore", "negative"], dataset=data, strategy=["per-label", "yes-or-no"]),
        *grid(dataset=replace(data, name="other"), strategy=["per-label", "yes-or-no"]),
        Row("per-label", data, limit=20),
    ]
    records = measure(rows, tmp_path / "out", planted).records()
    assert [record["compared_with"] for record in records] == [None, 1, None, 3, None, 5, None]


def test_a_row_may_have_thresholds_and_is_tuned_then(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> None:
    from zsprompt.evaluation import run as evaluate
    from zsprompt.evaluation.thresholds import choose_thresholds
    from zsprompt.strategies.thresholds import save_thresholds

    half = data.select(range(20))
    found = choose_thresholds(evaluate.run(PerLabel(), half, EmbeddingStore(planted, cache=None)))
    save_thresholds(found, tmp_path / "t.json")
    rest = data.select(range(20, 40))
    file = str(tmp_path / "t.json")
    rows = [Row("per-label", rest), Row("per-label", rest, thresholds=file), Row("per-label", half, thresholds=file)]
    records = measure(rows, tmp_path / "out", planted).records()
    assert [record["supervision"] for record in records[:2]] == ["label-free", "tuned"]
    assert records[1]["mAP"] == records[0]["mAP"]
    assert found.digest in load_result(tmp_path / "out" / records[1]["folder"]).recipe["strategy"]
    assert "20 of the 20" in records[2]["error"]


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="expected rows"):
        ablate([], tmp_path)


# plans


def test_a_plan_multiplies_lists_and_shares_fields(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        '[all]\ndataset = "scenes"\nlimit = 50\n'
        '[[row]]\nstrategy = "top-all"\nprompts = ["bare", "photo"]\n'
        '[[row]]\nstrategy = ["per-label", "yes-or-no"]\nlimit = 20\n'
    )
    rows = read_plan(path)
    assert [(row.strategy, row.prompts, row.limit) for row in rows] == [
        ("top-all", "bare", 50),
        ("top-all", "photo", 50),
        ("per-label", None, 20),
        ("yes-or-no", None, 20),
    ]
    assert title(rows[0]) == "top-all bare scenes 50"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "found none"),
        ("x = 1", "found x"),
        (
            "[[row]]\nstrategy = 'top-all'",
            "row 1: expected 'dataset' to be a text or a list",
        ),
        (
            "[[row]]\ndataset = 'scenes'\nstrategy = 'a'\nprompt = 'bare'",
            "unknown key 'prompt'; expected one of capt",
        ),
        (
            "[[row]]\ndataset = 'scenes'\nstrategy = 3",
            "expected 'strategy' to be a text or a list of them, found 3",
        ),
        ("[[row]]\ndataset = 'scenes'\nstrategy = []", "expected 'strategy' to be a text or a list of them, found []"),
        (
            "[[row]]\ndataset = 'scenes'\nstrategy = 'a'\nlimit = 'b'",
            "expected 'limit' to be a whole number or",
        ),
        (
            "[[row]]\ndataset = 'scenes'\nstrategy = 'a'\nlimit = true",
            "expected 'limit' to be a whole number or",
        ),
        ("[all]\nstrategy = 'a'", "expected [[row]] sections"),
        ("[row]\nstrategy = 'a'", "expected [[row]] sections"),
        ("row = [1]", "expected [[row]] sections"),
        ("[[row]", "not valid TOML"),
    ],
)
def test_a_bad_plan_is_an_error(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_plan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot read plan"):
        read_plan(tmp_path / "none.toml")


# tables


@pytest.fixture
def table(data: Dataset, planted: PlantedEncoder, tmp_path: Path) -> Ablation:
    rows = [Row("per-label", data), Row(Noisy(1.0), data), Row("nonsense|&%$#_{}~^\\<b>", data)]
    return measure(rows, tmp_path / "out", planted)


def test_tables_are_written_in_four_kinds(table: Ablation, tmp_path: Path) -> None:
    save_ablation(table, tmp_path / "out")
    records = table.records()
    with (tmp_path / "out/ablation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [float(row["mAP"]) if row["mAP"] else None for row in rows]
    assert measured == [pytest.approx(r["mAP"], rel=1e-5) if r["mAP"] else None for r in records]
    assert json.loads((tmp_path / "out/ablation.json").read_text())["rows"] == records


def test_markdown_has_as_many_cells_in_every_row(table: Ablation) -> None:
    lines = [line for line in markdown(table.records()).splitlines() if line.startswith("|")]
    cells = [line.replace("\\|", "").count("|") for line in lines]
    assert len(lines) == 5
    assert len(set(cells)) == 1
    assert "\\<b\\>" in lines[4]
    assert "Row 3 failed: unknown strategy" in markdown(table.records())


def test_latex_escapes_and_has_as_many_cells_in_every_row(table: Ablation) -> None:
    text = latex(table.records())
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 4
    assert len({row.replace(r"\&", "").count("&") for row in rows}) == 1
    assert (
        r"nonsense|\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}\textless{}b\textgreater{}" in text
    )
    assert text.count("\\toprule") == text.count("\\midrule") == text.count("\\bottomrule") == 1
    assert [line for line in text.splitlines() if line.startswith("% Row 3 failed")]


def test_the_terminal_table_is_aligned_and_has_a_legend(table: Ablation) -> None:
    text = terminal_table(table.records())
    header, first, *_ = text.splitlines()
    assert header.split()[:3] == ["row", "strategy", "prompts"]
    assert first.startswith("1")
    assert "chance" in text
    assert "failed" in text
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 100
