"""Losses of logits [B, C] against targets [B, C]: 1 present, 0 absent, −1 left out.

What is left out adds nothing to a loss and gets no gradient. A loss of nothing is 0, and can still be followed back.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """[] mean of (sigmoid(logit) − target)² over the targets that are known, 0..1. Source: the mmm-clip report."""
    return _mean((logits.sigmoid() - (targets == 1).to(logits.dtype)).square(), targets != -1)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """[] mean binary cross-entropy over the targets that are known, in nats, 0 or more."""
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
    """[] asymmetric loss: summed over labels, mean over pictures, 0 or more.

    With p = sigmoid(logit) and p_m = max(p − margin, 0), a present label costs −(1 − p)^γ₊ · log p and an absent one
    −p_m^γ₋ · log(1 − p_m). Exponents and margin of 0 give the binary cross-entropy.
    Powers and logarithms are taken of the logits, so no logit makes them infinite.

    Args:
        logits: [B, C].
        targets: [B, C].
        gamma_positive: γ₊, 0 or more.
        gamma_negative: γ₋, 0 or more.
        margin: 0 up to but not including 1: absent labels of a lower probability cost nothing.

    Source: Ben-Baruch et al. 2020, Asymmetric Loss For Multi-Label Classification.
    """
    present = -torch.exp(gamma_positive * F.logsigmoid(-logits)) * F.logsigmoid(logits)
    remaining = F.logsigmoid(-logits)  # log(1 − p)
    if margin:
        remaining = torch.logaddexp(remaining, remaining.new_tensor(math.log(margin))).clamp(max=0)
    # above 0: the slope of 0^γ is infinite for γ below 1, and not every torch's clamp stops it at the limit itself
    shifted = (logits.sigmoid() - margin).clamp(min=torch.finfo(logits.dtype).tiny)
    absent = -shifted.pow(gamma_negative) * remaining
    costs = present.where(targets == 1, absent).masked_fill(targets == -1, 0)
    return costs.sum() / max(len(costs), 1)


def contrastive(images: Tensor, labels: Tensor, targets: Tensor, scale: Tensor | float) -> Tensor:
    """[] CLIP's symmetric cross-entropy where a picture has several labels, in nats, 0 or more.

    Each picture's softmax over the labels, at scale · cosine, against equal shares of its present labels; each
    label's softmax over the pictures against equal shares of those it is present in; the mean over the pictures,
    and over the labels, that have any; then the mean of the two. What is left out stands in no softmax.

    Args:
        images: [B, W], of any length.
        labels: [C, W], of any length.
        targets: [B, C].
        scale: inverse temperature, a number or a learned one.

    Source: Radford et al. 2021 (one positive a row); the clip-decoder report (as a loss beside the classification).
    """
    logits = scale * (F.normalize(images, dim=-1) @ F.normalize(labels, dim=-1).T)
    return (_equal_shares(logits, targets) + _equal_shares(logits.T, targets.T)) / 2


def selected_labels(targets: Tensor, alpha: float, generator: torch.Generator) -> Tensor:
    """[S] sorted positions of the labels to train on in this batch: those present in it, and some others at random.

    There are min(⌊alpha · present⌋, rest) others, every choice of them equally likely; none where nothing is present.

    Args:
        targets: [B, C]; only 1 is present.
        alpha: others for each present label, 0 or more.
        generator: what draws them.

    Source: Xu et al., A Dual Modality Approach For (Zero-Shot) Multi-Label Classification, equation 6.
    """
    present = (targets == 1).any(dim=0)
    others = (~present).nonzero().flatten()
    count = min(math.floor(alpha * int(present.sum())), len(others))
    drawn = torch.randperm(len(others), generator=generator, device=generator.device)[:count]
    return torch.cat([present.nonzero().flatten(), others[drawn.to(others.device)]]).sort().values


def _mean(costs: Tensor, known: Tensor) -> Tensor:
    """Mean of the known costs [B, C]; 0 of none."""
    return costs.masked_fill(~known, 0).sum() / known.sum().clamp(min=1)


def _equal_shares(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each row's softmax against equal shares of its positives, mean over rows that have some."""
    # a row without positives may be all left out: its softmax would be not a number, and so would every gradient
    rows = (targets == 1).any(dim=1)
    logits, targets = logits[rows], targets[rows]
    shares = logits.masked_fill(targets == -1, -math.inf).log_softmax(dim=1)
    costs = -shares.masked_fill(targets != 1, 0).sum(dim=1) / (targets == 1).sum(dim=1)
    return costs.sum() / max(len(costs), 1)
