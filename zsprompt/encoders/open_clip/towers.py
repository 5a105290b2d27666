"""The two towers of an open_clip model on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.products import convolutions, products
from zsprompt.encoders.dual_encoder import TokenIds
from zsprompt.encoders.open_clip.build import build
from zsprompt.encoders.open_clip.image_tower import image_runs
from zsprompt.encoders.open_clip.sources import Source
from zsprompt.encoders.open_clip.text_tower import TextTower
from zsprompt.encoders.open_clip.tokenizers import PaddingTokenizer
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


class OpenClipTowers:
    """The towers of a source; see encoders.dual_encoder.Towers.

    Args:
        source: the model's parts.
        tokenizer: its tokeniser.
        device: "cpu" or "cuda".
        precision: see encoders.Precision.

    Raises:
        ModelError: the weights are damaged or of another model, or the machine cannot run the precision.
    """

    def __init__(self, source: Source, tokenizer: PaddingTokenizer, device: str, precision: Precision) -> None:
        product = products(device, precision)
        self._dtype = weights_dtype(device, precision)
        self.model = model = build(source, device, self._dtype)
        self.name, self.sizes = source.name, source.sizes
        self.logit_scale = float(model.logit_scale.detach().float().exp().squeeze())
        bias = model.logit_bias
        self.logit_bias = None if bias is None else float(bias.detach().float().squeeze())
        self._text = TextTower(model, tokenizer, self.sizes.context_length, product)
        image, tokens = image_runs(model, product)
        rounded = precision if device == "cpu" else "auto"
        self._image, self._tokens = convolutions(image, rounded), convolutions(tokens, rounded)

    @property
    def way(self) -> str:
        """How texts are embedded; see TextTower."""
        return self._text.way

    def text(self, sequences: Sequence[TokenIds], /) -> torch.Tensor:
        """See Towers."""
        return self._text(sequences)

    def image(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """See Towers."""
        return self._image(pixels.to(self._dtype))

    def image_tokens(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """See Towers."""
        tokens = self._tokens(pixels.to(self._dtype))
        if tokens.shape[1] != self.sizes.tokens:
            raise ModelError(
                f"expected {self.sizes.tokens} spatial tokens of an image from {self.name}, found {tokens.shape[1]}"
            )
        return tokens


def weights_dtype(device: str, precision: Precision) -> torch.dtype:
    """float32 on a CPU, where only products are rounded; float16 on a GPU, or bfloat16 on request."""
    import torch

    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float16
