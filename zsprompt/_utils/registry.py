"""From a name to the object it stands for: the one rule every room's table goes by."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from zsprompt.errors import UnknownName, UsageError

DEFAULT_MODEL = "ViT-B/32"
"""The model of a run whose data set has none of its own."""


def is_object_path(name: str) -> bool:
    """Whether `name` reads as package.module:Object. Ask after the prefixes that a table reserves."""
    head, colon, tail = name.partition(":")
    return bool(colon) and tail.isidentifier() and all(part.isidentifier() for part in head.split("."))


def import_object(path: str) -> Any:
    """The object that package.module:Object names.

    Raises:
        UsageError: no such module, or nothing of that name in it.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise UsageError(f"cannot import {path!r}: {type(error).__name__}: {error}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UsageError(f"module {module_name!r} has no {attribute!r}") from None


def installed(group: str) -> dict[str, str]:
    """Names that installed packages add through the entry point group `group`, each with its object's path."""
    return {point.name: point.value for point in entry_points(group=group)}


def find(kind: str, name: str, table: Mapping[str, Any], group: str, *, also: Sequence[str] = ()) -> Any:
    """The object for `name`: from `table`, else from an installed package's entry point, else by package.module:Object.

    `also` are further names to suggest.

    Raises:
        UnknownName: none of the three knows it.
        UsageError: it names a module or object that cannot be imported.
    """
    if name in table:
        return table[name]
    others = installed(group)
    if name in others:
        return import_object(others[name])
    if is_object_path(name):
        return import_object(name)
    raise UnknownName(kind, name, [*table, *others, *also])
