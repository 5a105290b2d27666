"""The residual blocks of CLIP's transformers, split into their steps.

`clip` runs a block on whole sequences. A token trie needs queries, keys and values separately. An image tower needs
only the class token from the last block. Both use this module.

Source: OpenAI's `clip` package, clip/model.py, ResidualAttentionBlock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zsprompt.encoders.clip.products import Linear, Product, plain

if TYPE_CHECKING:
    import torch

# OpenAI's activation, QuickGELU, is x · sigmoid(1.702 x) = silu(1.702 x) / 1.702. In float32, the constants are folded
# into the matrices before and after it: one pass over the widest array instead of three.
_SLOPE = 1.702


class Layer:
    """One residual block. In float32, it modifies the block's matrices and activation in place if that is QuickGELU.

    Args:
        block: a `ResidualAttentionBlock` of `clip.model` or `open_clip.transformer`.
        product: turns each linear layer into a callable; see products.
    """

    def __init__(self, block: Any, product: Callable[[Linear], Product] = plain) -> None:
        import torch
        from torch import nn

        attention, inner = block.attn, block.mlp
        self.heads = int(attention.num_heads)
        self.width = int(attention.embed_dim)
        self.dtype = attention.in_proj_weight.dtype
        if self.dtype == torch.float32 and type(inner.gelu).__name__ == "QuickGELU":
            with torch.no_grad():
                inner.c_fc.weight.mul_(_SLOPE)
                inner.c_fc.bias.mul_(_SLOPE)
                inner.c_proj.weight.div_(_SLOPE)
            inner.gelu = nn.SiLU(inplace=True)
        inputs = nn.Linear(1, 1, device="meta")
        inputs.weight, inputs.bias = attention.in_proj_weight, attention.in_proj_bias
        self._before, self._between = block.ln_1, block.ln_2
        self._activation = inner.gelu
        self._inputs, self._mixed = product(inputs), product(attention.out_proj)
        self._up, self._down = product(inner.c_fc), product(inner.c_proj)

    def attention_input(self, states: torch.Tensor) -> torch.Tensor:
        """[…, 3 · width]: queries, keys and values, concatenated, from states […, width]."""
        result: torch.Tensor = self._inputs(self._before(states))
        return result

    def attend(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, allowed: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[B, Q, width] from queries [B, Q, width], keys and values [B, K, width].

        Args:
            queries: a part of an `attention_input`.
            keys: a part of an `attention_input`, of the same states or others.
            values: likewise.
            allowed: [B, Q, K] bool, whether a query attends to a key; or what is added to their product; all if None.
        """
        import torch.nn.functional as F

        q, k, v = (x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (queries, keys, values))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=None if allowed is None else allowed[:, None])
        result: torch.Tensor = self._mixed(mixed.transpose(1, 2).flatten(2))
        return result

    def pass_values(self, values: torch.Tensor) -> torch.Tensor:
        """[…, width] from values […, width], a part of an `attention_input`: as if each query attended to itself."""
        result: torch.Tensor = self._mixed(values)
        return result

    def feed_forward(self, states: torch.Tensor) -> torch.Tensor:
        """[…, width] from states […, width]."""
        result: torch.Tensor = self._down(self._activation(self._up(self._between(states))))
        return result


def run_by_layers(transformer: Any, product: Callable[[Linear], Product]) -> None:
    """Let each block of an `open_clip.transformer.Transformer` run its products by `product`, in place.

    The results are the block's own up to rounding. Blocks of other kinds keep their way.
    """
    for block in transformer.resblocks:
        if is_plain_block(block):
            block.forward = _ByLayer(Layer(block, product), block.forward)


def is_plain_block(block: Any) -> bool:
    """Whether a block of open_clip is one of CLIP's: no further norms, scales or inputs."""
    from torch import nn

    plain_kind = type(block).__name__ == "ResidualAttentionBlock" and not hasattr(block, "ln_1_kv")
    return plain_kind and isinstance(block.ls_1, nn.Identity) and isinstance(block.ls_2, nn.Identity)


