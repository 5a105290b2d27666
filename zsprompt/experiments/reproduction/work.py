"""The work of a table: every cell of ours trained and measured once, and kept where a second call finds it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from zsprompt._utils.files import remove, require_folder
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.adapters import Kind, Schedule, Trained, load_adapter, load_kind
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.training import CHECKPOINT, PROMPTS, train
from zsprompt.data import Dataset, load_dataset, takes_root
from zsprompt.encoders import load_encoder
from zsprompt.encoders.random_texts import RandomTexts
from zsprompt.errors import AdapterError, TrainingError, UnknownName, UsageError, ZspromptError
from zsprompt.experiments import protocols
from zsprompt.experiments.engine import Failure, Job, folder_name, identity_of, measured_once, work_off
from zsprompt.experiments.protocols import Protocol
from zsprompt.experiments.reproduction.outcome import COUNTS, Cell, Measures, Reproduction, counts_of, measures_of
from zsprompt.experiments.reproduction.tables import Ground, Settings, Table, find_table
from zsprompt.experiments.spec import Prepared, Resources, RunSpec
from zsprompt.prompts import load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Adapter, digest_of, reads

logger = logging.getLogger(__name__)

RESULTS, ADAPTERS = "results", "adapters"
"""Folders below `out`, with a folder for each measurement and each training."""

GROUNDS = ("auto", "real", "scenes")

_CEILING = 0.995  # a measure that can reach this needs no word on what it can reach

_Job = tuple[Settings, int]  # and a seed


def reproduce(
    table: Table | str,
    *,
    on: str = "auto",
    root: Path | str | None = None,
    seeds: int = 1,
    out: Path | str | None = None,
    epochs: int | None = None,
    limit: int | None = None,
    model: str | None = None,
    device: str = "auto",
    cache: Path | str | None = "default",
    progress: Progress = quiet,
) -> Reproduction:
    """Train and measure the rows of a source's table that can be ours, and lay them beside its numbers.

    A row that fails says why and does not stop the others.

    Args:
        table: or its name, see `tables`.
        on: "real" for the data of the source, "scenes" for drawn ones, "auto" for real data where a column has all it
            needs and scenes where none has.
        root: the folder of the real data; by default looked for in `data_folder()`.
        seeds: how often each adapter is trained, with seeds 0, 1, …; they also draw the pictures of few-shot learning.
        out: a folder; finished trainings and measurements are found there again, from any table.
        epochs: at most so many, in place of the table's own bound.
        limit: at most so many pictures to learn from and to test on, drawn so that every label keeps its share.
        model: in place of that of every row.
        device: where models run: "auto", "cpu" or "cuda".
        cache: folder for embeddings, see EmbeddingStore.
        progress: where progress is shown.

    Raises:
        UnknownName: no such table or ground.
        UsageError: a number below 1, or a table without rows of ours on that ground.
        OutputError: `out` cannot be written.
    """
    table = find_table(table) if isinstance(table, str) else table
    if on not in GROUNDS:
        raise UnknownName("ground", on, GROUNDS)
    for what, value in (("seeds", seeds), ("epochs", epochs), ("limit", limit)):
        if value is not None and value < 1:
            raise UsageError(f"expected {what} of at least 1, got {value}")
    for name in (RESULTS, ADAPTERS) if out is not None else ():
        require_folder(Path(str(out)) / name)
    data = _Data(root, limit)
    ground, cells = _cells(table, on, data, epochs, model)
    work = _Work(data, None if out is None else Path(out), device, Resources(cache=cache, progress=progress))
    jobs: dict[_Job, str] = {}
    for cell in cells:
        for seed in _seeds(cell, seeds):
            jobs.setdefault((cell.settings, seed), f"{table.rows[cell.row].name}, {cell.column}, {_seed(cell, seed)}")
    found = work.done(jobs)
    cells = [_filled(cell, [found[cell.settings, seed] for seed in _seeds(cell, seeds)]) for cell in cells]
    as_published = limit is None and model is None and epochs is None and not table.stand_ins
    comparable = ground == "real" and as_published
    return Reproduction(
        table, ground, tuple(cells), tuple(_notes(table, ground, cells, seeds, limit, model)), comparable
    )


def _cells(table: Table, on: str, data: _Data, epochs: int | None, model: str | None) -> tuple[Ground, list[Cell]]:
    """The ground that `on` comes to, and the cells on it, without their measures."""
    grounds: Sequence[Ground] = ("real", "scenes")
    found: dict[str, list[Cell]] = {}
    for ground in grounds:
        found[ground] = [
            Cell(number, column, _changed(row.settings[ground, column], epochs, model))
            for number, row in enumerate(table.rows)
            for column in table.columns
            if (ground, column) in row.settings
        ]
    if on == "scenes":
        return "scenes", found["scenes"]
    cells = [replace(cell, missing=data.missing(cell.settings)) for cell in found["real"]]
    lacking = list(dict.fromkeys(cell.missing for cell in cells if cell.missing))
    if on == "auto" and all(cell.missing for cell in cells):
        logger.info(f"on scenes, for {table.name} lacks its real data: {lacking[0]}")
        return "scenes", found["scenes"]
    for reason in lacking:
        logger.info(f"{'failed' if on == 'real' else 'left out'}: {reason}")
    return "real", [replace(cell, error=cell.missing) for cell in cells] if on == "real" else cells


def _changed(settings: Settings, epochs: int | None, model: str | None) -> Settings:
    return replace(settings, epochs=epochs or settings.epochs, model=model or settings.model)


def _seeds(cell: Cell, seeds: int) -> range:
    """A strategy answers the same with every seed: the pictures it is tested on are never drawn."""
    if cell.missing or cell.error:
        return range(0)
    return range(seeds if cell.settings.adapter is not None else 1)


def _seed(cell: Cell, seed: int) -> str:
    return f"seed {seed}" if cell.settings.adapter else "untrained"


def _filled(cell: Cell, outcomes: Sequence[Measures | Failure]) -> Cell:
    errors = [outcome.reason for outcome in outcomes if isinstance(outcome, Failure)]
    measured = tuple(outcome for outcome in outcomes if not isinstance(outcome, Failure))
    return replace(cell, measures=measured, error=errors[0]) if errors else replace(cell, measures=measured)


def _notes(
    table: Table, ground: Ground, cells: Sequence[Cell], seeds: int, limit: int | None, model: str | None
) -> Iterator[str]:
    yield from table.notes[ground]
    if ground == "real" and table.stand_ins:
        yield "the data are not quite the source's, so its numbers and ours are not comparable"
    if ground == "scenes":
        yield from _scenes_settings(table, cells)
    if model is not None:
        yield f"ours are with model {model}, whatever a row's name says"
    if limit is not None:
        yield f"at most {counted(limit, 'picture')} to learn from and to test on: a trial, not a result"
    if ground == "real" and (bounds := {cell.settings.epochs for cell in cells} - {None}):
        most = counted(max(filter(None, bounds)), "epoch")
        yield f"at most {most} a training, in place of each source's own: a trial, not a result"
    if seeds > 1:
        yield f"mean ± standard deviation of {counted(seeds, 'training')} with seeds 0 to {seeds - 1}"
    for metric in table.metrics:
        tops = {c.column: c.measures[0].get((None, f"{metric} ceiling")) for c in cells if c.measures}
        for column, top in tops.items():
            if top is not None and top < _CEILING:
                yield f"{metric} is at most {100 * top:.1f} in column {column}, by how many labels pictures have"


def _scenes_settings(table: Table, cells: Sequence[Cell]) -> Iterator[str]:
    models = ", ".join(dict.fromkeys(cell.settings.encoder for cell in cells))
    data = ", ".join(dict.fromkeys(part for cell in cells for part in cell.settings.data))
    yield f"ours are of drawn scenes ({data}) with model {models}: not comparable with published numbers of photographs"
    by_row = {cell.row: _changes(cell.settings) for cell in cells if cell.settings.adapter}
    if not by_row:
        return
    shared = {name: value for name, value in min(by_row.values(), key=len).items() if _in_all(by_row, name, value)}
    yield f"scenes settings: {_listed(shared)}; the rest is each source's own"
    for row, changes in by_row.items():
        if own := {name: value for name, value in changes.items() if name not in shared}:
            yield f"{table.rows[row].name}: {_listed(own)}"


def _changes(settings: Settings) -> dict[str, Any]:
    """How a training differs from the source's: its bound of epochs, and what its schedule changes."""
    return {"at most": counted(settings.epochs or 0, "epoch"), **dict(settings.schedule)}


