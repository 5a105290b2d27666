"""Where an open_clip model comes from: its configuration, preprocessing, weights and tokeniser.

Preprocessing belongs to the weights. It is taken from the pretrained tag or from the model's open_clip_config.json,
never from a default.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsprompt.encoders.catalogue import download_text
from zsprompt.encoders.dual_encoder import Sizes
from zsprompt.encoders.hub import TOKENIZER_FILES, hub_file, hub_tokenizer, require_packages
from zsprompt.encoders.open_clip.places import places_of
from zsprompt.encoders.preprocessing import Preprocess
from zsprompt.encoders.torchvision_match import require_torchvision
from zsprompt.errors import ModelError, UnknownName, UsageError

logger = logging.getLogger(__name__)

Config = Mapping[str, Any]
"""The `model_cfg` of an open_clip model."""

CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_OTHER_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.pth", "model.pth")
_PACKAGES = ("open_clip", "huggingface_hub")
_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")
_DEFAULTS = {"interpolation": "bicubic", "resize_mode": "shortest"}  # of open_clip, for configurations that do not say
_INTERPOLATIONS = ("bicubic", "bilinear")
_RESIZE_MODES = ("shortest", "longest", "squash")


@dataclass(frozen=True)
class Source:
    """All that makes a model.

    Attributes:
        name: the model's name, as --model takes it.
        config: its architecture.
        preprocess: from an image to pixels.
        weights: the file with its weights.
        tokenizer: the folder of its tokeniser; None for CLIP's vocabulary.
        text_tower: the folder with the configuration of its text tower, if that is one of transformers' models.
    """

    name: str
    config: Config
    preprocess: Preprocess
    weights: Path
    tokenizer: Path | None
    text_tower: Path | None

    @property
    def sizes(self) -> Sizes:
        """The sizes that the configuration states."""
        places = places_of(self.config)
        return Sizes(
            self.config["embed_dim"],
            self.preprocess.size,
            None if places is None else 1 + places,
            self.config["text_cfg"].get("context_length", 77),
        )


def find_source(name: str) -> Source:
    """The source of open_clip:NAME[/PRETRAINED], hf-hub:OWNER/NAME or local-dir:FOLDER. Downloads what is missing.

    Raises:
        UnknownName: open_clip has no such model or pretrained tag.
        UsageError: no tag is given where there are several, or a weights file whose preprocessing is not known.
        ModelError: the extra is not installed; a file is missing, damaged, or cannot be downloaded.
    """
    check_name(name)
    family, _, rest = name.partition(":")
    if family == "local-dir":
        return _of_folder(name, Path(rest).expanduser())
    return _of_hub(name, rest) if family == "hf-hub" else _of_tag(name, rest)


def check_name(name: str) -> None:
    """Raise what `find_source` would raise, as far as that is known without the network."""
    require_packages(_PACKAGES, name)
    family, _, rest = name.partition(":")
    if not rest:
        raise UsageError(f"expected a name after {family}:, found {name!r}")
    if family == "local-dir":
        _read_config(Path(rest).expanduser() / CONFIG_FILE, name)
        _weights_in(Path(rest).expanduser())
    elif family == "hf-hub":
        if rest.count("/") != 1:
            raise UsageError(f"expected hf-hub:OWNER/NAME, found {name!r}")
    else:
        _tag_of(rest)


def _library() -> Any:
    """The package open_clip."""
    require_torchvision()
    import open_clip

    return open_clip


def _of_folder(name: str, folder: Path) -> Source:
    config, preprocess = _read_config(folder / CONFIG_FILE, name)
    text = config["text_cfg"]
    _require_transformers(config, name)
    tokenizer = folder if text.get("hf_tokenizer_name") else None
    if tokenizer and not any((folder / file).is_file() for file in TOKENIZER_FILES):
        raise ModelError(f"expected the tokeniser's files next to {folder / CONFIG_FILE}, for example tokenizer.json")
    text_tower = None
    if text.get("hf_model_name"):
        text_tower = _require_file(folder / "config.json", "the configuration of the text tower").parent
    return Source(name, config, preprocess, _weights_in(folder), tokenizer, text_tower)


def _of_hub(name: str, repository: str) -> Source:
    config, preprocess = _read_config(hub_file(repository, (CONFIG_FILE,), model=name), name)
    weights = hub_file(repository, WEIGHT_FILES, model=name)
    return Source(name, config, preprocess, weights, *_text_folders(config, name))


def _of_tag(name: str, rest: str) -> Source:
    open_clip = _library()

    architecture, tag, file = _tag_of(rest)
    entry = open_clip.get_pretrained_cfg(architecture, tag)
    config = open_clip.get_model_config(architecture)
    if entry.get("quick_gelu") and not config.get("quick_gelu"):
        logger.info(f"{architecture}/{tag} was trained with QuickGELU; the model is built with it")
        config["quick_gelu"] = True
    elif config.get("quick_gelu") and not entry.get("quick_gelu"):
        logger.info(f"the tag {architecture}/{tag} does not mention the QuickGELU of its configuration, which is used")
    preprocess = _preprocess(config, entry, name)
    if file is None:
        repository, _, weights = entry["hf_hub"].rpartition("/")
        about = download_text(f"open_clip:{architecture}/{tag}")
        file = hub_file(repository, (weights,) if weights else WEIGHT_FILES, model=name, about=about)
    return Source(name, config, preprocess, file, *_text_folders(config, name))


def _text_folders(config: Config, name: str) -> tuple[Path | None, Path | None]:
    """The folders of the tokeniser and of the text tower's configuration, from the hub."""
    text = config["text_cfg"]
    _require_transformers(config, name)
    tokenizer, tower = text.get("hf_tokenizer_name"), text.get("hf_model_name")
    return (
        hub_tokenizer(tokenizer, model=name) if tokenizer else None,
        hub_file(tower, ("config.json",), model=name).parent if tower else None,
    )


