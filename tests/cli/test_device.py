"""--device cuda without a GPU: refused by every command, before any work, even where stored embeddings would do."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from command_line import Cli
from fakes import draw_files

from zsprompt.cli.app import COMMANDS
from zsprompt.data import registry

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
]

ON = "--dataset folder --root {photos} --model tiny"
LINES = {
    "run": f"run --strategy per-label {ON}",
    "predict": "predict {photos} --labels cat,dog --model tiny",
    "ablate": f"ablate --strategy per-label {ON} --out t",
    "thresholds": f"thresholds {ON} --out t.json",
    "thresholds of images": "thresholds {photos} --labels cat,dog --model tiny --expect 0.5 --out t.json",
    "caption-labels": f"caption-labels --strategy top-all {ON} --captions scenes --dry-run",
    "caption-labels of labels": "caption-labels --labels cat,dog --model tiny --captions scenes --dry-run",
    "train": f"train --adapter knn,k=1 {ON} --validation 0 --out a",
    "reproduce": "reproduce adds-1 --on scenes --limit 20 --epochs 1",
}
"""Every command with --device."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    sets = [("cat",) if i % 2 else ("dog",) for i in range(8)]
    draw_files(folder, sets)
    with (folder / "labels.csv").open("w", newline="") as file:
        rows = [[f"{i:04}.png", *(int(c in present) for c in ("cat", "dog"))] for i, present in enumerate(sets)]
        csv.writer(file).writerows([["image", "cat", "dog"], *rows])
    return folder


def test_every_command_with_a_device_is_tried() -> None:
    from typer.main import get_command

    from zsprompt.cli import app

    with_device = {
        name
        for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
        if name in COMMANDS and any("--device" in one.opts for one in command.params)
    }
    assert with_device == {line.split()[0] for line in LINES.values()}


@pytest.mark.parametrize("name", LINES)
def test_a_gpu_that_is_missing_is_said_before_any_work(
    name: str, photos: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "load_dataset", None)  # nothing is loaded
    before = set(tmp_path.iterdir())
    done = cli(*LINES[name].format(photos=photos).split(), "--device", "cuda")
    assert done.returncode == 1
    assert "expected a CUDA GPU for --device cuda, torch found none; use --device cpu or auto" in done.stderr
    made = {path.name for path in set(tmp_path.iterdir()) - before}
    assert made <= ({"t"} if name == "ablate" else set())


@pytest.mark.parametrize("name", ["run", "predict"])
def test_stored_embeddings_need_no_gpu_and_yet_it_is_said(name: str, photos: Path, cli: Cli) -> None:
    line = LINES[name].format(photos=photos).split()
    assert cli(*line).returncode == 0
    done = cli(*line, "--device", "cuda")
    assert (done.returncode, done.stdout) == (1, "")
    assert "torch found none" in done.stderr


def test_the_device_of_an_adapter_is_checked_before_images_are_embedded(photos: Path, cli: Cli) -> None:
    planted = ("--model", "fakes:PlantedEncoder")
    on = ("--dataset", "folder", "--root", photos, *planted)
    made = cli("train", "--adapter", "knn,k=1", *on, "--validation", 0, "--out", "a")
    assert made.returncode == 0, made.stderr
    done = cli("run", "--strategy", "adapter:a,device=cuda", *on)
    assert "torch found none" in done.stderr
