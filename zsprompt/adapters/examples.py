"""Images to learn from, with what is on them."""

from __future__ import annotations

from dataclasses import dataclass

from zsprompt._utils.arrays import Targets
from zsprompt.store.image_embeddings import Images


@dataclass(frozen=True)
class Examples:
    """N images to learn from, or to judge by.

    Attributes:
        images: their embeddings.
        targets: [N, C] 1 present, 0 absent, −1 left out.
    """

    images: Images
    targets: Targets
