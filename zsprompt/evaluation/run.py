"""Run one strategy on one data set and measure its predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import asdict
from time import perf_counter as clock
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arguments import require
from zsprompt._utils.text import counted
from zsprompt.data import Dataset
from zsprompt.data.dataset import refuse_or_skip
from zsprompt.errors import UnknownName, UsageError
from zsprompt.evaluation.provenance import (
    describe,
    learnt_from,
    never_seen,
    other_captions,
    outside_domain,
    undescribed,
)
from zsprompt.evaluation.result import Result
from zsprompt.metrics import Difficult
from zsprompt.prompts.labels import check_labels
from zsprompt.prompts.odd_labels import label_warnings
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import Prediction, Strategy, reads, refuse, refuse_images


def run(
    strategy: Strategy,
    dataset: Dataset,
    store: EmbeddingStore,
    *,
    difficult: Difficult = "ignore",
    skip_bad: bool = False,
    resamples: int = metrics.RESAMPLES,
) -> Result:
    """Embed the images of a data set, predict, and compare the predictions with the targets.

    Args:
        strategy: turns embeddings into scores and decisions.
        dataset: images, labels and targets.
        store: embeds images and texts.
        difficult: how a left-out target counts: "ignore" (official VOC), "negative" or "positive".
        skip_bad: exclude images that cannot be read, with a warning, instead of raising BadImages.
        resamples: number of bootstrap resamples for the intervals.

    Raises:
        BadImages: images cannot be read and skip_bad is False. The readable ones are in the cache by then.
        LabelError, PromptError, UsageError: the strategy cannot use these labels, prompts or fields.
        ModelError, CacheError: see EmbeddingStore.
    """
    if difficult not in metrics.DIFFICULT:
        raise UnknownName("convention for difficult", difficult, metrics.DIFFICULT)
    check_labels(dataset.labels)
    start, before = clock(), dataclasses.asdict(store.counts)
    store.take_unfamiliar()
    refuse(strategy, dataset.labels, store)
    refuse_images(strategy, len(dataset.images))
    embedded = embed(dataset.images, store, reads(strategy), list(dataset.caption_columns.values()))
    skipped = refuse_or_skip(dataset, embedded.bad, skip_bad)
    prediction = strategy.predict(embedded.images, dataset.labels, store)
    _require_sound(prediction, (len(embedded.kept), len(dataset.labels)), strategy)
    after = dataclasses.asdict(store.counts)
    recipe = describe(strategy, store, dataset.labels) | _data(dataset, difficult)
    return Result(
        labels=dataset.labels,
        images=tuple(dataset.images[i].id for i in embedded.kept),
        prediction=prediction,
        targets=metrics.resolve_targets(dataset.targets[embedded.kept], difficult),
        recipe=recipe,
        skipped=skipped,
        counts={key: after[key] - before[key] for key in before},
        seconds=clock() - start,
        notes=(
            *outside_domain(strategy, store.encoder, dataset.labels, dataset.domain),
            *never_seen(recipe["model"], store.take_unfamiliar()),
            *dataset.caveats,
            *label_warnings(dataset.labels, dataset.places),
            *undescribed(strategy, dataset.labels),
            *_shortened(embedded.shortened),
            *other_captions(strategy, list(dataset.caption_columns)),
            *learnt_from(strategy, dataset.name, [dataset.images[i].id for i in embedded.kept]),
        ),
        resamples=resamples,
    )


def _require_sound(prediction: Prediction, shape: tuple[int, int], strategy: Strategy) -> None:
    """Check what a custom strategy returns; measures of NaN scores would look like results."""
    require(f"what {type(strategy).__name__}.predict returns", prediction, Prediction)
    shapes = prediction.scores.shape, prediction.decisions.shape
    if shapes != (shape, shape):
        fault = f"{shapes[0]} and {shapes[1]}"
    elif not np.isfinite(prediction.scores).all():
        fault = "scores that are NaN or infinite"
    elif prediction.windows is not None and prediction.windows.best.shape != shape:
        fault = f"windows of shape {prediction.windows.best.shape}"
    else:
        return
    name = type(strategy).__name__
    raise UsageError(f"expected finite scores and decisions of shape {shape} from strategy {name}, found {fault}")


def _shortened(captions: int) -> Iterator[str]:
    if captions:
        yield f"{counted(captions, 'image caption')} truncated to fit the model"


def _data(dataset: Dataset, difficult: str) -> dict[str, Any]:
    facts = {"dataset": dataset.name, "split": dataset.split, "names": dataset.names, "difficult": difficult}
    return facts | {"origin": asdict(dataset.origin) if dataset.origin else None}
