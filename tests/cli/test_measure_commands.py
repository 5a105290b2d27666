"""ablate, thresholds and report by the real command line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli, command, environment, one_line
from fakes import LABELS, draw_files

PLANTED = ("--model", "fakes:PlantedEncoder")
COUNT = 24


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Drawn pictures with a labels CSV that has two splits."""
    folder = tmp_path / "photos"
    random = np.random.default_rng(0)
    sets = [tuple(label for label in LABELS if random.random() < 0.25) for _ in range(COUNT)]
    draw_files(folder, sets)
    rows = [[f"{i:04}.png", ("a", "b")[i % 2], *(int(c in present) for c in LABELS)] for i, present in enumerate(sets)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "split", *LABELS], *rows])
    return folder


def on(photos: Path, *options: object) -> list[object]:
    return ["--dataset", "folder", "--root", photos, *PLANTED, *options]


# ablate


def test_ablate_multiplies_its_options(photos: Path, cli: Cli, tmp_path: Path) -> None:
    axes = ("--strategy", "per-label", "--strategy", "yes-or-no", "--prompts", "bare", "--prompts", "photo")
    done = cli("ablate", *axes, *on(photos), "--out", "table")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["row", "strategy", "prompts", "mAP"]
    assert [line.split()[1:3] for line in lines[1:5]] == [
        ["per-label", "bare"],
        ["per-label", "photo"],
        ["yes-or-no", "bare"],
        ["yes-or-no", "photo"],
    ]
    assert "4/4  row 4: yes-or-no photo" in done.stderr
    table = sorted(path.name for path in (tmp_path / "table").iterdir())
    assert table == ["ablation.csv", "ablation.json", "ablation.md", "ablation.tex", "rows"]
    again = cli("ablate", *axes, *on(photos), "--out", "table", "--json")
    kept = json.loads((tmp_path / "table/ablation.json").read_text())
    assert kept == {"zsprompt": "ablation"} | json.loads(again.stdout)


