"""Which models of the catalogue are on this machine. It looks at files only: no network, no torch, no hub client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from zsprompt.encoders.catalogue import KnownModel
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS, weights_folder
from zsprompt.encoders.conse.fields import Fields
from zsprompt.encoders.conse.parts import CODE
from zsprompt.encoders.conse.sentences import WEIGHTS
from zsprompt.encoders.hub import VOCABULARY_FILES
from zsprompt.encoders.open_clip.sources import WEIGHT_FILES

_MB = 10**6


def is_cached(model: KnownModel) -> bool:
    """Whether a model loads without the network: its weights are here, and its tokeniser. No weights are read.

    An unfinished download does not count.
    """
    if model.name in OPENAI_MODELS:
        return _is_whole(weights_folder() / OPENAI_MODELS[model.name][1], model.download_mb)
    if model.extra == "open-clip":
        return _has_weights(model.source) and (not model.tokenizer or _has(model.tokenizer, VOCABULARY_FILES))
    if model.extra == "offline":
        packages = {*CODE, WEIGHTS.package, *(one.part.package for one in Fields().weights)}
        return all(find_spec(package) for package in packages)
    return True


def hub_folder() -> Path:
    """The cache of Hugging Face's hub, as its client finds it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or str(Path(base) / "huggingface")
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named or str(Path(home) / "hub"))).expanduser()


def _has_weights(source: str) -> bool:
    """Whether the weights of owner/name or owner/name/file are in the hub's cache."""
    owner, name, *file = source.split("/", 2)
    return _has(f"{owner}/{name}", file or WEIGHT_FILES)


def _has(repository: str, names: Sequence[str]) -> bool:
    """Whether the cached version of a repository has one of these files. The client links whole files only."""
    folder = hub_folder() / f"models--{repository.replace('/', '--')}"
    try:
        version = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        return any(_is_whole(folder / "snapshots" / version / name) for name in names)
    except (OSError, ValueError):
        return False


def _is_whole(path: Path, least_mb: int = 0) -> bool:
    """Whether a file is there with what it must hold. A computed size is rounded, so a little less is enough."""
    return path.is_file() and path.stat().st_size > max(0, (least_mb - 1) * _MB)
