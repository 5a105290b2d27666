"""Tables of the sources: their file, and training runs and measurements in Python and by the command."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Cli, command, environment
from fakes import LABELS, PlantedEncoder, SpatialPlanted, draw_files
from messages import heard_by

from zsprompt.adapters import load_kind
from zsprompt.data import DATASETS
from zsprompt.encoders import OPENAI_MODELS, SpatialEncoder
from zsprompt.errors import PlanError, UnknownName, UsageError
from zsprompt.evaluation.result_files import load_result
from zsprompt.experiments.reproduction import (
    RandomTexts,
    Reproduction,
    Settings,
    Table,
    find_table,
    reproduce,
    tables,
)
from zsprompt.experiments.reproduction.outcome import COUNTS, METRICS, measures_of
from zsprompt.experiments.reproduction.tables import read_tables
from zsprompt.experiments.reproduction.work import _Data, schedule_of
from zsprompt.prompts import load_prompts
from zsprompt.report.of_reproduction import terminal_table
from zsprompt.strategies import load_strategy

ALL = [
    pytest.param(table, row, key, id=f"{table.name}-{row.name}-{'-'.join(key)}")
    for table in tables().values()
    for row in table.rows
    for key in row.settings
]


# the file


def test_every_table_has_rows_and_a_scenes_version() -> None:
    assert list(tables())[:4] == [f"mmm-clip-{n}" for n in range(1, 5)]
    assert {f"adds-{n}" for n in range(1, 9)} <= set(tables())
    for table in tables().values():
        assert set(table.metrics) <= METRICS
        assert table.columns_on("real")
        assert table.columns_on("scenes")
        assert len({row.name for row in table.rows}) == len(table.rows)


def test_scenes_need_no_data_and_few_epochs() -> None:
    for table in tables().values():
        for row in table.rows:
            for (ground, _), made in row.settings.items():
                if ground == "scenes":
                    assert all(part.startswith("scenes ") for part in made.data)
                    assert made.model == "tiny"
                    assert made.counts or made.strategy or (made.epochs or 99) <= 30


@pytest.mark.parametrize(
    "made", dict.fromkeys(made for p in ALL for made in p.values[1].settings.values()), ids=lambda made: made.what
)
def test_everything_that_settings_name_exists(made: Settings) -> None:
    assert made.counts + (made.adapter is not None) + (made.strategy is not None) == 1
    assert made.model in (*OPENAI_MODELS, "tiny")
    assert {part.split()[0] for part in made.data} <= set(DATASETS)
    assert all(len(part.split()) == 2 for part in made.data)
    if made.prompts:
        load_prompts(made.prompts)
    if made.strategy:
        assert load_strategy(made.strategy, prompts=made.prompts)
    if made.adapter:
        schedule = schedule_of(made, load_kind(made.adapter), 5)
        assert schedule.seed == 5
        assert schedule.epochs <= (made.epochs or schedule.epochs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "made", {made for p in ALL for (on, _), made in p.values[1].settings.items() if on == "scenes"}
)
def test_every_scenes_protocol_has_images_and_labels(made: Settings) -> None:
    parts = _LOADED.protocol(made, 0)
    if made.protocol != "untrained":
        assert len(parts.learn.images) <= 3000
        assert (parts.learn.targets == 1).any(axis=0).all()
    assert len(parts.test.images) == 1000
    if made.protocol in ("zsl", "single-to-multi") and made.unseen:
        assert not set(parts.learn.labels) & set(parts.test.labels)


_LOADED = _Data(None, None)


def test_tables_with_unseen_labels_hold_out_the_same_six() -> None:
    held = {made.unseen for p in ALL for (on, _), made in p.values[1].settings.items() if on == "scenes"} - {()}
    assert held == {("chair", "bird", "boat", "ball", "bus", "umbrella")}


@pytest.mark.parametrize(
    ("table", "row", "column", "metric", "value"),
    [
        ("mmm-clip-1", "MS-COCO", "data set", "pictures to learn from", 82081),
        ("mmm-clip-2", "VGG", "COCO14-Val", "mAP", 87.6),
        ("mmm-clip-2", "CLIP-FC-Adapter", "VOC2007-Test", "mAP", 85.7),
        ("mmm-clip-2", "CLIP-MLD-Adapter", "Kaggle-Test (0.3)", "mAP", 99.8),
        ("mmm-clip-3", "CLIP-FC-Adapter", "Kaggle-5/95", "mAP", 94.2),
        ("mmm-clip-3", "CLIP-MLD-Adapter", "Kaggle-20/80", "mAP", 99.3),
        ("mmm-clip-4", "LLM Optimization", "VOC2007-Test", "seed_mAP", 52.3),
        ("mmm-clip-4", "CLIP-MLD-Adapter", "Kaggle", "mAP", 75.4),
        ("adds-1", "ADDS, ViT-L, 224", "MS-COCO", "mAP", 89.82),
        ("adds-1", "ADDS, ViT-L-336, 1344 (pyramid)", "MS-COCO", "mAP", 93.54),
        ("adds-2", "LESA", "ZSL", "F1@3", 31.6),
        ("adds-2", "ADDS (ViT-L-336, 336)", "ZSL", "F1@5", 39.28),
        ("adds-3", "ADDS, ViT-L-336", "without overlapped", "mAP", 69.60),
        ("adds-4", "ML-Decoder, TResNet-L", "without overlapped", "F1@5>0.5", 6.27),
        ("adds-5", "ML-Decoder×6", "ZSL", "F1@3", 29.83),
        ("adds-5", "DM-Decoder×3", "ZSL", "mAP", 38.68),
        ("adds-6", "ViT-L, RandMx", "MS-COCO", "mAP", 87.57),
        ("adds-7", "top level alone", "MS-COCO", "mAP", 91.79),
        ("adds-8", "ImageNet-21k: many labels", "unseen labels", "F1@5>0.5", 40.39),
        ("coco-captions-1", "8 truck", "validation", "precision", 61),
        ("coco-captions-1", "mean over pictures", "validation", "positives", 3081),
    ],
)
def test_published_numbers_are_the_sources(table: str, row: str, column: str, metric: str, value: float) -> None:
    rows = {known.name: known for known in find_table(table).rows}
    assert rows[row].published[column, metric] == value


def test_supports_of_the_labels_sum_to_the_printed_sum() -> None:
    rows = find_table("coco-captions-1").rows
    supports = [row.published["validation", "positives"] for row in rows if row.label]
    assert len(supports) == 18
    assert sum(supports) == 3081


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"nonsense": 1}, "unknown key 'nonsense'"),
        ({"row": [{"name": "a", "adaptor": "fc"}]}, "unknown key 'adaptor'"),
        ({"column": [{"name": "a", "real": {}, "on": 1}]}, "unknown key 'on'"),
        (
            {"scenes": {"protocol": "magic"}},
            "expected 'protocol' to be one of conventional, few-shot, .*, found 'magic'",
        ),
    ],
)
def test_a_mistake_in_a_table_is_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        read_tables({"table": [PLAN["table"][0] | change]})


# a planted world: one place per label, and an encoder that reads it

PLAN: dict[str, Any] = {
    "table": [
        {
            "name": "planted",
            "about": "A world with known answers.",
            "source": "nowhere",
            "metrics": ["mAP", "F1@3"],
            "real": {"learn": "folder a", "test": "folder b", "model": "fakes:PlantedEncoder"},
            "scenes": {"learn": "scenes train:80", "test": "scenes test:60", "model": "tiny", "epochs": 2},
            "column": [
                {"name": "seen", "real": {}, "scenes": {}},
                {"name": "unseen", "real": {"protocol": "zsl", "unseen": ["cat", "sofa"]}},
            ],
            "row": [
                {"name": "theirs", "published": {"seen": 12.34, "unseen": {"F1@3": 50}}},
                {"name": "words", "strategy": "per-label", "published": {"seen": {"mAP": 90}}},
                {"name": "probe", "adapter": "linear-probe", "schedule": {"epochs": 60, "lr": 0.05}},
            ],
        }
    ]
}
COUNT = 120


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images with a labels CSV, two thirds of them for training."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    sets = [tuple(label for label in LABELS if random.random() < 0.3) for _ in range(COUNT)]
    draw_files(folder, sets)
    rows = [[f"{i:04}.png", "aab"[i % 3], *(int(c in present) for c in LABELS)] for i, present in enumerate(sets)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "split", *LABELS], *rows])
    return folder


def planted(change: dict[str, Any] | None = None) -> Table:
    return read_tables({"table": [PLAN["table"][0] | (change or {})]})[0]


def measured(table: Table, photos: Path, **options: Any) -> Reproduction:
    return reproduce(table, **({"root": photos, "cache": None, "device": "cpu"} | options))


def number(done: Reproduction, row: str, column: str, metric: str = "mAP") -> dict[str, Any]:
    found = [r for r in done.records() if (r["row"], r["column"], r["metric"]) == (row, column, metric)]
    assert len(found) == 1
    return found[0]


@pytest.mark.slow
def test_a_planted_world_is_learnt_and_compared_with_the_published_numbers(photos: Path) -> None:
    heard: list[str] = []
    with heard_by(heard.append):
        done = measured(planted(), photos)
    assert done.on == "real"
    assert number(done, "words", "seen")["ours"] > 0.95
    assert number(done, "words", "unseen")["ours"] > 0.95
    assert number(done, "probe", "seen")["ours"] > 0.95
    assert number(done, "words", "seen")["published"] == 0.9
    assert number(done, "theirs", "seen")["ours"] is None
    assert number(done, "theirs", "seen")["published"] == pytest.approx(0.1234)
    assert all(record["comparable"] for record in done.records())
    # a head with one weight per label cannot predict other labels: that cell fails, the others do not
    assert "adapter for any labels" in number(done, "probe", "unseen")["error"]
    assert len(done.failed) == 1
    assert [line.partition(": ")[0] for line in heard if not line.startswith("epoch")] == [
        *("1/4  words, seen, untrained", "2/4  words, unseen, untrained"),
        *("3/4  probe, seen, seed 0", "4/4  probe, unseen, seed 0"),
    ]


def test_the_table_has_published_columns_then_ours(photos: Path) -> None:
    text = terminal_table(measured(planted(), photos))
    lines = text.splitlines()
    assert lines[0] == "planted: A world with known answers."
    assert lines[3].split() == ["published", "ours"]
    assert lines[4].split() == ["seen", "unseen", "seen", "unseen"]
    assert lines[5].split() == ["mAP", "F1@3", "mAP", "F1@3", "mAP", "F1@3"]
    assert lines[6].split() == ["theirs", "12.34", "50.0", "–", "–", "–", "–"]
    assert lines[8].split()[-2:] == ["failed", "failed"]
    assert "failed: probe, unseen: expected the 6 labels" in text
    assert re.search(r"F1@3 is at most \d+\.\d in\scolumn unseen", text)


def test_each_seed_is_a_training_run_and_the_table_has_mean_and_deviation(photos: Path) -> None:
    table = planted({"column": PLAN["table"][0]["column"][:1]})
    done = measured(table, photos, seeds=3, epochs=2)
    cell = done.cell(2, "seen")
    assert cell is not None
    values = cell.values(None, "mAP")
    assert len(set(values)) == 3
    record = number(done, "probe", "seen")
    assert record["ours"] == pytest.approx(sum(values) / 3)
    assert record["deviation"] == pytest.approx(np.std(values, ddof=1))
    assert number(done, "words", "seen")["seeds"] == 1  # without training nothing is random
    assert number(done, "words", "seen")["deviation"] is None
    assert f"{100 * record['ours']:.1f} ±{100 * record['deviation']:.1f}" in terminal_table(done)


def test_records_make_a_flat_table(photos: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(measured(planted(), photos, epochs=1).records())
    assert {"table", "row", "column", "metric", "published", "ours", "deviation", "on", "model"} <= set(frame.columns)
    assert not frame.duplicated(["row", "column", "metric"]).any()


def test_a_row_is_measured_in_the_columns_it_names() -> None:
    rows = [{"name": "words", "strategy": "per-label", "columns": ["unseen"]}]
    assert list(planted({"row": rows}).rows[0].settings) == [("real", "unseen")]
    assert ("real", "VOC2007-Test") not in find_table("mmm-clip-4").rows[2].settings


def test_zsl_and_gzsl_share_a_training_run(photos: Path, tmp_path: Path) -> None:
    columns = [
        {"name": name, "real": {"protocol": name, "unseen": ["cat", "sofa"]}, "scenes": {}} for name in ("zsl", "gzsl")
    ]
    rows = [{"name": "mld", "adapter": "mld", "schedule": {"epochs": 1}}]
    done = measured(planted({"column": columns, "row": rows}), photos, out=tmp_path)
    assert not done.failed
    assert len(list((tmp_path / "adapters").iterdir())) == 1
    assert len(list((tmp_path / "results").iterdir())) == 2


@pytest.mark.parametrize("options", [{"limit": 20}, {"model": "fakes:SpatialPlanted"}])
def test_a_trial_or_another_model_is_not_comparable(photos: Path, options: dict[str, Any]) -> None:
    done = measured(planted(), photos, epochs=1, **options)
    assert done.on == "real"
    assert not any(record["comparable"] for record in done.records())
    assert any(str(next(iter(options.values()))) in note for note in done.notes)


def test_stand_ins_for_a_sources_data_are_not_comparable(photos: Path) -> None:
    done = measured(planted({"stand_ins": True}), photos)
    assert not any(record["comparable"] for record in done.records())
    assert any("not comparable" in note for note in done.notes)
    for table in tables().values():  # no source names its lists of NUS-WIDE
        of_nus = any("nus-wide" in part for row in table.rows for made in row.settings.values() for part in made.data)
        assert not of_nus or table.stand_ins


def test_the_same_measurement_in_two_rows_is_made_once(photos: Path) -> None:
    heard: list[str] = []
    rows = [{"name": name, "strategy": "per-label"} for name in "ab"]
    with heard_by(heard.append):
        done = measured(planted({"row": rows}), photos)
    assert len(heard) == 2
    assert number(done, "a", "seen")["ours"] == number(done, "b", "seen")["ours"]


def test_counts_need_no_model(photos: Path) -> None:
    rows = [{"name": "folder", "counts": True}]
    change = {"metrics": ["labels", "pictures to learn from", "pictures to test on"], "row": rows}
    done = measured(planted(change | {"column": PLAN["table"][0]["column"][:1]}), photos, model="no-such-model")
    assert [record["ours"] for record in done.records()] == [8, 80, 40]
    assert terminal_table(done).splitlines()[6].split() == ["folder", "8", "80", "40"]


def test_counts_that_fail_stop_no_others(photos: Path) -> None:
    same = {"name": "same", "counts": True, "real": {"test": "folder a"}}
    rows = [same, {"name": "apart", "counts": True}]
    table = planted({"metrics": ["labels"], "column": PLAN["table"][0]["column"][:1], "row": rows})
    done = measured(table, photos)
    assert [cell.error.partition(",")[0] for cell in done.cells][1] == ""
    assert "expected different training and test images" in done.cells[0].error


def test_measures_of_one_label_are_those_of_the_label(photos: Path, tmp_path: Path) -> None:
    rows = [{"name": "dog", "label": "dog", "strategy": "per-label"}, {"name": "all", "strategy": "per-label"}]
    change = {"metrics": ["precision", "recall", "F1", "positives"], "row": rows}
    done = measured(planted(change | {"column": PLAN["table"][0]["column"][:1]}), photos, out=tmp_path)
    result = load_result(next((tmp_path / "results").iterdir()))
    predicted, true = result.prediction.decisions, result.targets == 1
    c = result.labels.index("dog")
    hits = (predicted & true)[:, c].sum()
    assert number(done, "dog", "seen", "precision")["ours"] == pytest.approx(hits / predicted[:, c].sum())
    assert number(done, "dog", "seen", "recall")["ours"] == pytest.approx(hits / true[:, c].sum())
    assert number(done, "dog", "seen", "positives")["ours"] == true[:, c].sum()
    by_image = [  # per image, from the definition
        ((s & t).sum() / s.sum() if s.any() else 0, (s & t).sum() / t.sum() if t.any() else 0)
        for s, t in zip(predicted, true, strict=True)
    ]
    assert number(done, "all", "seen", "precision")["ours"] == pytest.approx(np.mean([p for p, _ in by_image]))
    assert number(done, "all", "seen", "recall")["ours"] == pytest.approx(np.mean([r for _, r in by_image]))
    assert number(done, "all", "seen", "F1")["ours"] == pytest.approx(result.f1.sample)


def test_every_metric_can_be_measured(photos: Path, tmp_path: Path) -> None:
    measured(planted({"column": PLAN["table"][0]["column"][:1]}), photos, out=tmp_path, epochs=1)
    found = measures_of(load_result(next((tmp_path / "results").iterdir())))
    assert {metric for label, metric in found if label is None} >= METRICS - COUNTS
    assert all(0 <= found[None, metric] <= 1 for metric in METRICS - COUNTS)


# interrupted and resumed


class Stopped(Exception):
    """Stands in for a kill."""


def test_the_size_of_tokens_is_logged_before_they_are_stored(photos: Path) -> None:
    row = {"name": "spatial", "adapter": "mld,tokens=spatial,heads=2,feed_forward=8", "schedule": {"epochs": 1}}
    table = planted({"row": [row], "column": PLAN["table"][0]["column"][:1]})
    heard: list[str] = []
    with heard_by(heard.append):
        measured(table, photos, model="fakes:SpatialPlanted")
    sizes = [line.partition(":")[0] for line in heard if line.startswith("tokens")]
    assert sizes == ["tokens of 80 images", "tokens of 40 images"]


def test_another_bound_of_epochs_is_a_trial_and_says_so(photos: Path) -> None:
    done = measured(planted(), photos, epochs=1)
    assert not done.comparable
    assert [note for note in done.notes if note.startswith("at most 1 epoch per training run")]


def test_what_is_finished_is_not_made_again(photos: Path, tmp_path: Path) -> None:
    first = measured(planted(), photos, out=tmp_path, cache=tmp_path / "cache")
    written = {
        path: path.stat().st_mtime_ns
        for path in tmp_path.rglob("*.*")
        if path.name in ("result.json", "adapter.safetensors")
    }
    assert len(written) == 5  # three results and two adapters, one of which cannot predict the unseen labels
    again = measured(planted(), photos, out=tmp_path, cache=tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert again.records() == first.records()


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 25, 70])
def test_a_resumed_training_run_reaches_the_same_numbers(photos: Path, tmp_path: Path, after: int) -> None:
    """Stopped within its first epoch, and later, when there is a checkpoint."""
    table = planted({"column": PLAN["table"][0]["column"][:1]})
    steps = 0

    @contextmanager
    def stopping(what: str, total: int, unit: str) -> Iterator[Any]:
        def advance(n: int) -> None:
            nonlocal steps
            steps += what == "steps" and n > 0
            if steps > after:
                raise KeyboardInterrupt

        yield advance

    whole = measured(table, photos)
    with pytest.raises(KeyboardInterrupt):
        measured(table, photos, out=tmp_path, progress=stopping)
    assert not list(tmp_path.rglob("adapter.safetensors"))
    assert bool(list(tmp_path.rglob("checkpoint.safetensors"))) == (after > 3)
    resumed = measured(table, photos, out=tmp_path)
    assert resumed.records() == whole.records()
    assert not list(tmp_path.rglob("checkpoint.safetensors"))


@pytest.mark.parametrize("file", ["adapter.safetensors", "result.json", "scores.csv"])
def test_a_damaged_file_is_made_again(photos: Path, tmp_path: Path, file: str) -> None:
    table = planted({"column": PLAN["table"][0]["column"][:1]})
    first = measured(table, photos, out=tmp_path)
    for path in tmp_path.rglob(file):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    again = measured(table, photos, out=tmp_path)
    assert again.records() == first.records()
    assert not measured(table, photos, out=tmp_path).failed


def test_a_failed_training_run_fails_again(photos: Path, tmp_path: Path) -> None:
    """Its best weights so far must not pass for a finished adapter the next time."""
    wild = {"lr": 1e3, "loss": "asl", "epochs": 30}
    rows = [{"name": "wild", "adapter": "mld,read_out=mean", "schedule": wild}]
    table = planted({"column": PLAN["table"][0]["column"][:1], "row": rows})
    for _ in range(2):
        failed = measured(table, photos, out=tmp_path).failed
        assert [cell.error.partition(",")[0] for cell in failed] == ["expected finite numbers"]


def test_other_settings_have_other_folders(photos: Path, tmp_path: Path) -> None:
    table = planted({"column": PLAN["table"][0]["column"][:1]})
    for options in ({}, {"epochs": 1}, {"limit": 30}, {"seeds": 2, "epochs": 1}):
        measured(table, photos, out=tmp_path, **options)
    assert len(list((tmp_path / "adapters").iterdir())) == 4
    # words: on all images and on thirty; probe: four training runs
    assert len(list((tmp_path / "results").iterdir())) == 6


# failures


def test_a_missing_model_fails_its_rows_only(photos: Path) -> None:
    rows = [
        {"name": "no", "strategy": "per-label", "real": {"model": "no/such.pt"}},
        {"name": "yes", "strategy": "per-label"},
    ]
    done = measured(planted({"row": rows}), photos)
    assert {done.table.rows[cell.row].name for cell in done.failed} == {"no"}
    assert number(done, "yes", "seen")["ours"] > 0.95


def test_missing_data_mean_scenes_or_an_error(photos: Path, tmp_path: Path) -> None:
    heard: list[str] = []
    only = planted({"row": [{"name": "w", "strategy": "per-label"}]})
    with heard_by(heard.append):
        done = measured(only, photos, root=tmp_path)
    assert done.on == "scenes"
    assert heard[0].startswith("measured on scenes, because real data of planted are missing: ")
    assert str(tmp_path) in heard[0]
    assert not any(record["comparable"] for record in done.records())
    assert "ours on scenes" in terminal_table(done)
    assert any("not comparable" in note for note in done.notes)
    asked = measured(planted(), photos, root=tmp_path, on="real")
    assert len(asked.failed) == 4
    assert all(str(tmp_path) in cell.error for cell in asked.failed)


def test_columns_without_data_are_left_out_where_others_have_theirs(photos: Path) -> None:
    columns = [PLAN["table"][0]["column"][0], {"name": "voc", "real": {"test": "voc test"}}]
    heard: list[str] = []
    with heard_by(heard.append):
        done = measured(planted({"column": columns}), photos, epochs=1)
    assert done.on == "real"
    assert heard[0].startswith("left out: ")
    assert not done.failed
    assert number(done, "words", "voc")["ours"] is None
    assert "VOC" in number(done, "words", "voc")["error"] or "voc" in number(done, "words", "voc")["error"]


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"on": "moon"}, UnknownName, "unknown ground 'moon'"),
        ({"seeds": 0}, UsageError, "seeds of at least 1"),
        ({"epochs": 0}, UsageError, "epochs of at least 1"),
        ({"limit": 0}, UsageError, "limit of at least 1"),
        ({"table": "clip-decoder-los"}, UnknownName, "Did you mean 'clip-decoder-loss'"),
    ],
)
def test_invalid_arguments_are_refused(options: dict[str, Any], kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind, match=reason):
        reproduce(**({"table": "adds-1"} | options))


# random texts as a control


def test_random_texts_keep_images_and_nothing_of_the_words() -> None:
    encoder = SpatialPlanted()
    control = RandomTexts(encoder)
    texts = [f"a photo of a {label}" for label in LABELS]
    found = control.encode_texts(texts)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(found @ found.T - np.eye(len(LABELS))).max() < 0.35  # 5.6 standard deviations of 1/sqrt(256)
    assert np.array_equal(control.encode_texts(texts[::-1]), found[::-1])
    assert not np.allclose(RandomTexts(encoder, seed=1).encode_texts(texts), found)
    assert control.fingerprint not in (encoder.fingerprint, RandomTexts(encoder, seed=1).fingerprint)
    assert isinstance(control, SpatialEncoder)
    assert control.token_shape == encoder.token_shape


def test_random_texts_of_a_model_without_tokens_have_none() -> None:
    assert not isinstance(RandomTexts(PlantedEncoder()), SpatialEncoder)


def test_random_texts_rank_unseen_labels_by_chance(photos: Path) -> None:
    rows = [{"name": "random", "strategy": "per-label", "texts": "random"}]
    done = measured(planted({"row": rows}), photos)
    assert number(done, "random", "seen")["ours"] < 0.6


# the command


def test_the_command_lists_the_tables(cli: Cli) -> None:
    done = cli("reproduce")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(tables())
    assert json.loads(cli("reproduce", "--json").stdout)["tables"]["adds-7"] == find_table("adds-7").about


@pytest.mark.slow
def test_a_table_by_the_command(cli: Cli, tmp_path: Path) -> None:
    options = ("--limit", "80", "--epochs", "1", "--out", "made", "--device", "cpu")
    done = cli("reproduce", "coco-captions-methods", *options)
    assert done.returncode == 0, done.stderr
    assert "measured on scenes, because real data of coco-captions-methods are missing: " in done.stderr.splitlines()[0]
    assert "4/4" in done.stderr
    assert "ours on scenes" in done.stdout
    assert re.search(r"^MLP on both +90\.2 +\d+\.\d +\d+\.\d$", done.stdout, re.MULTILINE)
    assert re.search(r"^MUTAN +– +\d+\.\d +\d+\.\d$", done.stdout, re.MULTILINE)
    assert "not comparable with published" in done.stdout
    assert "scenes settings: at most 1 epoch, batch size 56, patience 5" in done.stdout
    saved = json.loads((tmp_path / "made/coco-captions-methods.json").read_text())
    ours = [row for row in saved["rows"] if row["ours"] is not None]
    assert len(ours) == 8  # of two metrics
    assert all(0 <= row["ours"] < 1 and not row["comparable"] for row in ours)
    assert (tmp_path / "made/coco-captions-methods.md").read_text().count("\n| ") >= 4


def test_the_command_refuses_in_one_line(cli: Cli) -> None:
    done = cli("reproduce", "mmm-clip-22")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: unknown table 'mmm-clip-22'. Did you mean 'mmm-clip-2'?")
    assert len(done.stderr.splitlines()) == 1


def test_requested_real_data_that_are_missing_are_an_error(cli: Cli) -> None:
    done = cli("reproduce", "adds-1", "--on", "real")
    assert done.returncode == 1
    assert "failed: ADDS, ViT-L, 224, MS-COCO: expected " in done.stdout
    assert done.stderr.splitlines()[-1] == "error: expected 5 measurements, 5 failed; the reasons are above"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_killed_and_resumed_by_the_command(cli: Cli, tmp_path: Path) -> None:
    options = (
        "reproduce",
        "coco-captions-warm-up",
        "--limit",
        "60",
        "--epochs",
        "8",
        "--device",
        "cpu",
        "--out",
        "made",
    )
    victim = subprocess.Popen(
        command(*options), cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while not list(tmp_path.rglob("result.json")) and time.monotonic() < until and victim.poll() is None:
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("result.json")}
    assert len(first) == 1
    done = cli(*options, "--json")
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in first} == first
    assert len(list(tmp_path.rglob("result.json"))) == 2
    printed = json.loads(done.stdout)
    written = json.loads((tmp_path / "made/coco-captions-warm-up.json").read_text())
    assert written == {"zsprompt": "reproduction", **printed}
    assert all(row["ours"] is not None for row in printed["rows"])
