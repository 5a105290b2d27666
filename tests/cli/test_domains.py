"""Models and adapters on images or labels that they were not trained on: every command warns, by one mechanism."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from chat_server import ChatServer
from command_line import Cli
from fakes import PlantedEncoder, draw_files
from trees import small

from zsprompt.data.dataset import PHOTOGRAPHS, SCENES
from zsprompt.encoders import ENCODERS, OfDomain, load_encoder
from zsprompt.encoders.base import another_domain
from zsprompt.encoders.clip.tiny import Tiny
from zsprompt.encoders.conse.encoder import Conse
from zsprompt.encoders.random_texts import RandomTexts

pytestmark = pytest.mark.usefixtures("one_thread")

WARNING = "model tiny was trained on drawn scenes only, so its scores for photographs mean little"
LABELLED = "--dataset folder --root {photos} --model tiny"
SCENES_9 = "--dataset scenes,split=test:9"


class OfPhotographs(PlantedEncoder):
    """A planted encoder that says what it was trained on."""

    domain = PHOTOGRAPHS


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in files, with labels that scenes have too."""
    folder = tmp_path_factory.mktemp("world") / "photos"
    sets = [("cat",) if i % 2 else ("dog", "cat") if i % 3 else ("dog",) for i in range(12)]
    draw_files(folder, sets)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [[f"{i:04}.png", *(int(c in present) for c in ("cat", "dog"))] for i, present in enumerate(sets)]
        csv.writer(file).writerows([["image", "cat", "dog"], *rows])
    return folder


LINES = {
    "run": f"run --strategy per-label {LABELLED}",
    "run a pyramid": "run --strategy per-label --dataset folder --root {photos} --model pyramid,d=1:tiny",
    "predict": "predict {photos} --labels cat,dog --model tiny",
    "predict as JSON": "predict {photos} --labels cat,dog --model tiny --json",
    "predict to a file": "predict {photos} --labels cat,dog --model tiny --out made.csv",
    "thresholds by targets": f"thresholds {LABELLED} --out t.json",
    "thresholds by expectation": "thresholds {photos} --labels cat,dog --model tiny --expect 0.5 --out t.json",
    "caption-labels": f"caption-labels --strategy top-all {LABELLED} --dry-run --llm url={{url}},model=m",
    "train": f"train --adapter knn,k=1 {LABELLED} --validation 0 --out a",
}
"""Commands that embed images, with tiny on images that are no drawn scenes."""


@pytest.fixture(scope="module")
def url() -> object:
    with ChatServer() as server:
        yield server.url


@pytest.mark.parametrize("name", LINES)
def test_tiny_on_images_from_files_is_warned_of_once(name: str, photos: Path, url: str, cli: Cli) -> None:
    done = cli(*LINES[name].format(photos=photos, url=url).split())
    assert done.returncode == 0, done.stderr
    line = WARNING.replace("model tiny", "model pyramid,d=1:tiny") if "pyramid" in name else WARNING
    assert done.stderr.splitlines().count(line) == 1


@pytest.mark.parametrize(
    "line",
    [
        f"run --strategy per-label {SCENES_9}",
        f"thresholds {SCENES_9} --out t.json --rule per-label,folds=2",
        "train --adapter knn,k=1 --dataset scenes,split=train:30 --validation 0 --labels person,dog,cat --out a",
    ],
)
def test_tiny_on_scenes_is_not_warned_of(line: str, cli: Cli) -> None:
    done = cli(*line.split())
    assert done.returncode == 0, done.stderr
    assert "trained on" not in done.stderr


def test_results_hold_the_warning(photos: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli(*LINES["run"].format(photos=photos).split(), "--json")
    assert WARNING in json.loads(done.stdout)["warnings"]
    done = cli(*LINES["predict"].format(photos=photos).split(), "--json")
    assert WARNING in json.loads(done.stdout)["warnings"]
    done = cli("ablate", "--strategy", "per-label", *LABELLED.format(photos=photos).split(), "--out", "t")
    (result,) = (tmp_path / "t" / "rows").glob("*/result.json")
    assert WARNING in json.loads(result.read_text())["warnings"]


def test_a_model_of_photographs_on_scenes_is_warned_of(cli: Cli) -> None:
    done = cli("run", "--strategy", "per-label", *SCENES_9.split(), "--model", "test_domains:OfPhotographs")
    assert "model planted was trained on photographs only, so its scores for drawn scenes mean little" in done.stderr


def test_an_adapter_of_scenes_on_images_from_files_is_warned_of(photos: Path, cli: Cli) -> None:
    planted = ("--model", "fakes:PlantedEncoder")
    made = cli(
        *("train", "--adapter", "knn,k=1", "--dataset", "scenes,split=train:30", "--labels", "cat,dog", *planted),
        *("--validation", 0, "--out", "a"),
    )
    assert made.returncode == 0, made.stderr
    for line in (
        f"run --strategy adapter:a --dataset folder --root {photos}",
        f"predict {photos} --strategy adapter:a",
        f"predict {photos} --strategy normalised:adapter:a --labels cat,dog,car,sofa",
    ):
        done = cli(*line.split(), *planted)
        if "normalised" in line:
            assert "expected the 2 labels" in done.stderr
        else:
            assert done.returncode == 0, done.stderr
            assert "the adapter was trained on drawn scenes, so its scores for photographs mean little" in done.stderr


def test_labels_that_an_adapter_never_saw_are_named(photos: Path, cli: Cli) -> None:
    planted = ("--model", "fakes:PlantedEncoder", "--device", "cpu")
    made = cli(
        *("train", "--adapter", "mld,heads=2,feed_forward=8", "--dataset", "folder", "--root", photos, *planted),
        *("--validation", 0, "--schedule", "epochs=1", "--out", "a"),
    )
    assert made.returncode == 0, made.stderr
    done = cli("predict", photos, "--strategy", "adapter:a", *planted, "--labels", "cat, sofa, car", "--json")
    assert done.returncode == 0, done.stderr
    assert "the adapter was trained without 2 of 3 labels: sofa, car" in json.loads(done.stdout)["warnings"]
    own = cli("predict", photos, "--strategy", "adapter:a", *planted)
    assert "trained without" not in own.stderr


def test_domains_are_those_that_data_sets_have() -> None:
    for kind in (Tiny, Conse):
        assert kind.domain in (PHOTOGRAPHS, SCENES)
    assert small().domain == PHOTOGRAPHS
    assert set(ENCODERS) >= {"tiny", "conse"}


@pytest.mark.parametrize("name", ["tiny", "pyramid,d=1:tiny"])
def test_what_wraps_an_encoder_has_its_domain(name: str) -> None:
    encoder = load_encoder(name, device="cpu")
    assert isinstance(encoder, OfDomain)
    assert encoder.domain == SCENES
    assert len(list(another_domain(RandomTexts(encoder), PHOTOGRAPHS))) == 1
    assert not list(another_domain(RandomTexts(PlantedEncoder()), PHOTOGRAPHS))
