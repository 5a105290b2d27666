"""The adapters as torch modules, and their losses. The only modules that import torch at the top.

Letters: B pictures of a batch, C labels, D width of the label texts, D' width of the features, L tokens of a picture
(1 for the pooled vector), K captions of a picture or groups of labels. Inputs are unit rows; logits come out.
"""

from __future__ import annotations

from zsprompt.adapters.networks.dm_decoder import DMDecoder
from zsprompt.adapters.networks.fc import FC, LinearHead
from zsprompt.adapters.networks.from_cosine import FromCosine
from zsprompt.adapters.networks.fusion import Fusion
from zsprompt.adapters.networks.ml_decoder import MLDecoder
from zsprompt.adapters.networks.mld import MLD

__all__ = ["FC", "MLD", "DMDecoder", "FromCosine", "Fusion", "LinearHead", "MLDecoder"]