def _require_transformers(config: Config, name: str) -> None:
    """Raise ModelError if the tokeniser or the text tower is one of transformers, and that is not installed."""
    if any(config["text_cfg"].get(key) for key in ("hf_tokenizer_name", "hf_model_name")):
        require_packages(("transformers",), name)


def _tag_of(rest: str) -> tuple[str, str, Path | None]:
    """The architecture, the pretrained tag and, if one is given, the weights file of NAME[/TAG or /FILE]."""
    open_clip = _library()

    architecture, _, given = rest.partition("/")
    if architecture not in open_clip.list_models():
        raise UnknownName("open_clip model", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if given.lower().replace("-", "_") in tags:
        return architecture, given.lower().replace("-", "_"), None
    if "/" in given or Path(given).suffix:
        return _tag_of_file(architecture, tags, Path(given).expanduser())
    if given:
        raise UnknownName(f"pretrained tag of {architecture}", given, tags)
    if not tags:
        raise UsageError(
            f"expected weights for open_clip:{architecture}, which has no pretrained ones; use local-dir:FOLDER"
        )
    if len(tags) > 1:
        raise UsageError(
            f"expected a pretrained tag, such as open_clip:{architecture}/{tags[-1]}, found none; "
            f"`zsprompt models list {architecture}` shows all {len(tags)}"
        )
    return architecture, tags[0], None


def _tag_of_file(architecture: str, tags: list[str], file: Path) -> tuple[str, str, Path]:
    """A tag with the preprocessing of a weights file. Refused if the architecture's tags differ in it."""
    open_clip = _library()

    _require_file(file, f"the weights of open_clip:{architecture}")
    entries = [open_clip.get_pretrained_cfg(architecture, tag) for tag in tags]
    kinds = {json.dumps([entry.get(key) for key in (*_PREPROCESS_KEYS, "quick_gelu")]) for entry in entries}
    if len(kinds) != 1:
        raise UsageError(
            f"expected weights of open_clip:{architecture} with known preprocessing and activation, found {file}, and "
            f"pretrained tags of {architecture} that differ in them; put it into a folder with its {CONFIG_FILE} and "
            "use local-dir:FOLDER"
        )
    return architecture, tags[0], file


def _read_config(path: Path, name: str) -> tuple[Config, Preprocess]:
    """The architecture and preprocessing in an open_clip_config.json."""
    _require_file(path, f"the configuration of {name}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        config = content["model_cfg"]
        objects = config, config["vision_cfg"], config["text_cfg"], content["preprocess_cfg"]
        counts = {"embed_dim": config["embed_dim"], "context_length": config["text_cfg"].get("context_length", 77)}
        counts["patch_size"] = config["vision_cfg"].get("patch_size", 16)
        timm_name = config["vision_cfg"].get("timm_model_name") or ""
        config["vision_cfg"]["image_size"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(
            path, f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        ) from None
    if not all(isinstance(one, dict) for one in objects):
        raise _malformed(path, "another type than an object for one of them")
    if wrong := [f"{key} {value!r}" for key, value in counts.items() if not _is_count(value)]:
        raise ModelError(f"expected whole numbers above 0 as {', '.join(counts)} in {path}, found {wrong[0]}")
    if not isinstance(timm_name, str):
        raise ModelError(f"expected a text as timm_model_name in {path}, found {timm_name!r}")
    preprocess = content["preprocess_cfg"]
    unsaid = [key for key in _DEFAULTS if preprocess.get(key) is None]
    if unsaid and preprocess:
        logger.info(f"{name} does not state {' and '.join(unsaid)} of its images; open_clip's defaults are used")
        preprocess = preprocess | {key: _DEFAULTS[key] for key in unsaid}
    return config, _preprocess(config, preprocess, str(path))


def _malformed(path: Path, found: str) -> ModelError:
    return ModelError(
        f"expected {path} to hold model_cfg with embed_dim, vision_cfg and text_cfg, and preprocess_cfg; found {found}"
    )


def _preprocess(config: Config, entry: Config, where: str) -> Preprocess:
    """The preprocessing that a tag's entry or a configuration states, all of it."""
    size = config["vision_cfg"]["image_size"]
    if isinstance(size, (list, tuple)) and size and all(one == size[0] for one in size):
        size = size[0]
    missing = [key for key in _PREPROCESS_KEYS if entry.get(key) is None]
    if missing or not _is_count(size):
        raise ModelError(
            f"expected the preprocessing of {where} to state {', '.join(_PREPROCESS_KEYS)} for square images, "
            f"found {f'no {missing[0]}' if missing else f'image_size {size!r}'}"
        )
    mean, std = (_three(entry[key]) for key in ("mean", "std"))
    fill = entry.get("fill_color") or 0
    known = entry["interpolation"] in _INTERPOLATIONS and entry["resize_mode"] in _RESIZE_MODES
    if not known or mean is None or std is None or min(std) <= 0 or not (fill == 0 or (_is_count(fill) and fill < 256)):
        raise ModelError(
            f"expected preprocessing that open_clip knows for {where}, with a mean and a std above 0 for each colour, "
            f"found {dict(entry)}"
        )
    return Preprocess(size, mean, std, entry["interpolation"], entry["resize_mode"], (fill, fill, fill))


def _three(value: object) -> tuple[float, float, float] | None:
    """A finite number per colour, from one or three of them; None if that is not what `value` is."""
    numbers: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * 3
    if len(numbers) != 3 or not all(isinstance(one, (int, float)) and math.isfinite(one) for one in numbers):
        return None
    red, green, blue = map(float, numbers)
    return red, green, blue


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _weights_in(folder: Path) -> Path:
    names = (*WEIGHT_FILES, *_OTHER_WEIGHTS)
    present = [folder / name for name in names if (folder / name).is_file()]
    if not present:
        raise ModelError(f"expected weights in {folder} ({', '.join(names)}), found none")
    return present[0]


def _require_file(path: Path, what: str) -> Path:
    if not path.is_file():
        raise ModelError(f"expected {what} at {path}, found {'a folder' if path.is_dir() else 'nothing'}")
    return path
