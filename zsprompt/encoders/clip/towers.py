"""The two towers of an OpenAI CLIP model on a device, built with OpenAI's `clip` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.clip_package import clip_model
from zsprompt.encoders.clip.openai_models import Sizes
from zsprompt.encoders.clip.products import Run, convolutions, products
from zsprompt.encoders.clip.residual import ResidualTower
from zsprompt.encoders.clip.token_trie import TrieTower
from zsprompt.encoders.clip.transformer import ImageTower
from zsprompt.encoders.no_draws import no_draws
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)

_CPU_NODES, _GPU_NODES = 1024, 2**13  # trie nodes per batch, see openai_clip


class Towers:
    """The towers of a model.

    Args:
        state: the weights by their names in `clip`.
        name: of the model, for messages.
        device: "cpu" or "cuda".
        precision: see encoders.Precision.

    Raises:
        ModelError: the weights are not those of an OpenAI CLIP model.

    Attributes:
        model: the `clip.model.CLIP`.
        sizes: its sizes.
        logit_scale: factor on a cosine before a softmax.
        text: token sequences -> [T, D].
        image: normalised pixels [N, 3, size, size] -> [N, D].
        image_tokens: the same -> [N, L, D].
        is_residual: whether the image tower is a residual network; else a transformer.
    """

    def __init__(self, state: dict[str, torch.Tensor], name: str, device: str, precision: Precision) -> None:
        import torch

        product = products(device, precision)
        self._precision = precision
        built = _build(state, name)
        self.model: Any = built.float() if device == "cpu" else built.to(device)
        visual = self.model.visual
        nodes = _CPU_NODES if device == "cpu" else _GPU_NODES
        self.text = TrieTower(self.model, block=nodes, product=product)
        self.is_residual = not hasattr(visual, "transformer")
        self._dense: ImageTower | ResidualTower
        if not self.is_residual:
            self._dense = transformer = ImageTower(visual, product)
            runs: tuple[Run, Run] = transformer, transformer.tokens
            grid = visual.positional_embedding
        else:
            self._dense = network = ResidualTower(visual)
            runs = convolutions(network, precision), convolutions(network.tokens, precision)
            grid = visual.attnpool.positional_embedding
        self.image, self.image_tokens = runs
        width = int(self.model.text_projection.shape[1])
        self.sizes = Sizes(width, int(visual.input_resolution), len(grid), int(self.model.context_length))
        self.logit_scale = float(self.model.logit_scale.detach().float().exp())
        self._mean = torch.tensor(_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(_STD, device=device).view(3, 1, 1)

    def windows(self, pixels: torch.Tensor, grid: Grid) -> torch.Tensor:
        """[N, W, D] the windows of larger images, from one pass; see WindowEncoder.

        A transformer's window is the mean of its patches.

        Args:
            pixels: normalised [N, 3, height, width], a patch for each place of the grid.
            grid: their grid.
        """
        import torch

        dense = self._dense
        if isinstance(dense, ResidualTower):
            return convolutions(lambda given: dense.windows(given, grid), self._precision)(pixels)
        places = dense.places(pixels).float()
        means = [places[:, top:bottom, left:right].mean((1, 2)) for left, top, right, bottom in grid.windows().tolist()]
        return torch.stack(means, dim=1)

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """[N, 3, height, width] normalised, from bytes [N, height, width, 3] on the device."""
        return (pixels.permute(0, 3, 1, 2).float().div(255) - self._mean) / self._std


def _build(state: dict[str, torch.Tensor], name: str) -> Any:
    missing = [
        key
        for key in (
            "text_projection",
            "positional_embedding",
            "logit_scale",
            "ln_final.weight",
            "token_embedding.weight",
        )
        if key not in state
    ]
    if missing:
        present = ", ".join(list(state)[:3])
        raise ModelError(
            f"expected {name} to be an OpenAI CLIP checkpoint, found no {missing[0]!r} in it (it has {present}, …)"
        )
    try:
        with no_draws():
            return clip_model().build_model(dict(state))
    except (RuntimeError, KeyError, AttributeError, AssertionError, ZeroDivisionError, TypeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"expected {name} to be an OpenAI CLIP checkpoint, found weights that do not fit the model ({reason})"
        ) from None
