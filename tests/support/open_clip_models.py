"""Small models of open_clip's families with random weights, and tokenisers trained here, as local-dir: takes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import hugging_face_models as hugging_face

OPENAI = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
RAW = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear", "resize_mode": "shortest"}
IMAGENET = {
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "interpolation": "bilinear",
    "resize_mode": "squash",
}

_VISION = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 32}
_TEXT = {"context_length": 77, "width": 32, "heads": 2, "layers": 2}
_LAST = {"no_causal_mask": True, "pool_type": "last", "context_length": 40, "vocab_size": 256}
_CANONICAL = {"tokenizer_kwargs": {"clean": "canonicalize"}}


def _timm(name: str, size: int, pool: str = "", **more: object) -> dict[str, object]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": "linear", "image_size": size} | more


@dataclass(frozen=True)
class Family:
    """A family, small.

    Attributes:
        way: how its texts should be embedded; see TextTower.
        places: how many places an image should have; None if it has no spatial tokens.
        vision, text: vision_cfg and text_cfg.
        preprocess: preprocess_cfg.
        more: other entries of model_cfg.
        tokenizer: makes a tokeniser of transformers; None for CLIP's vocabulary.
    """

    way: str
    places: int | None
    vision: Mapping[str, object] = field(default_factory=lambda: _VISION)
    text: Mapping[str, object] = field(default_factory=lambda: _TEXT)
    preprocess: Mapping[str, object] = field(default_factory=lambda: OPENAI)
    more: Mapping[str, object] = field(default_factory=dict)
    tokenizer: Callable[[], Any] | None = None

    @property
    def config(self) -> dict[str, Any]:
        """Its model_cfg."""
        text = dict(self.text) | ({"hf_tokenizer_name": "of/this-model"} if self.tokenizer else {})
        return deepcopy({"embed_dim": 24, "vision_cfg": dict(self.vision), "text_cfg": text} | dict(self.more))


_CUSTOM = {"custom_text": True}
FAMILIES = {
    "OpenAI": Family("trie", 16, more={"quick_gelu": True}),
    "LAION": Family("trie", 16),
    "OpenAI RN50": Family(
        "trie", 4, {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16}, more={"quick_gelu": True, "embed_dim": 32}
    ),
    "EVA-02": Family("trie", 256, _timm("eva02_tiny_patch14_224", 224, "token"), more=_CUSTOM),
    "PE-Core": Family(
        "trie",
        576,
        _timm("vit_pe_core_tiny_patch16_384", 384, "map"),
        _TEXT | {"context_length": 32},
        HALF | {"interpolation": "bilinear"},
        _CUSTOM,
    ),
    "MobileCLIP2 B": Family("trie", None, _timm("test_vit", 160, "token"), _TEXT, RAW, _CUSTOM),
    "MobileCLIP2 S": Family(
        "padded", 64, _timm("fastvit_mci0", 256, "avg"), _TEXT | {"no_causal_mask": True}, RAW, _CUSTOM
    ),
    "ConvNeXt": Family("trie", 4, _timm("convnext_atto", 64)),
    "SigLIP": Family(
        "padded",
        None,
        _timm("test_vit3", 160, "map", timm_proj="none"),
        _TEXT
        | _LAST
        | {"tokenizer_kwargs": {"clean": "canonicalize"}, "norm_kwargs": {"eps": 1e-6}, "proj_bias": True},
        HALF,
        _CUSTOM | {"init_logit_bias": -10, "embed_dim": 96},
        hugging_face.unigram,
    ),
    "SigLIP 2": Family(
        "padded",
        None,
        _timm("test_vit3", 160, "map", timm_proj="none"),
        _TEXT | _LAST | _CANONICAL | {"act_kwargs": {"approximate": "tanh"}},
        HALF,
        _CUSTOM | {"init_logit_bias": -10, "embed_dim": 96},
        hugging_face.unigram,
    ),
    "CLIPA": Family(
        "padded",
        16,
        _VISION | {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
        _TEXT | _LAST | {"context_length": 32, "tokenizer_kwargs": {"strip_sep_token": True}},
        IMAGENET,
        {},
        hugging_face.word_piece,
    ),
    "MetaCLIP 2": Family(
        "trie",
        16,
        _VISION,
        _TEXT | {"vocab_size": 256, "pool_type": "eos", "eos_id": 2},
        OPENAI,
        {"quick_gelu": True},
        hugging_face.roberta,
    ),
    "CoCa": Family(
        "padded",
        None,
        _VISION | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
        _TEXT | {"context_length": 76, "embed_cls": True, "output_tokens": True},
        OPENAI,
        _CUSTOM | {"multimodal_cfg": {"width": 24, "heads": 2, "layers": 1, "context_length": 76}},
    ),
    "XLM-RoBERTa": Family(
        "masked",
        16,
        _VISION,
        {
            "hf_model_name": "of/this-model",
            "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "mlp",
            "context_length": 40,
        },
        OPENAI,
        {},
        hugging_face.roberta,
    ),
    "query and key norms": Family("padded", 16, _VISION, _TEXT | {"qk_norm": True}),
    "padded images": Family("trie", 16, preprocess=OPENAI | {"resize_mode": "longest", "interpolation": "bilinear"}),
}
"""At least one for each row of the families' differences. XLM-RoBERTa's text tower is one of transformers' models."""


