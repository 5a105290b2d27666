"""Train an adapter on a data set through the store, and write its file and its history."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from zsprompt._utils import file_kinds
from zsprompt._utils.file_kinds import FileKind
from zsprompt._utils.id_digests import packed
from zsprompt._utils.outputs import check_folder, new_folder, remove, whole_csv
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.adapters.adapter_file import FILE, Trained, load_adapter, save_adapter
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.job import Epoch, Fitted
from zsprompt.adapters.kinds.base import Kind, Sizes
from zsprompt.adapters.kinds.with_epochs import WithEpochs
from zsprompt.adapters.registry import load_kind, spec_of
from zsprompt.adapters.schedule import Schedule
from zsprompt.adapters.train_loop import DivergedError, check_loss, fit
from zsprompt.data import Dataset
from zsprompt.data.dataset import refuse_or_skip
from zsprompt.encoders.base import another_domain
from zsprompt.errors import DataError, TrainingError, UsageError
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.prompts.labels import check_labels, label_vectors
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import Embedded, embed, require_captions

logger = logging.getLogger(__name__)

CHECKPOINT, HISTORY = "checkpoint.safetensors", "training.csv"

FILES: dict[str, FileKind] = {
    FILE: file_kinds.ADAPTER,
    CHECKPOINT: file_kinds.CHECKPOINT,
    HISTORY: file_kinds.HISTORY,
}
"""The files that a training run writes to its folder."""

VALIDATION = 0.1
"""Default share of the images that choose the best epoch."""

ENOUGH = 500
"""With fewer images, none are held out: a handful would choose the best epoch by chance."""

PROMPTS = "photo"
"""The default prompt set."""


@dataclass(frozen=True)
class Course:
    """The outcome of a training run.

    Attributes:
        trained: the adapter, with the weights of the best epoch.
        history: every epoch; empty for a kind without epochs.
        best: number of the best epoch.
        notes: notes for the user, one sentence each.
    """

    trained: Trained
    history: tuple[Epoch, ...]
    best: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The output of `zsprompt train --json`."""
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
    force: bool = False,
) -> Course:
    """Train an adapter on the targets of a data set. Ignored targets (−1) are not used.

    Args:
        kind: the kind of adapter or its specification, such as "mld,blocks=2".
        dataset: images, labels and targets to train on; keep the images for evaluation out of it.
        store: embeds each image and each label text once.
        out: folder for adapter.safetensors, training.csv and the checkpoint of an unfinished training run.
        validation: images that choose the best epoch, or a share of `dataset` to hold out for this. The sample is
            stratified by label; 0 takes the last epoch. The default is VALIDATION for at least ENOUGH images, else 0.
            It is 0 for a kind without epochs.
        schedule: settings of the training run; the default comes from the source of the kind.
        prompts: prompt set that words the labels, "photo" by default. It is saved with the weights.
        skip_bad: exclude images that cannot be read.
        resume: continue from the checkpoint in `out`, return the finished training run in it, or start if `out` has
            neither. The result is the same as without an interruption.
        device: where the network computes: "auto", "cpu" or "cuda".
        progress: receives the number of steps.
        force: replace files in `out` that zsprompt did not write, and without `resume` an adapter or a checkpoint.

    Raises:
        TrainingError: labels without positives or negatives; no positives to validate on; numbers that are no longer
            finite; a folder with another training run; an adapter or a checkpoint in `out` without `resume` or `force`.
        UsageError: incompatible settings.
        BadImages, LabelError, ModelError, CacheError, OutputError: see `run` and EmbeddingStore.
    """
    from zsprompt.encoders.devices import pick_device

    kind = load_kind(kind) if isinstance(kind, str) else kind
    schedule = schedule or kind.schedule
    prompts = load_prompts(prompts or PROMPTS) if not isinstance(prompts, PromptSet) else prompts
    folder = None if out is None else Path(out)
    training, held_out, notes = check_training(kind, dataset, schedule, validation, prompts)
    notes += another_domain(store.encoder, dataset.domain)
    device = pick_device(device)
    if folder is not None:
        check_folder(folder, FILES, force=force)
        if not resume:
            clear_folder(folder, force)
    job = _Job(kind, store, prompts, schedule, skip_bad, folder)
    texts = label_vectors(prompts, dataset.labels, store)  # before the images: it refuses labels that are too long
    training, training_examples = job.examples(training)
    _check_targets(training)  # again, without the images that cannot be read
    held_out_examples = None
    if held_out is not None:
        held_out, held_out_examples = job.examples(held_out)
        _with_positives(held_out)
    sizes = job.sizes(training, training_examples)
    kind.check(sizes)
    identity = job.identity(training, held_out)
    if resume and folder is not None:
        done = finished(folder, spec_of(kind), _settings(kind, schedule), identity)
        if done:
            return done
    with nullcontext() if folder is None else new_folder(folder):
        fitted, fault = _fitted(
            lambda: fit(
                kind,
                sizes,
                training_examples,
                texts,
                schedule,
                validation=held_out_examples,
                checkpoint=folder and folder / CHECKPOINT,
                identity=identity,
                device=device,
                progress=progress,
            )
        )
        if fault is not None:
            notes.append(str(fault))  # users of the adapter file should know it too
        course = job.course(fitted, sizes, training, held_out, identity, notes, fault)
        if folder is not None:
            keep(course, folder, force)
    if fault is not None:
        raise fault
    return course


