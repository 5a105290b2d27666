"""Caption banks: JSONL files with one label set and its caption per line, easy to commit, compare and edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from zsprompt._utils.arguments import checked
from zsprompt._utils.file_kinds import BANK, RANDOM_BANK, RANDOM_WORDS
from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.outputs import whole_text
from zsprompt._utils.validate import Must, NonBlank, first_fault
from zsprompt.errors import CaptionError, UnknownName
from zsprompt.prompts.prompt_set import prompts_folder

_FOLDER = "captions"
_Line = Annotated[str, Must("one line of text", lambda text: text.strip() and "\n" not in text)]


@dataclass(frozen=True)
class Caption:
    """The caption of a label set, and its author.

    Attributes:
        labels: the label set, sorted.
        caption: the text, one line.
        model: the model that wrote it, or a person's name.
        prompt: the model's instruction; empty for a person.
        time: ISO date of writing.
    """

    labels: tuple[NonBlank, ...]
    caption: _Line
    model: str = ""
    prompt: str = ""
    time: str = ""


_Object = Annotated[Caption, Must('{"labels": […], "caption": "…"}')]


@dataclass(frozen=True)
class Bank:
    """Captions by label set; the order of the labels does not matter.

    `digest` identifies the captions in the provenance of a result. Read a bank with `load_bank`.
    """

    name: str
    digest: str
    captions: Mapping[frozenset[str], Caption] = field(repr=False, compare=False)

    @classmethod
    def of(cls, name: str, captions: Iterable[Caption]) -> Bank:
        """A bank of these captions. The last caption of a label set wins."""
        by_set = {frozenset(caption.labels): caption for caption in captions}
        texts = sorted((caption.labels, caption.caption) for caption in by_set.values())
        return cls(name, hashlib.sha256(repr(texts).encode()).hexdigest()[:12], by_set)

    def get(self, labels: Iterable[str]) -> str | None:
        """The caption of a label set, or None."""
        caption = self.captions.get(frozenset(labels))
        return caption.caption if caption else None

    def composed(self, labels: Iterable[str]) -> str | None:
        """A text for a label set, joined from the captions of pairs and single labels. Pairs are preferred.

        None if a label has no caption.
        """
        rest, parts = sorted(labels), []
        while rest:
            first, *others = rest
            part = next(((first, other) for other in others if frozenset((first, other)) in self._pairs), (first,))
            text = self.get(part)
            if text is None:
                return None
            parts.append(text)
            rest = [label for label in others if label not in part]
        return ", ".join(parts) if parts else None

    @cached_property
    def _pairs(self) -> frozenset[frozenset[str]]:
        return frozenset(key for key in self.captions if len(key) == 2)


def available_banks() -> list[str]:
    """Names of the shipped caption banks, sorted."""
    return sorted(path.stem for path in (prompts_folder() / _FOLDER).glob("*.jsonl"))


@checked
def load_bank(name: str | Path) -> Bank:
    """Load a shipped bank by name, or your own bank by path (a path has a separator or ends in .jsonl).

    Raises:
        UnknownName: there is no shipped bank of that name.
        CaptionError: the file is missing, or one of its lines is not a caption. The message names the line.
    """
    text = str(name)
    if isinstance(name, Path) or "/" in text or "\\" in text or text.endswith(".jsonl"):
        path = Path(name)
    elif text in available_banks():
        path = prompts_folder() / _FOLDER / f"{text}.jsonl"
    else:
        raise UnknownName("caption bank", text, [*available_banks(), "FILE.jsonl"])
    return Bank.of(path.stem, _read(path))


def save_bank(captions: Iterable[Caption], path: Path, *, force: bool = False) -> None:
    """Write a bank atomically. Its lines are sorted, so that two versions can be compared.

    Args:
        captions: the captions.
        path: the file. An earlier bank in it is replaced if a model wrote captions of it; random words replace random
            words only.
        force: also replace another file, or captions by persons alone.

    Raises:
        OutputError: another file is at `path`, or the file cannot be written.
    """
    ordered = sorted(captions, key=lambda caption: (len(caption.labels), caption.labels))
    kind = RANDOM_BANK if all(caption.model == RANDOM_WORDS for caption in ordered) else BANK
    with whole_text(path, kind, force=force) as file:
        for caption in ordered:
            file.write(json.dumps(asdict(caption) | {"labels": list(caption.labels)}, ensure_ascii=False) + "\n")


def _read(path: Path) -> list[Caption]:
    try:
        lines = read_text(path).split("\n")
    except FileNotFoundError:
        raise CaptionError(f"expected a caption bank at {path}, found none") from None
    except (OSError, ValueError) as error:
        raise CaptionError(f"cannot read caption bank {path}: {read_fault(path, error)}") from None
    line_of: dict[tuple[str, ...], int] = {}
    captions = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        caption = _caption(line, f"{path}, line {number}")
        if caption.labels in line_of:
            raise CaptionError(
                f"{path}, line {number}: expected one caption for {_named(caption.labels)}, found another in line "
                f"{line_of[caption.labels]}; remove one of them"
            )
        line_of[caption.labels] = number
        captions.append(caption)
    if not captions:
        raise CaptionError(f"expected captions in {path}, found none")
    return captions


def _caption(line: str, where: str) -> Caption:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise CaptionError(f"{where}: not valid JSON: {error}") from None
    if fault := first_fault(data, _Object, extra_keys=True):
        raise CaptionError(f"{where}: {fault}")
    texts = {key: data[key] for key in ("caption", "model", "prompt", "time") if key in data}
    return Caption(tuple(sorted(set(data["labels"]))), **texts)


def _named(labels: Sequence[str]) -> str:
    return " + ".join(labels) or "the empty set"
