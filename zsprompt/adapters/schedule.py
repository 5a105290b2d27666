"""The schedule of a training run: loss, optimiser, learning rate, and early stopping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from zsprompt._utils.arguments import check_fields
from zsprompt.errors import UnknownName, UsageError

Loss = Literal["mse", "bce", "asl", "bce+clip", "asl+clip"]
"""Losses on sigmoid probabilities; +clip adds CLIP's contrastive loss between images and labels."""

Optimizer = Literal["adam", "adamw"]
Decay = Literal["linear", "none"]

_SEEDS = 2**32


@dataclass(frozen=True)
class Schedule:
    """The settings of a training run. The default of every kind of adapter comes from its source.

    Attributes:
        epochs: maximum number of passes over the images.
        batch_size: B, images per step.
        lr: highest learning rate.
        weight_decay: L2 for adam, decoupled for adamw.
        optimizer: "adam" or "adamw".
        loss: see Loss.
        warm_up: share of all steps, 0..1, in which the learning rate rises linearly from 0.
        decay: "linear" lowers the learning rate to 0 from there to the last step; "none" keeps it constant.
        patience: number of epochs without a better validation mAP before training stops; None never stops early.
        selective: α of selective language supervision: train on the labels present in the batch and α times as many
            others (Xu et al. 2022, eq. 6); None trains on all labels.
        clip_weight: weight of the contrastive loss.
        seed: seed of weights, order, dropout and drawn labels.

    Raises:
        UsageError, UnknownName: a value out of range.
    """

    epochs: int = 40
    batch_size: int = 56
    lr: float = 3e-4
    weight_decay: float = 1e-4
    optimizer: Optimizer = "adam"
    loss: Loss = "asl"
    warm_up: float = 0.0
    decay: Decay = "none"
    patience: int | None = None
    selective: float | None = None
    clip_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        for name, value, choices in (
            ("optimizer", self.optimizer, get_args(Optimizer)),
            ("loss", self.loss, get_args(Loss)),
            ("decay", self.decay, get_args(Decay)),
        ):
            if value not in choices:
                raise UnknownName(name, str(value), choices)
        limits = (
            ("epochs", self.epochs, 1, 100_000),
            ("batch size", self.batch_size, 1, 2**20),
            ("learning rate", self.lr, 1e-12, 1e3),
            ("weight decay", self.weight_decay, 0, 1e3),
            ("share of steps to warm up in", self.warm_up, 0, 1),
            ("patience", self.patience, 1, 100_000),
            ("α of selective supervision", self.selective, 0, 1e6),
            ("weight of the contrastive loss", self.clip_weight, 0, 1e6),
            ("seed", self.seed, 0, _SEEDS - 1),
        )
        for what, number, low, high in limits:
            if number is not None and not (math.isfinite(number) and low <= number <= high):
                raise UsageError(f"expected {what} of {low:.12g} to {high:.12g}, got {number:.12g}")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, 0-based, out of `steps`.

        Source: the linear warm-up and decay of Hugging Face's get_linear_schedule_with_warmup, as in the
        coco-captions-clip report. There the first step has rate 0; here it has the first rate above 0.
        """
        rising = round(self.warm_up * steps)
        if step < rising:
            return self.lr * (step + 1) / rising
        if self.decay == "none":
            return self.lr
        return self.lr * (steps - step) / max(1, steps - rising)
