"""Run one strategy on one data set and say how good its answers are, with the whole recipe."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt import __version__, metrics
from zsprompt.arrays import Doubles, Targets
from zsprompt.datasets import Dataset
from zsprompt.errors import BadImages, DataError, UnknownName
from zsprompt.grammar import counted
from zsprompt.metrics import Difficult, F1Scores
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddedImages, EmbeddingStore
from zsprompt.strategies import Images, Prediction, Strategy, check_labels

if TYPE_CHECKING:
    import pandas as pd

FEW_POSITIVES = 50
"""Below this many positives a label's AP moves by points from sample to sample, and the result says so."""

_WORDS_NAMED = 20
_VERSIONED = ("torch", "torchvision", "transformers", "clip-anytorch", "numpy", "pillow")


@dataclass(frozen=True)
class Result:
    """What a run measured, its predictions, and how to repeat it. All measures are 0..1.

    Attributes:
        labels: C names.
        images: ids of the N pictures measured on.
        prediction: scores and decisions, [N, C].
        targets: [N, C] under the chosen convention: 1, 0, or −1 left out.
        ap: [C] average precision; NaN for a label without positives.
        mAP, mAP_interval: its mean, and the 95 % bootstrap interval over pictures.
        seed_mAP, seed_mAP_nothing: the mmm-clip seed's number on decisions, and what predicting nothing scores.
        chance: mAP of a random order, the mean prevalence.
        f1: precision, recall and F1 of the decisions.
        eleven_point: [C] VOC2007's interpolated AP, if it was asked for.
        skipped: (id, reason) of pictures left out because they cannot be read.
        counts: texts and pictures encoded and found in the cache.
        seconds: wall time of the run.
        recipe: strategy, prompts, model, fingerprint, dataset, split, names, difficult, versions.
        warnings: what a reader of the numbers should know, a sentence each.
    """

    labels: tuple[str, ...]
    images: tuple[str, ...]
    prediction: Prediction
    targets: Targets
    ap: Doubles
    mAP: float  # noqa: N815 - the field's own spelling
    mAP_interval: tuple[float, float]  # noqa: N815
    seed_mAP: float  # noqa: N815
    seed_mAP_nothing: float  # noqa: N815
    chance: float
    f1: F1Scores
    eleven_point: Doubles | None
    skipped: tuple[tuple[str, str], ...]
    counts: dict[str, int]
    seconds: float
    recipe: dict[str, Any]
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json` and result.json; a missing AP is None."""
        summary: dict[str, Any] = {
            "mAP": _number(self.mAP),
            "mAP_interval": [_number(value) for value in self.mAP_interval],
            "ap": {label: _number(value) for label, value in zip(self.labels, self.ap, strict=True)},
            "seed_mAP": _number(self.seed_mAP),
            "seed_mAP_nothing": _number(self.seed_mAP_nothing),
            "chance": _number(self.chance),
            "sample_f1": self.f1.sample,
            "micro_f1": self.f1.micro,
            "macro_f1": self.f1.macro,
            "images": len(self.images),
            "labels": len(self.labels),
            **self.counts,
            "overflowed": self.prediction.overflowed,
            **({"captions": dict(self.prediction.worded)} if self.prediction.worded else {}),
            "skipped": len(self.skipped),
            "skipped_images": dict(self.skipped),
            "seconds": round(self.seconds, 3),
            "positives": dict(zip(self.labels, map(int, (self.targets == 1).sum(axis=0)), strict=True)),
            "warnings": list(self.warnings),
            "recipe": self.recipe,
        }
        if self.eleven_point is not None:
            summary["mAP_11_point"] = _number(metrics.mean_over_labels(self.eleven_point))
        return summary

    def per_class(self) -> pd.DataFrame:
        """One row a label: ap, positives, left_out, chance, precision, recall, f1 (and ap_11_point if asked for)."""
        import pandas as pd

        columns = {
            "ap": self.ap,
            "positives": (self.targets == 1).sum(axis=0),
            "left_out": (self.targets == -1).sum(axis=0),
            "chance": metrics.prevalence(self.targets),
            "precision": self.f1.precision,
            "recall": self.f1.recall,
            "f1": self.f1.f1,
        }
        if self.eleven_point is not None:
            columns["ap_11_point"] = self.eleven_point
        return pd.DataFrame(columns, index=pd.Index(self.labels, name="label"))


def run(
    strategy: Strategy,
    dataset: Dataset,
    store: EmbeddingStore,
    *,
    difficult: Difficult = "ignore",
    skip_bad: bool = False,
    eleven_point: bool = False,
    resamples: int = 1000,
) -> Result:
    """Embed the data set's pictures, let the strategy predict, and measure the prediction.

    Args:
        strategy: what turns embeddings into scores and decisions.
        dataset: pictures, labels, targets.
        store: where pictures and texts are embedded.
        difficult: what a left-out target counts as: "ignore" (official VOC), "negative" or "positive".
        skip_bad: leave out pictures that cannot be read, and say so, instead of refusing.
        eleven_point: also compute VOC2007's interpolated AP.
        resamples: of the bootstrap interval.

    Raises:
        BadImages: pictures cannot be read and skip_bad is False; the readable ones are already in the cache.
        LabelError, PromptError, UsageError: labels, prompts or fields that the strategy cannot use.
        ModelError, CacheError: see EmbeddingStore.
    """
    if difficult not in metrics.DIFFICULT:
        raise UnknownName("convention for difficult", difficult, metrics.DIFFICULT)
    check_labels(dataset.labels)
    start, before = time.perf_counter(), dataclasses.asdict(store.counts)
    store.take_unfamiliar()
    embedded = store.images(dataset.images)
    skipped = _refuse_or_skip(dataset, embedded, skip_bad)
    prediction = strategy.predict(Images(embedded.vectors), dataset.labels, store)
    targets = metrics.resolve_targets(dataset.targets[embedded.kept], difficult)
    after = dataclasses.asdict(store.counts)
    return _measure(
        prediction,
        targets,
        labels=dataset.labels,
        images=tuple(dataset.images[i].id for i in embedded.kept),
        skipped=skipped,
        counts={key: after[key] - before[key] for key in before},
        start=start,
        recipe=_recipe(strategy, dataset, store, difficult),
        eleven_point=eleven_point,
        resamples=resamples,
        unfamiliar=store.take_unfamiliar(),
        said=(*dataset.notes, *undescribed(strategy, dataset.labels)),
    )


def _refuse_or_skip(dataset: Dataset, embedded: EmbeddedImages, skip_bad: bool) -> tuple[tuple[str, str], ...]:
    bad = tuple((dataset.images[i].id, reason) for i, reason in embedded.bad)
    if bad and not skip_bad:
        raise BadImages(bad, len(dataset.images))
    if not len(embedded.kept):
        raise DataError(f"expected readable pictures in data set {dataset.name}, found none among {len(bad)}")
    return bad


def _measure(
    prediction: Prediction,
    targets: Targets,
    *,
    labels: tuple[str, ...],
    images: tuple[str, ...],
    skipped: tuple[tuple[str, str], ...],
    counts: dict[str, int],
    start: float,
    recipe: dict[str, Any],
    eleven_point: bool,
    resamples: int,
    unfamiliar: Sequence[str],
    said: Sequence[str],
) -> Result:
    scores, decisions = prediction.scores, prediction.decisions
    ap = metrics.average_precision(scores, targets)
    return Result(
        labels=labels,
        images=images,
        prediction=prediction,
        targets=targets,
        ap=ap,
        mAP=metrics.mean_over_labels(ap),
        mAP_interval=metrics.bootstrap_interval(scores, targets, resamples=resamples),
        seed_mAP=metrics.mean_over_labels(metrics.seed_average_precision(decisions, targets)),
        seed_mAP_nothing=metrics.mean_over_labels(metrics.seed_nothing(targets)),
        chance=metrics.mean_over_labels(metrics.prevalence(targets)),
        f1=metrics.f1_scores(decisions, targets),
        eleven_point=metrics.eleven_point_average_precision(scores, targets) if eleven_point else None,
        skipped=skipped,
        counts=counts,
        seconds=time.perf_counter() - start,
        recipe=recipe,
        warnings=(
            *_warnings(prediction, targets, labels, len(skipped), counts),
            *never_seen(recipe["model"], unfamiliar),
            *said,
        ),
    )


def describe(strategy: Strategy, store: EmbeddingStore) -> dict[str, Any]:
    """What a prediction was made with: strategy, prompts, model, fingerprint, versions. Part of every result."""
    return {
        "strategy": repr(strategy),
        "prompts": [f"{prompts.name} {prompts.digest}" for prompts in _prompt_sets(strategy)],
        "model": store.encoder.name,
        "fingerprint": store.encoder.fingerprint,
        "versions": {"zsprompt": __version__, "python": platform.python_version(), **_versions(_VERSIONED)},
    }


def never_seen(model: str, words: Sequence[str]) -> list[str]:
    """The warning that a model was never trained on these words, if there are any."""
    if not words:
        return []
    named = ", ".join(words[:_WORDS_NAMED]) + (
        f" and {len(words) - _WORDS_NAMED} more" if len(words) > _WORDS_NAMED else ""
    )
    return [f"model {model} was never trained on these words, so what it says of them means little: {named}"]


def made_up(worded: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each way in which label sets got a text that nobody wrote for them."""
    every = counted(sum(worded.values()), "label set")
    if composed := worded.get("composed"):
        yield f"{composed:,} of {every} have no caption: theirs is made of their parts' captions"
    if shortened := worded.get("shortened"):
        yield f"{shortened:,} of {every} have a caption that was cut at the end of a clause to fit the model"
    if template := worded.get("template"):
        yield f"for {template:,} of {every} no caption would do, so the template words them"


def undescribed(strategy: Strategy, labels: Sequence[str]) -> list[str]:
    """The warning that a prompt set describes other labels than these, one for each such set."""
    found = []
    for prompts in _prompt_sets(strategy):
        if missing := prompts.undescribed(labels):
            named = ", ".join(missing[:_WORDS_NAMED]) + (", …" if len(missing) > _WORDS_NAMED else "")
            found.append(
                f"prompt set {prompts.name} describes {len(labels) - len(missing)} of {counted(len(labels), 'label')}; "
                f"the others get its template: {named}"
            )
    return found


def _recipe(strategy: Strategy, dataset: Dataset, store: EmbeddingStore, difficult: str) -> dict[str, Any]:
    facts = {"dataset": dataset.name, "split": dataset.split, "names": dataset.names, "difficult": difficult}
    return describe(strategy, store) | facts


def _prompt_sets(strategy: object) -> Iterator[PromptSet]:
    """The prompt sets among a strategy's fields, and its inner strategies'."""
    if isinstance(strategy, PromptSet):
        yield strategy
    elif dataclasses.is_dataclass(strategy):
        for part in dataclasses.fields(strategy):
            yield from _prompt_sets(getattr(strategy, part.name))


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an extra, or clip from its repository instead of PyPI
            found[package] = "not installed under this name"
    return found


def _warnings(
    prediction: Prediction, targets: Targets, labels: Sequence[str], skipped: int, counts: dict[str, int]
) -> Iterator[str]:
    positives = (targets == 1).sum(axis=0)
    without = [label for label, count in zip(labels, positives, strict=True) if count == 0]
    few = [f"{label} {count}" for label, count in zip(labels, positives, strict=True) if 0 < count < FEW_POSITIVES]
    if without:
        names = ", ".join(without)
        yield f"no positives for {names}: no AP there, mAP leaves them out, and macro F1 counts them as 0"
    if few:
        yield (
            f"fewer than {FEW_POSITIVES} positives for {len(few)} of {counted(len(labels), 'label')}, "
            f"so their AP and the interval are rough: {', '.join(few)}"
        )
    if np.isin(prediction.scores, (0, 1)).all():
        yield "all scores are 0 or 1, so mAP measures ties; rank by scores, or read seed_mAP and F1 instead"
    if prediction.overflowed:
        share = prediction.overflowed / len(targets)
        yield f"{share:.4g} candidates a picture were left out because their text does not fit the model"
    yield from made_up(prediction.worded)
    if skipped:
        yield f"{counted(skipped, 'picture')} left out: cannot be read"
    if counts["texts_not_kept"]:
        texts = counted(counts["texts_not_kept"], "candidate text")
        yield f"{texts} embedded without being stored; a repetition embeds them again"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
