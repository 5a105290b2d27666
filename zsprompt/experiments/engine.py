"""The engine for many measurements: each is made once and stored, and a failure does not stop the others."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from zsprompt._utils import file_kinds
from zsprompt._utils.digests import digest
from zsprompt._utils.file_kinds import MARK
from zsprompt._utils.files import read_text
from zsprompt._utils.outputs import new_folder, remove, write_json
from zsprompt.errors import ResultError, ZspromptError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result, save_result
from zsprompt.store import EmbeddingStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

DONE = "row.json"
"""The last file written to the folder of a measurement: a folder with it is finished."""

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Failure:
    """Why a measurement failed, in one line."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """From an error. Our own errors say what to do; others are named by their class too."""
        text = " ".join(str(error).split())
        return cls(text if isinstance(error, ZspromptError) else f"{type(error).__name__}: {text}")


@dataclass(frozen=True)
class Job(Generic[T]):
    """One measurement.

    Attributes:
        group: jobs of one group share a store; None for a job without a store.
        measure: makes the measurement, with the store of its group.
    """

    group: Hashable
    measure: Callable[[EmbeddingStore | None], T]


def work_off(
    jobs: Sequence[Job[T] | Failure],
    open_store: Callable[[Hashable], EmbeddingStore],
    titles: Sequence[str],
    summary: Callable[[T], str],
) -> list[T | Failure]:
    """The outcome of each job, in order. Jobs run group by group, and a failure does not stop the others.

    Args:
        jobs: the measurements, or a Failure for one that cannot start.
        open_store: makes the store of a group.
        titles: titles of all jobs, for messages.
        summary: describes a measurement, for messages.
    """
    outcomes: dict[int, T | Failure] = {}

    def keep(position: int, outcome: T | Failure) -> None:
        outcomes[position] = outcome
        text = f"failed: {outcome.reason}" if isinstance(outcome, Failure) else summary(outcome)
        level = logging.WARNING if isinstance(outcome, Failure) else logging.INFO  # warnings need no handler to be seen
        logger.log(level, f"{len(outcomes)}/{len(jobs)}  {titles[position]}: {text}")

    for position, job in enumerate(jobs):
        if isinstance(job, Failure):
            keep(position, job)
    for group, members in _grouped(jobs).items():
        for position, outcome in _group(group, members, open_store):
            keep(position, outcome)
    return [outcomes[position] for position in range(len(jobs))]


def measured_once(
    folder: Path | None, measure: Callable[[], tuple[Result, Mapping[str, Any]]]
) -> tuple[Result, Mapping[str, Any]]:
    """A result and facts about it: read from `folder` if it is finished there, else made and stored there.

    Args:
        folder: where the result is stored, see `folder_name`; None stores nothing. Its name is ours alone, so damaged
            files in it are replaced too.
        measure: makes the result, and facts as JSON types.

    Raises:
        OutputError: the folder cannot be written; and what `measure` raises.
    """
    if folder is None:
        return measure()
    try:
        facts: Mapping[str, Any] = json.loads(read_text(folder / DONE))
        return load_result(folder), {key: value for key, value in facts.items() if key != MARK}
    except (OSError, ValueError, ResultError):  # not finished, or damaged since
        pass
    result, facts = measure()
    with new_folder(folder):
        remove(folder / DONE, file_kinds.ROW, force=True)
        save_result(result, folder, force=True)
        write_json(folder / DONE, file_kinds.ROW, facts, force=True)
    return result, facts


def folder_name(words: str, made_from: Sequence[object]) -> str:
    """A readable name that ends in a digest of everything that a folder's content depends on."""
    readable = re.sub(r"[^A-Za-z0-9.=]+", "-", words).strip("-")[:_LONGEST_NAME]
    return f"{readable}-{digest(made_from)}"


def _grouped(jobs: Sequence[Job[T] | Failure]) -> dict[Hashable, list[tuple[int, Job[T]]]]:
    groups: dict[Hashable, list[tuple[int, Job[T]]]] = {}
    for position, job in enumerate(jobs):
        if not isinstance(job, Failure):
            groups.setdefault(job.group, []).append((position, job))
    return groups


def _group(
    group: Hashable, members: Sequence[tuple[int, Job[T]]], open_store: Callable[[Hashable], EmbeddingStore]
) -> Iterator[tuple[int, T | Failure]]:
    try:
        opened: AbstractContextManager[EmbeddingStore | None] = nullcontext() if group is None else open_store(group)
    except ZspromptError as error:
        yield from ((position, Failure.of(error)) for position, _ in members)
        return
    with opened as store:
        for position, job in members:
            try:
                yield position, job.measure(store)
            except Exception as error:  # a strategy or model from elsewhere may raise anything
                yield position, Failure.of(error)
