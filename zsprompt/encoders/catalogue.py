"""The catalogue of dual encoders: what a model name can be, and what is known of each before it is downloaded.

models.csv is written by benchmarks/model_table.py. Reading it imports neither torch nor open_clip.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from zsprompt._utils.text import in_bytes

FILE = "models.csv"
OPEN_CLIP = "open_clip:"
NEAR = 0.5
"""Smallest similarity, 0..1, of a name that is worth suggesting."""


@dataclass(frozen=True)
class KnownModel:
    """A model of the catalogue.

    Attributes:
        name: as --model takes it.
        family: who trained it, or on what: "SigLIP 2", "DataComp".
        image_size: side of the image tower's square input, in pixels.
        context: maximum number of tokens in a text.
        dim: D, the width of an embedding.
        parameters: of both towers, in millions.
        download_mb: size of the weights in MB (10^6 bytes), computed; 0 if nothing is downloaded.
        licence: of the weights: SPDX's name or the licence's own; "unknown" if it is not known.
        source: where the weights come from: owner/name or owner/name/file on Hugging Face, a URL, or what installs
            them.
        tokenizer: the repository of the tokeniser on Hugging Face; empty for a vocabulary that zsprompt has.
        aliases: other names that --model takes for the same weights, hf:OWNER/NAME.
    """

    name: str
    family: str
    image_size: int
    context: int
    dim: int
    parameters: float
    download_mb: int
    licence: str
    source: str
    tokenizer: str
    aliases: tuple[str, ...]

    @property
    def extra(self) -> str:
        """The extra of zsprompt that it needs; empty if none."""
        return "open-clip" if self.name.startswith(OPEN_CLIP) else "offline" if self.name == "conse" else ""

    @property
    def architecture(self) -> str:
        """The name without open_clip: and the pretrained tag."""
        return self.name.removeprefix(OPEN_CLIP).partition("/")[0] if self.extra == "open-clip" else self.name


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Every model of the catalogue, in its order."""
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return tuple(_model(row) for row in csv.DictReader(text.splitlines()))


def download_text(name: str) -> str:
    """The computed size of a model's weights for a message, ", about 1.5 GB"; empty for a model that is not listed."""
    size = next((model.download_mb for model in known_models() if model.name == name), 0)
    return f", about {in_bytes(size * 10**6)}" if size else ""


def families() -> tuple[str, ...]:
    """The names of the families, in the catalogue's order."""
    return tuple(dict.fromkeys(model.family for model in known_models()))


def matching(text: str) -> list[KnownModel]:
    """The models with `text` in their name, family or an alias; all for an empty text.

    Upper and lower case are the same, and so are "-", "_", "/" and " ".
    """
    wanted = _plain(text)
    return [model for model in known_models() if any(wanted in _plain(name) for name in _names(model))]


def near(text: str, count: int = 3, *, least: float = NEAR) -> list[str]:
    """The names of the `count` models closest to `text`: those that match it, else those with a similar name.

    A model is as close as the closest of its name, architecture, family and aliases. Of equal ones, the catalogue's
    first comes first. Fewer are given, or none, where nothing matches and nothing is `least` similar, 0..1.
    """
    if not text.strip():
        return []
    found = matching(text)
    closeness = {model.name: _closeness(text, model) for model in found or known_models()}
    similar = [name for name, one in closeness.items() if found or one >= least]
    return sorted(similar, key=lambda name: -closeness[name])[:count]


def similarity(wanted: str, name: str) -> float:
    """How similar two names are, 0..1."""
    return difflib.SequenceMatcher(a=_plain(name), b=_plain(wanted), autojunk=False).ratio()


def _closeness(wanted: str, model: KnownModel) -> float:
    """The largest similarity, 0..1, of `wanted` and what people may take for the model's name."""
    return max(similarity(wanted, name) for name in (*_names(model), *_parts(model)))


def _names(model: KnownModel) -> tuple[str, ...]:
    return model.name, model.family, *model.aliases


def _parts(model: KnownModel) -> Iterator[str]:
    """The name without its prefix, and without its tag; the aliases without their owners."""
    yield model.name.removeprefix(OPEN_CLIP)
    yield model.architecture
    yield from (alias.rpartition("/")[2] for alias in model.aliases)


def _plain(text: str) -> str:
    return re.sub(r"[\s/_]", "-", text.strip().lower())


def _model(row: dict[str, str]) -> KnownModel:
    return KnownModel(
        name=row["name"],
        family=row["family"],
        image_size=int(row["image_size"]),
        context=int(row["context"]),
        dim=int(row["dim"]),
        parameters=float(row["parameters"]),
        download_mb=int(row["download_mb"]),
        licence=row["licence"],
        source=row["source"],
        tokenizer=row["tokenizer"],
        aliases=tuple(row["aliases"].split()),
    )
