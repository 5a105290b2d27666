"""The device on which a torch model runs."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from zsprompt.errors import ModelError, UnknownName


def require_device(device: str) -> None:
    """Raise ModelError for "cuda" without a GPU, before any work. Other devices are not looked at."""
    if device == "cuda":
        pick_device(device)


def pick_device(device: str) -> str:
    """ "cpu" or "cuda". "auto" is "cuda" if torch finds a GPU.

    Raises:
        UnknownName: not "auto", "cpu" or "cuda".
        ModelError: "cuda" is requested, but torch finds no GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UnknownName("device", device, ["auto", "cpu", "cuda"])
    if device == "cpu" or (device == "auto" and _built_for_cpu()):
        return "cpu"
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ModelError("expected a CUDA GPU for --device cuda, torch found none; use --device cpu or auto")
    return "cuda" if available else "cpu"


@cache
def _built_for_cpu() -> bool:
    """Whether torch was built without support for any GPU. Its version file says so; importing torch takes a second."""
    spec = find_spec("torch")
    file = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if file is None or not file.is_file():
        return False
    facts = run_path(str(file))
    return "cuda" in facts and not any(facts.get(support) for support in ("cuda", "hip", "rocm"))
