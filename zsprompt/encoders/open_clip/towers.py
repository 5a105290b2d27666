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
        import torch

        on_cpu = device == "cpu"
        product = products(device, precision)
        half = torch.bfloat16 if precision == "bfloat16" else torch.float16
        self.model = model = build(source, device, torch.float32 if on_cpu else half)
        self._dtype = torch.float32 if on_cpu else half
        self.sizes = source.sizes
        self.logit_scale = float(model.logit_scale.detach().float().exp().squeeze())
        bias = model.logit_bias
        self.logit_bias = None if bias is None else float(bias.detach().float().squeeze())
        self._text = TextTower(model, tokenizer, self.sizes.context_length, product)
        image, tokens = image_runs(model, product)
        rounded = precision if on_cpu else "auto"
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
        return self._tokens(pixels.to(self._dtype))
