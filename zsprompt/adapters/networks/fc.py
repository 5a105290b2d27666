"""Linear layers: FC on concatenated image and label text vectors, and the linear probe on image vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zsprompt.adapters.networks.layers import at_least, same_labels, scaled


class FC(nn.Module):
    """Logit of label c = wᶜ · (image, text of c) + bᶜ, with a weight row wᶜ [2D] and a bias per label.

    With fixed texts, the text half of a row adds the same number for every image, like the bias. It changes the
    course of the training but not what the trained network can express.

    Args:
        dim: D, width of images and texts.
        num_classes: C. The network takes only these labels.

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
        """[B, C] logits of images [B, D] for label texts [C, D].

        Raises:
            LabelError: the number of texts is not C.
        """
        same_labels(texts, len(self.bias))
        image_weight, text_weight = self.weight.chunk(2, dim=1)
        return scaled(vectors) @ image_weight.T + (scaled(texts) * text_weight).sum(dim=1) + self.bias


class LinearHead(nn.Module):
    """Logit of label c = wᶜ · image + bᶜ: a linear probe.

    Args:
        dim: D, width of images.
        num_classes: C. The network takes only these labels.

    Source: the mmm-clip report's baseline, a frozen backbone and a fully connected layer.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, at_least("label", num_classes))

    def forward(self, vectors: Tensor) -> Tensor:
        """[B, C] logits of images [B, D]."""
        logits: Tensor = self.layer(scaled(vectors))
        return logits
