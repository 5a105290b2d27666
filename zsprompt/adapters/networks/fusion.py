"""Fusion: the vectors of an image and its captions, concatenated or multiplied, then a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zsprompt.adapters.networks.layers import at_least, one_of, scaled
from zsprompt.errors import UsageError

_PROJECTED = 310
"""Width of each side of MUTAN before the products."""
_FUSED = 510
"""Width of the products of MUTAN."""
_RANK = 5
"""Number of products that MUTAN sums."""


class Fusion(nn.Module):
    """A classifier for images with captions.

    mode "concat": the inputs are concatenated, first the image, then its captions in order. Linear layers with ReLU
    follow: in → hidden → hidden / 2 → C with 3 layers, in → hidden → C with 2.

    mode "mutan": the image v and the concatenated captions q are projected, ṽ = tanh(W v) and q̃ = tanh(U q), both 310
    wide. Five products (M_r q̃) ⊙ (N_r ṽ), 510 wide, are summed (a Tucker decomposition whose core has rank 5 in each
    slice). One linear layer gives the logits. Only that last layer has a bias, as in the equations of the paper.

    Args:
        dim: D, width of images and captions.
        num_classes: C. The network takes only these labels.
        mode: "concat" or "mutan".
        inputs: "both", "image" or "captions".
        captions: K, captions per image.
        layers: 2 or 3, for "concat".
        hidden: width of the first hidden layer, for "concat".

    Raises:
        UsageError: an unknown mode or input, an invalid size, or "mutan" without both inputs.

    Source: the coco-captions-clip report; Ben-Younes et al. 2017, MUTAN: Multimodal Tucker Fusion for Visual
    Question Answering.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        mode: str = "concat",
        inputs: str = "both",
        captions: int = 1,
        layers: int = 3,
        hidden: int = 2048,
    ) -> None:
        super().__init__()
        self.inputs = one_of("the inputs", inputs, ("both", "image", "captions"))
        self.captions = at_least("caption", captions)
        at_least("label", num_classes)
        if one_of("the mode", mode, ("concat", "mutan")) == "mutan":
            if inputs != "both":
                raise UsageError(f"expected both inputs for mutan, which multiplies them, found {inputs!r}")
            self.head: nn.Module = _Mutan(dim, captions * dim, num_classes)
        else:
            joined = dim * {"both": 1 + captions, "image": 1, "captions": captions}[inputs]
            self.head = _perceptron(joined, num_classes, layers, at_least("hidden units", hidden, 2))

    def forward(self, vectors: Tensor, captions: Tensor | None = None) -> Tensor:
        """[B, C] logits of images [B, D] and their captions [B, K, D]; "image" ignores the captions.

        Raises:
            UsageError: no captions, or not K per image.
        """
        if self.inputs == "image":
            return self._logits(scaled(vectors))
        if captions is None or captions.shape[1] != self.captions:
            count = "none" if captions is None else captions.shape[1]
            raise UsageError(f"expected {self.captions} captions per image, found {count}")
        flat = scaled(captions).flatten(1)
        if self.inputs == "captions":
            return self._logits(flat)
        return self._logits(torch.cat([scaled(vectors), flat], dim=1))

    def _logits(self, joined: Tensor) -> Tensor:
        result: Tensor = self.head(joined)
        return result


def _perceptron(width: int, num_classes: int, layers: int, hidden: int) -> nn.Sequential:
    if layers == 2:
        return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))
    if layers == 3:
        half = hidden // 2
        return nn.Sequential(
            *(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, half), nn.ReLU(), nn.Linear(half, num_classes))
        )
    raise UsageError(f"expected 2 or 3 layers, found {layers}")


class _Mutan(nn.Module):
    """Multimodal Tucker fusion of an image [B, dim] and words [B, words], given as one row [B, dim + words]."""

    def __init__(self, dim: int, words: int, num_classes: int) -> None:
        super().__init__()
        # adapter files hold these attribute names
        self.picture = nn.Linear(dim, _PROJECTED, bias=False)
        self.words = nn.Linear(words, _PROJECTED, bias=False)
        self.picture_terms = nn.Linear(_PROJECTED, _RANK * _FUSED, bias=False)
        self.word_terms = nn.Linear(_PROJECTED, _RANK * _FUSED, bias=False)
        self.read_out = nn.Linear(_FUSED, num_classes)

    def forward(self, joined: Tensor) -> Tensor:
        vectors, words = torch.split(joined, [self.picture.in_features, self.words.in_features], dim=1)
        image_terms = self.picture_terms(self.picture(vectors).tanh())
        word_terms = self.word_terms(self.words(words).tanh())
        fused = (image_terms * word_terms).unflatten(1, (_RANK, _FUSED)).sum(dim=1)
        result: Tensor = self.read_out(fused)
        return result
