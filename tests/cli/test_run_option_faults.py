"""Options of a run that a command once ignored, lacked, or passed on to the wrong place."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer
from command_line import Cli, one_line
from fakes import LABELS, draw_files

from zsprompt.experiments.spec import Resources, RunSpec
from zsprompt.strategies import Adapter

pytestmark = pytest.mark.usefixtures("one_thread")

PLANTED = ("--model", "fakes:PlantedEncoder")
COUNT = 40


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Drawn images with a labels CSV and a caption for each."""
    folder = tmp_path / "photos"
    random = np.random.default_rng(3)
    sets = [tuple(label for label in LABELS if random.random() < 0.3) for _ in range(COUNT)]
    draw_files(folder, sets)
    rows = [[f"{i:04}.png", *(int(c in present) for c in LABELS)] for i, present in enumerate(sets)]
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", *LABELS], *rows])
    with (folder / "captions.csv").open("w", newline="") as file:
        texts = [[f"{i:04}.png", " and ".join(present) or "nothing"] for i, present in enumerate(sets)]
        csv.writer(file).writerows([["image", "caption"], *texts])
    return folder


def on(photos: Path, *options: object) -> list[object]:
    return ["--dataset", "folder", "--root", photos, *PLANTED, *options]


def train(cli: Cli, photos: Path, adapter: str, *options: object) -> None:
    """Train an adapter into the folder "adapter"."""
    done = cli(
        "train", "--adapter", adapter, *on(photos, "--device", "cpu"), "--validation", 0, *options, "--out", "adapter"
    )
    assert done.returncode == 0, done.stderr


# -- thresholds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (("--labels", "dog, cat"), ("dog", "cat")),
        (("--without", "cat,dog"), tuple(x for x in LABELS if x not in ("cat", "dog"))),
    ],
    ids=["labels", "without"],
)
def test_thresholds_of_a_data_set_are_of_the_labels_asked_for(
    options: tuple[str, str], labels: tuple[str, ...], photos: Path, cli: Cli, tmp_path: Path
) -> None:
    done = cli("thresholds", *on(photos, *options), "--out", "t.json", "--json")
    assert done.returncode == 0, done.stderr
    assert tuple(json.loads((tmp_path / "t.json").read_text())["labels"]) == labels


@pytest.mark.parametrize("expectation", ["1.2", "share=0.1"])
def test_an_expectation_next_to_targets_is_refused(expectation: str, photos: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli("thresholds", *on(photos), "--expect", expectation, "--out", "t.json")
    assert "thresholds with --dataset does not use --expect: it chooses by the targets" in one_line(done.stderr)
    assert not (tmp_path / "t.json").exists()


def test_the_old_share_next_to_targets_is_refused(photos: Path, cli: Cli) -> None:
    notice, refusal = cli("thresholds", *on(photos), "--share", 0.1, "--out", "t.json").stderr.splitlines()
    assert notice.startswith("note: ")
    assert refusal.startswith("error: thresholds with --dataset does not use --share: it chooses by the targets")


def test_a_rule_without_targets_is_refused(photos: Path, cli: Cli) -> None:
    done = cli("thresholds", photos, "--labels", "cat,dog", *PLANTED, "--rule", "global", "--out", "t.json")
    assert "thresholds of unlabelled images does not use --rule: images have no targets" in one_line(done.stderr)


def test_thresholds_of_an_adapter_that_reads_captions_take_a_file(photos: Path, cli: Cli, tmp_path: Path) -> None:
    captions = ("--image-captions", photos / "captions.csv")
    train(cli, photos, "fusion,hidden=8", *captions, "--schedule", "epochs=1")
    options = on(photos, "--strategy", "adapter:adapter", "--out", "t.json")
    assert "-captions FILE" in one_line(cli("thresholds", *options).stderr)
    done = cli("thresholds", *options, *captions)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "t.json").exists()


# -- ablate ------------------------------------------------------------------------------------------------------


def rows(cli: Cli, tmp_path: Path, *options: object) -> list[dict[str, object]]:
    """result.json of each row of an ablation, by what its run was given."""
    done = cli("ablate", *options, "--out", "table")
    assert done.returncode == 0, done.stderr
    return [json.loads(path.read_text()) for path in sorted((tmp_path / "table" / "rows").glob("*/result.json"))]


