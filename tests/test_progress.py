"""Progress: on a terminal, with rate and remaining time; quiet elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT, environment

from zsprompt.progress import _outlook, quiet, terminal

SHOW = """
from zsprompt.progress import terminal
with terminal("pictures", 50, "pictures") as advance:
    for _ in range(5):
        advance(10)
"""


@pytest.mark.parametrize(
    ("done", "seconds", "said"),
    [
        (0, 5.0, ""),
        (10, 2.0, "5 pictures/s, 0:18 left"),
        (50, 2.0, "25 pictures/s, 0:02 left"),
        (1, 100.0, "0.01 pictures/s, 2:45:00 left"),
        (100, 4.0, "25 pictures/s, 0:00 left"),
    ],
)
def test_rate_and_remaining_time(done: int, seconds: float, said: str) -> None:
    assert _outlook(done, 100, "pictures", seconds) == said


@pytest.mark.parametrize("progress", [quiet, terminal])
def test_nothing_is_written_where_no_terminal_is(progress, capfd: pytest.CaptureFixture[str]) -> None:
    with progress("pictures", 3, "pictures") as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


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
    assert "pictures/s, 0:00 left" in shown