def _in_all(by_row: dict[int, dict[str, Any]], name: str, value: object) -> bool:
    return all(changes.get(name) == value for changes in by_row.values())


def _listed(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in changes.items())


@dataclass
class _Data:
    """The data sets of one call, each loaded once."""

    root: Path | str | None
    limit: int | None
    loaded: dict[str, Dataset | ZspromptError] = field(default_factory=dict)

    def get(self, ref: str) -> Dataset:
        """The data set of "NAME SPLIT". Raises what load_dataset raises."""
        if ref not in self.loaded:
            name, _, split = ref.partition(" ")
            try:
                self.loaded[ref] = load_dataset(name, root=self.root if takes_root(name) else None, split=split or None)
            except ZspromptError as error:
                self.loaded[ref] = error
        found = self.loaded[ref]
        if isinstance(found, ZspromptError):
            raise found
        return found

    def missing(self, settings: Settings) -> str:
        """Why the data of a measurement cannot be had, one line; empty if they can."""
        for ref in settings.data:
            try:
                self.get(ref)
            except ZspromptError as error:
                return Failure.of(error).reason
        return ""

    def protocol(self, settings: Settings, seed: int) -> Protocol:
        """What to learn from and to test on."""
        found = _protocol(settings, *map(self.get, settings.data), seed=seed)
        learn, test = found.learn, found.test
        for most in (settings.pictures, self.limit):
            learn = learn if most is None else learn.sample(most, 0)
        return replace(found, learn=learn, test=test if self.limit is None else test.sample(self.limit, 0))


