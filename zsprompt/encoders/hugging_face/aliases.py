"""Names on Hugging Face whose weights open_clip or OpenAI publishes too.

The file aliases.csv pairs repositories with names of models. Repositories that open_clip itself names are those it
downloads from. The others hold the same weights in another format. Left out is google/siglip2-so400m-patch14-384: its
images have 384 pixels, those of open_clip's copy 378.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

_FILE = "aliases.csv"


@cache
def aliases() -> dict[str, str]:
    """Names of models, as `load_encoder` takes them, by repository in lower case."""
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    return {row["repository"].lower(): row["model"] for row in csv.DictReader(text.splitlines())}


def alias(repository: str) -> str | None:
    """The name of the model with the weights of this repository, owner/name; None if only transformers has it."""
    return aliases().get(repository.lower())
