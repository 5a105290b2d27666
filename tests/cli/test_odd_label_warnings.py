"""Labels that look unlike names: every command that takes labels warns of them, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Cli
from fakes import draw_files
from trees import png, save_image, tar, write

PLANTED = ("--model", "fakes:PlantedEncoder")
SETS = [("cat",), ("dog",), ("cat", "dog"), (), ("dog",), ("cat",), ("dog",), ("cat",)]
ODD = "label 'nan' ({where}) looks like a missing value; leave the cell empty"
RUN = ("--strategy", "per-label", "--dataset", "list", "--root", "photos", *PLANTED)

COMMANDS = {
    "run": ("run", *RUN),
    "predict": ("predict", "photos", "--labels", "@words.txt", *PLANTED),
    "thresholds of a data set": ("thresholds", *RUN, "--out", "t.json"),
    "thresholds of images": ("thresholds", "photos", "--labels", "@words.txt", *PLANTED, "--out", "t.json"),
    "ablate": ("ablate", *RUN, "--out", "table"),
    "train": ("train", "--adapter", "fc", "--schedule", "epochs=1", *RUN[2:], "--out", "adapter"),
    "caption-labels": ("caption-labels", "--labels", "@words.txt", "--dry-run", "--captions", "scenes", *PLANTED),
    "write-prompts": ("write-prompts", "random-words", "--labels", "@words.txt", "--out", "p.toml"),
    "data check": ("data", "check", "list", "--root", "photos"),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Eight images with a list whose third row says nan, and a file of labels with nan in line 2."""
    draw_files(tmp_path / "photos", SETS)
    names = ["cat", "dog", "nan", "", "dog", "cat", "dog", "cat"]
    rows = "".join(f"{n:04}.png,{name}\n" for n, name in enumerate(names))
    write(tmp_path / "photos" / "labels.csv", f"image,labels\n{rows}")
    write(tmp_path / "words.txt", "cat\nnan\ndog\n")
    return tmp_path / "photos"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_warns_with_the_line_and_goes_on(name: str, photos: Path, cli: Cli) -> None:
    done = cli(*COMMANDS[name])
    assert done.returncode == 0, done.stderr
    shown = done.stdout if name == "data check" else done.stderr
    where = "words.txt, line 2" if "@words.txt" in COMMANDS[name] else "labels.csv, line 4"
    assert shown.count(ODD.format(where=where)) == 1


def test_the_recipe_of_a_result_keeps_the_warning(photos: Path, cli: Cli, tmp_path: Path) -> None:
    done = cli(*COMMANDS["run"], "--json", "--out", "out")
    text = ODD.format(where="labels.csv, line 4")
    assert text in json.loads(done.stdout)["warnings"]
    assert text in json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["notes"]


def test_data_check_shows_the_guess_in_json(tmp_path: Path, cli: Cli) -> None:
    tar(tmp_path / "s" / "0.tar", [("a.png", png()), ("a.cls", b"17"), ("b.png", png(noise=1)), ("b.cls", b"'dog'")])
    done = cli("data", "check", "shards", "--root", "s", "--json")
    assert json.loads(done.stdout)["odd_labels"] == [
        {"label": "17", "place": "0.tar, sample a", "looks_like": "a class number", "perhaps": []},
        {
            "label": "'dog'",
            "place": "0.tar, sample b",
            "looks_like": "a name with quotes, brackets or separators left over",
            "perhaps": ["dog"],
        },
    ]
    assert "one per line in classnames.txt" in cli("data", "check", "shards", "--root", "s").stdout


def test_names_that_a_run_translates_are_no_fault_of_the_check(tmp_path: Path, cli: Cli) -> None:
    """`data check` counts labels as spelt in the files, but judges them as a run would use them."""
    save_image(tmp_path / "s" / "n02084071" / "a.png")
    save_image(tmp_path / "s" / "red_fox" / "b.png", noise=1)
    shown = cli("data", "check", "image-folders", "--root", "s").stdout
    assert "label 'n02084071' (folder n02084071) looks like a WordNet id" in shown
    assert "red_fox" in shown
    assert "underscores" not in shown
    write(tmp_path / "s" / "classes.txt", "n02084071 dog\n")
    assert "looks like" not in cli("data", "check", "image-folders", "--root", "s").stdout


def test_labels_that_are_names_are_not_warned_of(photos: Path, cli: Cli) -> None:
    done = cli("predict", photos, "--labels", "cat, dog, traffic light", *PLANTED)
    assert "look" not in done.stderr
