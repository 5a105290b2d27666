"""The adapters as torch modules. Only these modules and the losses import torch at the top.

Letters: B images per batch, C labels, D width of the label texts, D' width of the features, L tokens per image (1 for
the pooled vector), K captions per image or groups of labels. Inputs are unit rows; outputs are logits.
"""

from __future__ import annotations

from zsprompt.adapters.networks.dm_decoder import DMDecoder
from zsprompt.adapters.networks.fc import FC, LinearHead
from zsprompt.adapters.networks.from_cosine import FromCosine
from zsprompt.adapters.networks.fusion import Fusion
from zsprompt.adapters.networks.ml_decoder import MLDecoder
from zsprompt.adapters.networks.mld import MLD

__all__ = ["FC", "MLD", "DMDecoder", "FromCosine", "Fusion", "LinearHead", "MLDecoder"]
