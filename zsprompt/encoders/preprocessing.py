"""How an image becomes the square of pixels that an image tower takes.

Models differ in it, and a wrong choice lowers every score without an error. It belongs to the weights, not to the
architecture. Every function equals torchvision's on PIL images, which the models' own libraries use; of a strip of more
than 32 to 1, the ends are cut off first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Interpolation = Literal["bicubic", "bilinear"]
ResizeMode = Literal["shortest", "longest", "squash"]

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)

_LONGEST_STRIP = 32  # long side over short side; less if images are prepared for a larger square
_NO_STRIP = 4


@dataclass(frozen=True)
class Preprocess:
    """From an RGB image of any size to a square, and from its bytes to normalised pixels.

    Attributes:
        size: S, the side of the square, in pixels.
        mean: of red, green and blue, 0..1; subtracted.
        std: of red, green and blue; divides.
        interpolation: of the resizing.
        resize: "shortest" scales the short side to S and crops the centre; "squash" scales both sides to S;
            "longest" scales the long side to S and pads.
        fill: red, green and blue, 0..255, of the padding.
    """

    size: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    interpolation: Interpolation = "bicubic"
    resize: ResizeMode = "shortest"
    fill: tuple[int, int, int] = (0, 0, 0)

    def prepare(self, image: Image, size: int | None = None) -> Image:
        """[size, size] RGB; `size` is S by default. An image of that size is returned as it is."""
        side = self.size if size is None else size
        if image.size == (side, side):
            return image
        if self.resize == "squash":
            return self._scaled_to(image, (side, side))
        return self._cropped(image, side) if self.resize == "shortest" else self._padded(image, side)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """[N, 3, height, width] float32, normalised, from bytes [N, height, width, 3] on the same device."""
        import torch

        mean, std = (torch.tensor(x, device=images.device).view(3, 1, 1) for x in (self.mean, self.std))
        return (images.permute(0, 3, 1, 2).float().div(255) - mean) / std

    def _cropped(self, image: Image, side: int) -> Image:
        image = without_far_ends(image, side=side, size=self.size)
        width, height = image.size
        short = min(width, height)
        scaled = self._scaled_to(image, (int(side * width / short), int(side * height / short)))
        left, top = round((scaled.width - side) / 2), round((scaled.height - side) / 2)
        return scaled.crop((left, top, left + side, top + side))

    def _padded(self, image: Image, side: int) -> Image:
        from PIL import Image as Pillow

        ratio = max(image.size) / side
        scaled = self._scaled_to(image, (max(1, round(image.width / ratio)), max(1, round(image.height / ratio))))
        square = Pillow.new("RGB", (side, side), self.fill)
        square.paste(scaled, ((side - scaled.width) // 2, (side - scaled.height) // 2))
        return square

    def _scaled_to(self, image: Image, size: tuple[int, int]) -> Image:
        from PIL import Image as Pillow

        return image.resize(size, Pillow.Resampling[self.interpolation.upper()])


def without_far_ends(image: Image, *, side: int, size: int) -> Image:
    """The middle of a long strip. Only its centre square is used, and scaling all of it could take gigabytes.

    Args:
        image: any image.
        side: its short side after scaling, in pixels.
        size: that side for the tower's own square, in pixels.
    """
    width, height = image.size
    longest = max(_NO_STRIP, _LONGEST_STRIP * size // side) * min(width, height)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image
