"""Encoders: pictures and texts in, unit vectors of one space out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from zsprompt._utils.registry import find, installed, is_object_path
from zsprompt.encoders.base import Encoder, Precision
from zsprompt.errors import ModelError, UnknownName, UsageError, ZspromptError

if TYPE_CHECKING:
    pass


# name -> (OpenAI's sha256 of the weights, file name). Source: the table of the `clip` package, clip/clip.py.
OPENAI_MODELS = {
    "RN50": ("afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762", "RN50.pt"),
    "RN101": ("8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599", "RN101.pt"),
    "RN50x4": ("7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd", "RN50x4.pt"),
    "RN50x16": ("52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa", "RN50x16.pt"),
    "RN50x64": ("be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c", "RN50x64.pt"),
    "ViT-B/32": ("40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af", "ViT-B-32.pt"),
    "ViT-B/16": ("5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f", "ViT-B-16.pt"),
    "ViT-L/14": ("b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836", "ViT-L-14.pt"),
    "ViT-L/14@336px": ("3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02", "ViT-L-14-336px.pt"),
}

_GROUP = "zsprompt.encoders"


def available_models() -> dict[str, str]:
    """Model names that `load_encoder` knows, each with a line about it."""
    openai = {name: f"OpenAI CLIP, downloaded on first use ({file})" for name, (_, file) in OPENAI_MODELS.items()}
    conse = {"conse": "ConSE on photographs from PyPI parts alone (extra 'offline'); no download"}
    tiny = {"tiny": "a small CLIP of our own, trained on the drawn scenes; comes with zsprompt"}
    wrapped = {"pyramid:MODEL": "MODEL on larger pictures, square by square. Fields: d, levels, keep, seed."}
    return tiny | openai | conse | wrapped | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def load_encoder(name: str = "ViT-B/32", *, device: str = "auto", precision: Precision = "auto") -> Encoder:
    """The encoder a name stands for.

    Args:
        name: an OpenAI CLIP name, "tiny", "conse", a checkpoint file, or package.module:Object (an encoder, or
            something that makes one when called with `device=`). A file wins over a model's name only with a path
            separator. pyramid[,field=value…]:NAME is any of them on larger pictures, see encoders.pyramid.
        device: "auto" (cuda where there is one), "cpu" or "cuda".
        precision: "auto"; on a CPU also "bfloat16", and "int8" for OpenAI CLIP models.

    Raises:
        UnknownName: no such model or file.
        ModelError: weights missing, damaged or of another kind; an extra not installed; no such device.
    """
    if name.startswith("open_clip:"):
        raise ModelError(f"models of open_clip are not supported yet, found {name!r}; give an OpenAI CLIP name or file")
    if precision not in get_args(Precision):
        raise UnknownName("precision", precision, get_args(Precision))
    if name.partition(":")[0].partition(",")[0] == "pyramid":
        from zsprompt.encoders.pyramid import load_pyramid

        return load_pyramid(name, device=device, precision=precision)
    reads_as_path = "/" in name or "\\" in name
    if name in OPENAI_MODELS and not (reads_as_path and Path(name).is_file()):
        from zsprompt.encoders.clip.openai_clip import OpenAIClip

        return OpenAIClip.from_name(name, device=device, precision=precision)
    if name == "tiny":
        from zsprompt.encoders.clip.tiny import load_tiny

        return load_tiny(device=device, precision=precision)
    if name == "conse":
        from zsprompt.encoders.conse import Conse

        return Conse(device=device, precision=precision)
    if precision != "auto" and not (reads_as_path or Path(name).is_file()):
        raise UsageError(
            f"precision {precision} is for OpenAI CLIP models and conse, found model {name!r}; leave out --precision"
        )
    if reads_as_path or Path(name).is_file():
        from zsprompt.encoders.clip.openai_clip import OpenAIClip

        return OpenAIClip.from_file(Path(name), device=device, precision=precision)
    if is_object_path(name) or name in installed(_GROUP):
        return _made(name, find("model", name, {}, _GROUP), device)
    raise UnknownName("model", name, [*available_models(), "FILE"])


def _made(name: str, thing: object, device: str) -> Encoder:
    try:
        made = thing(device=device) if callable(thing) else thing
    except ZspromptError:
        raise
    except Exception as error:  # a stranger's constructor may raise anything
        raise UsageError(
            f"expected {name} to be an encoder or to make one when called with device=… "
            f"({type(error).__name__}: {error})"
        ) from error
    if not isinstance(made, Encoder):
        raise UsageError(f"expected {name} to be a zsprompt.Encoder, found a {type(made).__name__}")
    return made
