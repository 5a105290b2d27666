"""A model's embeddings of one image and three texts next to those that are published for OpenAI's ViT-B/32.

The image and the probabilities are of OpenAI's README (github.com/openai/CLIP), the vectors of NumPyCLIP
(github.com/99991/NumPyCLIP).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from zsprompt._utils.arrays import Doubles, unit_rows
from zsprompt.encoders.base import Encoder, Precision

PUBLISHED_TEXTS = ("a diagram", "a dog", "a cat")
"""The image is a diagram."""

PUBLISHED_PROBABILITIES = (0.9927936, 0.0042107, 0.0029958)
"""Of the texts, by a softmax."""

# The smallest cosine to a published vector that rounding explains; see benchmarks/open_clip_families.py.
_LEAST: dict[Precision, float] = {"auto": 0.9999, "bfloat16": 0.9995, "int8": 0.99}

_PUBLISHED_MODELS = (
    "ViT-B/32",
    "open_clip:ViT-B-32/openai",
    "open_clip:ViT-B-32-quickgelu/openai",
    "hf:openai/clip-vit-base-patch32",
)


@dataclass(frozen=True)
class Comparison:
    """What a model makes of the image and the texts.

    Attributes:
        cosines: [3] of the image and each text, by the model.
        probabilities: [3] softmax of the scaled cosines; None for a model without a logit scale.
        image_cosine: of the model's and the published vector of the image; None for vectors of another width.
        text_cosines: [3] likewise of the texts.
        least: the smallest of these cosines that rounding explains.
    """

    cosines: Doubles
    probabilities: Doubles | None
    image_cosine: float | None
    text_cosines: Doubles | None
    least: float

    @property
    def finds_diagram(self) -> bool:
        """Whether the image is nearest to "a diagram", as for any model trained on photographs and English texts."""
        return bool(self.cosines[0] > self.cosines[1:].max())

    @property
    def same_image(self) -> bool:
        """Whether the image's vector is the published one, up to rounding."""
        return self.image_cosine is not None and self.image_cosine >= self.least

    @property
    def same_texts(self) -> bool:
        """Whether the texts' vectors are the published ones, up to rounding."""
        return self.text_cosines is not None and bool((self.text_cosines >= self.least).all())

    @property
    def same(self) -> bool:
        """Whether all four vectors are the published ones, up to rounding."""
        return self.same_image and self.same_texts


def compare_published(encoder: Encoder, precision: Precision = "auto") -> Comparison:
    """Embed the image and the texts, and compare.

    Args:
        encoder: the model.
        precision: that it was loaded with; "int8" explains larger differences than float32 or float16.

    Raises:
        ModelError: weights are missing or damaged.
    """
    from PIL import Image

    with files(__package__).joinpath("CLIP.png").open("rb") as file:
        image = Image.open(file).convert("RGB")
    with files(__package__).joinpath("vectors.npz").open("rb") as file, np.load(file) as arrays:
        image_row, text_rows = unit_rows(arrays["image"])[0], unit_rows(arrays["text"])
    own_image = encoder.encode_images([encoder.prepare(image)])[0].astype(np.float64)
    own_texts = encoder.encode_texts(PUBLISHED_TEXTS).astype(np.float64)
    cosines = own_texts @ own_image
    same_width = encoder.dim == len(image_row)
    return Comparison(
        cosines,
        None if encoder.logit_scale is None else _softmax(cosines * encoder.logit_scale),
        float(own_image @ image_row) if same_width else None,
        (own_texts * text_rows).sum(axis=1) if same_width else None,
        _LEAST[precision],
    )


def is_published(model: str) -> bool:
    """Whether `model`, as `load_encoder` takes it, names OpenAI's ViT-B/32."""
    return model in _PUBLISHED_MODELS


def _softmax(logits: Doubles) -> Doubles:
    powers = np.exp(logits - logits.max())
    shares: Doubles = powers / powers.sum()
    return shares
