"""The work of an ablation: every row measured once, model by model, and kept where a second call finds it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter as clock
from typing import Any

from zsprompt._utils.files import read_text, remove, require_folder, to_json, whole_file
from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt.data import Dataset, load_dataset
from zsprompt.encoders import Encoder, load_encoder
from zsprompt.errors import PlanError, ResultError, ZspromptError
from zsprompt.evaluation import run as evaluate
from zsprompt.evaluation.compare import what_is_measured
from zsprompt.evaluation.provenance import prompt_sets
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result, save_result
from zsprompt.evaluation.thresholds import with_thresholds
from zsprompt.experiments.ablation.outcome import ROWS, Ablation, Entry, Measured, compared
from zsprompt.experiments.ablation.plan import Row, title
from zsprompt.llm import Captions, load_bank
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import Strategy, lacks_captions, load_strategy, reads, refuse, with_captions
from zsprompt.strategies.thresholds import load_thresholds

logger = logging.getLogger(__name__)

_DONE = "row.json"  # written last: a row that has it is finished


def ablate(
    rows: Sequence[Row],
    out: Path | str,
    *,
    open_store: Callable[[str | Encoder], EmbeddingStore] | None = None,
    skip_bad: bool = False,
) -> Ablation:
    """Measure every row, once: a row whose result lies in `out` already is read from there.

    Rows run model by model. Pictures are embedded before the first row that needs them, and no row is charged for it.
    A row that fails says why and does not stop the others. A row is compared with the first one of its data set.

    Args:
        rows: the plan.
        out: a folder; rows/ holds a result folder each, named by what it was made from.
        open_store: makes the store of a model; by default load_encoder with the default cache.
        skip_bad: leave out pictures that cannot be read.

    Raises:
        PlanError: no rows.
        OutputError: `out` cannot be written.
    """
    if not rows:
        raise PlanError("expected rows to measure, found none")
    require_folder(Path(out) / ROWS)
    work = _Work(Path(out), open_store or _default_store, skip_bad, len(rows))
    jobs = [work.prepared(row) for row in rows]
    entries: dict[int, Entry] = {i: job for i, job in enumerate(jobs) if isinstance(job, Entry)}
    for i, entry in entries.items():
        work.say(i, entry)
    by_model: dict[str | Encoder, list[tuple[int, _Job]]] = {}
    for i, job in enumerate(jobs):
        if isinstance(job, _Job):
            by_model.setdefault(job.model, []).append((i, job))
    for model, own in by_model.items():
        for i, entry in work.with_model(model, own):
            entries[i] = entry
    return Ablation(compared([entries[i] for i in range(len(rows))]))


@dataclass(frozen=True)
class _Job:
    """A row with everything it names, but for the model."""

    row: Row
    strategy: Strategy
    data: Dataset
    model: str | Encoder


@dataclass
class _Work:
    """One call of `ablate`."""

    out: Path
    open_store: Callable[[str | Encoder], EmbeddingStore]
    skip_bad: bool
    total: int
    loaded: dict[tuple[Any, ...], Dataset] = field(default_factory=dict)
    said: int = 0

    def prepared(self, row: Row) -> _Job | Entry:
        """The row's job, or why there is none."""
        try:
            data = self._dataset(row)
            strategy = row.strategy
            if isinstance(strategy, str):
                strategy = load_strategy(strategy, prompts=row.prompts)
            elif row.prompts is not None:
                raise PlanError(
                    f"expected prompts for a strategy by name, found {row.prompts!r} for one that has its own"
                )
            if lacks_captions(strategy) and (bank := row.captions or data.bank):
                strategy = with_captions(strategy, Captions(load_bank(bank)))
            return _Job(row, strategy, data, row.model or data.model or DEFAULT_MODEL)
        except ZspromptError as error:
            return _failed(row, error)

    def with_model(self, model: str | Encoder, jobs: list[tuple[int, _Job]]) -> Iterator[tuple[int, Entry]]:
        """The entries of all rows of one model."""
        try:
            store = self.open_store(model)
        except ZspromptError as error:
            for i, job in jobs:
                yield i, self.say(i, _failed(job.row, error))
            return
        with store:
            for i, job in jobs:
                yield i, self.say(i, self._attempt(job, store))

    def say(self, position: int, entry: Entry) -> Entry:
        """Log a finished row."""
        self.said += 1
        done = f"{self.said}/{self.total}  row {position + 1}: {title(entry.row)}"
        if entry.measured is None:
            logger.info(f"{done}: failed: {entry.error}")
            return entry
        found = entry.measured.facts["mAP"]
        logger.info(f"{done}: mAP {'–' if found is None else f'{100 * found:.1f}'}")
        return entry

    def _dataset(self, row: Row) -> Dataset:
        if isinstance(row.dataset, Dataset):
            return _part(row.dataset, row)
        key = (row.dataset, row.root, row.split, row.names)
        if key not in self.loaded:
            self.loaded[key] = load_dataset(row.dataset, root=row.root, split=row.split, names=row.names)
        return _part(self.loaded[key], row)

    def _attempt(self, job: _Job, store: EmbeddingStore) -> Entry:
        try:
            strategy = job.strategy
            if job.row.thresholds:
                strategy = with_thresholds(strategy, load_thresholds(job.row.thresholds), store, job.data)
            measured = self._measured(replace(job, strategy=strategy), store)
        except Exception as error:  # a stranger's strategy may raise anything, and the other rows go on
            return _failed(job.row, error)
        return Entry(
            row=job.row,
            prompts=", ".join(prompts.name for prompts in prompt_sets(strategy)) or "–",
            model=store.encoder.name,
            measured=measured,
        )

    def _measured(self, job: _Job, store: EmbeddingStore) -> Measured:
        folder = self.out / ROWS / _folder_name(job, store, self.skip_bad)
        try:
            extra = json.loads(read_text(folder / _DONE))
            result = load_result(folder)
        except (OSError, ValueError, ResultError):  # not finished, or damaged since
            result, extra = self._run(job, store, folder)
        return Measured(result.to_dict(), result.sampling, what_is_measured(result), folder, extra)

    def _run(self, job: _Job, store: EmbeddingStore, folder: Path) -> tuple[Result, dict[str, Any]]:
        refuse(job.strategy, job.data.labels, store)
        before = store.counts.images_encoded
        start = clock()
        embed(job.data.images, store, reads(job.strategy), list(job.data.caption_columns.values()))
        extra = {
            "images_embedded": store.counts.images_encoded - before,
            "seconds_images": round(clock() - start, 3),
        }
        difficult: Any = job.row.difficult
        result = evaluate.run(job.strategy, job.data, store, difficult=difficult, skip_bad=self.skip_bad)
        again = result
        if not result.counts["texts_not_kept"]:  # else a repetition embeds all of them again
            again = evaluate.run(job.strategy, job.data, store, difficult=difficult, skip_bad=self.skip_bad)
        extra["seconds_warm"] = round(again.seconds, 3)
        require_folder(folder)
        remove(folder / _DONE)
        save_result(result, folder)
        with whole_file(folder / _DONE) as file:
            file.write(to_json(extra) + "\n")
        return result, extra


