"""The models of open_clip: open_clip:NAME[/PRETRAINED], hf-hub:OWNER/NAME, local-dir:FOLDER.

Source: Ilharco et al. 2021, OpenCLIP, and the papers of its models.
"""

from __future__ import annotations

from dataclasses import astuple
from functools import cache

from zsprompt._utils.digests import digest
from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.products import check_precision
from zsprompt.encoders.devices import pick_device
from zsprompt.encoders.dual_encoder import DualEncoder
from zsprompt.encoders.hub import TOKENIZER_FILES, content_digest
from zsprompt.encoders.open_clip.sources import Source, check_name, find_source
from zsprompt.encoders.open_clip.tokenizers import cleaning, load_tokenizer
from zsprompt.encoders.open_clip.towers import OpenClipTowers

# Texts per batch. A kill loses at most one batch: seconds of work.
_CPU_TEXTS, _GPU_TEXTS = 256, 2**13


class OpenClip(DualEncoder[OpenClipTowers]):
    """A dual encoder of open_clip. Weights are float16 on a GPU, or bfloat16 on request, and float32 on a CPU.

    On a CPU, "bfloat16" and "int8" round the matrix products of its transformers.

    Args:
        source: the model's parts.
        device: see load_encoder.
        precision: see Precision.

    Raises:
        ModelError: the machine cannot run the precision. On first use: the weights are damaged or of another model.
    """

    def __init__(self, source: Source, *, device: str = "auto", precision: Precision = "auto") -> None:
        device = pick_device(device)
        check_precision(device, precision, on_gpu=("bfloat16",))
        on_cpu = device == "cpu"
        effective = precision if precision != "auto" else "float32" if on_cpu else "float16"
        tokenizer = cache(lambda: load_tokenizer(source.config["text_cfg"], source.tokenizer))
        super().__init__(
            lambda device: OpenClipTowers(source, tokenizer(), device, precision),
            tokenizer,
            sizes=source.sizes,
            preprocess=source.preprocess,
            name=source.name,
            fingerprint=f"open-clip/1 {content_digest(source.weights)} {_digest(source)} {effective}",
            text_batch=_CPU_TEXTS if on_cpu else _GPU_TEXTS,
            device=device,
            clean=cleaning(source.config["text_cfg"]),
        )


def load_open_clip(name: str, *, device: str = "auto", precision: Precision = "auto") -> OpenClip:
    """Load the model with this name; see find_source for names and errors."""
    return OpenClip(find_source(name), device=device, precision=precision)


def check_open_clip(name: str, *, device: str, precision: Precision) -> None:
    """Raise what `load_open_clip` would raise, as far as that is known without the network or the weights."""
    check_name(name)
    if (device, precision) != ("auto", "auto"):
        check_precision(pick_device(device), precision, on_gpu=("bfloat16",))


def _digest(source: Source) -> str:
    """Of what an embedding depends on besides the weights: architecture, preprocessing, tokeniser and cleaning."""
    folder = source.tokenizer
    files = [] if folder is None else [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    tower = [] if source.text_tower is None else [source.text_tower / "config.json"]
    return digest([source.config, astuple(source.preprocess), [content_digest(path) for path in (*files, *tower)]])
