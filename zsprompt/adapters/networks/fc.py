"""Linear layers: FC over the picture's and the label text's vectors joined, and the probe over the picture's alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zsprompt.adapters.networks.layers import at_least, same_labels, scaled


class FC(nn.Module):
    """Logit of label c = wᶜ · (picture, text of c) + bᶜ, with a weight row wᶜ [2D] and a bias for each label.

    The text half of a row only moves its label's bias as long as the texts stay the same: what it adds is the same
    for every picture. So it changes the training's course, not what the trained network can say.

    Args:
        dim: D, width of pictures and texts.
        num_classes: C. The network knows these labels and no others.

    Source: the mmm-clip report, CLIP-FC-Adapter.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(at_least("label", num_classes), 2 * dim))
        self.bias = nn.Parameter(torch.empty(num_classes))
        bound = 1 / math.sqrt(2 * dim)  # as nn.Linear starts
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def last_layer(self) -> list[nn.Parameter]:
        """The parameters behind the logits."""
        return [self.weight, self.bias]

    def forward(self, vectors: Tensor, texts: Tensor) -> Tensor:
        """[B, C] logits of pictures [B, D] and label texts [C, D].

        Raises:
            LabelError: as many texts as labels were expected.
        """
        same_labels(texts, len(self.bias))
        pictures, words = self.weight.chunk(2, dim=1)
        return scaled(vectors) @ pictures.T + (scaled(texts) * words).sum(dim=1) + self.bias


class LinearHead(nn.Module):
    """Logit of label c = wᶜ · picture + bᶜ: a linear probe.

    Args:
        dim: D, width of pictures.
        num_classes: C. The network knows these labels and no others.

    Source: the mmm-clip report's baseline, a frozen backbone and a fully connected layer.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, at_least("label", num_classes))

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, C] logits of pictures [B, D]."""
        logits: Tensor = self.layer(scaled(vectors))
        return logits
