"""Resolving names to objects. All registries share these rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

from zsprompt._utils.modules import import_object, is_object_path
from zsprompt.errors import UnknownName, UsageError

DEFAULT_MODEL = "ViT-B/32"
"""The model of a run if the data set does not define one."""

DEFAULT_STRATEGY = "softmax:per-label"
"""The strategy of a prediction if none is named."""


class Table(Mapping[str, type[Any]]):
    """Classes by name, given as package.module:Class and imported on first access.

    Adding a class takes one line, and a table imports nothing until it is used.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = dict(paths)

    def __getitem__(self, name: str) -> type[Any]:
        kind: type[Any] = import_object(self._paths[name])
        return kind

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def name_of(self, kind: type[Any]) -> str | None:
        """The name of a class; None if the table does not contain it."""
        path = object_path(kind)
        return next((name for name, listed in self._paths.items() if listed == path), None)


def object_path(kind: type[Any]) -> str:
    """A class as package.module:Class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def installed(group: str) -> dict[str, str]:
    """Names and object paths that installed packages register in the entry point group `group`."""
    return {point.name: point.value for point in entry_points(group=group)}


def find(kind: str, name: str, table: Mapping[str, Any], group: str, *, also: Sequence[str] = ()) -> Any:
    """The object for `name`: from `table`, from an installed package's entry point, or from package.module:Object.

    `also` are further names to suggest in the error.

    Raises:
        UnknownName: the name cannot be resolved in any of these ways.
        UsageError: the module or object cannot be imported, or the name is that of a Python file.
    """
    if name in table:
        return table[name]
    plugins = installed(group)
    if name in plugins:
        return import_object(plugins[name])
    if is_object_path(name):
        return import_object(name)
    if ".py" in name:
        raise UsageError(
            f"expected a {kind} as module:Object, found the file name {name!r}; "
            "write mymod:Thing for Thing in mymod.py, and put that file into the working folder"
        )
    raise UnknownName(kind, name, [*table, *plugins, *also])
