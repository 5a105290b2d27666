"""`tiny`: a small CLIP, trained on the drawn scenes by benchmarks/train_tiny.py and included in the wheel.

It is a `clip.model.CLIP` like OpenAI's models, 5 MB in half precision. CLIP's full token table alone would take twice
that. The file therefore holds one row for each token seen in training, and one row for all others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from zsprompt._utils.files import read_fault
from zsprompt._utils.http_download import sha256_file
from zsprompt._utils.text import words_of
from zsprompt.encoders.base import Precision
from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.encoders.clip.towers import Towers
from zsprompt.encoders.dual_encoder import Sizes
from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

_FILE = "tiny.safetensors"
_TOKENS = 49_408  # of CLIP's vocabulary


class Tiny(OpenAIClip):
    """An OpenAIClip with the list of words that it was trained on."""

    domain = "drawn scenes"

    def __init__(
        self,
        towers: Callable[[str], Towers],
        *,
        sizes: Sizes,
        words: frozenset[str],
        sha256: str,
        device: str,
        precision: Precision,
    ) -> None:
        super().__init__(
            towers, sizes=sizes, name="tiny", sha256=sha256, is_residual=True, device=device, precision=precision
        )
        self.words = words

    def unfamiliar(self, texts: Sequence[str]) -> list[str]:
        """See Encoder."""
        return [word for word in dict.fromkeys(words_of(texts)) if not self._is_familiar(word)]

    def _is_familiar(self, word: str) -> bool:
        return word in self.words or ("-" in word and all(part in self.words for part in word.split("-")))


def load_tiny(name: str = "tiny", *, device: str = "auto", precision: Precision = "auto") -> Tiny:
    """Load the model that zsprompt includes. Raises ModelError if its file is missing or damaged."""
    with as_file(files(__package__).joinpath(_FILE)) as path:
        return _read(path, device, precision)


def _read(path: Path, device: str, precision: Precision = "auto") -> Tiny:
    """The model of a file. Its words and sizes are read now, its weights on first use."""

    def towers(device: str) -> Towers:
        return Towers(_state(path), "tiny", device, precision)

    with _refusing(path), safe_open(path, framework="np") as file:
        words = json.loads(file.metadata()["words"])
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - safe_open is no dict
        sizes = _sizes(shapes)
    return Tiny(
        towers, sizes=sizes, words=frozenset(words), sha256=sha256_file(path), device=device, precision=precision
    )


def _sizes(shapes: Mapping[str, Sequence[int]]) -> Sizes:
    """The sizes of a model with a residual image tower, whose places are 32 pixels wide."""
    tokens = shapes["visual.attnpool.positional_embedding"][0]
    side = 32 * math.isqrt(tokens - 1)
    return Sizes(shapes["text_projection"][1], side, tokens, shapes["positional_embedding"][0])


def _state(path: Path) -> dict[str, torch.Tensor]:
    """The weights, with a row for every token of CLIP's vocabulary."""
    import torch

    with _refusing(path), safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is no dict
        ids = state.pop("token_ids").long()
    table = state["token_embedding.weight"]
    rows = torch.zeros(_TOKENS, dtype=torch.long)  # row 0 is for every token that was not seen in training
    rows[ids] = torch.arange(1, len(ids) + 1)
    state["token_embedding.weight"] = table[rows]
    return state


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Raise ModelError for a file that cannot be read."""
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read {path} ({read_fault(path, error)}); install zsprompt again") from None