def check_training(
    kind: Kind,
    dataset: Dataset,
    schedule: Schedule,
    validation: Dataset | float | None,
    prompts: PromptSet,
) -> tuple[Dataset, Dataset | None, list[str]]:
    """Raise what `train` would raise without embedding anything. Returns what `split_off` returns.

    Args, Raises: see `train`.
    """
    prompts.ensemble(check_labels(dataset.labels))
    require_captions(kind.reads, dataset.caption_columns)
    if validation is None and not kind.has_epochs:
        validation = 0.0
    if isinstance(kind, WithEpochs):
        check_loss(kind, schedule)
    training, held_out, notes = split_off(dataset, validation, schedule)
    _check_targets(training)
    if held_out is None and schedule.patience not in (None, kind.schedule.patience):
        notes.append("patience has no effect, because there are no validation images to count epochs by")
    return training, held_out, notes


def check_test(kind: Kind, dataset: Dataset, test: Dataset) -> None:
    """Raise now what measuring on `test` would raise after the training on `dataset`.

    Raises:
        UsageError: other labels, for a kind that is bound to its labels.
        DataError: another number of image captions, for a kind that reads them.
    """
    if kind.bound and set(test.labels) != set(dataset.labels):
        raise UsageError(f"expected the labels of {dataset.name} in the test data, found others")
    trained, tested = len(dataset.caption_columns), len(test.caption_columns)
    if "captions" in kind.reads and trained != tested:
        raise DataError(
            f"expected {counted(trained, 'caption')} per image in the test data, as in the training data, "
            f"found {tested}"
        )


