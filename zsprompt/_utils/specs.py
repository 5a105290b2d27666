"""Specifications: "NAME,field=value…" and the values it gives to the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from zsprompt._utils.text import quoted
from zsprompt.errors import UnknownName, UsageError

_IN_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "yes or no", type(None): "none"}
_SWITCH = {"yes": True, "no": False, "true": True, "false": False}


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """The name and the settings of "NAME,field=value…".

    Raises:
        UsageError: a setting without a value, or a field twice.
    """
    name, *settings = text.split(",")
    return name, split_fields(settings, text)


def split_fields(settings: Sequence[str], text: str) -> dict[str, str]:
    """The values of "field=value" texts, by field; `text` is what they are parts of.

    Raises:
        UsageError: a setting without a value, or a field twice.
    """
    given: dict[str, str] = {}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or not field.strip():
            raise UsageError(f"expected field=value in {text!r}, found {setting!r}")
        if field.strip() in given:
            raise UsageError(f"expected each field once, found {field.strip()} twice in {text!r}")
        given[field.strip()] = value.strip()
    return given


def field_names(kind: type[Any], without: Collection[str] = ()) -> list[str]:
    """The fields of a dataclass that a specification may set."""
    return [part.name for part in dataclasses.fields(kind) if part.init and part.name not in without]


def settings_of(value: Any, without: Collection[str] = ()) -> dict[str, str]:
    """The fields of a dataclass that differ from their defaults, as texts that `construct` reads back.

    Fields that are left out of the repr are no part of the recipe.
    """
    changed = {}
    for part in dataclasses.fields(value):
        default = part.default if part.default_factory is dataclasses.MISSING else part.default_factory()
        found = getattr(value, part.name)
        if part.init and part.repr and part.name not in without and found != default:
            changed[part.name] = "none" if found is None else str(found)
    return changed


def construct(
    kind: type[Any],
    settings: Mapping[str, str],
    ready: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    name: str = "",
) -> Any:
    """A dataclass from the texts of its fields.

    Args:
        kind: the dataclass; a field's type is a number, a text, a Literal, or one of these or None.
        settings: texts by field.
        ready: further fields, as they are.
        without: fields that no specification may set.
        name: what the fields belong to, for messages; the class's name where empty.

    Raises:
        UnknownName: no such field or choice.
        UsageError: a value of another type, or the dataclass needs more than it was given.
    """
    hints = typing.get_type_hints(kind) if settings else {}
    known = field_names(kind, without) if settings else []
    values = {}
    for field, value in settings.items():
        if field not in known:
            raise UnknownName(f"field of {name or kind.__name__}", field, known)
        values[field] = _value(field, value, hints[field])
    try:
        return kind(**(ready or {}), **values)
    except TypeError as error:  # a stranger's dataclass may need more than its settings
        raise UsageError(f"cannot make {kind.__name__} from {values or 'no settings'}: {error}") from error


def restored(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """A dataclass from all of its fields, as JSON keeps them.

    Raises:
        ValueError: a field is missing, unknown, or of another type.
    """
    hints, known = typing.get_type_hints(kind), field_names(kind)
    if set(values) != set(known):
        raise ValueError("the names of the fields")
    return kind(**{name: _restored(name, values[name], hints[name]) for name in known})


def _restored(field: str, value: object, hint: Any) -> object:
    choices = typing.get_args(hint) or (hint,)
    if typing.get_origin(hint) is typing.Literal:
        if isinstance(value, str) and value in choices:
            return value
    elif type(value) in choices:
        return value
    elif float in choices and type(value) is int and abs(value) < 2**53:  # JSON knows one kind of number
        return float(value)
    raise ValueError(field)


def _value(field: str, text: str, hint: Any) -> object:
    """`text` as the type that `hint` (possibly a union with None, or a Literal) allows."""
    choices: Sequence[Any] = typing.get_args(hint) or (hint,)
    if type(None) in choices and text.lower() == "none":
        return None
    named = next((part for part in (hint, *choices) if typing.get_origin(part) is typing.Literal), None)
    if named is not None:
        allowed = typing.get_args(named)
        if text not in allowed:
            raise UnknownName(f"value of {field}", text, [str(choice) for choice in allowed])
        return text
    if bool in choices and text.lower() in _SWITCH:
        return _SWITCH[text.lower()]
    for kind in (int, float, str):
        if kind in choices:
            try:
                return kind(text)
            except ValueError:
                continue
    expected = " or ".join(_IN_WORDS.get(choice, str(choice)) for choice in choices)
    raise UsageError(f"expected {field} to be {expected}, found {quoted(text)}")
