"""Dual encoders of transformers: hf:OWNER/NAME, hf:FOLDER.

Source: Wolf et al. 2020, Transformers, and the papers of its models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import astuple
from functools import cache
from typing import Any

from zsprompt._utils.digests import digest
from zsprompt.encoders.base import Encoder, Precision
from zsprompt.encoders.clip.products import check_precision
from zsprompt.encoders.devices import pick_device
from zsprompt.encoders.dual_encoder import DualEncoder, Sizes
from zsprompt.encoders.hugging_face.aliases import alias
from zsprompt.encoders.hugging_face.checkpoint import Checkpoint, check_name, find_checkpoint, repository_of
from zsprompt.encoders.hugging_face.library import read_config, read_image_processor, reading
from zsprompt.encoders.hugging_face.preprocessing import preprocess_of
from zsprompt.encoders.hugging_face.towers import HuggingFaceTowers, read_model
from zsprompt.encoders.open_clip.tokenizers import HubTokenizer, canonical
from zsprompt.encoders.preprocessing import Preprocess
from zsprompt.encoders.registry import check_model, load_encoder
from zsprompt.errors import ModelError

logger = logging.getLogger(__name__)

# Texts per batch. A kill loses at most one batch: seconds of work.
_CPU_TEXTS, _GPU_TEXTS = 256, 2**13


class HuggingFaceEncoder(DualEncoder[HuggingFaceTowers]):
    """A dual encoder of transformers. Weights are float16 on a GPU, or bfloat16 on request, and float32 on a CPU.

    On a CPU, "bfloat16" and "int8" round the products of its linear layers.

    Args:
        checkpoint: the model's files.
        device: see load_encoder.
        precision: see Precision.

    Raises:
        ModelError: the configuration or the image processor is damaged or not supported, or the machine cannot run
            the precision. On first use: the weights or the tokeniser are damaged or of another model.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", precision: Precision = "auto") -> None:
        device = pick_device(device)
        check_precision(device, precision, on_gpu=("bfloat16",))
        on_cpu = device == "cpu"
        effective = precision if precision != "auto" else "float32" if on_cpu else "float16"
        preprocess = preprocess_of(read_image_processor(checkpoint.folder), checkpoint.folder)
        with reading("the configuration", checkpoint.folder):
            sizes = _sizes(read_config(checkpoint.folder), checkpoint, preprocess)
        tokenizer = cache(lambda: _read_tokenizer(checkpoint))
        settings = digest([astuple(preprocess), sizes.context_length, astuple(checkpoint.family)])
        super().__init__(
            lambda device: HuggingFaceTowers(read_model(checkpoint), checkpoint, tokenizer(), sizes, device, precision),
            tokenizer,
            sizes=sizes,
            preprocess=preprocess,
            name=checkpoint.name,
            fingerprint=f"transformers/1 {checkpoint.digests} {settings} {effective}",
            text_batch=_CPU_TEXTS if on_cpu else _GPU_TEXTS,
            device=device,
            clean=_cleaning(checkpoint),
        )


def load_hugging_face(name: str, *, device: str = "auto", precision: Precision = "auto") -> Encoder:
    """Load hf:OWNER/NAME or hf:FOLDER; the model of another library if that has the same weights.

    Raises: see find_checkpoint, HuggingFaceEncoder.
    """
    if same := alias(repository_of(name)):
        logger.info(f"{name} is {same}")
        return load_encoder(same, device=device, precision=precision)
    return HuggingFaceEncoder(find_checkpoint(name), device=device, precision=precision)


def check_hugging_face(name: str, *, device: str, precision: Precision) -> None:
    """Raise what `load_hugging_face` would raise, as far as that is known without the network or the weights."""
    if same := alias(repository_of(name)):
        check_model(same, device=device, precision=precision)
        return
    check_name(name)
    if (device, precision) != ("auto", "auto"):
        check_precision(pick_device(device), precision, on_gpu=("bfloat16",))


def _sizes(config: Any, checkpoint: Checkpoint, preprocess: Preprocess) -> Sizes:
    """The sizes that a model's configuration states, its defaults included."""
    family, text, vision = checkpoint.family, config.text_config, config.vision_config
    if family.has_positions and vision.image_size != preprocess.size:
        raise ModelError(
            f"expected images of {vision.image_size} pixels for the image tower in {checkpoint.folder}, "
            f"found an image processor for {preprocess.size}"
        )
    lengths = (text.max_position_embeddings, checkpoint.longest_text, family.longest_text)
    return Sizes(
        # SigLIP has no projection of images, and its texts' has a width of its own
        config.projection_dim if hasattr(config, "projection_dim") else text.projection_size,
        preprocess.size,
        1 + (vision.image_size // vision.patch_size) ** 2 if family.has_places else None,
        min(length for length in lengths if length is not None),
    )


def _cleaning(checkpoint: Checkpoint) -> Callable[[str], str]:
    return canonical if checkpoint.family.is_canonical else str


def _read_tokenizer(checkpoint: Checkpoint) -> HubTokenizer:
    with reading("the tokeniser", checkpoint.folder):
        return HubTokenizer(checkpoint.folder, _cleaning(checkpoint))
