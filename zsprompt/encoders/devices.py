"""Where a torch model runs."""

from __future__ import annotations

from zsprompt.errors import ModelError, UnknownName


def pick_device(device: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        UnknownName: another word.
        ModelError: cuda is asked for and torch sees none.
    """
    import torch

    if device not in ("auto", "cpu", "cuda"):
        raise UnknownName("device", device, ["auto", "cpu", "cuda"])
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ModelError("expected a CUDA GPU for --device cuda, torch sees none; use --device cpu or auto")
    return "cuda" if there and device != "cpu" else "cpu"
