"""Check parsed TOML or JSON against type hints. Callers raise their own errors from the first fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "none"}
_PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxlong = 80

Place = tuple[str | int, ...]
"""Keys and positions from the outermost value."""


@dataclass(frozen=True)
class Must:
    """Metadata of an Annotated hint: what a value must be, in words, and a test of values that match the hint."""

    be: str
    test: Callable[[Any], object] = lambda value: True


NonBlank = Annotated[str, Must("a text that is not blank", str.strip)]
"""A text with more than blanks."""

Distinct = Annotated[list[NonBlank], Must("a list of different texts", lambda texts: 0 < len(set(texts)) == len(texts))]
"""At least one text, none twice."""


@dataclass(frozen=True)
class Section:
    """A hint for a section: the hint of each key, and the required keys."""

    hints: Mapping[str, Any]
    required: Set[str] = frozenset()

    @classmethod
    def of(cls, hint: Any) -> Section:
        """The section of a TypedDict or a dataclass. Fields with a default are not required."""
        return hint if isinstance(hint, Section) else _section(hint)


@dataclass(frozen=True)
class Fault:
    """A place where a value does not match its hint. Its text is part of an error message.

    Attributes:
        path: the place.
        expected: the expected value in words; for an unknown key, the known keys.
        found: the value, shortened.
        unknown: whether the path ends in an unknown key.
    """

    path: Place
    expected: str
    found: str
    unknown: bool = False

    def __str__(self) -> str:
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).removeprefix(".")
        if self.unknown:
            return f"unknown key {name!r}; expected one of {self.expected}"
        return f"expected {f'{name!r} to be ' if name else ''}{self.expected}, found {self.found}"


def first_fault(value: object, hint: Any, *, extra_keys: bool = False) -> Fault | None:
    """The first place where a value does not match a hint, or None.

    A bool is not an int. An int is a float if a float can hold it. A list may stand for a tuple.

    Args:
        value: parsed TOML or JSON.
        hint: str, int, float, bool, None, Any, list[X], tuple[X, ...], dict[str, X], Literal, a union, a TypedDict,
            a dataclass, a Section, or one of these Annotated with Must.
        extra_keys: whether sections may have unknown keys.
    """
    return next(_faults(value, hint, (), extra_keys), None)


def in_words(hint: Any) -> str:
    """What a hint expects: "a text or a list of texts"."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(args[-1].be)  # nested hints are flat: the outermost is last
    if origin in (Union, UnionType):
        return " or ".join(map(in_words, args))
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}" if len(args) > 1 else str(args[0]).lower()
    if origin in (list, tuple):
        kind = get_args(args[0])[0] if get_origin(args[0]) is Annotated else args[0]
        return f"a list of {f'{len(args)} ' if _is_fixed(hint) else ''}{_PLURALS.get(kind, 'values')}"
    return "a section" if origin is dict or _is_section(hint) else _WORDS.get(hint, "a value")


def _faults(value: Any, hint: Any, path: Place, extra: bool) -> Iterator[Fault]:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated or origin in (Union, UnionType):
        tried = [next(_faults(value, part, path, extra), None) for part in (args[:1] if origin is Annotated else args)]
        if all(tried) or (origin is Annotated and not all(must.test(value) for must in args[1:])):
            inside = next((fault for fault in tried if fault and fault.path != path), None)
            yield inside or Fault(path, in_words(hint), _SHORT.repr(value))
    elif not _is_kind(value, hint):
        yield Fault(path, in_words(hint), _SHORT.repr(value))
    elif _is_section(hint):
        section = Section.of(hint)
        for key in () if extra else [key for key in value if key not in section.hints]:
            yield Fault((*path, key), ", ".join(sorted(section.hints)), repr(key), unknown=True)
        for key, part in section.hints.items():
            if key in value:
                yield from _faults(value[key], part, (*path, key), extra)
            elif key in section.required:
                yield Fault((*path, key), in_words(part), "no such key")
    elif origin in (list, tuple, dict):
        hints = args if _is_fixed(hint) else repeat(args[1] if origin is dict else args[0])
        items = value.items() if origin is dict else enumerate(value)
        for (key, part), of in zip(items, hints, strict=False):
            if type(part) is not of:  # a short cut: lists of numbers can be long
                yield from _faults(part, of, (*path, key), extra)


@cache
def _section(hint: Any) -> Section:
    hints = get_type_hints(hint, include_extras=True)
    if is_typeddict(hint):
        return Section(hints, hint.__required_keys__)
    fields = [part for part in dataclasses.fields(hint) if part.init]
    unset = dataclasses.MISSING
    required = {part.name for part in fields if part.default is unset and part.default_factory is unset}
    return Section({part.name: hints[part.name] for part in fields}, required)


def _is_section(hint: Any) -> bool:
    return isinstance(hint, Section) or is_typeddict(hint) or dataclasses.is_dataclass(hint)


def _is_fixed(hint: Any) -> bool:
    return get_origin(hint) is tuple and get_args(hint)[-1] is not ...


def _is_kind(value: object, hint: Any) -> bool:
    """Whether a value matches a hint, disregarding what is inside a list or a section."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in args)
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and (not _is_fixed(hint) or len(value) == len(args))
    if origin is dict or _is_section(hint):
        return isinstance(value, Mapping)
    if hint is float and type(value) is int:
        return abs(value) <= 2**53
    return hint is Any or type(value) is (NoneType if hint is None else hint)
