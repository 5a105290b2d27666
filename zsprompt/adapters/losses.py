"""Losses of logits [B, C] against targets [B, C]: 1 present, 0 absent, −1 ignored.

Ignored targets add nothing to a loss and get no gradient. A loss over no targets is 0 and still has a gradient.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """[] mean of (sigmoid(logit) − target)² over the targets that are not ignored, 0..1. Source: mmm-clip report."""
    return _mean((logits.sigmoid() - (targets == 1).to(logits.dtype)).square(), targets != -1)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """[] mean binary cross-entropy over the targets that are not ignored, in nats, at least 0."""
    entropy = F.binary_cross_entropy_with_logits(logits, (targets == 1).to(logits.dtype), reduction="none")
    return _mean(entropy, targets != -1)


def asl(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
) -> Tensor:
    """[] asymmetric loss: sum over labels, mean over images, at least 0.

    With p = sigmoid(logit) and p_m = max(p − margin, 0), a present label costs −(1 − p)^γ₊ · log p and an absent label
    −p_m^γ₋ · log(1 − p_m). Exponents and a margin of 0 give the binary cross-entropy.
    Powers and logarithms are computed from the logits, so they are finite for every logit.

    Args:
        logits: [B, C].
        targets: [B, C].
        gamma_positive: γ₊, at least 0.
        gamma_negative: γ₋, at least 0.
        margin: at least 0 and below 1; absent labels with a lower probability cost nothing.

    Source: Ben-Baruch et al. 2020, Asymmetric Loss For Multi-Label Classification.
    """
    present = -torch.exp(gamma_positive * F.logsigmoid(-logits)) * F.logsigmoid(logits)
    remaining = F.logsigmoid(-logits)  # log(1 − p)
    if margin:
        remaining = torch.logaddexp(remaining, remaining.new_tensor(math.log(margin))).clamp(max=0)
    # above 0: the slope of 0^γ is infinite for γ below 1, and not every version of torch clamps it at the limit
    shifted = (logits.sigmoid() - margin).clamp(min=torch.finfo(logits.dtype).tiny)
    absent = -shifted.pow(gamma_negative) * remaining
    costs = present.where(targets == 1, absent).masked_fill(targets == -1, 0)
    return costs.sum() / max(len(costs), 1)


def contrastive(images: Tensor, labels: Tensor, targets: Tensor, scale: Tensor | float) -> Tensor:
    """[] CLIP's symmetric cross-entropy for images with several labels, in nats, at least 0.

    Logits are scale · cosine. Per image, the softmax over the labels is compared with equal shares of the present
    labels. Per label, the softmax over the images is compared with equal shares of the images that have it. Rows and
    columns without positives are excluded. The loss is the mean of the two means. Ignored targets enter no softmax.

    Args:
        images: [B, W], of any length.
        labels: [C, W], of any length.
        targets: [B, C].
        scale: inverse temperature, fixed or learned.

    Source: Radford et al. 2021 (one positive per row); the clip-decoder report (added to the classification loss).
    """
    logits = scale * (F.normalize(images, dim=-1) @ F.normalize(labels, dim=-1).T)
    return (_equal_shares(logits, targets) + _equal_shares(logits.T, targets.T)) / 2


def selected_labels(targets: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """[S] sorted positions of the labels to train on in this batch: all present labels and some random others.

    The number of others is min(⌊alpha · present⌋, rest), so 0 without present labels. Every choice is equally likely.

    Args:
        targets: [B, C]; only 1 is present.
        alpha: number of others per present label, at least 0.
        generator: source of the random choice.

    Source: Xu et al., A Dual Modality Approach For (Zero-Shot) Multi-Label Classification, equation 6.
    """
    present = (targets == 1).any(dim=0)
    others = (~present).nonzero().flatten()
    count = min(math.floor(alpha * int(present.sum())), len(others))
    drawn = torch.randperm(len(others), generator=generator, device=generator.device)[:count]
    return torch.cat([present.nonzero().flatten(), others[drawn.to(others.device)]]).sort().values


def _mean(costs: Tensor, counted: Tensor) -> Tensor:
    """Mean of the costs [B, C] that are counted [B, C]; 0 if none is."""
    return costs.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


def _equal_shares(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the softmax of each row against equal shares of its positives; mean over rows with positives."""
    # a row without positives may be ignored altogether: its softmax and all gradients would be NaN
    rows = (targets == 1).any(dim=1)
    logits, targets = logits[rows], targets[rows]
    shares = logits.masked_fill(targets == -1, -math.inf).log_softmax(dim=1)
    costs = -shares.masked_fill(targets != 1, 0).sum(dim=1) / (targets == 1).sum(dim=1)
    return costs.sum() / max(len(costs), 1)
