"""The two towers of an OpenAI CLIP model on a device, built with OpenAI's `clip` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.clip_package import clip_model
from zsprompt.encoders.clip.products import Run, convolutions, products
from zsprompt.encoders.clip.residual import ResidualTower
from zsprompt.encoders.clip.token_trie import TrieTower
from zsprompt.encoders.clip.transformer import ImageTower
from zsprompt.encoders.dual_encoder import Sizes
from zsprompt.encoders.no_draws import no_draws
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

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
        logit_bias: None; CLIP has no bias.
        text: token sequences -> [T, D].
        image: normalised pixels [N, 3, size, size] -> [N, D].
        image_tokens: the same -> [N, L, D].
        is_residual: whether the image tower is a residual network; else a transformer.
    """

    def __init__(self, state: dict[str, torch.Tensor], name: str, device: str, precision: Precision) -> None:

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
        self.logit_bias: float | None = None

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
    except (RuntimeError, LookupError, AttributeError, AssertionError, ArithmeticError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"expected {name} to be an OpenAI CLIP checkpoint, found weights that do not fit the model ({reason})"
        ) from None
