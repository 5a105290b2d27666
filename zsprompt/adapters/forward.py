"""Run a network on images, and read its weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Floats
from zsprompt._utils.read_ahead import ahead
from zsprompt.adapters.kinds.base import ImageTensors
from zsprompt.store.image_embeddings import Images

if TYPE_CHECKING:
    import torch

    from zsprompt.adapters.kinds.with_epochs import WithEpochs

_AT_ONCE = 256  # images per forward pass without gradients
_AHEAD = 2


def answer(kind: WithEpochs, network: Any, images: Images, texts: Floats, device: str) -> Floats:
    """[N, C] logits of a network in evaluation mode. Images are read ahead while it computes."""
    import torch

    labels = torch.from_numpy(np.array(texts)).to(device)
    rows = [np.arange(i, min(i + _AT_ONCE, len(images))) for i in range(0, len(images), _AT_ONCE)]
    parts: list[Floats] = [np.empty((0, len(texts)), dtype=np.float32)]
    with ThreadPoolExecutor(1, "zsprompt-read") as pool, torch.inference_mode():
        for batch in ahead(pool, images.read, rows, _AHEAD):
            logits = kind.logits(network, tensors(batch, device), labels)
            parts.append(logits.float().cpu().numpy())
    return np.concatenate(parts)


def tensors(images: Images, device: str) -> ImageTensors:
    """A batch as tensors on the device of the network."""
    import torch

    def on_device(value: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)

    tokens, captions = images.tokens, images.captions
    return ImageTensors(
        on_device(images.vectors),
        None if tokens is None else on_device(tokens.read(range(len(images)))).float(),
        None if captions is None else on_device(captions),
    )


def state(network: Any) -> dict[str, NDArray[Any]]:
    """The weights of a network by name."""
    return {name: as_array(value) for name, value in network.state_dict().items()}


def as_array(value: Any) -> NDArray[Any]:
    """A tensor as an array with its own memory."""
    return np.array(value.detach().cpu().numpy(), copy=True)
