"""CLIP's residual networks, with access to the features before the attention pool.

Source: OpenAI's `clip` package, clip/model.py, ModifiedResNet. For the tokens: MaskCLIP (Zhou et al. 2022, Extract Free
Dense Labels from CLIP).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from zsprompt.encoders.clip.transformer import resized_positions
from zsprompt.encoders.windows import Grid

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

    def windows(self, pixels: torch.Tensor, grid: Grid) -> torch.Tensor:
        """[N, W, D]: the pooled vectors of the windows of images of any size, each as of an image of its own.

        The places at a window's edge have seen beyond it. Nothing else differs from embedding it as a crop.

        Args:
            pixels: normalised [N, 3, 32 · rows, 32 · columns].
            grid: their grid.
        """
        import torch

        features = self._trunk(pixels)
        windows = [features[:, :, top:bottom, left:right] for left, top, right, bottom in grid.windows().tolist()]
        pool = self._pool_of(*windows[0].shape[2:])
        pooled: torch.Tensor = pool(torch.stack(windows, dim=1).flatten(0, 1))
        return pooled.view(len(pixels), len(windows), -1)

    def _pool_of(self, rows: int, columns: int) -> Any:
        """The attention pool for another number of places."""
        positions = resized_positions(self._pool.positional_embedding, rows, columns)
        if positions is self._pool.positional_embedding:
            return self._pool
        from torch import nn

        pool = copy.copy(self._pool)  # shares the weights; only its table of parameters differs
        pool._parameters = self._pool._parameters | {"positional_embedding": nn.Parameter(positions)}
        return pool
