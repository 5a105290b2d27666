"""CLIP's residual networks, with access to the features before the attention pool.

Source: OpenAI's `clip` package, clip/model.py, ModifiedResNet. For the tokens: MaskCLIP (Zhou et al. 2022, Extract Free
Dense Labels from CLIP).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class ResidualTower:
    """A ModifiedResNet that also gives the places which its attention pool averages.

    Args:
        visual: a `clip.model.ModifiedResNet`.
    """

    def __init__(self, visual: Any) -> None:
        from torch import nn

        self._visual, self._pool = visual, visual.attnpool
        self._trunk = copy.copy(visual)  # shares the weights; only its table of modules differs
        self._trunk._modules = visual._modules | {"attnpool": nn.Identity()}

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, D] from normalised pixels [N, 3, size, size]: the attention-pooled vector."""
        result: torch.Tensor = self._visual(pixels)
        return result

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 1 + places, D]: the pooled vector, bit for bit as from `__call__`, then the places, row by row.

        The pool mixes the values of the places. The token of a place is its own value, through the pool's output
        projection. The positional embedding only steers attention, in queries and keys, so it is left out here.
        """
        import torch

        features = self._trunk(pixels)
        values = self._pool.v_proj(features.flatten(2).transpose(1, 2))
        return torch.cat([self._pool(features)[:, None], self._pool.c_proj(values)], dim=1)
