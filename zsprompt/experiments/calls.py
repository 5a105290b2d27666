"""zsprompt.run, predict, train and with_thresholds: each takes objects or names, and goes through RunSpec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from zsprompt import metrics
from zsprompt._utils.arguments import checked
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.registry import DEFAULT_STRATEGY
from zsprompt.adapters import Kind, Schedule, load_kind, name_of
from zsprompt.adapters import training as adapter_training
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.adapters.training import Course
from zsprompt.data import TRAINING, Dataset
from zsprompt.data.inputs import sources_of
from zsprompt.encoders import Encoder
from zsprompt.errors import UsageError
from zsprompt.evaluation import predict as prediction
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.self_training import refuse_targets, self_train
from zsprompt.experiments.spec import Prepared, Resolved, Resources, RunSpec
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, Thresholded, Thresholds

Store = EmbeddingStore | Encoder | str | None
"""An open store, or the model of one that is opened for a call; None for the model that the other arguments ask for."""


@checked
def run(
    strategy: Strategy | str,
    dataset: Dataset | str,
    store: EmbeddingStore | Encoder | str | None = None,
    *,
    prompts: PromptSet | str | None = None,
    difficult: str = "ignore",
    skip_bad: bool = False,
    resamples: int = metrics.RESAMPLES,
) -> Result:
    """Embed the images of a data set, predict, and compare the predictions with the targets.

    `run("top-all", "scenes")` is enough. `RunSpec` has all options of a run.

    Args:
        strategy: a strategy or its specification, such as "top-all,scale=20".
        dataset: a data set or its name, with fields: "voc,root=VOCdevkit,sample=200".
        store: embeds images and texts. For an encoder or a model's name, a store with the default cache is opened and
            closed. None takes the model of the adapter or of the data set.
        prompts: a prompt set or its name, for a strategy by name.
        difficult: how a left-out target counts: "ignore" (official VOC), "negative" or "positive".
        skip_bad: exclude images that cannot be read, with a warning, instead of raising BadImages.
        resamples: number of bootstrap resamples for the intervals.

    Raises:
        UnknownName: a name is unknown.
        BadImages: images cannot be read and skip_bad is False. The readable ones are in the cache by then.
        LabelError, PromptError, UsageError: the strategy cannot use these labels, prompts or fields.
        ModelError, CacheError: see EmbeddingStore.
    """
    spec = RunSpec(strategy, dataset, prompts, _model(store), difficult=difficult)
    spec = replace(spec, skip_bad=True) if skip_bad else spec
    with _opened(*_resolved(spec, store), store) as prepared:
        return prepared.run(resamples=resamples)


@checked
def predict(
    paths: Iterable[Path | str] | Path | str,
    labels: Iterable[str] | str | None = None,
    store: EmbeddingStore | Encoder | str | None = None,
    *,
    strategy: Strategy | str | None = None,
    prompts: PromptSet | str | None = None,
    captions: Mapping[str, str] | None = None,
) -> Predictions:
    """Predict which of `labels` are on the images at `paths`.

    Args:
        paths: image files, folders (searched to any depth), .tar files, and .csv, .jsonl or .parquet lists of files.
        labels: C names of your choice, as a list, as "dog, cat" or as "@FILE". None takes those of an adapter.
        store: embeds images and texts, see `run`; ViT-B/32 by default.
        strategy: a strategy or its specification; "softmax:per-label" by default.
        prompts: a prompt set or its name, for a strategy by name.
        captions: image captions by image id, for an adapter that reads them.

    Raises:
        UnknownName: a name is unknown.
        DataError: a path is missing, a tar file or list is broken, or there is no image. An image that cannot be read
            raises nothing: see `Predictions.bad`.
        LabelError: labels are blank, duplicate or too long for the model.
        ModelError, CacheError: see EmbeddingStore.
    """
    wanted = labels if labels is None or isinstance(labels, str) else tuple(labels)
    spec = RunSpec(strategy or DEFAULT_STRATEGY, None, prompts, _model(store), labels=wanted)
    resolved, resources = _resolved(spec, store, captions)
    sources = sources_of(paths)
    with _opened(resolved, resources, store) as prepared:
        return prediction.predict(
            sources, prepared.labels, prepared.store, strategy=prepared.strategy, captions=captions
        )


@checked
def train(
    kind: Kind | str,
    dataset: Dataset | str,
    store: EmbeddingStore | Encoder | str | None = None,
    *,
    strategy: Strategy | str | None = None,
    out: Path | str | None = None,
    validation: Dataset | str | float | None = None,
    schedule: Schedule | None = None,
    prompts: PromptSet | str | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    device: str = "auto",
    progress: Progress = quiet,
    force: bool = False,
) -> Course:
    """Train an adapter on the targets of a data set. Ignored targets (−1) are not used.

    `train("self-training", unlabelled(FOLDER, labels))` learns from unlabelled images instead.

    Args:
        kind: the kind of adapter or its specification, such as "mld,blocks=2".
        dataset: images, labels and targets to train on, or a data set's name, which stands for its training split; keep
            the images for evaluation out of it.
        store: embeds each image and each label text once, see `run`.
        strategy: for self-training alone: the strategy that scores the images, or its specification;
            "softmax:per-label" by default.
        out: folder for adapter.safetensors, training.csv and the checkpoint of an unfinished training run.
        validation: images that choose the best epoch: a data set or its name, or a share of `dataset` to hold out. The
            sample is stratified by label; 0 takes the last epoch. The default is 0.1 for at least 500 images, else 0.
            It is 0 for a kind without epochs.
        schedule: settings of the training run; the default comes from the source of the kind.
        prompts: prompt set that words the labels, or its name; "photo" by default, and the strategy's own for
            self-training. It is saved with the weights.
        skip_bad: exclude images that cannot be read.
        resume: continue from the checkpoint in `out`, return the finished training run in it, or start if `out` has
            neither. The result is the same as without an interruption.
        device: where the network computes: "auto", "cpu" or "cuda".
        progress: receives the number of steps.
        force: replace files in `out` that zsprompt did not write, and without `resume` an adapter or a checkpoint.

    Raises:
        UnknownName: a name is unknown.
        TrainingError: labels without positives or negatives; no positives to validate on; numbers that are no longer
            finite; a folder with another training run; an adapter or a checkpoint in `out` without `resume` or `force`.
        UsageError: incompatible settings.
        BadImages, LabelError, ModelError, CacheError, OutputError: see `run` and EmbeddingStore.
    """
    kind = load_kind(kind) if isinstance(kind, str) else kind
    spec = RunSpec(dataset=dataset, model=_model(store))
    if isinstance(kind, SelfTrainingSpec):
        refuse_targets(validation=validation, schedule=schedule)
        spec = replace(spec, strategy=strategy or DEFAULT_STRATEGY, prompts=prompts)
    elif strategy is not None:
        raise UsageError(f"expected a strategy with self-training alone, found {strategy!r} with {name_of(kind)}")
    if store is None or isinstance(store, str):  # a model that is loaded has its device
        spec = replace(spec, device=device)
    if isinstance(dataset, str) and spec.split is None:
        spec = replace(spec, split=TRAINING.get(spec.dataset_name))
    if isinstance(validation, str):
        validation = RunSpec(dataset=validation).resolve(Resources()).data
    with _opened(*_resolved(spec, store), store) as prepared:
        if isinstance(kind, SelfTrainingSpec):
            return self_train(
                kind,
                prepared.strategy,
                prepared.data,
                prepared.store,
                out=out,
                skip_bad=skip_bad,
                resume=resume,
                force=force,
            )
        return adapter_training.train(
            kind,
            prepared.data,
            prepared.store,
            out=out,
            validation=validation,
            schedule=schedule,
            prompts=prompts,
            skip_bad=skip_bad,
            resume=resume,
            device=device,
            progress=progress,
            force=force,
        )


@checked
def with_thresholds(
    strategy: Strategy | str,
    thresholds: Thresholds | Path | str,
    store: EmbeddingStore | Encoder | str | None = None,
    dataset: Dataset | str | None = None,
    *,
    prompts: PromptSet | str | None = None,
) -> Thresholded:
    """`strategy` with decisions by `thresholds`.

    Args:
        strategy: a strategy or its specification.
        thresholds: thresholds or their file.
        store: what they are used with, see `run`.
        dataset: what they are used on, or its name.
        prompts: a prompt set or its name, for a strategy by name.

    Raises:
        UnknownName: a name is unknown.
        ThresholdError: the thresholds belong to another strategy, prompt set or model, or were chosen with targets of
            images in `dataset`.
    """
    used = str(thresholds) if isinstance(thresholds, Path) else thresholds
    spec = RunSpec(strategy, dataset, prompts, _model(store), thresholds=used)
    with _opened(*_resolved(spec, store), store) as prepared:
        return cast("Thresholded", prepared.strategy)  # prepared with thresholds


def _resolved(spec: RunSpec, store: Store, captions: Mapping[str, str] | None = None) -> tuple[Resolved, Resources]:
    """The run with everything loaded and checked except its model."""
    resources = Resources() if not isinstance(store, EmbeddingStore) else Resources(make_store=lambda _: store)
    resolved = replace(spec.resolve(resources), captions=captions)
    resolved.check(resources)
    return resolved, resources


@contextmanager
def _opened(resolved: Resolved, resources: Resources, store: Store) -> Iterator[Prepared]:
    """The run on a store that was given, which stays open, or on one that is opened and closed."""
    if isinstance(store, EmbeddingStore):
        yield resolved.prepared(store)
    else:
        with resources.open_store(resolved.model, resolved.spec.device) as opened:
            yield resolved.prepared(opened)


def _model(store: Store) -> Encoder | str | None:
    return store.encoder if isinstance(store, EmbeddingStore) else store
