"""A network that starts at the cosines of the prompts and adds what it learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FromCosine(nn.Module):
    """Logit = network + a · cosine of image and label text + b; all labels share a and b.

    The last layer of the network starts at 0. Before the first step, images are therefore ranked by their cosines, for
    seen and unseen labels. Training changes a, b and the network.

    Args:
        network: gives logits [B, C].
        last: the parameters of its last layer.
    """

    def __init__(self, network: nn.Module, last: Sequence[nn.Parameter]) -> None:
        super().__init__()
        self.network = network
        self.slope, self.offset = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        for parameter in last:
            nn.init.zeros_(parameter)

    def begin(self, vectors: Tensor, texts: Tensor, targets: Tensor) -> None:
        """Set a and b to the log odds of present against absent labels.

        The cosines of both are modelled as normal distributions of equal variance.

        Args:
            vectors: [N, D] images to train on.
            texts: [C, D] label texts.
            targets: [N, C] 1 present, 0 absent, −1 ignored.
        """
        cosines = (vectors @ texts.T).double()
        present, absent = cosines[targets == 1], cosines[targets == 0]
        count = len(present) + len(absent)
        within = (present.var(correction=0) * len(present) + absent.var(correction=0) * len(absent)) / count
        # uninformative label texts must not start with the opposite sign
        slope = ((present.mean() - absent.mean()) / within.clamp(min=1e-12)).clamp(min=1.0)
        middle = (present.mean() + absent.mean()) / 2
        odds = torch.log(torch.tensor(len(present) / max(1, len(absent)), dtype=torch.float64))
        with torch.no_grad():
            self.slope.copy_(slope)
            self.offset.copy_(odds - slope * middle)

    def forward(self, vectors: Tensor, features: Tensor, texts: Tensor) -> Tensor:
        """[B, C] logits of images [B, D] with features [B, …] for the network, for label texts [C, D]."""
        with torch.autocast(vectors.device.type, enabled=False):  # cosines are close together, and the slope is steep
            cosines = vectors @ texts.T
        logits: Tensor = self.network(features, texts) + self.slope * cosines + self.offset
        return logits
