"""Importing the objects that users name as package.module:Object."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from zsprompt.errors import UsageError


class _NotFoundError(Exception):
    """There is no such module on the path."""


def is_object_path(name: str) -> bool:
    """Whether `name` has the form package.module:Object. Check reserved prefixes first."""
    head, colon, tail = name.partition(":")
    return bool(colon) and tail.isidentifier() and all(part.isidentifier() for part in head.split("."))


def import_object(path: str) -> Any:
    """Import the object at package.module:Object. The working folder is searched last, after installed packages.

    Raises:
        UsageError: the module cannot be imported, or has no such object.
    """
    module_name, _, attribute = path.partition(":")
    try:
        module = _found(module_name, path)
    except _NotFoundError:
        raise UsageError(f"cannot import {path!r}: {_how_to_find(module_name, attribute)}") from None
    try:
        return getattr(module, attribute)
    except AttributeError:
        where = f" ({_shown(module.__file__)})" if module.__file__ else ""
        raise UsageError(
            f"expected {attribute!r} in module {module_name!r}{where}, found no such name{_hidden_file(module)}"
        ) from None


def error_text(error: BaseException) -> str:
    """One line about an error in a user's code: "FILE, line N: CLASS: text"."""
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    place = _place(error)
    return f"{f'{place}: ' if place else ''}{type(error).__name__}{f': {text}' if text else ''}"


def _place(error: BaseException) -> str:
    """Where code of the user raised an error: "FILE, line N"; empty if no such code did.

    The user's code is the first file that is not this package's, and what lies next to that file.
    """
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        return f"{_shown(error.filename)}, line {error.lineno}"
    every = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    theirs = [(file, line) for file, line in every if not _is_machinery(file)]
    if not theirs:
        return ""
    folder = Path(theirs[0][0]).parent
    file, line = [place for place in theirs if folder in Path(place[0]).parents][-1]
    return f"{_shown(file)}, line {line}"


def _found(name: str, path: str) -> ModuleType:
    """The module on the path, else in the working folder. Raises _NotFoundError, UsageError."""
    try:
        return _imported(name, path)
    except _NotFoundError:
        folder = _working_folder()
        if folder is None or folder in (entry or folder for entry in sys.path):
            raise
        return _in_folder(folder, name, path)


def _in_folder(folder: str, name: str, path: str) -> ModuleType:
    """The module in `folder`, which stays at the end of the path: the module may import its neighbours later."""
    sys.path.append(folder)
    importlib.invalidate_caches()
    try:
        return _imported(name, path)
    except BaseException:
        sys.path.remove(folder)
        raise


def _imported(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # a user's module may raise anything on import
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise _NotFoundError from None
        text = error_text(error)
        where = "" if _place(error) else f"{_origin(name)}: "
        remedy = "fix the module"
        if isinstance(error, ImportError):
            remedy = "install what it needs, or fix the module"
        if isinstance(error, SystemExit):
            remedy = 'put the code that ends the program below `if __name__ == "__main__":`'
        raise UsageError(f"cannot import {path!r}: {where}{text}; {remedy}") from error


def _how_to_find(module_name: str, attribute: str) -> str:
    if module_name.endswith(".py"):
        return f"expected a module, found a file name; write {module_name.removesuffix('.py')}:{attribute}"
    file = f"{module_name.replace('.', '/')}.py"
    return f"expected a module {module_name}, found none; put {file} into the working folder, or install its package"


def _hidden_file(module: ModuleType) -> str:
    """The remark that an installed module comes before a file of the same name in the working folder."""
    name = module.__name__.partition(".")[0]
    file = Path(f"{name}.py")
    if not file.is_file() or (module.__file__ and file.resolve() == Path(module.__file__).resolve()):
        return ""
    return f"; {file} in the working folder has the name of an installed package, which comes first: rename it"


def _origin(name: str) -> str:
    """The file of a module that never began to run."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception:  # the parent package cannot be imported either
        spec = None
    return _shown(spec.origin) if spec and spec.origin else f"module {name}"


def _is_machinery(file: str) -> bool:
    """Whether a file is Python's, generated code, or this package's."""
    if file.startswith("<"):
        return True
    path, python = Path(file), Path(importlib.__file__).parent.parent
    if Path(__file__).parent.parent in path.parents:
        return True
    return path.is_relative_to(python) and not {"site-packages", "dist-packages"} & set(path.parts)


def _working_folder() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # deleted meanwhile
        return None


def _shown(file: str) -> str:
    """A file's path, relative to the working folder if it is in it."""
    folder = _working_folder()
    path = Path(file)
    return str(path.relative_to(folder) if folder and path.is_relative_to(folder) else path)
