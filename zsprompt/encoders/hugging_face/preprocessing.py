"""The preprocessing of a model of transformers, from its image processor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt._utils.arrays import Doubles
from zsprompt.encoders.hugging_face.library import reading
from zsprompt.encoders.preprocessing import Interpolation, Preprocess, ResizeMode, without_far_ends
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

_INTERPOLATIONS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_TOLERANCE = 1e-3  # of one of 255 levels


@dataclass(frozen=True)
class ProcessorPreprocess(Preprocess):
    """As transformers' image processors: resized, then the centre is cropped, half pixels to the left and up.

    An image that already has the size of the crop is returned as it is.

    Attributes:
        resized: the side, or the short side, to which an image is resized. S if it is not cropped afterwards.
    """

    resized: int = 0

    def prepare(self, image: Image, size: int | None = None) -> Image:
        """See Preprocess."""
        side = self.size if size is None else size
        if image.size == (side, side):
            return image
        to = round(self.resized * side / self.size)
        if self.resize == "squash":
            scaled = self._scaled_to(image, (to, to))
        else:
            image = without_far_ends(image, side=to, size=self.size)
            short = min(image.size)
            scaled = self._scaled_to(image, (int(to * image.width / short), int(to * image.height / short)))
        left, top = (scaled.width - side) // 2, (scaled.height - side) // 2
        return scaled.crop((left, top, left + side, top + side))


def preprocess_of(processor: Any, folder: Path) -> ProcessorPreprocess:
    """What an image processor does, compared with it on two images.

    Args:
        processor: see read_image_processor.
        folder: of the model, for messages.

    Raises:
        ModelError: its steps are not: resize, crop the centre, subtract a mean and divide.
    """
    with reading("the image processor", folder):
        preprocess = _preprocess(processor.to_dict(), folder)
        _compare(preprocess, processor, folder)
    return preprocess


def _preprocess(settings: Mapping[str, Any], folder: Path) -> ProcessorPreprocess:
    if not (settings.get("do_resize") and settings.get("do_rescale")):
        raise _refusal(folder, "do_resize or do_rescale switched off")
    if settings.get("do_pad"):
        raise _refusal(folder, "do_pad")
    resize, resized = _resizing(settings, folder)
    crop = settings.get("do_center_crop")
    size = _square(settings.get("crop_size") or {}, "crop_size", folder) if crop else resized
    if size > resized or (resize == "shortest" and not crop):
        raise _refusal(folder, f"a crop to {settings.get('crop_size') if crop else 'nothing'} after {resized} pixels")
    interpolation = _INTERPOLATIONS.get(int(settings.get("resample") or 0))
    if interpolation is None:
        raise _refusal(folder, f"resample {settings.get('resample')} instead of 2 (bilinear) or 3 (bicubic)")
    return ProcessorPreprocess(size, *_normalisation(settings), interpolation, resize, resized=resized)


def _resizing(settings: Mapping[str, Any], folder: Path) -> tuple[ResizeMode, int]:
    size = settings.get("size") or {}
    edges = {key: value for key, value in dict(size).items() if value is not None}
    if set(edges) == {"shortest_edge"}:
        return "shortest", int(edges["shortest_edge"])
    return "squash", _square(edges, "size", folder)


def _square(sides: Mapping[str, Any], name: str, folder: Path) -> int:
    sides = {key: value for key, value in dict(sides).items() if value is not None}
    if set(sides) != {"height", "width"} or sides["height"] != sides["width"]:
        raise _refusal(folder, f"{name} {sides}")
    return int(sides["height"])


def _normalisation(settings: Mapping[str, Any]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The mean and the standard deviation of all steps after resizing, for pixels of 0..1."""
    factor, offset = 255 * float(settings["rescale_factor"]), -1.0 if settings.get("rescale_offset") else 0.0
    normalises, again = settings.get("do_normalize"), settings.get("include_top")
    mean = _three(settings["image_mean"]) if normalises else np.zeros(3)
    std = _three(settings["image_std"]) if normalises else np.ones(3)
    # EfficientNet's, of ALIGN, may divide by the standard deviation a second time
    divided = _three(settings["image_std"]) if again else np.ones(3)
    red, green, blue = ((mean - offset) / factor).tolist()
    of_red, of_green, of_blue = (std * divided / factor).tolist()
    return (red, green, blue), (of_red, of_green, of_blue)


def _three(values: object) -> Doubles:
    """One number per colour; the same for all if one is given."""
    return np.broadcast_to(np.asarray(values, dtype=np.float64), 3)


def _compare(preprocess: Preprocess, processor: Any, folder: Path) -> None:
    """Raise ModelError if a preprocessing differs from the image processor, on a wide image and a high one."""
    import torch
    from PIL import Image

    random = np.random.default_rng(0)
    side = preprocess.size
    for width, height in ((2 * side + 1, side + 7), (side // 2 + 3, side)):
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
        expected = np.asarray(processor(images=image, return_tensors="np")["pixel_values"][0])
        prepared = torch.from_numpy(np.array(preprocess.prepare(image)))
        pixels = preprocess.pixels(prepared[None])[0].numpy()
        levels = np.array(preprocess.std)[:, None, None] * 255
        if expected.shape != pixels.shape or np.abs((expected - pixels) * levels).max() > _TOLERANCE:
            raise _refusal(folder, f"a {type(processor).__name__} with other steps")


def _refusal(folder: Path, found: str) -> ModelError:
    return ModelError(
        f"expected an image processor in {folder} that resizes, crops the centre to a square and normalises; "
        f"found {found}"
    )