def _part(data: Dataset, row: Row) -> Dataset:
    if row.sample is not None and row.limit is not None:
        raise PlanError("expected either limit (the first pictures) or sample (some drawn at random), found both")
    data = data if row.limit is None else data.first(row.limit)
    return data if row.sample is None else data.sample(row.sample, row.seed)


def _default_store(model: str | Encoder) -> EmbeddingStore:
    return EmbeddingStore(load_encoder(model) if isinstance(model, str) else model)


def _failed(row: Row, error: Exception) -> Entry:
    text = " ".join(str(error).split())
    return Entry(row, error=text if isinstance(error, ZspromptError) else f"{type(error).__name__}: {text}")


def _folder_name(job: _Job, store: EmbeddingStore, skip_bad: bool) -> str:
    """A readable name that ends in a digest of everything the row's result depends on."""
    data = job.data
    made_from = (
        *(repr(job.strategy), store.encoder.fingerprint, data.name, data.split, data.names, data.labels),
        *([image.id for image in data.images], data.targets.tobytes(), job.row.difficult, skip_bad),
        *(data.caption_columns.values() if "captions" in reads(job.strategy) else ()),
    )
    digest = hashlib.sha256(repr(made_from).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9.=]+", "-", title(job.row)).strip("-")[:80]
    return f"{readable}-{digest}"
