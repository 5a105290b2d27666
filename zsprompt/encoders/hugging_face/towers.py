"""The two towers of a model of transformers, on a device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.products import convolutions, products
from zsprompt.encoders.dual_encoder import Sizes, TokenIds
from zsprompt.encoders.hugging_face.checkpoint import Checkpoint
from zsprompt.encoders.hugging_face.library import LOCAL, reading
from zsprompt.encoders.no_draws import no_draws
from zsprompt.encoders.open_clip.linear import swap_linear
from zsprompt.encoders.open_clip.tokenizers import PaddingTokenizer
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

Model = Any  # CLIPModel, SiglipModel, …, which transformers leaves untyped

_CPU_TEXTS, _GPU_TEXTS = 32, 1024  # texts per padded batch


class HuggingFaceTowers:
    """The towers of a model; see encoders.dual_encoder.Towers.

    Args:
        model: from `read_model`.
        checkpoint: its files.
        tokenizer: its tokeniser, which says what padding is.
        sizes: its sizes.
        device: "cpu" or "cuda".
        precision: see encoders.Precision.
    """

    def __init__(
        self,
        model: Model,
        checkpoint: Checkpoint,
        tokenizer: PaddingTokenizer,
        sizes: Sizes,
        device: str,
        precision: Precision,
    ) -> None:
        import torch

        on_cpu = device == "cpu"
        half = torch.bfloat16 if precision == "bfloat16" else torch.float16
        self._dtype = torch.float32 if on_cpu else half
        self.sizes, self._family, self._tokenizer = sizes, checkpoint.family, tokenizer
        self.logit_scale, self.logit_bias = _logit_scale(model), _logit_bias(model)
        self._model = model.eval().requires_grad_(False).to(device=device, dtype=self._dtype)
        swap_linear(self._model, products(device, precision))
        rounded = precision if on_cpu else "auto"
        self._image = convolutions(self._image_vectors, rounded)
        self._tokens = convolutions(self._image_tokens, rounded)

    def text(self, sequences: Sequence[TokenIds], /) -> torch.Tensor:
        """See Towers. Padded batches go from the shortest texts to the longest."""
        import torch

        size = _CPU_TEXTS if self._model.device.type == "cpu" else _GPU_TEXTS
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        with torch.inference_mode():
            parts = [
                self._text_vectors([sequences[i] for i in order[first : first + size]])
                for first in range(0, len(order), size)
            ]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(self._model.device)]

    def image(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """See Towers."""
        return self._image(pixels.to(self._dtype))

    def image_tokens(self, pixels: torch.Tensor, /) -> torch.Tensor:
        """See Towers. Each token takes the way of the class token: the last norm and the projection."""
        return self._tokens(pixels.to(self._dtype))

    def _text_vectors(self, sequences: Sequence[TokenIds]) -> torch.Tensor:
        import torch

        device = self._model.device
        if self._family.is_padded:
            padded = [self._tokenizer.pad(ids, self.sizes.context_length) for ids in sequences]
            return features(self._model.get_text_features(input_ids=torch.tensor(padded, device=device)))
        lengths = torch.tensor([len(ids) for ids in sequences], device=device)
        longest = int(lengths.max())
        right = [ids + self._tokenizer.pad((), longest - len(ids)) for ids in sequences]
        mask = (torch.arange(longest, device=device) < lengths[:, None]).long()
        return features(
            self._model.get_text_features(input_ids=torch.tensor(right, device=device), attention_mask=mask)
        )

    def _image_vectors(self, pixels: torch.Tensor) -> torch.Tensor:
        return features(self._model.get_image_features(pixel_values=pixels))

    def _image_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        vision = self._model.vision_model
        states = vision(pixel_values=pixels).last_hidden_state
        tokens: torch.Tensor = self._model.visual_projection(vision.post_layernorm(states))
        return tokens


def features(output: Any) -> torch.Tensor:
    """The vectors that `get_text_features` or `get_image_features` gave: an output in transformers 5, else a tensor."""
    import torch

    vectors: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return vectors


def read_model(checkpoint: Checkpoint) -> Model:
    """The model with its weights in float32, whatever precision its configuration names.

    Raises:
        ModelError: they are damaged, or do not fill the model.
    """
    import torch
    from transformers import AutoModel

    is_safe = checkpoint.weights[0].suffix == ".safetensors"
    with reading("the weights", checkpoint.folder), no_draws():
        model, report = AutoModel.from_pretrained(
            str(checkpoint.folder),
            **LOCAL,
            **{_dtype_option(): torch.float32},
            use_safetensors=is_safe,
            weights_only=True,
            output_loading_info=True,
        )
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"expected all weights of a {type(model).__name__} in {checkpoint.folder}, found no {missing[0]}"
            + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
            + "; they would be random"
        )
    return model


def _dtype_option() -> str:
    """The name of the option for the precision: transformers 5 loads in that of the configuration without it."""
    import transformers

    return "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"


def _logit_scale(model: Model) -> float:
    if hasattr(model, "temperature"):  # ALIGN's
        return 1 / float(model.temperature.detach())
    return math.exp(float(model.logit_scale.detach()))


def _logit_bias(model: Model) -> float | None:
    bias = getattr(model, "logit_bias", None)
    return None if bias is None else float(bias.detach())
