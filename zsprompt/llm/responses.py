"""A server's response as a completion or a problem, in the shapes that OpenAI-compatible servers give them.

From bytes to data (JSON, or server-sent events that nobody asked for), then from data to a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST_TOKENS = 10**9  # a larger count is a server's mistake
_NO_ERROR = frozenset(("", "0", "200", "ok", "success", "none", "null"))  # codes beside a good answer

# Fields of an error, wherever they are in it.
_MESSAGES = frozenset(("message", "msg", "detail", "error", "errors", "error_msg", "status_msg", "raw"))
_CODES = frozenset(("code", "type", "status", "reason", "error_code", "status_code"))
_ECHOES = frozenset(("input", "ctx", "choices", "usage", "content_filter_result", "headers"))  # not about the error
_SIGNS = ("error", "errors", "detail", "base_resp")  # fields that make a response with status 200 an error

_REASONING = ("reasoning_content", "reasoning", "thinking")
_THINKING_PARTS = frozenset(("thinking", "reasoning"))


@dataclass(frozen=True)
class Completion:
    """A chat completion.

    Attributes:
        text: the content, unchanged, or a refusal.
        reasoning: thinking that the server keeps apart from the content.
        refused: whether the text is a refusal.
        finish: the server's reason for the end, in lower case; "" if it gives none.
        tokens: of question and answer; None if the server does not count them.
    """

    text: str = ""
    reasoning: str = ""
    refused: bool = False
    finish: str = ""
    tokens: int | None = None


@dataclass(frozen=True)
class Problem:
    """What a response says about an error.

    Attributes:
        message: all of its messages in one text.
        codes: its codes, types and statuses.
        parameters: the parameters that it names.
    """

    message: str = ""
    codes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    @property
    def status(self) -> int | None:
        """The HTTP status among the codes. Some gateways respond with 200 and put the status inside."""
        numbers = (int(code) for code in self.codes if code.isdecimal() and len(code) == 3)
        return next((number for number in numbers if 400 <= number < 600), None)


@dataclass(frozen=True)
class Body:
    """The body of a response: a completion, a problem, or neither."""

    completion: Completion | None = None
    problem: Problem | None = None


def read_body(status: int, content_type: str, content: bytes) -> Body:
    """The completion or the problem in a body."""
    data = _data(content_type, content)
    completion = _completion(data)
    if status == 200 and ((completion is not None and _whole(completion)) or not _states_error(data)):
        return Body(completion)
    return Body(problem=_problem(data))


def is_page(content: bytes) -> bool:
    """Whether a body is a web page."""
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


# -- from bytes to data ----------------------------------------------------------------------------------------


def _data(content_type: str, content: bytes) -> Any:
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if "event-stream" in content_type.lower() or start.startswith((b"data:", b"event:", b": ")):
        return _merged(start.decode("utf-8", "replace"))
    data = _json(content)
    if isinstance(data, list):  # some gateways wrap the response in a list
        return data[0] if data else None
    return data


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


@dataclass
class _Stream:
    """The parts of a streamed completion."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    finish: str = ""
    usage: Any = None
    ended: bool = False

    def add(self, chunk: Mapping[str, Any]) -> None:
        self.usage = chunk.get("usage") or self.usage
        choice = _first(chunk.get("choices"))
        if not isinstance(choice, dict):
            return
        self.finish = choice.get("finish_reason") or self.finish
        part = choice.get("delta") or choice.get("message") or {}
        for name in ("content", "refusal", *_REASONING):
            if text := _text(part.get(name)) if isinstance(part, dict) else "":
                self.texts.setdefault(name, []).append(text)

    def completion(self) -> dict[str, Any]:
        message = {name: "".join(parts) for name, parts in self.texts.items()}
        return {"choices": [{"message": message, "finish_reason": self.finish}], "usage": self.usage}


def _merged(events: str) -> Any:
    """The completion in server-sent events, or the first error among them; None if they end too early."""
    stream = _Stream()
    for name, text in _events(events):
        if text == "[DONE]":
            stream.ended = True
            break
        chunk = _json(text)
        if isinstance(chunk, dict):
            if name == "error" or _states_error(chunk):
                return chunk if _states_error(chunk) else {"error": chunk}
            stream.add(chunk)
    return stream.completion() if stream.ended or stream.finish else None


