"""The kinds of files that zsprompt writes, and how a file of each kind is recognised: KINDS is the table."""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from zsprompt._utils.csv_cells import restored
from zsprompt._utils.files import read_text

MARK = "zsprompt"
"""The key that names the kind in every JSON file."""

_HEAD = 2**12  # characters in which the mark of a text is sought
_LONGEST_HEADER = 2**24  # characters of the first line of a CSV file
_LARGEST_HEADER = 10**8  # bytes of the header of a safetensors file, as in the library


@dataclass(frozen=True)
class FileKind(ABC):
    """A kind of file.

    Attributes:
        what: what such a file holds, for messages.
    """

    what: str

    def recognises(self, path: Path) -> bool:
        """Whether the file at `path` is of this kind. False for a file that cannot be read."""
        try:
            return self._recognises(path)
        except (OSError, ValueError, RecursionError, csv.Error):
            return False

    @abstractmethod
    def _recognises(self, path: Path) -> bool: ...


@dataclass(frozen=True)
class JsonKind(FileKind):
    """A JSON object whose first key, MARK, names the kind.

    Attributes:
        mark: the value of that key.
        earlier: whether an object without the key is of an earlier version.
    """

    mark: str
    earlier: Callable[[Mapping[str, Any]], bool]

    def _recognises(self, path: Path) -> bool:
        facts = json.loads(read_text(path))
        if not isinstance(facts, dict):
            return False
        return facts[MARK] == self.mark if MARK in facts else self.earlier(facts)

    def text(self, facts: Mapping[str, Any], indent: int = 2) -> str:
        """The text of a file with these facts: strict JSON in ASCII."""
        return json.dumps({MARK: self.mark} | dict(facts), indent=indent, allow_nan=False) + "\n"


@dataclass(frozen=True)
class CsvKind(FileKind):
    """A CSV file that begins with known columns.

    Attributes:
        columns: its first columns.
        more: how each further column begins; None for a kind without further columns.
        quoted: the cells below the header are quoted, as few other programs do below a header without quotes.
    """

    columns: tuple[str, ...]
    more: str | None = None
    quoted: bool = False

    def has(self, header: Sequence[str]) -> bool:
        """Whether `header`, as it stands in the file, is one of this kind."""
        rest = header[len(self.columns) :]
        return (
            tuple(header[: len(self.columns)]) == self.columns
            and bool(rest) == (self.more is not None)
            and all(restored(name).startswith(self.more or "") for name in rest)
        )

    def _recognises(self, path: Path) -> bool:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = next(csv.reader(_lines(file), strict=True), [])
            return self.has(header) and (not self.quoted or file.read(1) in ('"', ""))


@dataclass(frozen=True)
class TextKind(FileKind):
    """A text with a mark near its beginning.

    Attributes:
        mark: the mark.
        earlier: a pattern of the beginning of a file of an earlier version.
    """

    mark: str
    earlier: str

    def _recognises(self, path: Path) -> bool:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = file.read(_HEAD)
        return self.mark in head or re.match(self.earlier, head) is not None


@dataclass(frozen=True)
class ArraysKind(FileKind):
    """A safetensors file whose header names its format.

    Attributes:
        format: the format.
    """

    format: str

    def _recognises(self, path: Path) -> bool:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LARGEST_HEADER else {}
        facts = json.loads(header.get("__metadata__", {}).get(MARK, "{}"))
        return bool(facts.get("format") == self.format)


@dataclass(frozen=True)
class JpegKind(FileKind):
    """A JPEG file with a mark in a comment near its beginning.

    Attributes:
        mark: the mark.
    """

    mark: str

    def _recognises(self, path: Path) -> bool:
        with path.open("rb") as file:
            head = file.read(_HEAD)
        return head.startswith(b"\xff\xd8") and self.mark.encode() in head


@dataclass(frozen=True)
class BankKind(FileKind):
    """A caption bank: JSON lines with the same keys, which say who wrote each caption.

    Attributes:
        keys: the keys of every line, in order.
        is_signed: whether a line bears the command's signature; at least one line does.
    """

    keys: tuple[str, ...]
    is_signed: Callable[[Mapping[str, str]], bool]

    def _recognises(self, path: Path) -> bool:
        lines = [json.loads(line) for line in read_text(path).split("\n") if line.strip()]
        whole = all(isinstance(line, dict) and tuple(line) == self.keys for line in lines)
        return whole and any(map(self.is_signed, lines))


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_HEADER):
        yield line


