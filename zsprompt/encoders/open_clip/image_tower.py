"""Image towers of open_clip: the vector of an image, and of each of its places.

The vector of a place is what the tower's pool and projection make of that place alone, so it lies in the space of the
texts. Source: MaskCLIP (Zhou et al. 2022, Extract Free Dense Labels from CLIP), for other pools than CLIP's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zsprompt.encoders.clip.products import Linear, Product, Run
from zsprompt.encoders.clip.residual import ResidualTower
from zsprompt.encoders.clip.transformer import ImageTower, is_plain_block, run_by_layers
from zsprompt.encoders.open_clip.linear import swap_linear

if TYPE_CHECKING:
    import torch


def image_runs(model: Any, product: Callable[[Linear], Product]) -> tuple[Run, Run]:
    """The functions from normalised pixels [N, 3, S, S] to vectors [N, D], and to tokens [N, L, D].

    Args:
        model: an open_clip model, on its device. Its layers are changed to run by `product`.
        product: see Layer.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel

    visual = model.visual
    if isinstance(visual, ModifiedResNet):
        residual = ResidualTower(visual)
        return residual, residual.tokens
    if isinstance(visual, TimmModel):
        swap_linear(visual, product)
        return model.encode_image, _TimmPlaces(model).tokens
    if _pools_class_token(visual):
        tower = ImageTower(visual, product)
        return tower, tower.tokens
    run_by_layers(visual.transformer, product)
    return model.encode_image, _Places(model).tokens


def _pools_class_token(visual: Any) -> bool:
    plain = all(map(is_plain_block, visual.transformer.resblocks))
    return plain and visual.pool_type == "tok" and visual.attn_pool is None


class _Places:
    """The places of an open_clip.VisionTransformer that averages them."""

    def __init__(self, model: Any) -> None:
        self._visual, self._encode = model.visual, model.encode_image

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, L, D]."""
        import torch

        visual = self._visual
        states = visual.ln_post(visual.transformer(visual._embeds(pixels))[:, 1:])
        return torch.cat([self._encode(pixels)[:, None], states @ visual.proj], dim=1)


class _TimmPlaces:
    """The places of a network of timm."""

    def __init__(self, model: Any) -> None:
        self._visual, self._encode = model.visual, model.encode_image

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, L, D]."""
        import torch

        trunk = self._visual.trunk
        features = trunk.forward_features(pixels)
        if features.dim() == 4:  # a map of [N, C, rows, columns]
            alone = features.flatten(2).transpose(1, 2).flatten(0, 1)[:, :, None, None]
            places = features.shape[2] * features.shape[3]
        else:
            # The pool sees a place and copies of it where a class token would be: whether it averages, attends or
            # takes the first, the place is all it sees.
            first = trunk.num_prefix_tokens
            kept = features[:, first:]
            places = kept.shape[1]
            alone = kept.flatten(0, 1)[:, None].expand(-1, 1 + first, -1)
        vectors = self._visual.head(trunk.forward_head(alone)).view(len(pixels), places, -1)
        return torch.cat([self._encode(pixels)[:, None], vectors], dim=1)
