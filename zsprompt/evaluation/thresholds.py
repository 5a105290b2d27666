"""Tuning: thresholds from a result or from unlabelled images, and back onto the strategy they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arrays import Floats
from zsprompt._utils.id_digests import count_shared, packed
from zsprompt.data import Dataset
from zsprompt.errors import ThresholdError, UsageError
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.provenance import describe
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.threshold_rules import Rule, choose, expecting, out_of_fold, sharing, split
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Strategy, Thresholded
from zsprompt.strategies.calibration import Method, fit
from zsprompt.strategies.thresholds import Thresholds

_SAME = ("strategy_digest", "model", "fingerprint")
"""What of a recipe must be the same for scores to be the same."""

_MADE_FOR = ("strategy", "spec", "prompts", *_SAME)
"""What of a recipe thresholds keep: what must be the same, and what people read."""


_LONGEST = 200


def choose_thresholds(
    result: Result,
    *,
    rule: Rule | None = None,
    calibrate: Method | None = None,
    folds: int = 5,
    seed: int = 0,
) -> Thresholds:
    """Thresholds for a result's strategy, by its targets; how good they are is measured out of fold.

    The thresholds themselves come from all images. `measured` holds what thresholds from the other folds reach on each
    fold, and what the strategy's own decisions reach: {"out_of_fold", "own", "per_label", "folds", "seed"}. With a
    calibration it also holds "calibration_error", out of fold.

    Args:
        result: scores and targets, and the recipe that the thresholds will belong to.
        rule: one threshold or one per label; best F1 or a wanted precision. By default one per label, best F1.
        calibrate: also fit curves that turn scores into probabilities.
        folds: parts of the images, each judged by the others.
        seed: of the parts.

    Raises:
        UsageError: fewer images than folds, or no label with positives.
        ThresholdError: the result's decisions come from thresholds already, or an older version wrote the result.
    """
    rule = rule or Rule()
    if "thresholds" in result.recipe:
        raise ThresholdError(
            "expected a strategy's own decisions, found some by thresholds; run it without --thresholds"
        )
    scores, targets = result.prediction.scores, result.targets
    if not (targets == 1).any():
        raise UsageError("expected images with labels to choose thresholds by, found none that has any")
    values = choose(scores, targets, rule)
    held_out = out_of_fold(scores, targets, rule, folds=folds, seed=seed)
    reached = metrics.f1_scores(held_out, targets)
    measured: dict[str, Any] = {
        "out_of_fold": _measures(reached),
        "own": _measures(result.f1),
        "per_label": {
            label: {"precision": p, "recall": r, "f1": f}
            for label, p, r, f in zip(result.labels, *_lists(reached), strict=True)
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
        rule=_in_words(rule),
        tuned=True,
        made_for=_made_for(result.recipe),
        made_on=_made_on(result),
        measured=measured,
        calibration=fit(scores, targets, calibrate) if calibrate else None,
    )


def expected_thresholds(
    predictions: Predictions,
    recipe: Mapping[str, Any],
    *,
    labels_a_picture: float | None = None,
    share: float | None = None,
) -> Thresholds:
    """Thresholds from unlabelled images, by how many yeses you expect. Nothing tells how right they are.

    Args:
        predictions: scores of the images, which should be such as the thresholds will be used on.
        recipe: what they were made with, see zsprompt.evaluation.provenance.describe.
        labels_a_picture: one threshold for all labels, under which images have this many on average.
        share: or a threshold for each label that this share of the images exceeds.

    Raises:
        UsageError: neither or both are given, or out of range.
    """
    if (labels_a_picture is None) == (share is None):
        raise UsageError("expected either labels per image or a share of images, got neither or both")
    if labels_a_picture is not None:
        values, rule = expecting(predictions.scores, labels_per_image=labels_a_picture), "one for all labels"
        rule = f"{rule}, so that images have {labels_a_picture:g} labels on average"
    else:
        values, rule = sharing(predictions.scores, share=share or 0.0), "one per label"
        rule = f"{rule}, so that {100 * (share or 0.0):g} % of the images have it"
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
        ThresholdError: they were made for another strategy, prompt set or model, or by the targets of images of
            `dataset`.
    """
    found = describe(strategy, store)
    for key in _SAME:
        if thresholds.made_for.get(key) != found[key]:
            raise ThresholdError(
                f"expected thresholds for {key.removesuffix('_digest')} {_shown(key, found)}, found some for "
                f"{_shown(key, thresholds.made_for)}; use what they were made for, or make new ones"
            )
    if dataset is not None and (seen := _seen(thresholds, dataset)):
        raise ThresholdError(
            f"expected thresholds chosen on other images, found that {seen:,} of the {len(dataset.images):,} of "
            f"{dataset.name} {dataset.split} were used to choose them; choose them on another split (what they reach "
            "out of fold stands in their file)"
        )
    return Thresholded(strategy, thresholds)


def calibrated_out_of_fold(result: Result, method: Method, *, folds: int = 5, seed: int = 0) -> Floats:
    """[N, C] probabilities of each fold's images, by curves fitted to the others."""
    scores, targets = result.prediction.scores, result.targets
    probabilities = np.empty(scores.shape, dtype=np.float32)
    for fitted_on, judged in split(len(scores), folds, seed):
        curves = fit(scores[fitted_on], targets[fitted_on], method)
        probabilities[judged] = curves.probabilities(scores[judged])
    return probabilities


def _measures(f1: metrics.F1Scores) -> dict[str, float]:
    return {"micro_f1": f1.micro, "macro_f1": f1.macro, "sample_f1": f1.sample, **asdict(f1.overall)}


def _lists(f1: metrics.F1Scores) -> tuple[list[float], list[float], list[float]]:
    return f1.precision.tolist(), f1.recall.tolist(), f1.f1.tolist()


def _in_words(rule: Rule) -> str:
    whose = "one for all labels" if rule.kind == "global" else "one per label"
    by = "best F1" if rule.precision is None else f"precision of at least {rule.precision:g}"
    return f"{whose}, {by}"


def _made_on(result: Result) -> dict[str, Any]:
    facts = {key: result.recipe[key] for key in ("dataset", "split", "names", "difficult")}
    positives = dict(zip(result.labels, result.positives, strict=True))
    return facts | {"images": len(result.images), "positives": positives, "ids": packed(result.images)}


def _seen(thresholds: Thresholds, dataset: Dataset) -> int:
    """How many images of `dataset` the thresholds were chosen on by their targets."""
    if not thresholds.tuned or thresholds.made_on.get("dataset") != dataset.name:
        return 0
    try:
        return count_shared([image.id for image in dataset.images], str(thresholds.made_on.get("ids", "")))
    except ValueError:
        raise ThresholdError(
            "expected thresholds with the images that they were chosen on, found damage there; make them again"
        ) from None


def _made_for(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What thresholds keep of a recipe.

    Raises:
        ThresholdError: the recipe is of a result that does not tell its strategy from others.
    """
    if missing := [key for key in _MADE_FOR if key not in recipe]:
        raise ThresholdError(
            f"expected {missing[0]} in the recipe of the result, found one of an older zsprompt; run it again"
        )
    return {key: recipe[key] for key in _MADE_FOR}


def _shown(key: str, recipe: Mapping[str, Any]) -> str:
    """The value of a key of _SAME as people read it."""
    if key != "strategy_digest":
        return str(recipe.get(key))
    text = str(recipe.get("strategy"))
    return f"{text if len(text) <= _LONGEST else text[:_LONGEST] + '…'} ({recipe.get(key)})"
