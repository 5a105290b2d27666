"""A model of open_clip, built from its configuration and its weights. Never with random weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zsprompt._utils.text import reason
from zsprompt.encoders.no_draws import no_draws
from zsprompt.encoders.open_clip.sources import Source
from zsprompt.encoders.torchvision_match import require_torchvision
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

Model = Any  # open_clip.CLIP, CustomTextCLIP or CoCa, which open_clip leaves untyped


def build(source: Source, device: str, dtype: torch.dtype) -> Model:
    """The model of a source, on a device, for inference.

    Args:
        source: the model's parts.
        device: "cpu" or "cuda".
        dtype: of the weights of matrix products and convolutions; norms stay float32 where open_clip keeps them so.

    Raises:
        ModelError: the weights are damaged, or of another model; or torchvision does not match torch.
    """
    import torch

    require_torchvision()
    try:
        with no_draws():
            model = _network(source, None if dtype == torch.float32 else dtype)
    except Exception as error:  # a configuration may name anything
        raise ModelError(
            f"expected {source.name} to be a model that open_clip can build, found {reason(error)}"
        ) from None
    _load(model, source)
    model = model.eval().requires_grad_(False).to(device)
    return model if dtype == torch.float32 else _lowered(model, source, dtype)


def _network(source: Source, cast_dtype: torch.dtype | None) -> Model:
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    config = copy.deepcopy(dict(source.config))
    custom = config.pop("custom_text", False) or source.text_tower is not None
    if source.text_tower is not None:
        config["text_cfg"] |= {"hf_model_name": str(source.text_tower), "hf_model_pretrained": False}
    if "timm_model_name" in config["vision_cfg"]:
        config["vision_cfg"]["timm_model_pretrained"] = False
    if not custom:
        return CLIP(**config, cast_dtype=cast_dtype)
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP
    return kind(**config, cast_dtype=cast_dtype)


def _load(model: Model, source: Source) -> None:
    from open_clip.factory import load_checkpoint, load_state_dict

    try:
        _require_as_stated(model, load_state_dict(str(source.weights), weights_only=True), source)
        load_checkpoint(model, str(source.weights), strict=True, weights_only=True)
    except ModelError:
        raise
    except AttributeError:  # open_clip adapts some weights to the model, and looks for parts that others lack
        raise ModelError(
            f"expected {source.weights} to hold the weights of {source.name}, found those of another architecture"
        ) from None
    except Exception as error:  # torch, safetensors and pickle raise many kinds
        raise ModelError(
            f"expected {source.weights} to hold the weights of {source.name}, found {reason(error)}"
        ) from None


def _require_as_stated(model: Model, state: Mapping[str, torch.Tensor], source: Source) -> None:
    """Raise ModelError for weights that open_clip would change in silence to fit the configuration."""
    if model.logit_bias is not None and "logit_bias" not in state:
        raise ModelError(
            f"expected {source.weights} to hold logit_bias, as the configuration of {source.name} says, found none"
        )
    built = model.state_dict()
    for key in ("positional_embedding", "text.positional_embedding"):
        own = built.get(key, built.get(f"text.{key}"))
        if key in state and own is not None and own.shape != state[key].shape:
            raise ModelError(
                f"expected position embeddings of {own.shape[0]} tokens in {source.weights}, as the configuration of "
                f"{source.name} says, found {state[key].shape[0]}; correct its context_length"
            )
    key = "visual.positional_embedding"
    if key in state and key in built and built[key].shape != state[key].shape:
        logger.warning(
            f"{source.name}: the weights are of another image size; open_clip scales their position embeddings"
        )


def _lowered(model: Model, source: Source, dtype: torch.dtype) -> Model:
    """The model in float16 or bfloat16, as open_clip converts it."""
    import torch
    from open_clip.model import convert_weights_to_lp
    from open_clip.transformer import LayerNormFp32

    if "timm_model_name" not in source.config["vision_cfg"]:
        convert_weights_to_lp(model, dtype=dtype)
        return model
    model = model.to(dtype)  # open_clip's conversion does not know timm's modules
    for module in model.modules():
        if isinstance(module, LayerNormFp32):
            module.to(torch.float32)
    return model
