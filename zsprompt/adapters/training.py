"""Train an adapter on a data set through the store, and keep it: the file, its history, a plot of its course."""

from __future__ import annotations

import csv
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zsprompt._utils.files import remove, require_folder, whole_file
from zsprompt._utils.id_digests import packed
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.adapters.adapter_file import FILE, Trained, load_adapter, save_adapter
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.job import Epoch, Fitted
from zsprompt.adapters.kinds.base import Kind, Sizes
from zsprompt.adapters.registry import load_kind, spec_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.adapters.train_loop import DivergedError, fit
from zsprompt.data import Dataset
from zsprompt.data.dataset import refuse_or_skip
from zsprompt.errors import TrainingError, UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import check_labels, label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import Embedded, embed

logger = logging.getLogger(__name__)

CHECKPOINT, HISTORY = "checkpoint.safetensors", "training.csv"

VALIDATION = 0.1
"""Share of the pictures that choose the best epoch, unless told."""

ENOUGH = 500
"""With fewer pictures none is put aside: a best epoch chosen by a handful would be chosen by chance."""

PROMPTS = "photo"
"""How labels are worded unless told."""


@dataclass(frozen=True)
class Course:
    """What a training came to.

    Attributes:
        trained: the adapter, with the weights of the best epoch.
        history: every epoch; empty for a kind that is fitted at once.
        best: number of the best epoch.
        notes: what its user should know, a sentence each.
    """

    trained: Trained
    history: tuple[Epoch, ...]
    best: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `zsprompt train --json` prints."""
        return {
            "adapter": spec_of(self.trained.kind),
            "digest": self.trained.digest,
            "best_epoch": self.best,
            "epochs": len(self.history),
            **{key: value for key, value in self.trained.facts.items() if key not in ("history", "identity", "data")},
            "data": {key: value for key, value in self.trained.facts["data"].items() if key != "ids"},
            "notes": list(self.notes),
        }


def train(
    kind: Kind | str,
    dataset: Dataset,
    store: EmbeddingStore,
    *,
    out: Path | str | None = None,
    validation: Dataset | float | None = None,
    schedule: Schedule | None = None,
    prompts: PromptSet | str | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = quiet,
) -> Course:
    """Train an adapter on a data set's targets. Left-out targets take no part.

    Args:
        kind: what to train, or "mld,blocks=2".
        dataset: pictures, labels, targets; never those it will be measured on.
        store: where pictures and label texts are embedded, once.
        out: a folder for adapter.safetensors and training.csv, and for the checkpoint of an unfinished training.
        validation: pictures that choose the best epoch, or a share of `dataset` that is put aside for it, drawn so
            that every label keeps its share; 0 takes the last epoch. By default VALIDATION from ENOUGH pictures on,
            and 0 for a kind that has no epochs.
        schedule: how to train; by default that of the kind's source.
        prompts: how labels are worded, "photo" by default. It is kept with the weights.
        skip_bad: leave out pictures that cannot be read.
        resume: go on from the checkpoint in `out`, take the finished training that is there, or start where there is
            neither; the result is the same as without a stop.
        device: where the network computes: "auto", "cpu" or "cuda".
        progress: where steps are counted.

    Raises:
        TrainingError: labels without positives or without negatives, no positives to validate on, a loss that is no
            number any more, or a folder with another training, or with an adapter or a checkpoint and no `resume`.
        UsageError: settings that do not suit each other.
        BadImages, LabelError, ModelError, CacheError, OutputError: see `run` and EmbeddingStore.
    """
    from zsprompt.encoders.devices import pick_device

    kind = load_kind(kind) if isinstance(kind, str) else kind
    schedule = schedule or kind.schedule
    prompts = load_prompts(prompts or PROMPTS) if not isinstance(prompts, PromptSet) else prompts
    check_labels(dataset.labels)
    where = None if out is None else Path(out)
    if where is not None:
        require_folder(where)
        _check_folder(where, resume)
    if validation is None and not kind.has_epochs:
        validation = 0.0
    learning, judging, notes = split_off(dataset, validation, schedule)
    job = _Job(kind, store, prompts, schedule, skip_bad, where)
    _check_targets(learning)
    learning, seen = job.examples(learning)
    _check_targets(learning)  # again, of the pictures that could be read
    judged = None
    if judging is not None:
        judging, judged = job.examples(judging)
        _with_positives(judging)
    sizes = job.sizes(learning, seen)
    kind.check(sizes)
    identity = job.identity(learning, judging)
    if resume and where is not None and (found := _finished(where, spec_of(kind), _settings(kind, schedule), identity)):
        return found
    texts = label_vectors(prompts, dataset.labels, store)
    fitted, fault = _fitted(
        lambda: fit(
            kind,
            sizes,
            seen,
            texts,
            schedule,
            validation=judged,
            checkpoint=where and where / CHECKPOINT,
            identity=identity,
            device=pick_device(device),
            progress=progress,
        )
    )
    if fault is not None:
        notes.append(str(fault))  # who uses it later should know too
    course = job.course(fitted, sizes, learning, judging, identity, notes, fault)
    if where is not None:
        _keep(course, where)
    if fault is not None:
        raise fault
    return course


@dataclass(frozen=True)
class _Job:
    """What parts of one training share."""

    kind: Kind
    store: EmbeddingStore
    prompts: PromptSet
    schedule: Schedule
    skip_bad: bool
    out: Path | None

    def examples(self, dataset: Dataset) -> tuple[Dataset, Examples]:
        """The pictures that could be read, and what is read of them."""
        columns = list(dataset.caption_columns.values())
        found: Embedded = embed(dataset.images, self.store, self.kind.reads, columns)
        refuse_or_skip(dataset, found.bad, self.skip_bad)
        if found.shortened:
            logger.info(f"{counted(found.shortened, 'caption')} cut to the words that fit the model")
        known = dataset.select(found.kept) if found.bad else dataset
        return known, Examples(found.images, known.targets)

    def sizes(self, dataset: Dataset, seen: Examples) -> Sizes:
        images, dim = seen.images, seen.images.vectors.shape[1]
        features = dim if images.tokens is None else images.tokens.shape[2]
        captions = 0 if images.captions is None else images.captions.shape[1]
        return Sizes(dim, features, len(dataset.labels), captions)

    def identity(self, learning: Dataset, judging: Dataset | None) -> dict[str, str]:
        return {
            "model": self.store.fingerprint,
            "prompts": f"{self.prompts.name} {self.prompts.digest}",
            "labels": " | ".join(learning.labels),
            "pictures": _digest(learning),
            "validation pictures": _digest(judging) if judging is not None else "none",
        }

    def course(
        self,
        fitted: Fitted,
        sizes: Sizes,
        learning: Dataset,
        judging: Dataset | None,
        identity: Mapping[str, str],
        notes: Sequence[str],
        fault: TrainingError | None,
    ) -> Course:
        reads_captions = "captions" in self.kind.reads
        ids = [image.id for part in (learning, judging) if part is not None for image in part.images]
        trained = Trained(
            kind=self.kind,
            sizes=sizes,
            labels=tuple(learning.labels),
            prompts=self.prompts,
            model=self.store.encoder.name,
            fingerprint=self.store.fingerprint,
            weights=fitted.weights,
            captions=tuple(learning.caption_columns) if reads_captions else (),
            file=None if self.out is None else str(self.out / FILE),
            facts={
                "recipe": {"adapter": spec_of(self.kind), **_settings(self.kind, self.schedule)},
                "data": {
                    "dataset": learning.name,
                    "split": learning.split,
                    "names": learning.names,
                    "images": len(learning.images),
                    "validation": judging.split if judging is not None else None,
                    "validation_images": len(judging.images) if judging is not None else 0,
                    "positives": dict(zip(learning.labels, (learning.targets == 1).sum(axis=0).tolist(), strict=True)),
                    "ids": packed(ids),
                },
                "metrics": {"validation_mAP": fitted.mAP, "best_epoch": fitted.best, "epochs": len(fitted.history)},
                "history": [asdict(epoch) for epoch in fitted.history],
                "identity": dict(identity),
                "notes": list(notes),
                "diverged": str(fault) if fault else None,
            },
        )
        return Course(trained, fitted.history, fitted.best, tuple(notes))


def split_off(
    dataset: Dataset, validation: Dataset | float | None, schedule: Schedule
) -> tuple[Dataset, Dataset | None, list[str]]:
    """What to learn from, what to judge epochs by, and what to say of it."""
    total = len(dataset.images)
    if isinstance(validation, Dataset):
        if set(validation.labels) != set(dataset.labels):
            raise UsageError(f"expected the labels of {dataset.name} in the validation data, found others")
        _check_apart(dataset, validation)
        return dataset, _with_positives(validation.with_labels(dataset.labels)), []
    if validation is None and total < ENOUGH:
        note = f"fewer than {ENOUGH} pictures, so none is put aside to choose an epoch by; the last one is taken"
        return dataset, None, [note]
    share = VALIDATION if validation is None else validation
    if not 0 <= share < 1:
        raise UsageError(f"expected a validation share of at least 0 and below 1, got {share:g}")
    count = round(share * total)
    if not count:
        few = [f"a share of {share:g} is less than a picture, so none is put aside; the last epoch is taken"]
        return dataset, None, few if share else []
    aside = dataset.sample(count, schedule.seed)
    inside = {image.id for image in aside.images}
    rest: list[int] = [i for i, image in enumerate(dataset.images) if image.id not in inside]
    learning = replace(dataset.select(rest), split=f"{dataset.split} without {count} for validation")
    return learning, _with_positives(aside), []


def _check_apart(dataset: Dataset, validation: Dataset) -> None:
    """An epoch that remembers best is not the best one."""
    known = {image.id for image in dataset.images} if validation.name == dataset.name else set()
    both = [image.id for image in validation.images if image.id in known]
    if both:
        raise TrainingError(
            f"expected validation pictures that training does not see, found {len(both):,} that it does ({both[0]}); "
            "use another list, or a share (--validation 0.1)"
        )


def _with_positives(dataset: Dataset) -> Dataset:
    if not (dataset.targets == 1).any():
        raise TrainingError(
            f"expected positives in the {counted(len(dataset.images), 'validation picture')}, found none; use more "
            "(--validation 0.2), or none (--validation 0)"
        )
    return dataset


def _check_targets(dataset: Dataset) -> None:
    """Nothing can be learnt of a label that no picture has, or that all have."""
    for what, wanted in (("positives", 1), ("negatives", 0)):
        counts = (dataset.targets == wanted).sum(axis=0)
        without = [label for label, count in zip(dataset.labels, counts, strict=True) if count == 0]
        if without:
            named = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            raise TrainingError(
                f"expected {what} of every label among the {counted(len(dataset.images), 'training picture')}, found "
                f'none of {named}; use more pictures, or leave these labels out (--without "{", ".join(without[:5])}")'
            )


def _settings(kind: Kind, schedule: Schedule) -> dict[str, Any]:
    """Of a schedule what a kind makes use of: one that is fitted at once has no epochs, no rate and no loss."""
    return asdict(schedule) if kind.has_epochs else {"seed": schedule.seed}


def _check_folder(folder: Path, resume: bool) -> None:
    if (folder / CHECKPOINT).exists() and not resume:
        raise TrainingError(
            f"expected no unfinished training in {folder}, found one; go on with --resume, or use another --out"
        )
    if (folder / FILE).exists() and not resume:
        raise TrainingError(f"expected no adapter in {folder}, found {FILE}; use another --out, or delete it first")


def _finished(folder: Path, adapter: str, settings: Mapping[str, Any], identity: Mapping[str, str]) -> Course | None:
    """The training that a folder holds the end of; None where there is none.

    Raises:
        TrainingError: it is another training's.
    """
    if (folder / CHECKPOINT).exists() or not (folder / FILE).exists():
        return None
    trained = load_adapter(folder)
    facts = trained.facts
    said = {key: str(value) for key, value in facts.get("recipe", {}).items()} | facts.get("identity", {})
    wanted = {"adapter": adapter} | {key: str(value) for key, value in settings.items()} | dict(identity)
    if facts.get("diverged"):
        raise TrainingError(str(facts["diverged"]))
    for key, value in wanted.items():
        if said.get(key) != value:
            raise TrainingError(
                f"expected this training in {folder}, found a finished one with {key} {said.get(key)} instead of "
                f"{value}; use another --out"
            )
    try:
        history = tuple(Epoch(**epoch) for epoch in facts["history"])
        return Course(trained, history, facts["metrics"]["best_epoch"], tuple(map(str, facts["notes"])))
    except (KeyError, TypeError):
        raise TrainingError(
            f"expected the history of a training in {folder}, found damage; use another --out"
        ) from None


def _fitted(work: Callable[[], Fitted]) -> tuple[Fitted, TrainingError | None]:
    """What a training reached, and what stopped it early where it has weights to keep all the same."""
    try:
        return work(), None
    except DivergedError as error:
        if error.fitted is None:
            raise
        return error.fitted, TrainingError(str(error))


def _keep(course: Course, folder: Path) -> None:
    """Write what a finished training leaves, the adapter last; then its checkpoint is not needed any more."""
    if course.history:
        with whole_file(folder / HISTORY) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(asdict(course.history[0]))
            writer.writerows(
                ["" if value is None else value for value in asdict(epoch).values()] for epoch in course.history
            )
    save_adapter(course.trained, folder / FILE)
    remove(folder / CHECKPOINT)


def _digest(dataset: Dataset) -> str:
    """Of the pictures, their targets and their captions."""
    found = hashlib.sha256(dataset.targets.tobytes())
    for image in dataset.images:
        found.update(image.id.encode("utf-8", "surrogateescape") + b"\0")
    found.update(repr(dataset.caption_columns).encode("utf-8", "surrogatepass"))
    return f"{dataset.name} {dataset.split} {found.hexdigest()[:12]}"
