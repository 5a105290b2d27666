"""What makes a caption fit to stand for a label set: one line, no refusal, every label of the set and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from zsprompt.errors import PromptError
from zsprompt.files import read_text
from zsprompt.llm.client import clean
from zsprompt.prompts import parse_toml, prompts_folder

_REFUSAL = re.compile(
    r"^\W*(i('m| am)? (sorry|unable|not able|afraid)|i can(no|')t|i (could|do) ?n[o']t|sorry\b|unfortunately|as an ai\b"
    r"|as a language model\b|my apologies|unable to)",
    re.I,
)
_QUOTES = "\"'“”‘’«»`*"
_CLAUSE = re.compile(r"[.;:,]| while | with | and ")


@dataclass(frozen=True)
class Complaint:
    """What is wrong with a caption, as the writer is told; `too_long` where it would do if it were shorter."""

    said: str
    too_long: bool = False


def tidy(answer: str) -> str:
    """A caption out of an answer: quotes and a final full stop taken off, control characters made blanks."""
    lines = [clean(line) for line in answer.strip().splitlines()]
    text = "\n".join(line for line in lines if line)
    text = re.sub(r"^(caption|image caption)\s*:\s*", "", text, flags=re.I)
    return text.strip(_QUOTES + " ").removesuffix(".").strip(_QUOTES + " ")


def complaint(text: str, wanted: Sequence[str], labels: Sequence[str]) -> Complaint | None:
    """What is wrong with `text` as a caption for the set `wanted`, one of sets of `labels`; None if nothing is."""
    if not text:
        return Complaint("it is empty")
    if is_refusal(text):
        return Complaint("it is a refusal and no caption")
    if "\n" in text:
        return Complaint("it has more than one line")
    missing = [label for label in wanted if not _mentions(text, label)]
    if missing:
        return Complaint(f"it does not mention {', '.join(missing)}")
    rest = text
    for label in wanted:
        rest = _pattern(label).sub(" ", rest)
    others = [label for label in labels if label not in wanted and _mentions(rest, label)]
    if others:
        return Complaint(f"it mentions {', '.join(others)}, which must not be in it")
    return None


def is_refusal(text: str) -> bool:
    """Whether it begins like an excuse instead of a caption."""
    return bool(_REFUSAL.match(text))


def shortened(text: str) -> Iterable[str]:
    """Ever shorter beginnings of `text` that end where a clause does."""
    ends = [match.start() for match in _CLAUSE.finditer(text)]
    for end in reversed(ends):
        if cut := text[:end].strip():
            yield cut


def _mentions(text: str, label: str) -> bool:
    return bool(_pattern(label).search(text))


@cache
def _pattern(label: str) -> re.Pattern[str]:
    """A label, its synonyms and their plurals, as whole words."""
    words = [label, *_synonyms().get(label.lower(), ())]
    forms = {form for word in words for form in (word, *_plurals(word))}
    ordered = sorted(forms, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(form) for form in ordered)})(?!\w)", re.I)


def _plurals(word: str) -> list[str]:
    forms = [f"{word}s", f"{word}es"]
    return [*forms, f"{word[:-1]}ies"] if word.endswith("y") else forms


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    """prompts/synonyms.toml: label -> other words for the same thing."""
    path = prompts_folder() / "synonyms.toml"
    try:
        data = parse_toml(path, read_text(path))
    except (OSError, ValueError) as error:
        raise PromptError(f"cannot read {path}: {error}; install zsprompt again") from None
    return {label: tuple(words) for label, words in data["synonyms"].items()}
