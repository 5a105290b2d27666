"""Learning from unlabelled images by a strategy's scores, and writing what was learnt as an adapter file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

from zsprompt._utils.digests import digest
from zsprompt._utils.id_digests import packed
from zsprompt._utils.outputs import check_folder, new_folder
from zsprompt.adapters import Sizes, Trained, spec_of
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.job import Fitted
from zsprompt.adapters.kinds.self_training import SelfTrainingSpec
from zsprompt.adapters.training import FILES, PROMPTS, Course, clear_folder, finished, keep, named
from zsprompt.data import Dataset
from zsprompt.data.dataset import refuse_or_skip
from zsprompt.encoders.base import another_domain
from zsprompt.errors import UsageError
from zsprompt.evaluation.provenance import prompt_sets
from zsprompt.prompts import load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import (
    Prediction,
    SelfTraining,
    Strategy,
    load_strategy,
    needs_all_images,
    reads,
    refuse,
    takes_captions,
    takes_prompts,
)
from zsprompt.strategies.registry import spec_of as strategy_spec


def self_train(
    kind: SelfTrainingSpec,
    strategy: Strategy,
    dataset: Dataset,
    store: EmbeddingStore,
    *,
    out: Path | str | None = None,
    skip_bad: bool = False,
    resume: bool = False,
    force: bool = False,
) -> Course:
    """Learn what the images of a data set teach a strategy. Its targets are not looked at.

    Args:
        kind: how to learn.
        strategy: scores the images; the adapter adds to its scores.
        dataset: images and labels.
        store: embeds the images.
        out: folder for adapter.safetensors.
        skip_bad: leave out images that cannot be read.
        resume: return the adapter in `out` if it comes from the same training.
        force: replace files in `out` that zsprompt did not write, and an adapter.

    Raises:
        UsageError: too few images, or a strategy that an adapter file cannot hold.
        TrainingError: an adapter in `out` without `resume` or `force`, or from another training.
        BadImages, LabelError, ModelError, CacheError, OutputError: see `run` and EmbeddingStore.
    """
    SelfTraining(strategy)  # raises for a strategy that self-training cannot wrap
    require_written(strategy)
    kind.refuse_images(len(dataset.images))
    refuse(strategy, dataset.labels, store)
    folder = None if out is None else Path(out)
    if folder is not None:
        check_folder(folder, FILES, force=force)
        if not resume:
            clear_folder(folder, force)
    embedded = embed(dataset.images, store, reads(strategy) | kind.reads, list(dataset.caption_columns.values()))
    refuse_or_skip(dataset, embedded.bad, skip_bad)
    readable = dataset.select(embedded.kept) if embedded.bad else dataset
    facts = _recipe(kind, strategy)
    identity = {
        "model": store.fingerprint,
        "labels": " | ".join(dataset.labels),
        "images": named(readable),
    }
    if resume and folder is not None and (course := finished(folder, facts["adapter"], facts, identity)):
        return course
    inner = strategy.predict(embedded.images, dataset.labels, store)
    fitted = Fitted(kind.learn_from(embedded.images, inner.scores, inner.decisions))
    trained = Trained(
        kind=kind,
        sizes=Sizes(embedded.images.vectors.shape[1], len(fitted.weights["centre"]), len(dataset.labels)),
        labels=tuple(dataset.labels),
        prompts=next(prompt_sets(strategy), load_prompts(PROMPTS)),
        model=store.encoder.name,
        fingerprint=store.fingerprint,
        weights=fitted.weights,
        file=None if folder is None else str(folder / FILE),
        facts={"recipe": facts, "identity": identity, **_facts(readable, inner), "notes": []},
    )
    course = Course(trained, (), 0, tuple(another_domain(store.encoder, dataset.domain)))
    trained.facts["notes"].extend(course.notes)
    with nullcontext() if folder is None else new_folder(folder):
        if folder is not None:
            keep(course, folder, force)
    return course


def refuse_targets(*, validation: object = None, schedule: object = None) -> None:
    """Raise UsageError for what only a training on targets uses."""
    for name, value in (("validation images", validation), ("a schedule", schedule)):
        if value is not None:
            raise UsageError(f"self-training does not use {name}: it learns in one step, without targets; leave it out")


def require_written(strategy: Strategy) -> None:
    """Raise UsageError for a strategy that its specification and one prompt set do not describe in full."""
    spec = strategy_spec(strategy)
    prompts = list({prompts.digest: prompts for prompts in prompt_sets(strategy)}.values())
    reason = "its captions are not part of an adapter file" if takes_captions(strategy) else ""
    if not reason and needs_all_images(strategy):
        reason = "it needs all images at once"
    if not reason:
        given = prompts[0] if prompts and takes_prompts(spec) else None
        same = digest(load_strategy(spec, prompts=given)) == digest(strategy)
        reason = "" if same else "its specification does not hold all its fields"
    if reason:
        raise UsageError(
            f"expected a strategy that an adapter file can hold, found {spec}: {reason}; use another, such as "
            "softmax:per-label"
        )


def _recipe(kind: SelfTrainingSpec, strategy: Strategy) -> dict[str, Any]:
    return {"adapter": spec_of(kind), "strategy": strategy_spec(strategy), "strategy_digest": digest(strategy)}


def _facts(dataset: Dataset, inner: Prediction) -> dict[str, Any]:
    """The sections of an adapter file that tell about the images."""
    found = dict(zip(dataset.labels, inner.decisions.sum(axis=0).tolist(), strict=True))
    return {
        "data": {
            "dataset": dataset.name,
            "split": dataset.split,
            "domain": dataset.domain,
            "names": dataset.names,
            "images": len(dataset.images),
            "validation": None,
            "validation_images": 0,
            "found": found,
            "ids": packed([image.id for image in dataset.images]),
        },
        "metrics": {"validation_mAP": None, "best_epoch": 0, "epochs": 0},
        "history": [],
        "diverged": None,
    }
