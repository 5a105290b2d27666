"""Progress: on a terminal, with rate and remaining time; quiet elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from command_line import ROOT, environment
from fakes import PlantedEncoder

from zsprompt._utils.arrays import unit_rows
from zsprompt._utils.progress import Advance, Outermost, _outlook, quiet, terminal
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies import ListAll, TopAll

SHOW = """
from zsprompt._utils.progress import terminal
with terminal("images", 50, "images") as advance:
    for _ in range(5):
        advance(10)
"""


@pytest.mark.parametrize(
    ("done", "seconds", "reason"),
    [
        (0, 5.0, ""),
        (10, 2.0, "5 images/s, 0:18 left"),
        (50, 2.0, "25 images/s, 0:02 left"),
        (1, 100.0, "0.01 images/s, 2:45:00 left"),
        (100, 4.0, "25 images/s, 0:00 left"),
    ],
)
def test_rate_and_remaining_time(done: int, seconds: float, reason: str) -> None:
    assert _outlook(done, 100, "images", seconds) == reason


@pytest.mark.parametrize("progress", [quiet, terminal])
def test_nothing_is_written_without_a_terminal(progress, capfd: pytest.CaptureFixture[str]) -> None:
    with progress("images", 3, "images") as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


class Bars:
    """A Progress that records what it showed."""

    def __init__(self) -> None:
        self.shown: list[list[object]] = []

    @contextmanager
    def __call__(self, what: str, total: int, unit: str) -> Iterator[Advance]:
        bar = [what, total, unit, 0]
        self.shown.append(bar)

        def advance(n: int) -> None:
            bar[3] += n

        yield advance


@pytest.mark.parametrize(
    ("strategy", "images", "bar"),
    [
        # 2^13 candidates are two blocks, and so are 2^16 prefixes of 13 labels
        (ListAll(), 3, ["list-all", 2**13, "candidates", 2**13]),
        (TopAll(), 5000, ["top-all", 5000, "images", 5000]),
    ],
)
def test_work_in_pieces_has_one_bar(strategy, images: int, bar: list[object]) -> None:
    bars = Bars()
    vectors = unit_rows(np.random.default_rng(0).normal(size=(images, PlantedEncoder().dim)))
    with EmbeddingStore(PlantedEncoder(), cache=None, progress=bars) as store:
        strategy.predict(Images(vectors), [f"thing{i}" for i in range(13)], store)
    assert [b for b in bars.shown if b[0] != "texts"] == [bar]
    assert len(bars.shown) <= 3  # the single labels are embedded before


def test_a_bar_that_broke_off_does_not_silence_the_next() -> None:
    bars = Outermost(shown := Bars())
    with pytest.raises(KeyboardInterrupt), bars("one", 2, "steps"):
        raise KeyboardInterrupt
    with bars("two", 2, "steps") as advance, bars("inner", 9, "steps") as silent:
        silent(9)
        advance(2)
    assert shown.shown == [["one", 2, "steps", 0], ["two", 2, "steps", 2]]


def test_a_terminal_shows_a_bar() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = environment() | {"TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", SHOW], cwd=ROOT, env=env, stderr=theirs, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=60)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (process.returncode, out) == (0, b"")
    assert "50/50" in shown
    assert "images/s, 0:00 left" in shown