def _keys(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda facts: set(names) <= facts.keys()


def _is_table(facts: Mapping[str, Any]) -> bool:
    rows = facts.get("rows")
    first = rows[0] if isinstance(rows, list) and rows else None
    return isinstance(first, dict) and {"row", "strategy", "compared_with", "p_adjusted"} <= first.keys()


_OF_ROW = {"images_embedded", "seconds_images", "seconds_warm"}
_OF_CAPTION = ("labels", "caption", "model", "prompt", "time")
RANDOM_WORDS = "random words"
"""The author of a caption of random words."""

RESULT = JsonKind("a result", "result", _keys("recipe", "mAP", "ap", "skipped_images", "resamples"))
SCORES = CsvKind("scores of a result", ("image", "labels", "true", "left_out"), more="")
PROBABILITIES = CsvKind("probabilities of a result", ("image",), more="probability of ")
WINDOWS = CsvKind("windows of a result", ("image", "columns", "rows", "window", "stride"), more="window of ")
PER_CLASS = CsvKind("measures per label", ("label", "ap", "ap_low", "ap_high", "positives"), more="")
PREDICTIONS = CsvKind("predictions", ("image", "labels", "error"), more="")
THRESHOLDS = JsonKind("thresholds", "thresholds", _keys("format", "thresholds", "made_for", "made_on"))
ABLATION = JsonKind("the table of an ablation", "ablation", _is_table)
ABLATION_CSV = CsvKind("the table of an ablation", ("row", "strategy", "prompts", "model", "dataset"), more="")
ABLATION_MARKDOWN = TextKind(
    "the table of an ablation", "<!-- Written by zsprompt ablate. -->", r"\| row \| strategy \| prompts \|"
)
ABLATION_LATEX = TextKind(
    "the table of an ablation",
    "% Written by zsprompt ablate.",
    r"\\begin\{tabular\}\{l+r+\}\n\\toprule\nrow & strategy & prompts &",
)
ROW = JsonKind("facts about a row", "row", lambda facts: facts.keys() <= _OF_ROW)
ADAPTER = ArraysKind("an adapter", "zsprompt adapter")
CHECKPOINT = ArraysKind("an unfinished training run", "zsprompt checkpoint")
HISTORY = CsvKind("the history of a training run", ("number", "loss", "mAP", "lr", "seconds", "waiting"))
PAGE = TextKind(
    "a report",
    '<meta name="generator" content="zsprompt">',
    r"(?s)<!DOCTYPE html>.{,200}<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src",
)
FIGURE = TextKind(
    "a figure",
    "<dc:title>zsprompt</dc:title>",
    r'(?s)<\?xml.{,900}<cc:Work>\s*<dc:type [^>]*/>\s*<dc:format>[^<]*</dc:format>\s*</cc:Work>.{,400}id="figure_1"',
)
REPRODUCTION = JsonKind(
    "a reproduced table", "reproduction", _keys("table", "about", "source", "on", "rows", "settings")
)
REPRODUCTION_MARKDOWN = TextKind(
    "a reproduced table", "<!-- Written by zsprompt reproduce. -->", r"[\w-]+: .*Source: .*\n\n\|"
)
BANK = BankKind("a caption bank", _OF_CAPTION, lambda line: bool(line["prompt"] and line["time"]))
RANDOM_BANK = BankKind("a caption bank of random words", _OF_CAPTION, lambda line: line["model"] == RANDOM_WORDS)
ANNOTATED_IMAGE = JpegKind("an annotated image", "annotated by zsprompt")
ANNOTATED_INDEX = CsvKind("the index of annotated images", ("annotated", "image"))
IMAGE_CAPTIONS = CsvKind("image captions", ("image", "caption"), quoted=True)
PROMPTS = TextKind(
    "a prompt set",
    "# Written by zsprompt write-prompts.",
    r'about = .*\nsource = ".*zsprompt (write-prompts|rewrite)\b',
)

KINDS: tuple[FileKind, ...] = (
    *(RESULT, SCORES, PROBABILITIES, WINDOWS, PER_CLASS, PREDICTIONS, THRESHOLDS),
    *(ABLATION, ABLATION_CSV, ABLATION_MARKDOWN, ABLATION_LATEX, ROW),
    *(ADAPTER, CHECKPOINT, HISTORY, PAGE, FIGURE, REPRODUCTION, REPRODUCTION_MARKDOWN),
    *(BANK, RANDOM_BANK, IMAGE_CAPTIONS, PROMPTS, ANNOTATED_IMAGE, ANNOTATED_INDEX),
)
"""Every kind of file that a command writes at a place that the user names."""


def kind_of(path: Path) -> FileKind | None:
    """The kind of an existing file; None if zsprompt did not write it."""
    return next((kind for kind in KINDS if kind.recognises(path)), None)


def is_own_csv(path: Path) -> bool:
    """Whether the file is a CSV of ours, whose text cells `restored` reads."""
    return any(kind.recognises(path) for kind in KINDS if isinstance(kind, CsvKind))