def test_ablate_takes_labels_and_leaves_labels_out(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (one,) = rows(cli, tmp_path, "--strategy", "per-label", *on(photos, "--labels", "dog, cat, car"))
    assert list(one["ap"]) == ["dog", "cat", "car"]
    both = rows(cli, tmp_path, "--strategy", "per-label", *on(photos, "--without", "dog", "--without", "cat,dog"))
    assert sorted(len(row["ap"]) for row in both) == [3, len(LABELS) - 2, len(LABELS) - 1]  # with the row of before


def test_ablate_takes_captions_of_images(photos: Path, cli: Cli, tmp_path: Path) -> None:
    captions = ("--image-captions", photos / "captions.csv")
    train(cli, photos, "fusion,hidden=8", *captions, "--schedule", "epochs=1")
    (one,) = rows(cli, tmp_path, "--strategy", "adapter:adapter", *on(photos, *captions))
    assert one["recipe"]["run"]["image_captions"] == str(photos / "captions.csv")


def test_the_device_of_an_ablation_is_that_of_its_adapters(photos: Path, cli: Cli, tmp_path: Path) -> None:
    train(cli, photos, "knn,k=3")
    (one,) = rows(cli, tmp_path, "--strategy", "normalised:adapter:adapter", *on(photos, "--device", "cpu"))
    assert one["recipe"]["run"]["device"] == "cpu"
    row = RunSpec(f"normalised:adapter:{tmp_path / 'adapter'}", "folder", root=str(photos), device="cpu")
    inner = row_strategy(row, tmp_path)
    assert (type(inner), inner.device) == (Adapter, "cpu")
    own = row_strategy(RunSpec(f"normalised:adapter:{tmp_path / 'adapter'},device=cuda", device="cpu"), tmp_path)
    assert own.device == "cuda"  # what a specification says is kept


def row_strategy(row: RunSpec, folder: Path) -> Adapter:
    """The adapter inside what a row measures."""
    resources = Resources(cache=folder / "cache", make_store=lambda model: None)  # type: ignore[arg-type, return-value]
    return row.resolve(resources).strategy.inner  # type: ignore[attr-defined, no-any-return]


# -- predict -----------------------------------------------------------------------------------------------------


def test_predict_takes_the_model_that_an_adapter_names(photos: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli(
        *("train", "--adapter", "knn,k=1", "--dataset", "scenes", "--split", "train:30", "--validation", 0),
        *("--labels", "person, dog, cat", "--device", "cpu", "--out", "adapter"),
    )
    assert done.returncode == 0, done.stderr
    said = cli("predict", photos / "0000.png", "--strategy", "adapter:adapter", "--device", "cpu", "--json")
    assert said.returncode == 0, said.stderr
    answer = json.loads(said.stdout)
    assert answer["recipe"]["model"] == "tiny"
    assert list(answer["predictions"][0]["scores"]) == ["person", "dog", "cat"]
    assert "download" not in said.stderr


def test_an_adapter_whose_model_has_no_name_asks_for_it_and_downloads_nothing(photos: Path, cli: Cli) -> None:
    train(cli, photos, "knn,k=1")
    refused = cli("predict", photos / "0000.png", "--strategy", "adapter:adapter")
    assert "expected the model planted that the adapter was trained on" in one_line(refused.stderr)
    assert cli("predict", photos / "0000.png", "--strategy", "adapter:adapter", *PLANTED).returncode == 0


# -- caption-labels and train ------------------------------------------------------------------------------------


def test_captions_are_planned_for_a_sample(photos: Path, cli: Cli) -> None:
    with ChatServer() as server:
        llm = ("--llm", f"url={server.url},model=captioner", "--dry-run", "--json")
        some, whole = (
            json.loads(cli("caption-labels", *on(photos, *sample), *llm).stdout) for sample in (("--sample", 4), ())
        )
        assert server.count == 0
    assert 0 < some["sets"] < whole["sets"]


def test_captions_are_planned_without_images_that_cannot_be_read(photos: Path, cli: Cli) -> None:
    (photos / "0001.png").write_bytes(b"")
    options = on(photos, "--captions", "scenes", "--dry-run")
    bound, refusal = cli("caption-labels", *options).stderr.splitlines(keepends=True)
    assert "there are at most" in bound
    assert "1 of 40" in one_line(refusal)
    done = cli("caption-labels", *options, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "left out 0001.png: empty file" in done.stderr


def test_train_learns_from_a_sample(photos: Path, cli: Cli) -> None:
    line = ("train", "--adapter", "knn,k=1", *on(photos, "--device", "cpu"), "--validation", 0, "--json")
    told = [
        json.loads(cli(*line, *sample, "--out", f"a{number}").stdout)["data"]
        for number, sample in enumerate((("--sample", "12,seed=1"), ("--dataset", "folder,sample=12,seed=1"), ()))
    ]
    assert [data["images"] for data in told] == [12, 12, COUNT]
    assert told[0] == told[1]


# -- thresholds of captions --------------------------------------------------------------------------------------


def test_thresholds_of_llm_decide_where_its_captions_come_from_a_server(photos: Path, cli: Cli, tmp_path: Path) -> None:
    with ChatServer() as server:
        llm = ("--strategy", "llm", "--llm", f"url={server.url},model=captioner", "--labels", "cat,dog,car")
        made = cli("thresholds", *on(photos, *llm), "--out", "t.json")
        assert made.returncode == 0, made.stderr
        said = cli("predict", photos / "0000.png", *PLANTED, *llm, "--thresholds", "t.json", "--json")
        assert said.returncode == 0, said.stderr
    recipe = json.loads(said.stdout)["recipe"]
    assert recipe["supervision"] == "tuned"
    assert recipe["strategy"].startswith("Thresholded(strategy=Llm(")
