"""What a training starts from, and what it comes to."""

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
    """One training. Attributes: see `fit`."""

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
    """What one epoch came to.

    Attributes:
        number: from 1.
        loss: mean over its steps.
        mAP: on the validation images, 0..1; None without any.
        lr: of its last step.
        seconds: it took, validation included.
        waiting: seconds of them in which the network waited for images.
    """

    number: int
    loss: float
    mAP: float | None  # noqa: N815 - the field's own spelling
    lr: float
    seconds: float
    waiting: float


@dataclass(frozen=True)
class Fitted:
    """Weights and how they were reached.

    Attributes:
        weights: arrays by name, of the best epoch.
        best: its number; 0 for a kind that is fitted at once.
        history: every epoch.
        mAP: what these weights reach on the validation images, 0..1; None without any.
    """

    weights: Mapping[str, NDArray[Any]]
    best: int = 0
    history: tuple[Epoch, ...] = ()
    mAP: float | None = None  # noqa: N815 - the field's own spelling


def mean_ap(scores: Floats, targets: Targets) -> float:
    """mAP, 0..1, of scores against targets, both [N, C]."""
    return metrics.mean_over_labels(metrics.average_precision(scores, targets))
