"""How many places an image tower of open_clip sees, from its configuration alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PATCH = re.compile(r"(?:vit|eva).*_patch(\d+)_")  # Swin's patches are merged on the way

# Pixels per side of a place on the last feature map, by the first letters of timm's names.
_STRIDES = {"convnext": 32, "fastvit_mci0": 32, "fastvit_mci1": 32, "fastvit_mci2": 32, "fastvit_mci3": 64}
_STRIDES |= {"fastvit_mci4": 64, "vit_base_mci": 16, "vitamin": 16}


def places_of(config: Mapping[str, Any]) -> int | None:
    """The number of places in the square that a tower takes; None if its places have no vector of their own.

    Args:
        config: the model's `model_cfg`.
    """
    vision = config["vision_cfg"]
    if vision.get("attentional_pool"):
        return None  # CoCa's pool reads all places at once
    stride = _stride(vision)
    size = vision["image_size"]
    side = size if isinstance(size, int) else size[0]
    return None if stride is None else (side // stride) ** 2


def _stride(vision: Mapping[str, Any]) -> int | None:
    name = vision.get("timm_model_name")
    if not name:
        return 32 if isinstance(vision.get("layers"), (list, tuple)) else int(vision.get("patch_size", 16))
    if match := _PATCH.match(name):
        return int(match[1]) or None
    return next((stride for start, stride in _STRIDES.items() if name.startswith(start)), None)
