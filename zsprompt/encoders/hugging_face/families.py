"""What the dual encoders of transformers differ in. A wrong choice lowers every score without an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zsprompt.errors import ModelError


@dataclass(frozen=True)
class Family:
    """The models of one `model_type`.

    Attributes:
        longest_text: maximum number of tokens of the texts it was trained on, where its text tower would take more.
        is_padded: whether padding takes part, so that each text is padded to the context as in training. Otherwise
            it is masked.
        is_canonical: whether texts were in lower case and without punctuation in training.
        has_places: whether the vector of an image is that of one token, so that the others can be read in the same
            way and lie in the space of the texts.
        has_positions: whether the image tower takes images of one size only.
    """

    longest_text: int | None = None
    is_padded: bool = False
    is_canonical: bool = False
    has_places: bool = False
    has_positions: bool = True


FAMILIES = {
    # Source: AlignProcessor of transformers pads to 64 tokens.
    "align": Family(longest_text=64, has_positions=False),
    # Source: Chen et al. 2022, AltCLIP, section 4.1; the model card pads to 77 tokens.
    "altclip": Family(longest_text=77, has_places=True),
    # Source: `tokenize` of the package cn_clip, whose models all have a context of 52.
    "chinese_clip": Family(longest_text=52, has_places=True),
    "clip": Family(has_places=True),
    "metaclip_2": Family(has_places=True),
    # Also SigLIP 2 at one size. Both pad without a mask. The tokeniser of SigLIP removes punctuation, that of SigLIP 2
    # does not, although big_vision does so for both (evaluators/proj/image_text/prompt_engineering.py). Without it,
    # SigLIP 2 loses 12 points of accuracy on ImageNet: https://github.com/NVlabs/RADIO/pull/142.
    "siglip": Family(is_padded=True, is_canonical=True),
}
"""By `model_type`."""

_OTHERWISE = {
    "siglip2": "SigLIP 2 NaFlex, whose images have many sizes; use a SigLIP 2 model with one size",
}


def family_of(config: Mapping[str, Any], name: str) -> Family:
    """The family of a model with this configuration, the content of its config.json.

    Raises:
        ModelError: it is no dual encoder, or one that zsprompt does not support.
    """
    kind = config.get("model_type")
    if isinstance(kind, str) and kind in FAMILIES:
        return FAMILIES[kind]
    described = _OTHERWISE.get(str(kind)) or (
        f"model_type {kind!r}" if kind else "no model_type; if open_clip wrote it, use hf-hub: or local-dir:"
    )
    raise ModelError(
        f"expected {name} to be a dual encoder that transformers calls {', '.join(FAMILIES)}; found {described}"
    )
