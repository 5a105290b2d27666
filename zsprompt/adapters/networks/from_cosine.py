"""A network that begins as the prompts' answer: cosines become logits, and what it learns is added to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FromCosine(nn.Module):
    """Logit = network + a · cosine of picture and label text + b, with a and b shared by all labels.

    The network's last layer begins at 0, so that before the first step the order of pictures is that of the cosines,
    for labels of the training and for any others; training moves a, b and the network.

    Args:
        network: [B, C] logits of its own inputs.
        last: the parameters of its last layer.
    """

    def __init__(self, network: nn.Module, last: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.network = network
        self.slope, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        for parameter in last:
            nn.init.zeros_(parameter)

    def begin(self, vectors: Tensor, texts: Tensor, targets: Tensor) -> None:
        """Give a and b the values under which two normal distributions of equal width, those of the cosines of
        present and of absent labels, have these log odds.

        Args:
            vectors: [N, D] pictures to learn from.
            texts: [C, D] of the labels.
            targets: [N, C] 1 present, 0 absent, −1 left out.
        """
        cosines = (vectors @ texts.T).double()
        present, absent = cosines[targets == 1], cosines[targets == 0]
        count = len(present) + len(absent)
        within = (present.var(correction=0) * len(present) + absent.var(correction=0) * len(absent)) / count
        # a label text that says nothing of the pictures must not begin with its sign turned
        slope = ((present.mean() - absent.mean()) / within.clamp(min=1e-12)).clamp(min=1.0)
        middle = (present.mean() + absent.mean()) / 2
        odds = torch.log(torch.tensor(len(present) / max(1, len(absent)), dtype=torch.float64))
        with torch.no_grad():
            self.slope.copy_(slope)
            self.offset.copy_(odds - slope * middle)

    def forward(self, vectors: Tensor, features: Tensor, texts: Tensor) -> Tensor:
        """[B, C] logits of pictures [B, D], what the network reads of them [B, …], and label texts [C, D]."""
        with torch.autocast(vectors.device.type, enabled=False):  # cosines lie close together, and the slope is steep
            cosines = vectors @ texts.T
        logits: Tensor = self.network(features, texts) + self.slope * cosines + self.offset
        return logits
