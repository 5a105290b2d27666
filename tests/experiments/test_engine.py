"""The engine of many measurements: order, failures, and what is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import environment
from fakes import PlantedEncoder
from messages import heard_by
from planted import planted_result

from zsprompt.data import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.errors import ModelError, OutputError, UsageError
from zsprompt.evaluation.result import Result
from zsprompt.experiments.engine import DONE, Failure, Job, folder_name, measured_once, work_off
from zsprompt.store import EmbeddingStore


@dataclass
class Watched:
    """Opens stores, and remembers in which order what happened."""

    events: list[str] = field(default_factory=list)

    def open(self, group: Hashable) -> EmbeddingStore:
        self.events.append(f"open {group}")
        if group == "missing":
            raise ModelError("no such model")
        events = self.events

        class Named(EmbeddingStore):
            def close(self) -> None:
                events.append(f"close {group}")
                super().close()

        return Named(PlantedEncoder(), cache=None)

    def job(self, group: Hashable, name: str, error: Exception | None = None) -> Job[str]:
        def measure(store: EmbeddingStore | None) -> str:
            self.events.append(f"measure {name}{'' if store else ' alone'}")
            if error:
                raise error
            return name.upper()

        return Job(group, measure)


def off(watched: Watched, jobs: list[Job[str] | Failure]) -> list[str | Failure]:
    return work_off(jobs, watched.open, [f"job {number}" for number in range(len(jobs))], str)


# -- work_off ----------------------------------------------------------------------------------------------------


def test_outcomes_come_in_the_order_of_the_jobs_and_groups_share_one_store() -> None:
    watched = Watched()
    jobs = [watched.job(group, name) for group, name in (("x", "a"), ("y", "b"), ("x", "c"), (None, "d"), ("y", "e"))]
    assert off(watched, jobs) == ["A", "B", "C", "D", "E"]
    assert watched.events == [
        *("open x", "measure a", "measure c", "close x"),
        *("open y", "measure b", "measure e", "close y"),
        "measure d alone",
    ]


def test_a_failure_stops_no_other_job() -> None:
    watched = Watched()
    jobs = [
        watched.job("x", "a", UsageError("no\nway")),
        watched.job("x", "b"),
        watched.job("missing", "c"),
        Failure("cannot be made"),
        watched.job("x", "d", ZeroDivisionError("by zero")),
        watched.job("missing", "e"),
        watched.job("y", "f"),
    ]
    assert off(watched, jobs) == [
        Failure("no way"),
        "B",
        Failure("no such model"),
        Failure("cannot be made"),
        Failure("ZeroDivisionError: by zero"),
        Failure("no such model"),
        "F",
    ]
    assert watched.events.count("open missing") == 1
    assert watched.events[-1] == "close y"


def test_each_outcome_is_told_of_as_it_comes() -> None:
    watched, told = Watched(), []
    with heard_by(told.append):
        off(watched, [watched.job("x", "a"), Failure("cannot be made"), watched.job("y", "b", UsageError("no"))])
    assert told == ["1/3  job 1: failed: cannot be made", "2/3  job 0: A", "3/3  job 2: failed: no"]


def test_an_interruption_is_no_failure() -> None:
    watched = Watched()
    with pytest.raises(KeyboardInterrupt):
        off(watched, [watched.job("x", "a", KeyboardInterrupt()), watched.job("x", "b")])  # type: ignore[arg-type]
    assert watched.events == ["open x", "measure a", "close x"]


def test_no_jobs_have_no_outcomes() -> None:
    assert off(Watched(), []) == []


# -- measured_once -----------------------------------------------------------------------------------------------


@dataclass
class Measuring:
    """Makes a result, and counts how often."""

    count: int = 0

    def __call__(self) -> tuple[Result, Mapping[str, Any]]:
        self.count += 1
        return planted_result(seed=self.count), {"seconds": self.count}


def scores(answer: tuple[Result, Mapping[str, Any]]) -> tuple[list[list[float]], dict[str, Any]]:
    return answer[0].prediction.scores.tolist(), dict(answer[1])


def test_a_measurement_is_made_once_and_read_from_then_on(tmp_path: Path) -> None:
    measure = Measuring()
    made = measured_once(tmp_path / "a", measure)
    found = measured_once(tmp_path / "a", measure)
    assert (measure.count, scores(found)) == (1, scores(made))
    measured_once(tmp_path / "b", measure)
    assert measure.count == 2


def test_without_a_folder_nothing_is_kept() -> None:
    measure = Measuring()
    measured_once(None, measure)
    measured_once(None, measure)
    assert measure.count == 2


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / DONE).unlink(),
        lambda folder: cut(folder / DONE),
        lambda folder: (folder / DONE).write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "result.json").unlink(),
        lambda folder: cut(folder / "result.json"),
        lambda folder: cut(folder / "scores.csv"),
    ],
    ids=["no mark", "half a mark", "no text", "no result", "half a result", "half the scores"],
)
def test_a_damaged_folder_is_measured_again(damage: Callable[[Path], object], tmp_path: Path) -> None:
    measure = Measuring()
    measured_once(tmp_path / "a", measure)
    damage(tmp_path / "a")
    again = measured_once(tmp_path / "a", measure)
    assert measure.count == 2
    assert scores(measured_once(tmp_path / "a", measure)) == scores(again)
    assert measure.count == 2


def test_a_measurement_that_fails_leaves_nothing_finished(tmp_path: Path) -> None:
    def fail() -> tuple[Result, Mapping[str, Any]]:
        raise UsageError("no")

    with pytest.raises(UsageError):
        measured_once(tmp_path / "a", fail)
    measure = Measuring()
    measured_once(tmp_path / "a", measure)
    assert measure.count == 1


def test_a_place_that_is_no_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(OutputError):
        measured_once(tmp_path / "a", Measuring())


KILLED = """
import os, signal, sys
from pathlib import Path
from planted import planted_result
from zsprompt.experiments import engine