@dataclass(frozen=True)
class _Job:
    """What the steps of one training run share."""

    kind: Kind
    store: EmbeddingStore
    prompts: PromptSet
    schedule: Schedule
    skip_bad: bool
    out: Path | None

    def examples(self, dataset: Dataset) -> tuple[Dataset, Examples]:
        """The readable images of a data set, and their embeddings with targets."""
        columns = list(dataset.caption_columns.values())
        embedded: Embedded = embed(dataset.images, self.store, self.kind.reads, columns)
        refuse_or_skip(dataset, embedded.bad, self.skip_bad)
        if embedded.shortened:
            logger.info(f"{counted(embedded.shortened, 'image caption')} truncated to fit the model")
        readable = dataset.select(embedded.kept) if embedded.bad else dataset
        return readable, Examples(embedded.images, readable.targets)

    def sizes(self, dataset: Dataset, examples: Examples) -> Sizes:
        images, dim = examples.images, examples.images.vectors.shape[1]
        features = dim if images.tokens is None else images.tokens.shape[2]
        captions = 0 if images.captions is None else images.captions.shape[1]
        return Sizes(dim, features, len(dataset.labels), captions)

    def identity(self, training: Dataset, held_out: Dataset | None) -> dict[str, str]:
        """What a checkpoint must agree on to be continued, in words."""
        return {  # these keys are in adapter files and checkpoints
            "model": self.store.fingerprint,
            "prompts": f"{self.prompts.name} {self.prompts.digest}",
            "labels": " | ".join(training.labels),
            "images": named(training),
            "validation images": named(held_out) if held_out is not None else "none",
        }

    def course(
        self,
        fitted: Fitted,
        sizes: Sizes,
        training: Dataset,
        held_out: Dataset | None,
        identity: Mapping[str, str],
        notes: Sequence[str],
        fault: TrainingError | None,
    ) -> Course:
        reads_captions = "captions" in self.kind.reads
        ids = [image.id for part in (training, held_out) if part is not None for image in part.images]
        trained = Trained(
            kind=self.kind,
            sizes=sizes,
            labels=tuple(training.labels),
            prompts=self.prompts,
            model=self.store.encoder.name,
            fingerprint=self.store.fingerprint,
            weights=fitted.weights,
            captions=tuple(training.caption_columns) if reads_captions else (),
            file=None if self.out is None else str(self.out / FILE),
            facts={
                "recipe": {"adapter": spec_of(self.kind), **_settings(self.kind, self.schedule)},
                "data": {
                    "dataset": training.name,
                    "split": training.split,
                    "domain": training.domain,
                    "names": training.names,
                    "images": len(training.images),
                    "validation": held_out.split if held_out is not None else None,
                    "validation_images": len(held_out.images) if held_out is not None else 0,
                    "positives": dict(zip(training.labels, (training.targets == 1).sum(axis=0).tolist(), strict=True)),
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
    """The images to train on, the images that choose the best epoch, and notes about the split."""
    total = len(dataset.images)
    if isinstance(validation, Dataset):
        if set(validation.labels) != set(dataset.labels):
            raise UsageError(f"expected the labels of {dataset.name} in the validation data, found others")
        _check_apart(dataset, validation)
        return dataset, _with_positives(validation.with_labels(dataset.labels)), []
    if validation is None and total < ENOUGH:
        note = f"fewer than {ENOUGH} images, so none are held out to choose the best epoch; the last epoch is taken"
        return dataset, None, [note]
    share = VALIDATION if validation is None else validation
    if not 0 <= share < 1:
        raise UsageError(f"expected a validation share of at least 0 and below 1, got {share:g}")
    count = round(share * total)
    if not count:
        note = f"a share of {share:g} is less than one image, so none are held out; the last epoch is taken"
        return dataset, None, [note] if share else []
    held_out = dataset.sample(count, schedule.seed)
    held_out_ids = {image.id for image in held_out.images}
    rest: list[int] = [i for i, image in enumerate(dataset.images) if image.id not in held_out_ids]
    training = replace(dataset.select(rest), split=f"{dataset.split} without {count} for validation")
    return training, _with_positives(held_out), []


def _check_apart(dataset: Dataset, validation: Dataset) -> None:
    """Images of the training would choose the epoch that memorises best."""
    training_ids = {image.id for image in dataset.images} if validation.name == dataset.name else set()
    both = [image.id for image in validation.images if image.id in training_ids]
    if both:
        raise TrainingError(
            f"expected validation images that are not used for training, found {len(both):,} that are ({both[0]}); "
            "use other images, or a share (--validation 0.1)"
        )


def _with_positives(dataset: Dataset) -> Dataset:
    if not (dataset.targets == 1).any():
        raise TrainingError(
            f"expected positives in the {counted(len(dataset.images), 'validation image')}, found none; use more "
            "images (--validation 0.2), or none (--validation 0)"
        )
    return dataset


def _check_targets(dataset: Dataset) -> None:
    """A label that no image has, or that all images have, cannot be learned."""
    for what, wanted in (("positives", 1), ("negatives", 0)):
        counts = (dataset.targets == wanted).sum(axis=0)
        without = [label for label, count in zip(dataset.labels, counts, strict=True) if count == 0]
        if without:
            named = ", ".join(without[:5]) + (f" and {len(without) - 5} more" if len(without) > 5 else "")
            raise TrainingError(
                f"expected {what} of every label among the {counted(len(dataset.images), 'training image')}, found "
                f'none of {named}; use more images, or exclude these labels (--without "{", ".join(without[:5])}")'
            )


def _settings(kind: Kind, schedule: Schedule) -> dict[str, Any]:
    """The settings of a schedule that a kind uses. A kind without epochs has no learning rate and no loss."""
    return asdict(schedule) if kind.has_epochs else {"seed": schedule.seed}


def clear_folder(folder: Path, force: bool) -> None:
    """Refuse a folder with another training run, or delete its checkpoint."""
    if file_kinds.CHECKPOINT.recognises(folder / CHECKPOINT) and not force:
        raise TrainingError(
            f"expected no unfinished training run in {folder}, found one; continue it with --resume, use another "
            "--out, or pass --force (force=True) to start again"
        )
    if file_kinds.ADAPTER.recognises(folder / FILE) and not force:
        raise TrainingError(
            f"expected no adapter in {folder}, found {FILE}; use another --out, or pass --force (force=True) to "
            "replace it"
        )
    remove(folder / CHECKPOINT, file_kinds.CHECKPOINT, force=force)


def finished(folder: Path, adapter: str, settings: Mapping[str, Any], identity: Mapping[str, str]) -> Course | None:
    """The finished training run of a folder; None if it has none.

    Raises:
        TrainingError: the folder belongs to another training run.
    """
    if (folder / CHECKPOINT).exists() or not (folder / FILE).exists():
        return None
    trained = load_adapter(folder)
    facts = trained.facts
    recorded = {key: str(value) for key, value in facts.get("recipe", {}).items()} | facts.get("identity", {})
    wanted = {"adapter": adapter} | {key: str(value) for key, value in settings.items()} | dict(identity)
    if facts.get("diverged"):
        raise TrainingError(str(facts["diverged"]))
    for key, value in wanted.items():
        if recorded.get(key) != value:
            raise TrainingError(
                f"expected this training run in {folder}, found a finished one with {key} {recorded.get(key)} instead "
                f"of {value}; use another --out"
            )
    try:
        history = tuple(Epoch(**epoch) for epoch in facts["history"])
        return Course(trained, history, facts["metrics"]["best_epoch"], tuple(map(str, facts["notes"])))
    except (KeyError, TypeError):
        raise TrainingError(
            f"expected the history of a training run in {folder}, found damage; use another --out"
        ) from None


def _fitted(work: Callable[[], Fitted]) -> tuple[Fitted, TrainingError | None]:
    """The result of a training run, and the error that stopped it early if there are weights to keep."""
    try:
        return work(), None
    except DivergedError as error:
        if error.fitted is None:
            raise
        return error.fitted, TrainingError(str(error))


def keep(course: Course, folder: Path, force: bool) -> None:
    """Write the files of a finished training run, the adapter last. Then delete the checkpoint."""
    if course.history:
        with whole_csv(folder / HISTORY, file_kinds.HISTORY, force=force) as file:
            file.header(file_kinds.HISTORY.columns)
            for epoch in course.history:
                file.row(asdict(epoch).values())
    save_adapter(course.trained, folder / FILE, force=force)
    remove(folder / CHECKPOINT, file_kinds.CHECKPOINT, force=force)


def named(dataset: Dataset) -> str:
    """The data set in words, with the beginning of its identity."""
    return f"{dataset.name} {dataset.split} {dataset.identity(captions=True)[:12]}"
