"""Comparing two results on the same images, by a paired bootstrap."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt import metrics
from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Doubles
from zsprompt.errors import ResultError
from zsprompt.evaluation.result import Result
from zsprompt.metrics import Difference

_FACTS = ("dataset", "split", "difficult")
_HOW = {
    "dataset": "data sets",
    "split": "splits",
    "difficult": "conventions for difficult objects (--dataset NAME,difficult=…)",
    "number of labels": "numbers of labels",
    "labels": "label lists",
    "images": "images (did the runs skip images, or differ in --sample or limit?)",
    "targets": "targets: the annotations changed between the runs",
    "resamples": "numbers of resamples",
}


@dataclass(frozen=True)
class Comparison:
    """Two results on the same N images and C labels, and the changes from the first to the second.

    Attributes:
        first: the baseline.
        second: the result that is compared with it.
        mAP: change of mAP.
        ap: [C] change of each label's AP; NaN for a label without positives.
        adjusted: [C] p-values of the labels, adjusted for multiple testing (Benjamini–Hochberg).
        flips: [N, C] 1 where only the second decision is right, −1 where only the first one is, else 0.
    """

    first: Result
    second: Result
    mAP: Difference  # noqa: N815 - the field's own spelling
    ap: tuple[Difference, ...]
    adjusted: Doubles
    flips: NDArray[np.int8]


@checked
def compare(first: Result, second: Result) -> Comparison:
    """Compare two results by a paired bootstrap.

    Raises:
        ResultError: the results differ in data set, images, labels or conventions; the message names the difference.
    """
    require_comparable(what_is_measured(first), what_is_measured(second))
    positions = range(len(first.labels))
    changes = tuple(metrics.difference(first.label_sampling(c), second.label_sampling(c)) for c in positions)
    right = [(r.prediction.decisions == (r.targets == 1)) & (r.targets != -1) for r in (first, second)]
    return Comparison(
        first=first,
        second=second,
        mAP=metrics.difference(first.sampling, second.sampling),
        ap=changes,
        adjusted=metrics.false_discovery(np.array([change.p for change in changes])),
        flips=right[1].astype(np.int8) - right[0].astype(np.int8),
    )


def what_is_measured(result: Result) -> dict[str, Any]:
    """What two results must share to be comparable: data set, images, labels and conventions."""
    facts = {key: result.recipe.get(key) for key in _FACTS}
    return facts | {
        "names": result.recipe.get("names"),
        "number of labels": len(result.labels),
        "labels": list(result.labels),
        "images": _digest("\n".join(result.images).encode("utf-8", "surrogateescape")),
        "targets": _digest(result.targets.tobytes()),
        "resamples": result.resamples,
    }


def require_comparable(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Raise ResultError for the first field of `what_is_measured` that differs.

    Readable and raw names of one data set are the same labels in the same order.
    """
    renamed = first["names"] != second["names"] and first["dataset"] == second["dataset"]
    for key, what in _HOW.items():
        if first[key] != second[key] and not (key == "labels" and renamed):
            shown = f": {_shown(key, first, second)} and {_shown(key, second, first)}" if key in _SHOWN else ""
            raise ResultError(f"expected results that can be compared, found different {what}{shown}")


_SHOWN = (*_FACTS, "number of labels", "labels")


def _shown(key: str, facts: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    value = facts[key]
    if isinstance(value, list):
        only_here = [label for label in value if label not in set(other[key])] or value
        return ", ".join(only_here[:3]) + (", …" if len(only_here) > 3 else "")
    return str(value)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