finish = engine.write_json
def die(path, *rest, **settings):
    if path.name == engine.DONE and path.parent.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return finish(path, *rest, **settings)

engine.write_json = die
for name in "abc":
    engine.measured_once(Path(sys.argv[1]) / name, lambda: (planted_result(), {"name": name}))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_what_was_finished_before_a_kill_is_not_measured_again(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env=environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    measure = Measuring()
    facts = [dict(measured_once(tmp_path / name, measure)[1]) for name in "abc"]
    assert (measure.count, facts) == (2, [{"name": "a"}, {"seconds": 1}, {"seconds": 2}])
    assert all(json.loads((tmp_path / name / DONE).read_text()) for name in "abc")


# -- names and identities ----------------------------------------------------------------------------------------


def test_a_folders_name_is_readable_and_tells_recipes_apart() -> None:
    name = folder_name("top-all,scale=20 on /data/my photos: ünï", ["x", 1])
    assert name == folder_name("top-all,scale=20 on /data/my photos: ünï", ["x", 1])
    assert name.startswith("top-all-scale=20-on-data-my-photos-n-")
    assert name != folder_name("top-all,scale=20 on /data/my photos: ünï", ["x", 2])
    assert len(folder_name("a" * 500, [])) < 100


def test_an_identity_tells_what_is_measured_on() -> None:
    targets = np.array([[1, 0], [0, 1]], dtype=np.int8)
    images = tuple(ImageFile(f"{n}.png", Path(f"{n}.png")) for n in range(2))
    data = Dataset("drawn", ("cat", "dog"), images, targets, split="all")
    assert data.identity() == replace(data).identity()
    others: list[dict[str, Any]] = [{"name": "other"}, {"split": "val"}, {"labels": ("cat", "owl")}, {"names": "raw"}]
    for changes in (*others, {"images": images[::-1]}, {"targets": 1 - targets}):
        assert replace(data, **changes).identity() != data.identity()
    written = replace(data, written=("a cat", "a dog"))
    assert written.identity() == data.identity()
    assert written.identity(captions=True) != data.identity(captions=True)


def test_a_failure_is_a_warning_which_needs_no_handler_to_be_seen(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    with caplog.at_level("INFO", logger="zsprompt"):
        off(watched, [watched.job("m", "a"), Failure("no such strategy")])
    assert {(record.levelname, record.getMessage()) for record in caplog.records} == {
        ("INFO", "2/2  job 0: A"),
        ("WARNING", "1/2  job 1: failed: no such strategy"),
    }
