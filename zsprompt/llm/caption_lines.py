"""The lines of a model's answer without what models put around them: JSON, fences, introductions, marks, notes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from zsprompt.llm.client import clean

_QUOTES = "\"'“”‘’„«»‹›「」`* \n"
_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)\n?[ \t]*```", re.S)
_FIELDS = ("caption", "image_caption", "text", "description", "answer", "response", "content", "output")
_MOST_NESTED = 4  # lists and objects within each other

# At the front of a line.
_BULLET = re.compile(r"\s*(?:#{1,6}\s+|>\s+|[-*•–]\s+|[•*]|\(?\d{1,3}[.)]\s+)")
_YES = r"(?:sure|certainly|of course|absolutely|okay|ok|great|no problem)\b"
_LABEL = (
    r"(?:(?:the|my|your|an?|image|photo|final|suggested|revised|new|better|possible|short|alt)[ -])*"
    r"(?:caption|description|answer|response|text)(?:\s*\([^)]*\))?(?: (?:for|of) [^:]{0,60})?"
)
_NAMES = (
    "(?:caption|description|sentence|answer|response|paraphrase|option|version|variation|suggestion|attempt|json|list)"
    "s?"
)
_HERE = rf"here(?: (?:it is|you go|you are)|(?:'s|’s| is| are) (?:[\w'’-]+ ){{0,6}}(?:{_NAMES}|texts?)\b[^:]{{0,80}})"
_INTRODUCTION = re.compile(rf"(?:{_YES}[,!. ]*)?(?:{_HERE}|{_LABEL})\s*:\s*", re.I)
_LEAD = re.compile(rf".*\b(?:here|{_NAMES})\b.*:$", re.I)
_CONSENT = re.compile(rf"{_YES}[!.]+\s*", re.I)

# After the answer: a line, or the end of one.
_NOTE = re.compile(
    r"\W*(note|explanation|reasoning|word count|let me know|i hope|hope (this|that)|this (caption|description)"
    r"|feel free|would you like|if you('d| would| want| need)|\d+ words)\b",
    re.I,
)
_NOTE_IN_BRACKETS = re.compile(r"\s*[(\[](?:note\b|word count|\d+ (?:words?|tokens?))[^()\[\]]*[)\]]\s*$", re.I)

_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_]+)\1")
_ITALIC = re.compile(r"(?<![\w*])\*(?=\S)([^*]+)\*(?![\w*])")


def caption_lines(answer: str) -> list[str]:
    """The lines of an answer, each printable, without quotes and final full stop.

    Args:
        answer: what a model said, without its thinking.
    """
    fenced = _FENCE.search(answer)
    text = fenced[1] if fenced else answer
    texts = _json_texts(text)
    if texts is not None:
        return list(filter(None, (_plain(clean(text)) for text in texts)))
    lines = [_unmarked(clean(line)) for line in text.strip().splitlines()]
    lines = [line for line in lines if any(map(str.isalnum, line))]
    return list(filter(None, map(_plain, _without_notes(_without_introduction(lines)))))


def _json_texts(text: str) -> list[str] | None:
    """The texts in JSON, which may be none; None if it is no list or object in JSON."""
    if text.strip()[:1] not in ("{", "["):
        return None
    try:
        return list(_texts(json.loads(text), 0))
    except (ValueError, RecursionError):
        return None


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth < _MOST_NESTED:
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict) and depth < _MOST_NESTED:
        fields = {str(name).lower(): item for name, item in value.items()}
        named = [fields[name] for name in _FIELDS if name in fields]
        filled = [item for item in named if item is not None]
        for item in filled[:1] if named else fields.values():
            yield from _texts(item, depth + 1)


def _unmarked(line: str) -> str:
    """A line without bullets, numbers and the marks of bold and italic text."""
    for pattern in (_BOLD, _ITALIC):
        line = pattern.sub(lambda match: match[match.lastindex or 0], line)
    return line[match.end() :] if (match := _BULLET.match(line)) else line


def _without_introduction(lines: list[str]) -> list[str]:
    """The lines after an introduction such as "Sure! Here is a caption:"."""
    while lines:
        first, *others = lines
        shorter = first[match.end() :] if (match := _INTRODUCTION.match(first) or _CONSENT.match(first)) else first
        if others and (not shorter.strip(_QUOTES) or _LEAD.match(first)):
            lines = others
            continue
        return [shorter, *others]
    return lines


def _without_notes(lines: list[str]) -> list[str]:
    """The lines before a note such as "Let me know if …"."""
    last = next((place for place, line in enumerate(lines) if place and _NOTE.match(line)), len(lines))
    return [_NOTE_IN_BRACKETS.sub("", line) for line in lines[:last]]


def _plain(line: str) -> str:
    return line.strip(_QUOTES).removesuffix(".").strip(_QUOTES)