class _ByLayer:
    """A block's `forward`: by a Layer, or the block's own for masks that differ between the texts of a batch."""

    def __init__(self, layer: Layer, own: Callable[..., torch.Tensor]) -> None:
        self._layer, self._own = layer, own

    def __call__(
        self, q_x: torch.Tensor, k_x: Any = None, v_x: Any = None, attn_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        if k_x is not None or v_x is not None or (attn_mask is not None and attn_mask.dim() != 2):
            return self._own(q_x, k_x, v_x, attn_mask)
        mask = None if attn_mask is None else attn_mask[None].to(q_x.dtype)
        queries, keys, values = self._layer.attention_input(q_x).chunk(3, dim=-1)
        states = q_x + self._layer.attend(queries, keys, values, mask)
        return states + self._layer.feed_forward(states)


class ImageTower:
    """CLIP's vision transformer. For the class token alone, the last block computes no other token.

    Args:
        visual: a `VisionTransformer` of `clip.model` or `open_clip.transformer`, pooled by its class token.
        product: see Layer.
    """

    def __init__(self, visual: Any, product: Callable[[Linear], Product] = plain) -> None:
        self._visual = visual
        self._layers = [Layer(block, product) for block in visual.transformer.resblocks]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, D] from normalised pixels [N, 3, size, size]: the class token."""
        return self._last(*self._before_last(pixels), slice(1))[:, 0]

    def tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 1 + patches, D]: the class token, bit for bit as from `__call__`, then the patches, row by row.

        The patches go through the same last steps as the class token, so all tokens lie in the space of the texts.
        """
        import torch

        states, attention = self._before_last(pixels)
        parts = slice(1), slice(1, None)  # separately: a product's bits depend on its shape and on what is rounded
        return torch.cat([self._last(states, attention, part) for part in parts], dim=1)

    def places(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, rows, columns, D]: the patches of images of any size, each in the space of the texts.

        A patch is its own value in the last block, through that block's output projection: without the last attention,
        which would mix in the whole image, and without what is added to it.

        Args:
            pixels: normalised [N, 3, height, width], multiples of the patch size.

        Source: MaskCLIP (Zhou et al. 2022, Extract Free Dense Labels from CLIP).
        """
        size = self._visual.conv1.kernel_size[0]
        rows, columns = pixels.shape[2] // size, pixels.shape[3] // size
        values = self._before_last(pixels)[1][:, 1:].chunk(3, dim=-1)[2]
        states = self._layers[-1].pass_values(values)
        result: torch.Tensor = self._visual.ln_post(states) @ self._visual.proj
        return result.view(len(pixels), rows, columns, -1)

    def _before_last(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N, L, width] states before the last block, and [N, L, 3 · width] its queries, keys and values."""
        import torch

        visual = self._visual
        patches = visual.conv1(pixels.to(visual.conv1.weight.dtype))
        positions = resized_positions(visual.positional_embedding, *patches.shape[2:]).to(patches.dtype)
        patches = patches.flatten(2).transpose(1, 2)
        first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
        states = torch.cat([first, patches], dim=1) + positions
        states = visual.ln_pre(states)
        for layer in self._layers[:-1]:
            states = states + layer.attend(*layer.attention_input(states).chunk(3, dim=-1))
            states = states + layer.feed_forward(states)
        return states, self._layers[-1].attention_input(states)

    def _last(self, states: torch.Tensor, attention: torch.Tensor, part: slice) -> torch.Tensor:
        """[N, part, D]: the last block and the projection, for a part of the tokens."""
        layer, visual = self._layers[-1], self._visual
        queries, keys, values = attention.chunk(3, dim=-1)
        states = states[:, part] + layer.attend(queries[:, part], keys, values)
        states = states + layer.feed_forward(states)
        result: torch.Tensor = visual.ln_post(states) @ visual.proj
        return result


def resized_positions(positions: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """[1 + rows · columns, width] position embeddings of another grid, bicubic, from those of a square one.

    The first, of the class token, stays as it is.
    """
    import torch
    import torch.nn.functional as F

    side = math.isqrt(len(positions) - 1)
    if (rows, columns) == (side, side):
        return positions
    square = positions[1:].float().view(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(square, (rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid.flatten(2)[0].T.to(positions.dtype)])
