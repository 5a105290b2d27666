"""Checks of a caption for a label set: one line, no refusal, every label of the set and no other label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from zsprompt._utils.files import read_fault, read_text
from zsprompt.errors import PromptError
from zsprompt.llm.caption_lines import caption_lines
from zsprompt.prompts import parse_toml, prompts_folder

_REFUSAL = re.compile(
    r"^\W*(i('m| am)? (sorry|unable|not able|afraid)|i (can|could|do|will) ?not|i (can|couldn|don|won)'t|sorry\b"
    r"|unfortunately|as an ai\b|as a language model\b|my apologies|unable to)",
    re.I,
)
_IRREGULAR = {"mouse": "mice", "goose": "geese", "foot": "feet", "child": "children", "man": "men", "woman": "women"}
_CLAUSE = re.compile(r"[.;:,]| while | with | and ")
_END = re.compile(r"[\s,;:.]+$")


@dataclass(frozen=True)
class Complaint:
    """Why a caption is rejected.

    Attributes:
        reason: one clause, sent to the LLM when it is asked again.
        too_long: whether a shorter caption could be accepted.
        final: whether it is no use to ask again.
    """

    reason: str
    too_long: bool = False
    final: bool = False


def tidy(answer: str) -> str:
    """The caption in an answer, see `caption_lines`. It should be one line."""
    return "\n".join(caption_lines(answer))


def complaint(text: str, wanted: Sequence[str], labels: Sequence[str]) -> Complaint | None:
    """Why `text` is no caption for the label set `wanted`, or None if it is one. `labels` are all labels."""
    if not text:
        return Complaint("it is empty")
    if is_refusal(text):
        return Complaint("it is a refusal and no caption")
    if "\n" in text:
        return Complaint("it has more than one line")
    mentioned = mentioned_labels(text, tuple(wanted), tuple(labels))
    missing = [label for label in wanted if label not in mentioned]
    if missing:
        return Complaint(f"it does not mention {', '.join(missing)}")
    others = [label for label in labels if label in mentioned and label not in wanted]
    if others:
        return Complaint(f"it mentions {', '.join(others)}, which must not be in it")
    return None


def is_refusal(text: str) -> bool:
    """Whether `text` begins like a refusal or an apology."""
    return bool(_REFUSAL.match(text.replace("’", "'")))


def shortened(text: str) -> list[str]:
    """Prefixes of `text` that end at the end of a clause, longest first."""
    cuts = (_END.sub("", text[: match.start()]) for match in _CLAUSE.finditer(text))
    return [cut for cut in reversed(list(dict.fromkeys(cuts))) if cut]


def mentioned_labels(text: str, wanted: tuple[str, ...], labels: tuple[str, ...]) -> set[str]:
    """The labels that `text` names. Of overlapping names, the longest counts: a hot dog is not a dog."""
    if not labels and not wanted:
        return set()
    pattern, owners = _forms(tuple(dict.fromkeys((*labels, *wanted))))
    mentioned: set[str] = set()
    for match in pattern.finditer(text):
        named = owners[match.lastindex - 1] if match.lastindex else set()
        mentioned |= named & set(wanted) or named  # a word for several labels means the wanted one
    return mentioned


@lru_cache(maxsize=64)
def _forms(labels: tuple[str, ...]) -> tuple[re.Pattern[str], list[set[str]]]:
    """A pattern with one group per whole word for a label (its name, synonyms and plurals), and each group's labels.

    Labels are found by group, not by the matched text: "ſofa" matches "sofa", but its lower case differs.
    """
    owners: dict[str, tuple[str, set[str]]] = {}
    for label in labels:
        for word in (label, *_synonyms().get(label.lower(), ())):
            for form in (word, *_plurals(word)):
                owners.setdefault(form.lower(), (form, set()))[1].add(label)
    longest_first = sorted(owners.values(), key=lambda owned: len(owned[0]), reverse=True)
    groups = "|".join(f"({re.escape(form)})" for form, _ in longest_first)
    return re.compile(rf"(?<!\w)(?:{groups})(?!\w)", re.I), [named for _, named in longest_first]


def _plurals(word: str) -> list[str]:
    *others, last = word.split(" ")
    start = " ".join([*others, ""])
    if last in _IRREGULAR:
        return [start + _IRREGULAR[last]]
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
    """prompts/synonyms.toml: label -> its synonyms."""
    path = prompts_folder() / "synonyms.toml"
    try:
        data = parse_toml(path, read_text(path))
    except (OSError, ValueError) as error:
        raise PromptError(f"cannot read {path}: {read_fault(path, error)}; install zsprompt again") from None
    return {label: tuple(words) for label, words in data["synonyms"].items()}
