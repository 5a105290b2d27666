"""What makes a caption fit to stand for a label set: one line, no refusal, every label of the set and no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from zsprompt._utils.files import read_text
from zsprompt.errors import PromptError
from zsprompt.llm.client import clean
from zsprompt.prompts import parse_toml, prompts_folder

_REFUSAL = re.compile(
    r"^\W*(i('m| am)? (sorry|unable|not able|afraid)|i (can|could|do|will) ?not|i (can|couldn|don|won)'t|sorry\b"
    r"|unfortunately|as an ai\b|as a language model\b|my apologies|unable to)",
    re.I,
)
_IRREGULAR = {"mouse": "mice", "goose": "geese", "foot": "feet", "child": "children", "man": "men", "woman": "women"}
_AROUND = "\"'“”‘’«»`* \n"
_CLAUSE = re.compile(r"[.;:,]| while | with | and ")
_END = re.compile(r"[\s,;:.]+$")


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
    return text.strip(_AROUND).removesuffix(".").strip(_AROUND)


def complaint(text: str, wanted: Sequence[str], labels: Sequence[str]) -> Complaint | None:
    """What is wrong with `text` as a caption for the set `wanted`, one of sets of `labels`; None if nothing is."""
    if not text:
        return Complaint("it is empty")
    if is_refusal(text):
        return Complaint("it is a refusal and no caption")
    if "\n" in text:
        return Complaint("it has more than one line")
    mentioned = _mentioned(text, tuple(wanted), tuple(labels))
    missing = [label for label in wanted if label not in mentioned]
    if missing:
        return Complaint(f"it does not mention {', '.join(missing)}")
    others = [label for label in labels if label in mentioned and label not in wanted]
    if others:
        return Complaint(f"it mentions {', '.join(others)}, which must not be in it")
    return None


def is_refusal(text: str) -> bool:
    """Whether it begins like an excuse instead of a caption."""
    return bool(_REFUSAL.match(text.replace("’", "'")))


def shortened(text: str) -> list[str]:
    """Ever shorter beginnings of `text` that end where a clause does."""
    cuts = (_END.sub("", text[: match.start()]) for match in _CLAUSE.finditer(text))
    return [cut for cut in reversed(list(dict.fromkeys(cuts))) if cut]


def _mentioned(text: str, wanted: tuple[str, ...], labels: tuple[str, ...]) -> set[str]:
    """The labels that `text` names. Of names that overlap the longest counts: a hot dog is no dog."""
    if not labels and not wanted:
        return set()
    pattern, owners = _forms(tuple(dict.fromkeys((*labels, *wanted))))
    found: set[str] = set()
    for match in pattern.finditer(text):
        named = owners[match.lastindex - 1] if match.lastindex else set()
        found |= named & set(wanted) or named  # a word for several labels stands for the one that was asked for
    return found


@lru_cache(maxsize=64)
def _forms(labels: tuple[str, ...]) -> tuple[re.Pattern[str], list[set[str]]]:
    """A pattern with a group for each of the labels, their synonyms and plurals, as whole words, and whose each is.

    By group, not by what was found: "ſofa" matches "sofa", and is not the same in small letters.
    """
    owners: dict[str, tuple[str, set[str]]] = {}
    for label in labels:
        for word in (label, *_synonyms().get(label.lower(), ())):
            for form in (word, *_plurals(word)):
                owners.setdefault(form.lower(), (form, set()))[1].add(label)
    longest_first = sorted(owners.values(), key=lambda owned: len(owned[0]), reverse=True)
    groups = "|".join(f"({re.escape(form)})" for form, _ in longest_first)
    return re.compile(rf"(?<!\w)(?:{groups})(?!\w)", re.I), [whose for _, whose in longest_first]


def _plurals(word: str) -> list[str]:
    *before, last = word.split(" ")
    first = " ".join([*before, ""])
    if last in _IRREGULAR:
        return [first + _IRREGULAR[last]]
    if last.endswith(("s", "x", "z", "ch", "sh")):
        return [f"{word}es"]
    if re.search(r"[^aeiou]y$", last):
        return [f"{word[:-1]}ies"]
    if last.endswith("fe"):
        return [f"{word[:-2]}ves", f"{word}s"]
    if last.endswith("f"):
        return [f"{word[:-1]}ves", f"{word}s"]
    return [f"{word}s", f"{word}es"] if last.endswith("o") else [f"{word}s"]


@cache
def _synonyms() -> dict[str, tuple[str, ...]]:
    """prompts/synonyms.toml: label -> other words for the same thing."""
    path = prompts_folder() / "synonyms.toml"
    try:
        data = parse_toml(path, read_text(path))
    except (OSError, ValueError) as error:
        raise PromptError(f"cannot read {path}: {error}; install zsprompt again") from None
    return {label: tuple(words) for label, words in data["synonyms"].items()}