def write_model(folder: Path, family: Family, *, seed: int = 0) -> Path:
    """Write a model with random weights into a folder, for local-dir:. Every weight is random, biases too."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = family.tokenizer() if family.tokenizer else None
    if tokenizer:
        tokenizer.save_pretrained(folder)
    if "hf_model_name" in family.text:
        _write_text_tower(folder, tokenizer)
    content = {"model_cfg": family.config, "preprocess_cfg": dict(family.preprocess)}
    (folder / "open_clip_config.json").write_text(json.dumps(content), "utf-8")
    torch.manual_seed(seed)
    model = _network(family.config, folder)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("logit"):
                weight.add_(0.05 * torch.randn_like(weight))
        model.logit_scale.fill_(3.0)
    save_file({name: one.contiguous().clone() for name, one in model.state_dict().items()}, folder / WEIGHTS)
    return folder


WEIGHTS = "open_clip_model.safetensors"


def _network(config: dict[str, Any], folder: Path) -> Any:
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    text = config["text_cfg"]
    if "hf_model_name" in text:
        text |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    kind = CoCa if "multimodal_cfg" in config else CustomTextCLIP if custom else CLIP
    return kind(**config).eval()


def _write_text_tower(folder: Path, tokenizer: Any) -> None:
    from transformers import XLMRobertaConfig

    XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=60,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    ).save_pretrained(folder)


def write_tiny(folder: Path) -> Path:
    """Write the model `tiny` as open_clip stores a residual CLIP."""
    from safetensors.torch import save_file

    from zsprompt.encoders.clip.tiny import _FILE, _state

    with as_file(files("zsprompt.encoders.clip").joinpath(_FILE)) as path:
        state = _state(path)
    blocks = [len({key.split(".")[2] for key in state if key.startswith(f"visual.layer{n}.")}) for n in range(1, 5)]
    width, dim = state["text_projection"].shape
    layers = len({key.split(".")[2] for key in state if key.startswith("transformer.resblocks.")})
    channels = state["visual.layer1.0.conv1.weight"].shape[0]
    side = 32 * round((len(state["visual.attnpool.positional_embedding"]) - 1) ** 0.5)
    context, vocabulary = len(state["positional_embedding"]), len(state["token_embedding.weight"])
    config = {
        "embed_dim": dim,
        "quick_gelu": True,
        "vision_cfg": {"image_size": side, "layers": blocks, "width": channels},
        "text_cfg": {
            "context_length": context,
            "vocab_size": vocabulary,
            "width": width,
            "heads": width // 64,
            "layers": layers,
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": OPENAI}), "utf-8")
    for key in ("input_resolution", "context_length", "vocab_size"):
        state.pop(key, None)
    save_file({key: value.float().contiguous() for key, value in state.items()}, folder / WEIGHTS)
    return folder