def _protocol(settings: Settings, *data: Dataset, seed: int) -> Protocol:
    name, train, test = settings.protocol, data[0], data[-1]
    unseen = _labels(settings.unseen, train.labels)
    seen = _labels(settings.seen, [label for label in train.labels if label not in unseen]) or None
    if name == "untrained":
        return Protocol(name, test, test)
    if name == "conventional":
        return protocols.conventional(train, test)
    if name == "few-shot":
        return protocols.few_shot(train, settings.fraction or 0, seed, test)
    if name == "zero-shot":
        return protocols.zero_shot(train.with_labels(seen or train.labels), test, overlapping=settings.overlapping)
    if name == "single-to-multi":
        return protocols.single_to_multi(train, test, unseen, seen, overlapping=settings.overlapping)
    return (protocols.zsl if name == "zsl" else protocols.gzsl)(train, test, unseen, seen)


def _labels(named: tuple[str, ...] | int | None, among: Sequence[str]) -> tuple[str, ...]:
    return protocols.held_out(among, named, 0) if isinstance(named, int) else named or ()


@dataclass(frozen=True)
class _Training:
    """One training, and the name of its folder."""

    kind: Kind
    schedule: Schedule
    data: Dataset
    settings: Settings
    seed: int

    @property
    def prompts(self) -> str:
        return self.settings.prompts or PROMPTS

    def folder(self, store: EmbeddingStore) -> str:
        prompts = load_prompts(self.prompts)
        made_from = (self.kind, self.schedule, prompts.name, prompts.digest, store.fingerprint)
        identity = identity_of(self.data, self.kind.reads)
        words = f"{self.settings.adapter} {self.data.name} {store.encoder.name} seed {self.seed}"
        return folder_name(words, (*made_from, self.seed, identity))


