"""Make the catalogue of models again: zsprompt/encoders/models.csv.

    python benchmarks/model_table.py           writes it
    python benchmarks/model_table.py --check   exits with 1 if it is not up to date

It needs no network: names, sizes and sources come from the installed open_clip, which must be the pinned version. A
model is listed if zsprompt takes its name, preprocessing and tokeniser. Parameters are counted on a model built
without memory for its weights. The size of a download is computed, not looked up: 4 bytes per parameter; for OpenAI's
own files 2 bytes, and 4 for norms and for the embeddings of tokens and positions. Files with other tensors, or in half
precision, differ. Licences are those that publishers name for a family; "unknown" is one that nobody here has read.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip
import torch

import zsprompt as zs
from zsprompt.encoders.catalogue import FILE, OPEN_CLIP, KnownModel
from zsprompt.encoders.clip.openai_clip import _URL
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS, OPENAI_SIZES
from zsprompt.encoders.open_clip import tokenizers
from zsprompt.encoders.open_clip.build import _network
from zsprompt.encoders.open_clip.sources import Source, _preprocess, check_name
from zsprompt.errors import ZspromptError

PINNED = "3.3.0"
TABLE = Path(__file__).resolve().parent.parent / "zsprompt" / "encoders" / FILE

# Sizes of text towers that open_clip reads from the hub. Source: the config.json of each repository.
_ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}
_XLM = {"vocab_size": 250002, "max_position_embeddings": 514, "type_vocab_size": 1}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_NLLB = {"vocab_size": 256206, "d_model": 1024}
TEXT_TOWERS: dict[str, tuple[str, dict[str, int]]] = {
    "roberta-base": ("RobertaConfig", _ROBERTA),
    "xlm-roberta-base": ("XLMRobertaConfig", _XLM),
    "xlm-roberta-large": ("XLMRobertaConfig", _XLM | _LARGE),
    "facebook/nllb-200-distilled-600M": (
        "M2M100Config",
        _NLLB | {"encoder_layers": 12, "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096},
    ),
    "facebook/nllb-200-distilled-1.3B": (
        "M2M100Config",
        _NLLB | {"encoder_layers": 24, "decoder_layers": 24, "encoder_ffn_dim": 8192, "decoder_ffn_dim": 8192},
    ),
}

# Apple's model cards have named two licences for these weights: the sample code one and the research one.
_APPLE = "Apple ASCL or AMLR"
LICENCES = {
    "tiny": "MIT",
    "conse": "Apache-2.0",  # EfficientNet-Lite0 and all-MiniLM-L6-v2 alike
    "OpenAI": "MIT",
    "LAION": "MIT",
    "ConvNeXt": "MIT",
    "CoCa": "MIT",
    "DataComp": "MIT",
    "DFN": _APPLE,
    "MetaCLIP": "CC-BY-NC-4.0",
    "MetaCLIP 2": "CC-BY-NC-4.0",
    "EVA-01": "MIT",
    "EVA-02": "MIT",
    "SigLIP": "Apache-2.0",
    "SigLIP 2": "Apache-2.0",
    "CLIPA": "Apache-2.0",
    "MobileCLIP": _APPLE,
    "MobileCLIP2": "Apple AMLR",
    "PE-Core": "Apache-2.0",
    "ViTamin": "MIT",
    "NLLB-CLIP": "CC-BY-NC-4.0",
}

_BY_ARCHITECTURE = {
    "MobileCLIP2": "MobileCLIP2",
    "MobileCLIP": "MobileCLIP",
    "PE-Core": "PE-Core",
    "ViTamin": "ViTamin",
    "nllb-clip": "NLLB-CLIP",
    "convnext": "ConvNeXt",
    "coca": "CoCa",
    "EVA01": "EVA-01",
    "EVA02": "EVA-02",
}
_BY_PART = {"SigLIP2": "SigLIP 2", "SigLIP": "SigLIP", "CLIPA": "CLIPA"}
_BY_TAG = {
    "openai": "OpenAI",
    "metaclip2": "MetaCLIP 2",
    "metaclip": "MetaCLIP",
    "datacomp": "DataComp",
    "commonpool": "DataComp",
    "dfn": "DFN",
    "laion": "LAION",
    "frozen_laion": "LAION",
    "yfcc15m": "YFCC15M",
    "cc12m": "CC12M",
}
ORDER = (
    *(
        "tiny",
        "conse",
        "OpenAI",
        "SigLIP 2",
        "SigLIP",
        "MetaCLIP 2",
        "MetaCLIP",
        "DFN",
        "DataComp",
        "LAION",
        "ConvNeXt",
    ),
    *("EVA-02", "EVA-01", "PE-Core", "MobileCLIP2", "MobileCLIP", "CLIPA", "ViTamin", "CoCa", "NLLB-CLIP"),
    *("YFCC15M", "CC12M"),
)
"""The families, as the catalogue lists them."""


def main() -> None:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table is stale")
    check = parser.parse_args().check
    made = table()
    if check:
        if not TABLE.is_file() or TABLE.read_text("utf-8") != made:
            sys.exit(f"stale: {FILE}; run python benchmarks/model_table.py")
        return
    TABLE.write_text(made, encoding="utf-8")
    print(f"wrote {TABLE}: {made.count(chr(10)) - 1} models")


def table() -> str:
    """The text of models.csv. Exits if open_clip is not the pinned version."""
    if open_clip.__version__ != PINNED:
        sys.exit(f"expected open_clip {PINNED}, found {open_clip.__version__}; change PINNED in model_table.py")
    warnings.simplefilter("ignore")  # some networks of timm warn when they are built
    found = [tiny(), conse(), *map(openai, OPENAI_MODELS), *of_open_clip()]
    found.sort(key=lambda model: ORDER.index(model.family))  # in a family, open_clip's order
    text = io.StringIO()
    rows = [asdict(model) | {"aliases": " ".join(model.aliases)} for model in found]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def of_open_clip() -> Iterator[KnownModel]:
    """The models of open_clip that zsprompt takes."""
    for architecture, tag in open_clip.list_pretrained():
        entry, config = open_clip.get_pretrained_cfg(architecture, tag), open_clip.get_model_config(architecture)
        name = f"{OPEN_CLIP}{architecture}/{tag}"
        if reason := refusal(name, config, entry):
            print(f"left out {name}: {reason}", file=sys.stderr)
            continue
        text, count, family = config["text_cfg"], parameters(architecture), family_of(architecture, tag)
        yield KnownModel(
            name=name,
            family=family,
            image_size=_preprocess(config, entry, name).size,
            context=text.get("context_length", 77),
            dim=config["embed_dim"],
            parameters=round(count / 1e6, 1),
            download_mb=round(4 * count / 1e6),
            licence=LICENCES.get(family, "unknown"),
            source=entry["hf_hub"].rstrip("/"),
            tokenizer=text.get("hf_tokenizer_name") or "",
            aliases=aliases_of(name),
        )


def refusal(name: str, config: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Why zsprompt does not take a model; empty if it does."""
    if not entry.get("hf_hub"):
        return "it is not on Hugging Face"
    folder = Path("tokenizer") if config["text_cfg"].get("hf_tokenizer_name") else None
    try:
        check_name(name)
        _preprocess(config, entry, name)
        with mock.patch.object(tokenizers, "_transformers_tokenizer"):  # its files are on the hub
            tokenizers.load_tokenizer(config["text_cfg"], folder)
    except ZspromptError as error:
        return str(error)
    return ""


