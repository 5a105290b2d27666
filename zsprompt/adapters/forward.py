"""Images through a network, and its weights out of it."""

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

_AT_ONCE = 256  # images in a network at a time when it answers
_AHEAD = 2


def answer(kind: WithEpochs, network: Any, images: Images, texts: Floats, device: str) -> Floats:
    """[N, C] logits of a network in evaluation mode, images read ahead while it computes."""
    import torch

    labels = torch.from_numpy(np.array(texts)).to(device)
    rows = [np.arange(i, min(i + _AT_ONCE, len(images))) for i in range(0, len(images), _AT_ONCE)]
    found: list[Floats] = [np.empty((0, len(texts)), dtype=np.float32)]
    with ThreadPoolExecutor(1, "zsprompt-read") as pool, torch.inference_mode():
        for batch in ahead(pool, images.read, rows, _AHEAD):
            logits = kind.logits(network, tensors(batch, device), labels)
            found.append(logits.float().cpu().numpy())
    return np.concatenate(found)


def tensors(images: Images, device: str) -> ImageTensors:
    """A batch where the network is."""
    import torch

    def there(value: NDArray[Any]) -> torch.Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(value))
        return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)

    tokens, captions = images.tokens, images.captions
    return ImageTensors(
        there(images.vectors),
        None if tokens is None else there(tokens.read(range(len(images)))).float(),
        None if captions is None else there(captions),
    )


def state(network: Any) -> dict[str, NDArray[Any]]:
    """A network's weights by name."""
    return {name: as_array(value) for name, value in network.state_dict().items()}


def as_array(value: Any) -> NDArray[Any]:
    """A tensor's numbers in memory of their own."""
    return np.array(value.detach().cpu().numpy(), copy=True)