def _events(text: str) -> Iterator[tuple[str, str]]:
    """(name, data) of each line with data. Comments, which keep a connection open, are left out."""
    name = ""
    for line in re.split(r"\r\n|\n|\r", text):  # not splitlines: JSON may contain other ends of lines
        before, _, after = line.partition(":")
        if not line:
            name = ""
        elif before == "event":
            name = after.strip()
        elif before == "data":
            yield name, after.strip()


# -- completions -----------------------------------------------------------------------------------------------


def _completion(data: Any) -> Completion | None:
    choice = _first(data.get("choices")) if isinstance(data, dict) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return None
    text, refusal = _text(message.get("content")), _text(message.get("refusal"))
    reasoning = next(filter(None, (_text(message.get(name)) for name in _REASONING)), "")
    return Completion(
        text or refusal,
        reasoning or _thinking(message.get("content")),
        not text and bool(refusal),
        str(choice.get("finish_reason") or "").lower(),
        _tokens(data.get("usage")),
    )


def _whole(completion: Completion) -> bool:
    """Whether an error beside this completion means nothing."""
    return bool(completion.text) and completion.finish not in ("", "error")


def _first(items: Any) -> Any:
    return items[0] if isinstance(items, list) and items else None


def _text(content: Any) -> str:
    """The text of a message, which is a string or a list of parts with a text."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, dict) and part.get("type") not in _THINKING_PARTS)
        return "".join(text for text in (part.get("text") for part in parts) if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _thinking(content: Any) -> str:
    """The thinking in a list of parts."""
    if not isinstance(content, list):
        return ""
    parts = (part for part in content if isinstance(part, dict) and part.get("type") in _THINKING_PARTS)
    return "".join(_text(part.get("thinking")) or _text(part.get("text")) for part in parts)


def _tokens(usage: Any) -> int | None:
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if type(total) is int and 0 <= total <= _MOST_TOKENS else None


# -- problems --------------------------------------------------------------------------------------------------


def _states_error(data: Any) -> bool:
    """Whether a response with status 200 is an error. A blank error beside an answer is none."""
    if not isinstance(data, dict):
        return False
    if data.get("object") == "error" or data.get("error") is True:
        return True
    stated = _problem({name: data[name] for name in _SIGNS if data.get(name)})
    codes = [code for code in stated.codes if code.lower() not in _NO_ERROR]
    if codes or stated.message.strip().lower() not in _NO_ERROR:
        return True
    return not data.get("choices") and bool(_problem(data).message and _problem(data).codes)


def _problem(data: Any) -> Problem:
    """What an error says, whatever its shape."""
    found = _Found()
    found.read("error" if isinstance(data, str) else "", data)
    message = "; ".join(dict.fromkeys(text for text in found.messages if text.strip()))
    return Problem(message, tuple(found.codes), tuple(found.parameters))


@dataclass
class _Found:
    """The fields of an error that were found so far."""

    messages: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)

    def read(self, name: str, value: Any, depth: int = 0) -> None:
        if depth > 8:  # no error is nested so deep
            return
        if isinstance(value, dict):
            self._read_fields(value, depth)
        elif isinstance(value, list):
            for item in value:
                self.read(name, item, depth + 1)
        elif isinstance(value, str):
            self._read_text(name, value, depth)
        elif type(value) is int and name in _CODES:
            self.codes.append(str(value))

    def _read_fields(self, fields: Mapping[str, Any], depth: int) -> None:
        loc = fields.get("loc")
        where = [step for step in loc if isinstance(step, str)] if isinstance(loc, list) else []
        if where and isinstance(fields.get("msg"), str):  # pydantic's, from FastAPI
            self.parameters.append(where[-1])
            self.messages.append(f"{where[-1]}: {fields['msg']}")
            return
        for name, value in fields.items():
            if name not in _ECHOES:
                self.read(name, value, depth + 1)

    def _read_text(self, name: str, text: str, depth: int) -> None:
        if name in _MESSAGES:
            inner = _json(text) if text[:1] in ("{", "[") else None
            if isinstance(inner, dict | list):  # an error within the text of another
                self.read("", inner, depth + 1)
            else:
                self.messages.append(text)
        if name in _CODES:
            self.codes.append(text)
        if name == "param" and text:
            self.parameters.append(text)
