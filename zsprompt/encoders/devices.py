"""The device on which a torch model runs."""

from __future__ import annotations

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
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise UnknownName("device", device, ["auto", "cpu", "cuda"])
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise ModelError("expected a CUDA GPU for --device cuda, torch found none; use --device cpu or auto")
    return "cuda" if available and device != "cpu" else "cpu"