@dataclass
class _Work:
    """One call of `reproduce`."""

    data: _Data
    out: Path | None
    device: str
    resources: Resources
    trained: dict[str, Trained] = field(default_factory=dict)

    def done(self, cells: Mapping[_Job, str]) -> dict[_Job, Measures | Failure]:
        """What each measurement came to, or why it failed."""
        jobs = [Job(_group(settings), partial(self._measures, settings, seed)) for settings, seed in cells]
        outcomes: list[Measures | Failure] = work_off(jobs, self._open_store, list(cells.values()), _in_words)
        return dict(zip(cells, outcomes, strict=True))

    def _open_store(self, group: Hashable) -> EmbeddingStore:
        model, texts = cast("tuple[str, str]", group)
        encoder = load_encoder(model, device=self.device)
        return self.resources.open_store(RandomTexts(encoder) if texts == "random" else encoder)

    def _measures(self, settings: Settings, seed: int, store: EmbeddingStore | None) -> Measures:
        parts = self.data.protocol(settings, seed)
        if store is None:
            return counts_of(parts)
        spec = RunSpec(
            strategy=settings.strategy or self._adapter(settings, seed, parts, store),
            dataset=parts.test,
            model=store.encoder,
            prompts=settings.prompts if settings.strategy else None,
            difficult=settings.difficult,
            device=self.device,
        )
        prepared = spec.resolve(self.resources).prepared(store)
        result, _ = measured_once(self._folder(settings, seed, prepared), lambda: (prepared.run(), {}))
        return measures_of(result)

    def _folder(self, settings: Settings, seed: int, prepared: Prepared) -> Path | None:
        if self.out is None:
            return None
        identity = identity_of(prepared.data, reads(prepared.strategy))
        model = prepared.store.encoder.name
        words = f"{settings.what} {prepared.data.name} {settings.protocol} {model} seed {seed}"
        made_from = (digest_of(prepared.strategy), prepared.store.fingerprint, settings.difficult, identity)
        return self.out / RESULTS / folder_name(words, made_from)

    def _adapter(self, settings: Settings, seed: int, parts: Protocol, store: EmbeddingStore) -> Adapter:
        kind = load_kind(str(settings.adapter))
        training = _Training(kind, schedule_of(settings, kind, seed), parts.learn, settings, seed)
        name = training.folder(store)
        if name not in self.trained:
            self.trained[name] = self._trained(training, self.out and self.out / ADAPTERS / name, store)
        return Adapter(self.trained[name], device=self.device)

    def _trained(self, training: _Training, folder: Path | None, store: EmbeddingStore) -> Trained:
        """The adapter in `folder`, or one that is trained now, from its checkpoint if there is one."""
        if folder is not None and (folder / FILE).exists():
            with suppress(AdapterError):  # damaged since
                return load_adapter(folder)
            remove(folder / FILE)
        try:
            course = train(
                training.kind,
                training.data,
                store,
                out=folder,
                schedule=training.schedule,
                prompts=training.prompts,
                resume=folder is not None and (folder / CHECKPOINT).exists(),
                device=self.device,
                progress=self.resources.progress,
            )
        except TrainingError:
            if folder is not None:
                remove(folder / FILE)  # of a training that went wrong, or the next call would take it for a good one
            raise
        return course.trained


def schedule_of(settings: Settings, kind: Kind, seed: int) -> Schedule:
    """The kind's own schedule, changed by the settings, with no more epochs than they allow."""
    given = replace(kind.schedule, **dict(settings.schedule), seed=seed)
    return given if settings.epochs is None else replace(given, epochs=min(given.epochs, settings.epochs))


def _group(settings: Settings) -> Hashable:
    """What decides on the store; counts need none."""
    return None if settings.counts else (settings.encoder, settings.texts)


def _in_words(measures: Measures) -> str:
    if (None, "mAP") in measures:
        return f"mAP {100 * measures[None, 'mAP']:.1f}"
    return ", ".join(f"{measures[None, name]:,} {name}" for name in sorted(COUNTS) if (None, name) in measures)
