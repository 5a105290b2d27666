"""The table of encoders, and how a model name is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_args

from zsprompt._utils.arguments import checked, is_instance
from zsprompt._utils.modules import error_text, import_object, is_object_path
from zsprompt._utils.registry import find, installed
from zsprompt.encoders.base import Encoder, EncoderLoader, Precision
from zsprompt.encoders.catalogue import NEAR, known_models, near, similarity
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS
from zsprompt.errors import ModelError, UnknownName, UsageError, ZspromptError


@dataclass(frozen=True)
class EncoderEntry:
    """An entry of the table.

    Attributes:
        name: the model's name, or PREFIX:REST for a family. Every name that begins with PREFIX: or
            PREFIX,field=value: belongs to the family.
        path: module:function below `zsprompt.encoders`, an EncoderLoader. It is imported when a model is loaded.
        about: one line of description.
        needs: module:function with the loader's arguments that raises what the loader would raise without reading
            weights; empty if there is nothing to check.
        has_fields: whether NAME,field=value… is a name of this model too.
    """

    name: str
    path: str
    about: str
    needs: str = ""
    has_fields: bool = False

    @property
    def is_family(self) -> bool:
        """Whether the entry covers every name with its prefix."""
        return ":" in self.name

    @property
    def key(self) -> str:
        """The name, or a family's prefix."""
        return self.name.partition(":")[0]

    @property
    def load(self) -> EncoderLoader:
        """The loader."""
        loader: EncoderLoader = import_object(f"zsprompt.encoders.{self.path}")
        return loader

    def check(self, name: str, device: str, precision: Precision) -> None:
        """Raise what `load` would raise for these arguments without reading weights."""
        if self.needs:
            import_object(f"zsprompt.encoders.{self.needs}")(name, device=device, precision=precision)


ENCODERS = {
    entry.name: entry
    for entry in (
        EncoderEntry(
            "tiny",
            "clip.tiny:load_tiny",
            "a small CLIP trained on the drawn scenes; included in zsprompt",
        ),
        *(
            EncoderEntry(name, "clip.openai_clip:load_openai", f"OpenAI CLIP, downloaded on first use ({file})")
            for name, (_, file) in OPENAI_MODELS.items()
        ),
        EncoderEntry(
            "conse",
            "conse.encoder:load_conse",
            "ConSE for photographs, built from PyPI packages (extra 'offline'); no download. Fields: classifier, size.",
            "conse.encoder:check_conse",
            has_fields=True,
        ),
        *(
            EncoderEntry(name, "open_clip.encoder:load_open_clip", about, "open_clip.encoder:check_open_clip")
            for name, about in (
                ("open_clip:NAME/PRETRAINED", "any model of open_clip (extra 'open-clip'); see `zsprompt models list`"),
                ("hf-hub:OWNER/NAME", "an open_clip model in a repository of Hugging Face"),
                ("local-dir:FOLDER", "an open_clip model in a folder with open_clip_config.json"),
            )
        ),
        EncoderEntry(
            "hf:OWNER/NAME",
            "hugging_face.encoder:load_hugging_face",
            "a dual encoder of transformers on Hugging Face, or hf:FOLDER (extra 'open-clip')",
            "hugging_face.encoder:check_hugging_face",
        ),
        EncoderEntry(
            "pyramid:MODEL",
            "pyramid:load_pyramid",
            "MODEL on larger images, patch by patch. Fields: d, levels, keep, seed.",
            "pyramid:check_pyramid",
        ),
    )
}
"""Built-in encoders. An encoder is its module and one line here; the contract tests run over this table."""

_BY_KEY = {entry.key: entry for entry in ENCODERS.values()}
_GROUP = "zsprompt.encoders"
_CHECKPOINTS = (".pt", ".pth", ".bin", ".safetensors")
_SEE = "zsprompt models list TEXT"
_SURELY_NEAR = 0.8
"""Smallest similarity of a path and a model's name at which the name is suggested."""


def available_models() -> dict[str, str]:
    """Model names that `load_encoder` accepts, each with a line of description."""
    built_in = {name: entry.about for name, entry in ENCODERS.items()}
    return built_in | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def is_built_in(name: str) -> bool:
    """Whether `name` is a name of the table, its fields included. They are not checked."""
    return _entry(name) is not None


@checked
def load_encoder(name: str = "ViT-B/32", *, device: str = "auto", precision: Precision = "auto") -> Encoder:
    """Load the encoder with this name.

    Args:
        name: an OpenAI CLIP name, "tiny", conse[,field=value…] (see encoders.conse.fields); a model of open_clip as
            open_clip:NAME/PRETRAINED, hf-hub:OWNER/NAME or local-dir:FOLDER; one of transformers as hf:OWNER/NAME or
            hf:FOLDER; a checkpoint file of OpenAI CLIP; or package.module:Object. The object is an encoder, or a
            callable that makes one, from `device=` if it takes that. A file takes precedence over a model name only
            if it is written with a path separator. pyramid[,field=value…]:NAME runs any of these on larger images; see
            encoders.pyramid.
        device: "auto" (cuda if available), "cpu" or "cuda".
        precision: "auto"; on a CPU also "bfloat16", and "int8" for all but conse; on a GPU also "bfloat16" for models
            of open_clip and transformers.

    Raises:
        UnknownName: no model or file has this name.
        ModelError: weights are missing, damaged or of another kind; an extra is not installed; or the device is
            not available.
    """
    if precision not in get_args(Precision):
        raise UnknownName("precision", precision, get_args(Precision))
    if entry := _entry(name):
        return entry.load(name, device=device, precision=precision)
    if _names_file(name):
        from zsprompt.encoders.clip.openai_clip import OpenAIClip

        return OpenAIClip.from_file(Path(name), device=device, precision=precision)
    return _made(name, _elsewhere(name, precision), device)


