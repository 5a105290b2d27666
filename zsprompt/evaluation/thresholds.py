"""Thresholds: chosen from a result or from unlabelled images, and applied to the strategy they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Floats
from zsprompt._utils.id_digests import count_shared, packed
from zsprompt.data import Dataset
from zsprompt.errors import ThresholdError, UsageError
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.provenance import describe, describe_strategy
from zsprompt.evaluation.reference_words import KEY
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.threshold_rules import Rule, choose, expecting, out_of_fold, sharing, split
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, Thresholded
from zsprompt.strategies.calibration import Method, fit
from zsprompt.strategies.thresholds import Thresholds

_SAME = ("strategy_digest", "model", "fingerprint")
"""Keys of a recipe that determine the scores."""

_MADE_FOR = ("strategy", "spec", "prompts", *_SAME)
"""Keys of a recipe that thresholds keep: those that determine the scores, and those for readers."""


@checked
def choose_thresholds(
    result: Result,
    *,
    rule: Rule | None = None,
    calibrate: Method | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Thresholds:
    """Choose thresholds for the strategy of a result by its targets, and measure them out of fold.

    The thresholds come from all images. `measured` compares two sets of decisions: "out_of_fold" are those on each
    fold by thresholds from the other folds, "own" are those of the strategy itself. It also holds "per_label",
    "folds" and "seed", and with a calibration "calibration_error", out of fold.

    Args:
        result: scores, targets and provenance.
        rule: one threshold or one per label; best F1 or a wanted precision. By default one per label, best F1.
        calibrate: also fit curves that turn scores into probabilities.
        folds: number of folds.
        seed: random seed of the folds.

    Raises:
        UsageError: there are fewer images than folds, or no label has positives.
        ThresholdError: the decisions of the result come from thresholds, or an older version wrote the result.
    """
    rule = rule or Rule()
    if "thresholds" in result.recipe:
        raise ThresholdError(
            "expected the strategy's own decisions, found decisions by thresholds; run it without --thresholds"
        )
    scores, targets = result.prediction.scores, result.targets
    if not (targets == 1).any():
        raise UsageError("expected images with labels to choose thresholds from, found no image with a label")
    values = choose(scores, targets, rule)
    held_out = out_of_fold(scores, targets, rule, folds=folds, seed=seed)
    scored = metrics.f1_scores(held_out, targets)
    measured: dict[str, Any] = {
        "out_of_fold": _measures(scored),
        "own": _measures(result.f1),
        "per_label": {
            label: {"precision": p, "recall": r, "f1": f}
            for label, p, r, f in zip(result.labels, *_lists(scored), strict=True)
        },
        "folds": folds,
        "seed": seed,
    }
    if calibrate:
        probabilities = calibrated_out_of_fold(result, calibrate, folds=folds, seed=seed)
        measured["calibration_error"] = metrics.reliability(probabilities, targets).error
    return Thresholds(
        labels=result.labels,
        values=tuple(map(float, values)),
        rule=_rule_text(rule),
        tuned=True,
        made_for=_made_for(result.recipe),
        made_on=_made_on(result),
        measured=measured,
        calibration=fit(scores, targets, calibrate) if calibrate else None,
    )


@checked
def expected_thresholds(
    predictions: Predictions,
    recipe: Mapping[str, Any],
    *,
    labels_per_image: float | None = None,
    share: float | None = None,
) -> Thresholds:
    """Choose thresholds from unlabelled images by how many labels to expect. Their quality cannot be measured.

    Args:
        predictions: scores of images like those that the thresholds are for.
        recipe: provenance of the scores, see zsprompt.evaluation.provenance.describe.
        labels_per_image: one threshold for all labels that predicts this many labels per image on average.
        share: alternatively, for each label the threshold that this share of the images exceeds.

    Raises:
        UsageError: neither or both are given, or the number is out of range.
    """
    if (labels_per_image is None) == (share is None):
        raise UsageError("expected either labels_per_image or share, got neither or both")
    if labels_per_image is not None:
        values, rule = expecting(predictions.scores, labels_per_image=labels_per_image), "one for all labels"
        rule = f"{rule}, for {labels_per_image:g} labels per image on average"
    else:
        values, rule = sharing(predictions.scores, share=share or 0.0), "one per label"
        rule = f"{rule}, for {100 * (share or 0.0):g} % of the images per label"
    return Thresholds(
        labels=predictions.labels,
        values=tuple(map(float, values)),
        rule=rule,
        tuned=False,
        made_for=_made_for(recipe),
        made_on={"dataset": None, "images": len(predictions.images)},
    )


def with_thresholds(
    strategy: Strategy, thresholds: Thresholds, store: EmbeddingStore, dataset: Dataset | None = None
) -> Thresholded:
    """`strategy` with decisions by `thresholds`.

    Raises:
        ThresholdError: the thresholds belong to another strategy, prompt set or model, or were chosen with targets of
            images in `dataset`.
    """
    refuse_thresholds(strategy, thresholds, dataset)
    _require_same(thresholds, describe(strategy, store, thresholds.labels))
    return Thresholded(strategy, thresholds)


def refuse_thresholds(strategy: Strategy, thresholds: Thresholds, dataset: Dataset | None = None) -> None:
    """Raise what `with_thresholds` would raise with every model. This needs no model.

    Raises:
        ThresholdError: see `with_thresholds`.
    """
    _require_same(thresholds, describe_strategy(strategy))
    if dataset is not None and (seen := _seen(thresholds, dataset)):
        raise ThresholdError(
            f"expected thresholds chosen on other images, found {seen:,} of the {len(dataset.images):,} images of "
            f"{dataset.name} {dataset.split} among those they were chosen on; choose them on another split (their file "
            "has their out-of-fold measures)"
        )


def _require_same(thresholds: Thresholds, recipe: Mapping[str, Any]) -> None:
    """Raise ThresholdError if the recipe has another strategy or model than the thresholds were made for."""
    for key in _SAME:
        if key in recipe and thresholds.made_for.get(key) != recipe[key]:
            raise ThresholdError(
                f"expected thresholds for {key.removesuffix('_digest')} {_shown(key, recipe)}, found thresholds for "
                f"{_shown(key, thresholds.made_for)}; run with what they were made for, or make new ones"
            )


def calibrated_out_of_fold(result: Result, method: Method, *, folds: int = 5, seed: int = 0) -> Floats:
    """[N, C] probabilities on each fold of the images, by curves fitted to the other folds."""
    scores, targets = result.prediction.scores, result.targets
    probabilities = np.empty(scores.shape, dtype=np.float32)
    for others, fold in split(len(scores), folds, seed):
        curves = fit(scores[others], targets[others], method)
        probabilities[fold] = curves.probabilities(scores[fold])
    return probabilities


def _measures(f1: metrics.F1Scores) -> dict[str, float]:
    return {"micro_f1": f1.micro, "macro_f1": f1.macro, "sample_f1": f1.sample, **asdict(f1.overall)}


def _lists(f1: metrics.F1Scores) -> tuple[list[float], list[float], list[float]]:
    return f1.precision.tolist(), f1.recall.tolist(), f1.f1.tolist()


def _rule_text(rule: Rule) -> str:
    kind = "one for all labels" if rule.kind == "global" else "one per label"
    by = "best F1" if rule.precision is None else f"precision of at least {rule.precision:g}"
    return f"{kind}, {by}"


def _made_on(result: Result) -> dict[str, Any]:
    facts = {key: result.recipe[key] for key in ("dataset", "split", "names", "difficult")}
    positives = dict(zip(result.labels, result.positives, strict=True))
    return facts | {"images": len(result.images), "positives": positives, "ids": packed(result.images)}


def _seen(thresholds: Thresholds, dataset: Dataset) -> int:
    """Number of images of `dataset` whose targets were used to choose the thresholds."""
    if not thresholds.tuned or thresholds.made_on.get("dataset") != dataset.name:
        return 0
    try:
        return count_shared([image.id for image in dataset.images], str(thresholds.made_on.get("ids", "")))
    except ValueError:
        raise ThresholdError(
            "expected the ids of the images that the thresholds were chosen on, found damaged ones; make the file again"
        ) from None


def _made_for(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a recipe that thresholds keep.

    Raises:
        ThresholdError: an older version wrote the recipe, without the strategy's digest.
    """
    if missing := [key for key in _MADE_FOR if key not in recipe]:
        raise ThresholdError(
            f"expected {missing[0]} in the recipe of the result, found a result of an older zsprompt; run it again"
        )
    return {key: recipe[key] for key in (*_MADE_FOR, *({KEY} & recipe.keys()))}


def _shown(key: str, recipe: Mapping[str, Any]) -> str:
    """The value of a key of _SAME for readers."""
    if key != "strategy_digest":
        return str(recipe.get(key))
    prompts = ", ".join(map(str, recipe.get("prompts", ())))
    return f"{recipe.get('spec')}{f' with prompts {prompts}' if prompts else ''} ({recipe.get(key)})"
