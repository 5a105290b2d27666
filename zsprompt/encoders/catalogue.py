"""The catalogue of dual encoders: what a model name can be, and what is known of each before it is downloaded.

models.csv is written by benchmarks/model_table.py. Reading it imports neither torch nor open_clip.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

FILE = "models.csv"
OPEN_CLIP = "open_clip:"
_NEAR = 0.5
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


def families() -> tuple[str, ...]:
    """The names of the families, in the catalogue's order."""
    return tuple(dict.fromkeys(model.family for model in known_models()))


def matching(text: str) -> list[KnownModel]:
    """The models with `text` in their name, family or an alias, in upper or lower case; all for an empty text."""
    wanted = text.strip().lower()
    return [model for model in known_models() if any(wanted in key for key in _keys(model))]


def near(text: str, count: int = 3) -> list[str]:
    """The names of the `count` models closest to `text`: those that match it, else those with a similar name.

    A model is as close as the closest of its name, architecture, family and aliases. Of equal ones, the catalogue's
    first comes first. Fewer are given, or none, where nothing is similar.
    """
    wanted = text.strip().lower().replace("_", "-")
    closeness = {model.name: _closeness(wanted, model) for model in matching(text) or known_models()}
    similar = closeness if matching(text) else {name: one for name, one in closeness.items() if one >= _NEAR}
    return sorted(similar, key=lambda name: -similar[name])[:count]


def _closeness(wanted: str, model: KnownModel) -> float:
    compare = difflib.SequenceMatcher(b=wanted, autojunk=False)
    best = 0.0
    for key in _short_keys(model):
        compare.set_seq1(key)
        if compare.real_quick_ratio() > best and compare.quick_ratio() > best:
            best = max(best, compare.ratio())
    return best


def _keys(model: KnownModel) -> tuple[str, ...]:
    return tuple(key.lower() for key in (model.name, model.family, *model.aliases))


def _short_keys(model: KnownModel) -> Iterator[str]:
    """What people may take for the model's name, in lower case."""
    for key in (*_keys(model), model.architecture.lower(), model.name.lower().removeprefix(OPEN_CLIP)):
        yield key.replace("_", "-")
    yield from (alias.lower().rpartition("/")[2] for alias in model.aliases)


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