def family_of(architecture: str, tag: str) -> str:
    """The family of a model of open_clip. Exits if none is known for it."""
    rules: tuple[tuple[str, Callable[[str, str], bool], Mapping[str, str]], ...] = (
        (architecture, str.startswith, _BY_ARCHITECTURE),
        (architecture, str.__contains__, _BY_PART),
        (tag, str.startswith, _BY_TAG),
    )
    for text, matches, families in rules:
        for part, family in families.items():
            if matches(text, part):
                return family
    sys.exit(f"expected a family for {architecture}/{tag}, found none; add it to model_table.py")


def aliases_of(name: str) -> tuple[str, ...]:
    """The hf: names of a model, in the spelling of aliases.csv."""
    rows = csv.DictReader((TABLE.parent / "hugging_face" / "aliases.csv").read_text("utf-8").splitlines())
    return tuple(f"hf:{row['repository']}" for row in rows if row["model"] == name)


def network(architecture: str) -> torch.nn.Module:
    """A model of open_clip without memory for its weights."""
    config = open_clip.get_model_config(architecture)
    tower = config["text_cfg"].get("hf_model_name")
    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):
        if tower:
            import transformers

            kind, sizes = TEXT_TOWERS[tower]
            getattr(transformers, kind)(**sizes).save_pretrained(folder)
        preprocess = _preprocess(config, open_clip.get_pretrained_cfg("ViT-B-32", "openai"), architecture)
        return _network(Source(architecture, config, preprocess, Path(), None, Path(folder) if tower else None), None)


@cache
def parameters(architecture: str) -> int:
    """The number of parameters of an architecture."""
    return sum(one.numel() for one in network(architecture).parameters())


def openai(name: str) -> KnownModel:
    """One of OpenAI's own models."""
    sha256, file = OPENAI_MODELS[name]
    sizes = OPENAI_SIZES[name]
    architecture = name.replace("/", "-").replace("@336px", "-336")
    model = network(architecture)
    open_clip.model.convert_weights_to_lp(model, dtype=torch.float16)
    size = sum(one.numel() * one.element_size() for one in model.state_dict().values())
    return KnownModel(
        name=name,
        family="OpenAI",
        image_size=sizes.image_size,
        context=sizes.context_length,
        dim=sizes.dim,
        parameters=round(parameters(architecture) / 1e6, 1),
        download_mb=round(size / 1e6),
        licence=LICENCES["OpenAI"],
        source=_URL.format(sha256=sha256, file=file),
        tokenizer="",
        aliases=aliases_of(name),
    )


def tiny() -> KnownModel:
    """The model that zsprompt includes."""
    encoder = zs.load_encoder("tiny", device="cpu")
    return _included("tiny", encoder, sum(one.numel() for one in encoder.towers.model.parameters()), "zsprompt")


def conse() -> KnownModel:
    """The model that is built from packages."""
    from safetensors import safe_open

    from zsprompt.encoders.conse.classifiers import CLASSIFIERS
    from zsprompt.encoders.conse.sentences import WEIGHTS

    classifier = torch.load(CLASSIFIERS["lite0"].part.read_from(), map_location="meta", weights_only=True)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    count = sum(one.numel() for name, one in classifier.items() if not name.endswith(buffers))
    with safe_open(WEIGHTS.read_from(), framework="pt") as file:
        tensors = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118 - safe_open is no dict
    count += sum(torch.Size(shape).numel() for shape in tensors)
    return _included("conse", zs.load_encoder("conse", device="cpu"), count, "PyPI")


def _included(name: str, encoder: Any, count: int, source: str) -> KnownModel:
    """A model for which zsprompt downloads nothing."""
    return KnownModel(
        name=name,
        family=name,
        image_size=encoder.image_size,
        context=encoder.context_length,
        dim=encoder.dim,
        parameters=round(count / 1e6, 1),
        download_mb=0,
        licence=LICENCES.get(name, "unknown"),
        source=source,
        tokenizer="",
        aliases=(),
    )


if __name__ == "__main__":
    main()
