"""The engine of many measurements: each is made once and kept, and one that fails stops no other."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from zsprompt._utils.files import read_text, remove, require_folder, to_json, whole_file
from zsprompt.data import Dataset
from zsprompt.errors import ResultError, ZspromptError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result, save_result
from zsprompt.store import EmbeddingStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

DONE = "row.json"
"""Written last into the folder of a measurement: one that has it is finished."""

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Failure:
    """Why a measurement was not made, in one line."""

    reason: str

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Our own errors say what to do; others are named by their class too."""
        text = " ".join(str(error).split())
        return cls(text if isinstance(error, ZspromptError) else f"{type(error).__name__}: {text}")


@dataclass(frozen=True)
class Job(Generic[T]):
    """One measurement.

    Attributes:
        group: jobs of one group share a store; None for a job that needs none.
        measure: makes the measurement, with the store of its group.
    """

    group: Hashable
    measure: Callable[[EmbeddingStore | None], T]


def work_off(
    jobs: Sequence[Job[T] | Failure],
    open_store: Callable[[Hashable], EmbeddingStore],
    titles: Sequence[str],
    in_words: Callable[[T], str],
) -> list[T | Failure]:
    """What each job came to, in their order. Jobs run group by group, and one that fails stops no other.

    Args:
        jobs: the measurements; a Failure stands for one that cannot be made.
        open_store: makes the store of a group.
        titles: of all jobs, for messages.
        in_words: words a measurement, for messages.
    """
    outcomes: dict[int, T | Failure] = {}

    def keep(position: int, outcome: T | Failure) -> None:
        outcomes[position] = outcome
        said = f"failed: {outcome.reason}" if isinstance(outcome, Failure) else in_words(outcome)
        level = logging.WARNING if isinstance(outcome, Failure) else logging.INFO  # warnings need no handler to be seen
        logger.log(level, f"{len(outcomes)}/{len(jobs)}  {titles[position]}: {said}")

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
    """A result and what else is known of it: from `folder` if it is finished there, else made and kept there.

    Args:
        folder: where the result is kept; None keeps nothing.
        measure: makes the result, and facts in JSON's types.

    Raises:
        OutputError: the folder cannot be written; and what `measure` raises.
    """
    if folder is None:
        return measure()
    try:
        facts: Mapping[str, Any] = json.loads(read_text(folder / DONE))
        return load_result(folder), facts
    except (OSError, ValueError, ResultError):  # not finished, or damaged since
        pass
    result, facts = measure()
    require_folder(folder)
    remove(folder / DONE)
    save_result(result, folder)
    with whole_file(folder / DONE) as file:
        file.write(to_json(dict(facts)) + "\n")
    return result, facts


def identity_of(dataset: Dataset, reads: Collection[str] = ()) -> str:
    """A digest of images, labels and targets, and of captions where they are read: what is measured on."""
    digest = hashlib.sha256(
        repr((dataset.name, dataset.split, dataset.names, dataset.labels)).encode("utf-8", "surrogatepass")
    )
    for image in dataset.images:
        digest.update(image.id.encode("utf-8", "surrogateescape") + b"\0")
    digest.update(dataset.targets.tobytes())
    if "captions" in reads:
        digest.update(repr(dataset.caption_columns).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def folder_name(words: str, made_from: Sequence[object]) -> str:
    """A readable name that ends in a digest of everything that a folder's content depends on."""
    digest = hashlib.sha256(repr(made_from).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9.=]+', '-', words).strip('-')[:_LONGEST_NAME]}-{digest}"


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
            except Exception as error:  # someone else's strategy or model may raise anything
                yield position, Failure.of(error)
