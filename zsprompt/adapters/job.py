"""The inputs and outputs of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zsprompt import metrics
from zsprompt._utils.arrays import Floats, Targets
from zsprompt._utils.progress import Progress, quiet
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.kinds.base import Sizes
from zsprompt.adapters.schedule import Schedule


@dataclass(frozen=True)
class Job:
    """The inputs of one training run. Attributes: see `fit`."""

    sizes: Sizes
    training: Examples
    texts: Floats
    schedule: Schedule
    validation: Examples | None = None
    checkpoint: Path | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    progress: Progress = quiet


@dataclass(frozen=True)
class Epoch:
    """The measures of one epoch.

    Attributes:
        number: from 1.
        loss: mean over the steps.
        mAP: on the validation images, 0..1; None without validation images.
        lr: learning rate of the last step.
        seconds: duration, including validation.
        waiting: seconds of `seconds` in which the network waited for images.
    """

    number: int
    loss: float
    mAP: float | None  # noqa: N815 - the field's own spelling
    lr: float
    seconds: float
    waiting: float


@dataclass(frozen=True)
class Fitted:
    """The weights of a training run, and its history.

    Attributes:
        weights: arrays by name, of the best epoch.
        best: number of the best epoch; 0 for a kind without epochs.
        history: every epoch.
        mAP: mAP of these weights on the validation images, 0..1; None without validation images.
    """

    weights: Mapping[str, NDArray[Any]]
    best: int = 0
    history: tuple[Epoch, ...] = ()
    mAP: float | None = None  # noqa: N815 - the field's own spelling


def mean_ap(scores: Floats, targets: Targets) -> float:
    """mAP, 0..1, of scores against targets, both [N, C]."""
    return metrics.mean_over_labels(metrics.average_precision(scores, targets))
