"""The files of a model that transformers can read, in a folder or on Hugging Face's hub."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsprompt._utils.digests import digest
from zsprompt._utils.text import reason
from zsprompt.encoders.hub import TOKENIZER_FILES, content_digest, hub_file, hub_tokenizer, require_packages
from zsprompt.encoders.hugging_face.families import Family, family_of
from zsprompt.errors import ModelError, UsageError

Config = Mapping[str, Any]
"""The content of a config.json."""

CONFIG_FILE = "config.json"
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_INDEX = ".index.json"
WEIGHT_FILES = ("model.safetensors", f"model.safetensors{_INDEX}", "pytorch_model.bin", f"pytorch_model.bin{_INDEX}")
"""In the order in which transformers looks for them."""

_PACKAGES = ("transformers", "huggingface_hub")
_INCIDENTAL = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Entries of a configuration that change no embedding."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's files, all in one folder.

    Attributes:
        name: the model's name, as --model takes it.
        folder: the folder.
        config: the content of its config.json.
        family: what the model's kind needs.
        weights: the files with its weights.
    """

    name: str
    folder: Path
    config: Config
    family: Family
    weights: tuple[Path, ...]

    @property
    def longest_text(self) -> int | None:
        """The maximum number of tokens that its tokeniser's configuration states, if any."""
        path = self.folder / "tokenizer_config.json"
        length = _read_json(path).get("model_max_length") if path.is_file() else None
        return int(length) if isinstance(length, (int, float)) else None

    @property
    def digests(self) -> str:
        """Of all files on which an embedding depends, but not on where they are or who wrote them."""
        weights = hashlib.sha256("".join(map(content_digest, self.weights)).encode()).hexdigest()
        paths = [self.folder / file for file in TOKENIZER_FILES]
        tokenizer = [content_digest(path) for path in paths if path.is_file()]
        return f"{weights} {digest([_essential(self.config), tokenizer])}"


def check_name(name: str) -> None:
    """Raise what `find_checkpoint` would raise, as far as that is known without the network."""
    require_packages(_PACKAGES, name)
    if folder := _folder(name):
        _in_folder(name, folder)


def find_checkpoint(name: str) -> Checkpoint:
    """The files of hf:OWNER/NAME or hf:FOLDER. Downloads what is missing.

    Raises:
        UsageError: neither a repository nor a folder.
        ModelError: the extra is not installed; a file is missing, damaged, or cannot be downloaded; or the model is
            not a dual encoder that zsprompt supports.
    """
    require_packages(_PACKAGES, name)
    folder = _folder(name)
    return _in_folder(name, folder) if folder else _on_hub(name, repository_of(name))


def repository_of(name: str) -> str:
    """OWNER/NAME of hf:OWNER/NAME; an empty text if that is a folder."""
    return "" if _folder(name) else name.partition(":")[2]


def _folder(name: str) -> Path | None:
    """The folder that a name means; None for a repository."""
    rest = name.partition(":")[2]
    path = Path(rest).expanduser()
    if rest and path.is_dir():
        return path
    if rest.startswith((".", "/", "~")) or "\\" in rest or rest.count("/") > 1:
        return path
    if rest.count("/") != 1 or not all(rest.split("/")):
        raise UsageError(f"expected hf:OWNER/NAME of Hugging Face or hf:FOLDER with an existing folder, found {name!r}")
    return None


def _in_folder(name: str, folder: Path) -> Checkpoint:
    if not folder.is_dir():
        raise ModelError(f"expected a folder that save_pretrained wrote at {folder}, found none")
    config = _read_json(_first_in(folder, (CONFIG_FILE,), "a configuration"))
    family = family_of(config, name)
    _first_in(folder, PROCESSOR_FILES, "the image processor")
    _first_in(folder, TOKENIZER_FILES, "the tokeniser")
    weights = _first_in(folder, WEIGHT_FILES, "weights")
    parts = tuple(_first_in(folder, (part,), "weights") for part in _shards(weights))
    return Checkpoint(name, folder, config, family, parts)


def _on_hub(name: str, repository: str) -> Checkpoint:
    config_file = hub_file(repository, (CONFIG_FILE,), model=name)
    config = _read_json(config_file)
    family = family_of(config, name)  # before anything large is downloaded
    processor = hub_file(repository, PROCESSOR_FILES, model=name)
    tokenizer = hub_tokenizer(repository, model=name)
    weights = hub_file(repository, WEIGHT_FILES, model=name)
    parts = tuple(hub_file(repository, (part,), model=name) for part in _shards(weights))
    folders = {tokenizer, *(path.parent for path in (config_file, processor, weights, *parts))}
    if len(folders) != 1:
        raise ModelError(
            f"expected all files of {repository} from one version, found {len(folders)} in Hugging Face's cache; "
            f"delete {config_file.parents[2]} and run again"
        )
    return Checkpoint(name, config_file.parent, config, family, parts)


def _shards(weights: Path) -> Sequence[str]:
    """The names of the files with the weights: that of `weights`, or those that it lists."""
    if not weights.name.endswith(_INDEX):
        return (weights.name,)
    places = _read_json(weights).get("weight_map")
    names = sorted(set(places.values())) if isinstance(places, dict) else []
    if not names or any(not isinstance(one, str) or "/" in one or "\\" in one for one in names):
        raise ModelError(f"expected {weights} to list files of weights in its weight_map, found none")
    return names


def _first_in(folder: Path, names: Sequence[str], what: str) -> Path:
    present = [folder / name for name in names if (folder / name).is_file()]
    if not present:
        raise ModelError(f"expected {what} in {folder} ({' or '.join(names[:4])}), found none")
    return present[0]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path} ({reason(error)}); expected JSON that save_pretrained wrote") from None
    if not isinstance(content, dict):
        raise ModelError(f"expected an object in {path}, found a {type(content).__name__}")
    return content


def _essential(config: Any) -> Any:
    """A configuration without its incidental entries."""
    if not isinstance(config, Mapping):
        return config
    return {key: _essential(value) for key, value in config.items() if key not in _INCIDENTAL}
