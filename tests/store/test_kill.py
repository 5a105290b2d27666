"""SIGKILL at random moments: finished batches are never encoded again, and the result is the same."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Cli, command, environment
from fakes import LABELS, draw_files

from zsprompt._utils.byte_cache import ByteCache

BATCH = 4
IMAGES = 40


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty drawn images with a labels CSV, old enough to be identified by their file attributes."""
    folder = tmp_path_factory.mktemp("photos")
    chance = random.Random(1)
    sets = [chance.sample(LABELS, chance.randint(0, 3)) for _ in range(IMAGES)]
    draw_files(folder, sets)
    rows = "".join(f"{i:04}.png,{'|'.join(present)}\n" for i, present in enumerate(sets))
    (folder / "labels.csv").write_text("image,labels\n" + rows)
    time.sleep(2.1)
    return folder


def arguments(photos: Path, cache: Path, out: Path) -> list[object]:
    options = ["--strategy", "top-all", "--dataset", f"folder,root={photos}", "--model", "fakes:PlantedEncoder"]
    return ["run", *options, "--device", f"auto,batch_size={BATCH}", "--cache", cache, "--out", out, "--json"]


def stored(cache: Path) -> int:
    """Number of embeddings in the cache, without the entries that only identify a file."""
    opened = ByteCache(cache)
    values = opened.get_many(list(opened._disk))
    opened.close()
    assert None not in values
    return sum(len(value) == 4 * 256 for value in values)


@pytest.mark.slow
def test_killed_twenty_times_and_resumed(photos: Path, tmp_path: Path, cli: Cli) -> None:
    whole = cli(*arguments(photos, tmp_path / "whole", tmp_path / "expected"))
    expected = json.loads(whole.stdout)
    total = expected["images_encoded"] + expected["texts_encoded"]
    chance = random.Random(7)
    kills = 0
    for attempt in range(120):
        cache = tmp_path / f"cache{attempt}"
        before, resumed = _kill_and_resume(photos, cache, tmp_path / f"out{attempt}", chance.uniform(0.2, 3.0), cli)
        if before is None:
            continue
        kills += 1
        assert resumed["images_encoded"] + resumed["texts_encoded"] == total - before
        assert resumed["mAP"] == pytest.approx(expected["mAP"], abs=1e-9)
        _same_scores(tmp_path / "expected", tmp_path / f"out{attempt}")
        if kills == 20:
            return
    pytest.fail(f"only {kills} runs were killed during their work")


def _kill_and_resume(photos: Path, cache: Path, out: Path, after: float, cli: Cli) -> tuple[int | None, dict]:
    """(embeddings in the cache after the kill, the resumed run's result); None if the run had already ended."""
    slow = environment() | {"FAKE_SECONDS": "0.05"}
    victim = subprocess.Popen(
        command(*arguments(photos, cache, out)), env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(after)
    victim.send_signal(signal.SIGKILL)
    if victim.wait() != -signal.SIGKILL:
        return None, {}
    assert not (out / "result.json").exists()
    before = stored(cache) if (cache / "cache.db").exists() else 0
    done = cli(*arguments(photos, cache, out))
    assert done.returncode == 0, done.stderr
    return before, json.loads(done.stdout)


def _same_scores(expected: Path, resumed: Path) -> None:
    one, two = (pd.read_csv(folder / "scores.csv", keep_default_na=False) for folder in (expected, resumed))
    labels = list(one.columns[4:])
    assert one[["image", "labels", "true"]].equals(two[["image", "labels", "true"]])
    assert np.abs(one[labels].to_numpy(float) - two[labels].to_numpy(float)).max() < 1e-5


def test_interrupted_with_control_c_says_so_and_keeps_what_was_finished(photos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        command(*arguments(photos, cache, tmp_path / "out")),
        env=environment() | {"FAKE_SECONDS": "0.3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (cache / "cache.db").exists() or stored(cache) < BATCH:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, err) == ("", "interrupted; finished work is stored, and the same command continues from there\n")
    assert stored(cache) % BATCH == 0


def test_two_processes_on_one_cache(photos: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    both = [
        subprocess.Popen(
            command(*arguments(photos, cache, tmp_path / f"out{n}")),
            env=environment() | {"FAKE_SECONDS": "0.05"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    _same_scores(tmp_path / "out0", tmp_path / "out1")
    opened = ByteCache(cache)
    assert opened.verify()[1] == 0
    opened.close()
