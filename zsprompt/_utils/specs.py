"""Specifications: parsing "NAME,field=value…" and setting the fields of a dataclass."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from zsprompt._utils.modules import error_text
from zsprompt._utils.text import finite, quoted
from zsprompt._utils.validate import Section, first_fault, in_words
from zsprompt.errors import UnknownName, UsageError, ZspromptError

_READ: Mapping[type[Any], Callable[[str], object]] = {int: int, float: finite, str: str}
"""How the text of a field is read, by its type; the first type that fits is taken."""

_SWITCH = {"yes": True, "no": False, "true": True, "false": False}


def split_spec(text: str) -> tuple[str, dict[str, str]]:
    """The name and the settings of "NAME,field=value…".

    Raises:
        UsageError: a setting has no value, or a field occurs twice.
    """
    name, *settings = text.split(",")
    return name, split_fields(settings, text)


def split_fields(settings: Sequence[str], text: str) -> dict[str, str]:
    """The values of "field=value" texts, by field; `text` is the whole specification, for messages.

    Raises:
        UsageError: a setting has no value, or a field occurs twice.
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
    """Fields of a dataclass that a specification may set."""
    return [part.name for part in dataclasses.fields(kind) if part.init and part.name not in without]


def settings_of(value: Any, without: Collection[str] = ()) -> dict[str, str]:
    """Fields of a dataclass that differ from their defaults, as texts that `construct` can read.

    Fields that are hidden from the repr are not included.
    """
    changed = {}
    for part in dataclasses.fields(value):
        default = part.default if part.default_factory is dataclasses.MISSING else part.default_factory()
        setting = getattr(value, part.name)
        if part.init and part.repr and part.name not in without and setting != default:
            changed[part.name] = "none" if setting is None else str(setting)
    return changed


def construct(
    kind: type[Any],
    settings: Mapping[str, str],
    ready: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
    name: str = "",
) -> Any:
    """Build a dataclass from the texts of its fields.

    Args:
        kind: the dataclass. Each field is a number, a text, a Literal, or an optional one of these.
        settings: text of each field.
        ready: values of further fields, passed on unchanged.
        without: fields that a specification may not set.
        name: owner of the fields in messages; defaults to the class's name.

    Raises:
        UnknownName: there is no such field or choice.
        UsageError: a value has the wrong type, or a required field is missing.
    """
    hints = _hints(kind) if settings else {}
    fields = field_names(kind, without) if settings else []
    values = {}
    for field, value in settings.items():
        if field not in fields:
            raise UnknownName(f"field of {name or kind.__name__}", field, fields)
        values[field] = _value(field, value, hints[field])
    try:
        return kind(**(ready or {}), **values)
    except ZspromptError:
        raise
    except Exception as error:  # a user's dataclass may require further fields, or raise anything
        raise UsageError(f"cannot make {kind.__name__} from {values or 'no settings'}: {error_text(error)}") from error


def restored(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Build a dataclass from all of its fields, as read from JSON.

    Raises:
        ValueError: a field is missing, unknown, or has the wrong type.
    """
    hints = Section.of(kind).hints
    if fault := first_fault(values, Section(hints, hints.keys())):
        raise ValueError(str(fault))
    kinds = {name: typing.get_args(hint) or (hint,) for name, hint in hints.items()}
    floats = {name for name in kinds if float in kinds[name] and int not in kinds[name]}
    exact = {name: float(value) for name, value in values.items() if name in floats and type(value) is int}
    return kind(**{**values, **exact})


def _hints(kind: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError as error:  # a type that a user's module imports for type checkers only
        raise UsageError(
            f"cannot set fields of {kind.__name__}: {error}; import the type when the module runs"
        ) from error


def _value(field: str, text: str, hint: Any) -> object:
    """`text` converted to the type `hint`, which may be a union with None or a Literal."""
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
    for kind, read in _READ.items():
        if kind in choices:
            try:
                return read(text)
            except ValueError:
                continue
    expected = " or ".join("yes or no" if choice is bool else in_words(choice) for choice in choices)
    raise UsageError(f"expected {field} to be {expected}, found {quoted(text)}")