def test_ablate_with_a_plan(photos: Path, cli: Cli, tmp_path: Path) -> None:
    plan = f'[all]\ndataset = "folder"\nroot = "{photos}"\nmodel = "{PLANTED[1]}"\n'
    (tmp_path / "plan.toml").write_text(plan + '[[row]]\nstrategy = ["per-label", "top-all"]\nsplit = "b"\n')
    done = cli("ablate", "--plan", "plan.toml", "--out", "t", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["strategy"], row["split"], row["images"]) for row in rows] == [
        ("per-label", "b", COUNT // 2),
        ("top-all", "b", COUNT // 2),
    ]


def test_failed_rows_are_told_of_and_the_status_is_1(photos: Path, cli: Cli) -> None:
    done = cli("ablate", "--strategy", "top-all", "--prompts", "bare", "--prompts", "adds", *on(photos), "--out", "t")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: expected 2 rows, 1 failed: 2; the reasons are above"
    assert "has no [set]" in done.stderr
    assert "failed" in done.stdout.splitlines()[2]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "t"], "expected --strategy once or more"),
        (["--out", "t", "--strategy", "top-all"], "expected --dataset once or more"),
        (["--out", "t", "--plan", "none.toml"], "cannot read plan none.toml"),
        (
            ["--out", "t", "--plan", "x.toml", "--strategy", "top-all"],
            "ablate --plan does not use --strategy: the rows are those of the plan",
        ),
        (["--out", "photos/0000.png", "--strategy", "top-all", "--dataset", "scenes"], "cannot write folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_ablate_refuses_in_one_line(photos: Path, cli: Cli, options: list[str], said: str) -> None:
    done = cli("ablate", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_ablation_goes_on_where_it_was(photos: Path, cli: Cli, tmp_path: Path) -> None:
    axes = ("--strategy", "per-label", "--strategy", "yes-or-no", "--strategy", "top-all", "--strategy", "list-all")
    line = command(
        "ablate", *axes, *on(photos), "--out", "t", "--cache", tmp_path / "c", "--device", "auto,batch_size=4"
    )
    killed = subprocess.Popen(
        line, cwd=tmp_path, env=environment() | {"FAKE_SECONDS": "0.05"}, stderr=subprocess.PIPE, text=True
    )
    assert killed.stderr
    for told in killed.stderr:
        if told.startswith("2/4"):
            break
    time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert not (tmp_path / "t/ablation.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "t/rows").glob("*/row.json")}
    assert len(finished) >= 2
    done = cli(*line[1:])
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    whole = cli(*[part if part != "t" else "undisturbed" for part in line[1:]], "--json")
    skip = {"folder", "seconds_cold", "seconds_warm", "seconds_images", "texts_encoded", "images_embedded"}
    tables = [json.loads((tmp_path / "t/ablation.json").read_text()), json.loads(whole.stdout)]
    first, second = ([{k: v for k, v in row.items() if k not in skip} for row in table["rows"]] for table in tables)
    assert first == second


# thresholds


def test_thresholds_of_one_split_decide_on_another(photos: Path, cli: Cli, tmp_path: Path) -> None:
    made = cli("thresholds", *on(photos, "--split", "a"), "--rule", "per-label,calibrate=platt", "--out", "t.json")
    assert made.returncode == 0, made.stderr
    assert "out of fold" in made.stdout
    assert made.stdout.splitlines()[0].split() == ["label", "threshold", "positives", "precision", "recall", "F1"]
    same = ("--strategy", "softmax:per-label", "--thresholds", "t.json")
    done = cli("run", *on(photos, "--split", "b"), *same, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["recipe"]["supervision"] == "tuned"
    assert 0 <= result["calibration_error"] <= 1
    assert (tmp_path / "run/probabilities.csv").exists()
    values = json.loads((tmp_path / "t.json").read_text())["thresholds"]
    with (tmp_path / "run/scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            said = {label for label, cut in zip(LABELS, values, strict=True) if cut and float(row[label]) > cut}
            assert said == set(filter(None, row["labels"].split("|")))


def test_predict_with_thresholds_takes_their_labels_and_says_probabilities(
    photos: Path, cli: Cli, tmp_path: Path
) -> None:
    cli("thresholds", *on(photos), "--rule", "calibrate=isotonic", "--out", "t.json")
    done = cli(
        "predict", photos / "0003.png", photos / "0004.png", *PLANTED, "--thresholds", "t.json", "--out", "p.csv"
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "labels", "error", *LABELS, *(f"probability of {label}" for label in LABELS)]
    assert all(0 <= float(row["probability of cat"]) <= 1 for row in rows)
    shown = cli("predict", photos, *PLANTED, "--thresholds", "t.json")
    assert " %" in shown.stdout
    answer = json.loads(cli("predict", photos, *PLANTED, "--thresholds", "t.json", "--json").stdout)
    assert set(answer["predictions"][0]["probabilities"]) == set(LABELS)


@pytest.mark.slow
def test_thresholds_of_llm_take_the_data_sets_own_captions(cli: Cli, tmp_path: Path) -> None:
    done = cli("thresholds", "--dataset", "scenes,limit=40", "--strategy", "llm", "--out", "t.json")
    assert done.returncode == 0, done.stderr
    rest = ("--dataset", "scenes", "--split", "train:20", "--strategy", "llm", "--thresholds", "t.json")
    assert json.loads(cli("run", *rest, "--json").stdout)["recipe"]["supervision"] == "tuned"


def test_thresholds_without_labels_are_stated_as_what_they_are(photos: Path, cli: Cli, tmp_path: Path) -> None:
    words = ("--labels", ",".join(LABELS))
    done = cli("thresholds", photos, *words, *PLANTED, "--expect", "2", "--out", "t.json")
    assert done.returncode == 0, done.stderr
    assert "for 2 labels per image on average; chosen on 24 images" in done.stdout
    assert "how accurate they are is unknown" in done.stderr
    assert "micro F1" not in done.stdout
    answer = json.loads(cli("predict", photos, *PLANTED, "--thresholds", "t.json", "--json").stdout)
    assert sum(len(one["labels"]) for one in answer["predictions"]) == pytest.approx(
        2 * COUNT, abs=8
    )  # equal scores stand or fall together
    shared = cli("thresholds", photos, *words, *PLANTED, "--expect", "share=0.25", "--out", "s.json")
    assert "for 25 % of the images per label" in shared.stdout
    guessed = cli("thresholds", photos, *words, *PLANTED, "--out", "g.json")
    assert "1.5 labels per image on average" in guessed.stdout


REFUSED = {
    "another strategy": (["--strategy", "top-all", "--thresholds", "t.json"], "for strategy top-all"),
    "another prompt set": (["--prompts", "bare", "--thresholds", "t.json"], "with prompts bare"),
    "other labels": (["--labels", "cat, wolf", "--thresholds", "t.json"], "found also wolf and no"),
    "both": (["--threshold", "1", "--thresholds", "t.json"], "found both"),
    "no file": (["--thresholds", "none.json"], "found none"),
    "no such kind": (["--thresholds", "photos/labels.csv"], "cannot read thresholds file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_thresholds_that_do_not_fit_are_refused(what: str, photos: Path, cli: Cli) -> None:
    cli("thresholds", *on(photos), "--out", "t.json")
    options, said = REFUSED[what]
    done = cli("predict", "photos", *options, *PLANTED)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)


def test_a_run_on_pictures_that_thresholds_were_chosen_on_is_refused(photos: Path, cli: Cli) -> None:
    cli("thresholds", *on(photos, "--split", "a"), "--out", "t.json")
    done = cli("run", *on(photos), "--strategy", "softmax:per-label", "--thresholds", "t.json")
    assert "found 12 of the 24 images of photos all among those they were chosen on" in one_line(done.stderr)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "found neither or both"),
        (["photos", "--dataset", "folder"], "found neither or both"),
        (["photos"], "expected --labels"),
        (["photos", "--labels", "cat, dog", "--expect", "2"], "labels per image above 0 and below 2"),
        (
            ["photos", "--labels", "cat, dog", "--expect", "1,share=0.1"],
            "labels per image or share for --expect, found both",
        ),
        (["photos", "--labels", "cat, dog", "--expect", "share=1"], "share of images within (0, 1)"),
        (
            ["--dataset", "folder", "--root", "photos", "--rule", "per-label,precision=2"],
            "precision above 0 and at most 1",
        ),
        (["--dataset", "folder,limit=3", "--root", "photos"], "5 folds for 3"),
        (["--dataset", "folder,limit=1", "--root", "photos"], "5 folds for 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_thresholds_refuses_in_one_line(photos: Path, cli: Cli, options: list[str], said: str, tmp_path: Path) -> None:
    done = cli("thresholds", *options, *PLANTED, "--out", "t.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)
    assert not (tmp_path / "t.json").exists()


# report


@pytest.fixture
def runs(photos: Path, cli: Cli, tmp_path: Path) -> Path:
    """Two runs in the folders a and b."""
    for name, strategy in (("a", "per-label,threshold=3.5"), ("b", "yes-or-no")):
        assert cli("run", "--strategy", strategy, *on(photos), "--out", name).returncode == 0
    return tmp_path


def test_report_makes_a_page_of_a_run(runs: Path, cli: Cli) -> None:
    done = cli("report", "a")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "wrote the page a/report.html, and its figures to a/report-figures\n"
    assert done.stdout.splitlines()[0].split()[:2] == ["label", "AP"]
    page = (runs / "a/report.html").read_text()
    assert "per-label,threshold=3.5 (photo) on photos all" in page
    assert "data:image/webp" in page
    assert len(list((runs / "a/report-figures").glob("*.svg"))) == 5
    printed = json.loads(cli("report", "a", "--json").stdout)
    assert {"zsprompt": "result"} | printed == json.loads((runs / "a/result.json").read_text())


def test_report_of_two_runs_says_what_changed(runs: Path, cli: Cli) -> None:
    done = cli("report", "a", "b", "--out", "changes.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split()[:4] == ["label", "first", "second", "change"]
    assert "became right" in done.stdout
    assert "yes-or-no (seed-paper) against per-label,threshold=3.5 (photo)" in (runs / "changes.html").read_text()
    assert (runs / "changes-figures/changes.svg").exists()
    facts = json.loads(cli("report", "a", "b", "--json").stdout)
    assert set(facts) == {"mAP", "ap", "flips", "first", "second"}


@pytest.mark.slow
def test_report_makes_a_page_of_an_ablation(photos: Path, cli: Cli, tmp_path: Path) -> None:
    cli(
        "ablate",
        "--strategy",
        "per-label",
        "--strategy",
        "top-all",
        "--strategy",
        "nonsense",
        *on(photos),
        "--out",
        "t",
    )
    done = cli("report", "t")
    assert (done.returncode, done.stdout) == (0, "3 rows, 1 failed\n"), done.stderr
    page = (tmp_path / "t/report.html").read_text()
    assert "Ablation of 3 rows" in page
    assert page.count("failed: unknown strategy") >= 2  # in the bars and in the table
    rows = next((tmp_path / "t/rows").glob("top-all*"))
    assert cli("report", rows).returncode == 0
    shutil.rmtree(rows)
    assert "expected a result folder at t/rows/top-all" in one_line(cli("report", "t").stderr)
    whole = json.loads((tmp_path / "t/ablation.json").read_text())
    for rows in ({}, {"rows": 3}, {"rows": []}, {"rows": [{"row": 1}]}, {"rows": [whole["rows"][0] | {"mAP": {}}]}):
        (tmp_path / "t/ablation.json").write_text(json.dumps(rows))
        assert "t/ablation.json" in one_line(cli("report", "t").stderr)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "expected a result folder at nowhere, found no such folder"),
        (["photos"], "found no result.json in it"),
        (["a", "nowhere"], "expected a result folder at nowhere"),
        (["a", "b", "a"], "expected one folder or two, found 3"),
        (["a", "--out", "no/such/folder/x.html"], "choose another place with --out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_report_refuses_in_one_line(runs: Path, cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("report", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in one_line(done.stderr)


def test_runs_that_cannot_be_compared_are_refused(runs: Path, photos: Path, cli: Cli) -> None:
    cli("run", "--strategy", "per-label", *on(photos, "--split", "a"), "--out", "c")
    assert "found different splits: all and a" in one_line(cli("report", "a", "c").stderr)


def test_the_table_of_run_has_bars_and_plain_ones_where_it_must(photos: Path, cli: Cli) -> None:
    arguments = ("run", "--strategy", "per-label", *on(photos))
    assert "██████████" in cli(*arguments).stdout
    plain = cli(*arguments, env={"PYTHONIOENCODING": "ascii"}).stdout
    assert "##########" in plain
    assert "\\u2588" not in plain
