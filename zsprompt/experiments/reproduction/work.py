"""Running a reproduction: each cell is trained and measured once, and its result is kept for later calls."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.digests import digest
from zsprompt._utils.outputs import check_folder, remove
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.adapters import Kind, Schedule, Trained, load_adapter, load_kind
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.training import CHECKPOINT, PROMPTS, train
from zsprompt.data import Dataset, load_dataset, takes_root
from zsprompt.encoders import check_model, load_encoder
from zsprompt.encoders.devices import require_device
from zsprompt.encoders.random_texts import RandomTexts
from zsprompt.errors import AdapterError, TrainingError, UnknownName, UsageError, ZspromptError
from zsprompt.experiments import protocols
from zsprompt.experiments.engine import Failure, Job, folder_name, measured_once, work_off
from zsprompt.experiments.protocols import Protocol
from zsprompt.experiments.reproduction.outcome import COUNTS, Cell, Measures, Reproduction, counts_of, measures_of
from zsprompt.experiments.reproduction.tables import Ground, Settings, Table, find_table
from zsprompt.experiments.spec import Prepared, Resources, RunSpec
from zsprompt.prompts import load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Adapter, digest_of, reads

logger = logging.getLogger(__name__)

RESULTS, ADAPTERS = "results", "adapters"
"""Folders in `out`, with one folder per measurement and per training run."""

GROUNDS = ("auto", "real", "scenes")

_CEILING = 0.995  # notes mention the ceiling of a measure below this

_Job = tuple[Settings, int]  # and a seed


@checked
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
    """Train and measure the rows of a published table, and compare them with the published numbers.

    A row that fails reports why; the others still run.

    Args:
        table: a table or its name, see `tables`.
        on: "real" for the data of the source, "scenes" for drawn scenes. "auto" takes the columns whose real data are
            complete, or scenes if there are none.
        root: folder of the real data; by default `data_folder()`.
        seeds: number of training runs per adapter, with seeds 0, 1, …; they also draw the few-shot samples.
        out: a folder; finished training runs and measurements of any table are read from there.
        epochs: maximum number of epochs, in place of that of the table.
        limit: maximum numbers of training and test images, samples in which labels keep their frequency.
        model: model for all rows, in place of their own.
        device: "auto", "cpu" or "cuda".
        cache: folder for embeddings, see EmbeddingStore.
        progress: shows progress.

    Raises:
        UnknownName: the table or the ground is unknown.
        UsageError: a number is below 1.
        ModelError: there is no such device.
        OutputError: `out` cannot be written.
    """
    table = find_table(table) if isinstance(table, str) else table
    if on not in GROUNDS:
        raise UnknownName("ground", on, GROUNDS)
    for option, value in (("seeds", seeds), ("epochs", epochs), ("limit", limit)):
        if value is not None and value < 1:
            raise UsageError(f"expected {option} of at least 1, got {value}")
    require_device(device)
    for name in (RESULTS, ADAPTERS) if out is not None else ():
        check_folder(Path(str(out)) / name, {})
    data = _Data(root, limit)
    ground, cells = _cells(table, on, data, epochs, model)
    work = _Work(data, None if out is None else Path(out), device, Resources(cache=cache, progress=progress))
    jobs: dict[_Job, str] = {}
    for cell in cells:
        for seed in _seeds(cell, seeds):
            jobs.setdefault((cell.settings, seed), f"{table.rows[cell.row].name}, {cell.column}, {_seed(cell, seed)}")
    outcomes = work.done(jobs)
    cells = [_filled(cell, [outcomes[cell.settings, seed] for seed in _seeds(cell, seeds)]) for cell in cells]
    as_published = limit is None and model is None and epochs is None and not table.stand_ins
    comparable = ground == "real" and as_published
    return Reproduction(
        table, ground, tuple(cells), tuple(_notes(table, ground, cells, seeds, limit, model)), comparable
    )


def _cells(table: Table, on: str, data: _Data, epochs: int | None, model: str | None) -> tuple[Ground, list[Cell]]:
    """The ground for `on`, and the cells on it, without measures."""
    grounds: Sequence[Ground] = ("real", "scenes")
    by_ground: dict[str, list[Cell]] = {}
    for ground in grounds:
        by_ground[ground] = [
            Cell(number, column, _changed(row.settings[ground, column], epochs, model))
            for number, row in enumerate(table.rows)
            for column in table.columns
            if (ground, column) in row.settings
        ]
    if on == "scenes":
        return "scenes", by_ground["scenes"]
    cells = [replace(cell, missing=data.missing(cell.settings)) for cell in by_ground["real"]]
    lacking = list(dict.fromkeys(cell.missing for cell in cells if cell.missing))
    if on == "auto" and all(cell.missing for cell in cells):
        logger.info(f"measured on scenes, because real data of {table.name} are missing: {lacking[0]}")
        return "scenes", by_ground["scenes"]
    for reason in lacking:
        logger.info(f"{'failed' if on == 'real' else 'left out'}: {reason}")
    return "real", [replace(cell, error=cell.missing) for cell in cells] if on == "real" else cells


def _changed(settings: Settings, epochs: int | None, model: str | None) -> Settings:
    return replace(settings, epochs=epochs or settings.epochs, model=model or settings.model)


def _seeds(cell: Cell, seeds: int) -> range:
    """Seeds of a cell. A strategy needs only one: nothing about it is random."""
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
        yield "the data differ from those of the source, so its numbers and ours are not comparable"
    if ground == "scenes":
        yield from _scenes_settings(table, cells)
    if model is not None:
        yield f"our rows use model {model}, whatever their names say"
    if limit is not None:
        yield f"at most {limit:,} training images and {limit:,} test images: a trial, not a result"
    if ground == "real" and (bounds := {cell.settings.epochs for cell in cells} - {None}):
        most = counted(max(filter(None, bounds)), "epoch")
        yield f"at most {most} per training run, fewer than in the source: a trial, not a result"
    if seeds > 1:
        yield f"mean ± standard deviation over {counted(seeds, 'training run')} with seeds 0 to {seeds - 1}"
    for metric in table.metrics:
        tops = {c.column: c.measures[0].get((None, f"{metric} ceiling")) for c in cells if c.measures}
        for column, top in tops.items():
            if top is not None and top < _CEILING:
                yield f"{metric} is at most {100 * top:.1f} in column {column}, because of how many labels images have"


def _scenes_settings(table: Table, cells: Sequence[Cell]) -> Iterator[str]:
    models = ", ".join(dict.fromkeys(cell.settings.encoder for cell in cells))
    data = ", ".join(dict.fromkeys(part for cell in cells for part in cell.settings.data))
    yield f"our rows use drawn scenes ({data}) and model {models}: not comparable with published numbers of photographs"
    by_row = {cell.row: _changes(cell.settings) for cell in cells if cell.settings.adapter}
    if not by_row:
        return
    shared = {name: value for name, value in min(by_row.values(), key=len).items() if _in_all(by_row, name, value)}
    yield f"scenes settings: {_listed(shared)}; all others are those of the source"
    for row, changes in by_row.items():
        if further := {name: value for name, value in changes.items() if name not in shared}:
            yield f"{table.rows[row].name}: {_listed(further)}"


def _changes(settings: Settings) -> dict[str, Any]:
    """How a training run differs from the source: its maximum of epochs and its changes to the schedule."""
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
        loaded = self.loaded[ref]
        if isinstance(loaded, ZspromptError):
            raise loaded
        return loaded

    def missing(self, settings: Settings) -> str:
        """Why data of a measurement are missing, in one line; empty if they are complete."""
        for ref in settings.data:
            try:
                self.get(ref)
            except ZspromptError as error:
                return Failure.of(error).reason
        return ""

    def protocol(self, settings: Settings, seed: int) -> Protocol:
        """The training and test images of a measurement."""
        protocol = _protocol(settings, *map(self.get, settings.data), seed=seed)
        learn, test = protocol.learn, protocol.test
        for most in (settings.pictures, self.limit):
            learn = learn if most is None else learn.sample(most, 0)
        return replace(protocol, learn=learn, test=test if self.limit is None else test.sample(self.limit, 0))


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
    """One training run, and the name of its folder."""

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
        made_from = (digest(self.kind), digest(self.schedule), prompts.name, prompts.digest, store.fingerprint)
        identity = self.data.identity(captions="captions" in self.kind.reads)
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
        """The measures of each job, or why it failed."""
        jobs = [self._job(settings, seed) for settings, seed in cells]
        outcomes: list[Measures | Failure] = work_off(jobs, self._open_store, list(cells.values()), _measures_text)
        return dict(zip(cells, outcomes, strict=True))

    def _job(self, settings: Settings, seed: int) -> Job[Measures] | Failure:
        """The job of a cell and a seed, or why it cannot start."""
        if not settings.counts:
            try:
                check_model(settings.encoder, device=self.device)
            except ZspromptError as error:
                return Failure.of(error)
        return Job(_group(settings), partial(self._measures, settings, seed))

    def _open_store(self, group: Hashable) -> EmbeddingStore:
        model, texts = cast("tuple[str, str]", group)
        encoder = load_encoder(model, device=self.device)
        return self.resources.open_store(RandomTexts(encoder) if texts == "random" else encoder)

    def _measures(self, settings: Settings, seed: int, store: EmbeddingStore | None) -> Measures:
        protocol = self.data.protocol(settings, seed)
        if store is None:
            return counts_of(protocol)
        spec = RunSpec(
            strategy=settings.strategy or self._adapter(settings, seed, protocol, store),
            dataset=protocol.test,
            model=store.encoder,
            prompts=settings.prompts if settings.strategy else None,
            difficult=settings.difficult,
        )
        prepared = spec.resolve(self.resources).prepared(store)
        result, _ = measured_once(self._folder(settings, seed, prepared), lambda: (prepared.run(), {}))
        return measures_of(result)

    def _folder(self, settings: Settings, seed: int, prepared: Prepared) -> Path | None:
        if self.out is None:
            return None
        identity = prepared.data.identity(captions="captions" in reads(prepared.strategy))
        model = prepared.store.encoder.name
        words = f"{settings.what} {prepared.data.name} {settings.protocol} {model} seed {seed}"
        made_from = (digest_of(prepared.strategy), prepared.store.fingerprint, settings.difficult, identity)
        return self.out / RESULTS / folder_name(words, made_from)

    def _adapter(self, settings: Settings, seed: int, protocol: Protocol, store: EmbeddingStore) -> Adapter:
        kind = load_kind(str(settings.adapter))
        training = _Training(kind, schedule_of(settings, kind, seed), protocol.learn, settings, seed)
        name = training.folder(store)
        if name not in self.trained:
            self.trained[name] = self._trained(training, self.out and self.out / ADAPTERS / name, store)
        return Adapter(self.trained[name], device=self.device)

    def _trained(self, training: _Training, folder: Path | None, store: EmbeddingStore) -> Trained:
        """The adapter in `folder`, or a new one, trained from its checkpoint if there is one.

        The name of the folder is ours alone, so damaged files in it are replaced.
        """
        if folder is not None and (folder / FILE).exists():
            with suppress(AdapterError):  # damaged since
                return load_adapter(folder)
            remove(folder / FILE, file_kinds.ADAPTER, force=True)
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
                force=True,
            )
        except TrainingError:
            if folder is not None:
                # the next call must not take a failed training run for a finished one
                remove(folder / FILE, file_kinds.ADAPTER, force=True)
            raise
        return course.trained


def schedule_of(settings: Settings, kind: Kind, seed: int) -> Schedule:
    """The schedule of the kind with the changes and the maximum of epochs in the settings."""
    schedule = replace(kind.schedule, **dict(settings.schedule), seed=seed)
    return schedule if settings.epochs is None else replace(schedule, epochs=min(schedule.epochs, settings.epochs))


def _group(settings: Settings) -> Hashable:
    """The settings that determine the store; None for counts, which need none."""
    return None if settings.counts else (settings.encoder, settings.texts)


def _measures_text(measures: Measures) -> str:
    if (None, "mAP") in measures:
        return f"mAP {100 * measures[None, 'mAP']:.1f}"
    return ", ".join(f"{measures[None, name]:,} {name}" for name in sorted(COUNTS) if (None, name) in measures)
