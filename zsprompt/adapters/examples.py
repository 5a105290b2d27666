"""Images with targets, to train on or to validate with."""

from __future__ import annotations

from dataclasses import dataclass

from zsprompt._utils.arrays import Targets
from zsprompt.store.image_embeddings import Images


@dataclass(frozen=True)
class Examples:
    """N images with targets, to train on or to validate with.

    Attributes:
        images: their embeddings.
        targets: [N, C] 1 present, 0 absent, −1 ignored.
    """

    images: Images
    targets: Targets