def check_model(name: str, *, device: str = "auto", precision: Precision = "auto") -> None:
    """Raise what `load_encoder` would raise for these arguments, as far as that is known without reading weights.

    Args, Raises: see `load_encoder`.
    """
    if precision not in get_args(Precision):
        raise UnknownName("precision", precision, get_args(Precision))
    entry = _entry(name)
    if entry and entry.is_family:
        entry.check(name, device, precision)
    elif entry or _names_file(name):
        _check_device(device, precision)
        if entry:
            entry.check(name, device, precision)
        else:
            require_checkpoint(Path(name))
    else:
        _elsewhere(name, precision)  # what its device can be, only its author knows


def _check_device(device: str, precision: Precision) -> None:
    """Raise ModelError, UnknownName for what this machine cannot do; torch is imported only where it is asked."""
    if device == "auto" and precision == "auto":
        return
    from zsprompt.encoders.clip.products import check_precision
    from zsprompt.encoders.devices import pick_device

    check_precision(pick_device(device), precision)


def require_checkpoint(path: Path) -> None:
    """Raise ModelError if there is no file at `path`, or one of open_clip.

    A path that is part of a model's name may be meant as one; the message says so.
    """
    if path.is_dir():
        raise ModelError(f"expected an OpenAI CLIP checkpoint at {path}, found a folder")
    if not path.is_file():
        raise ModelError(f"expected an OpenAI CLIP checkpoint at {path}, found nothing{_meant(path)}")
    if path.name.startswith("open_clip") or (path.parent / "open_clip_config.json").is_file():
        raise ModelError(  # such weights can have the same names and sizes, but another activation and preprocessing
            f"expected an OpenAI CLIP checkpoint at {path}, found weights of open_clip; "
            f"put open_clip_config.json next to them and use local-dir:{path.parent}"
        )


def _meant(path: Path) -> str:
    """What else a path may have been meant as, for a message: a name of the catalogue, or OWNER/NAME of a hub."""
    if path.is_absolute():
        return ""
    if names := near(path.as_posix(), 1, least=_SURELY_NEAR):
        return f". Did you mean {names[0]!r}? See {_SEE}"
    is_repository = len(path.parts) == 2 and path.parts[0] != ".." and path.suffix not in _CHECKPOINTS
    return f"; for a model of Hugging Face, write hf:{path.as_posix()}" if is_repository else ""


def _elsewhere(name: str, precision: Precision) -> object:
    """The encoder that an installed package or a module of the user has under `name`, or its maker."""
    if not (is_object_path(name) or name in installed(_GROUP)):
        plugins = [one for one in installed(_GROUP) if similarity(name, one) >= NEAR]
        names = [*(model.name for model in known_models()), *installed(_GROUP)]
        raise UnknownName("model", name, names, near=[*plugins, *near(name)], see=_SEE)
    if precision != "auto":
        raise UsageError(
            f"expected a model of OpenAI, open_clip or transformers, or conse, for precision {precision}, "
            f"found model {name!r}; leave out precision={precision}"
        )
    return find("model", name, {}, _GROUP)


def _names_file(name: str) -> bool:
    return _reads_as_path(name) or Path(name).is_file() or Path(name).suffix in _CHECKPOINTS


def _entry(name: str) -> EncoderEntry | None:
    """The table entry for `name`; None if it may be a file or an installed encoder."""
    prefix = name.partition(":")[0].partition(",")[0]
    entry = _BY_KEY.get(prefix)
    if entry and (entry.is_family or (entry.has_fields and name.startswith(f"{prefix},"))):
        return entry
    return None if _reads_as_path(name) and Path(name).is_file() else _BY_KEY.get(name)


def _reads_as_path(name: str) -> bool:
    return "/" in name or "\\" in name


def _takes_device(maker: Callable[..., object]) -> bool:
    try:
        parameters = signature(maker).parameters.values()
    except (ValueError, TypeError):  # some built-in functions have none
        return True
    return any(one.name == "device" or one.kind is Parameter.VAR_KEYWORD for one in parameters)


def _made(name: str, thing: object, device: str) -> Encoder:
    takes_device = callable(thing) and _takes_device(thing)
    if device != "auto" and not takes_device:
        raise UsageError(f"{name} chooses its own device: it does not use device {device}; leave it out")
    try:
        made: Any = thing(**({"device": device} if takes_device else {})) if callable(thing) else thing
    except ZspromptError:
        raise
    except Exception as error:  # third-party code may raise anything
        raise UsageError(
            f"expected {name} to be an encoder or to make one when called, found {error_text(error)}"
        ) from error
    if not is_instance(made, Encoder):
        raise UsageError(f"expected {name} to be a zsprompt.Encoder, found a {type(made).__name__}")
    encoder: Encoder = made
    return encoder
