"""Check the arguments of public functions and the fields of public dataclasses against their type hints."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from zsprompt._utils.text import quoted
from zsprompt.errors import UnknownName, UsageError

P = ParamSpec("P")
R = TypeVar("R")

_LISTS = (tuple, list, Sequence, Iterable)
_LOOKED_AT = 100
"""Maximum number of items of a list that are checked: a data set may have millions of images."""

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}
_NOUNS = {
    "Dataset": "a data set",
    "Trained": "a trained adapter",
    "Thresholds": "thresholds",
    "Progress": "a function",
    "RunSpec": "a run",
    "TextSpace": "a store",
    "Images": "image embeddings",
    "Course": "a training run",
    "Path": "a path",
    "Sequence": "a list",
    "Iterable": "a list",
}
"""What classes are called where their names do not say it."""

_LOADERS = {
    "Dataset": "load_dataset",
    "Encoder": "load_encoder",
    "PromptSet": "load_prompts",
    "Result": "load_result",
    "Strategy": "load_strategy",
    "Thresholds": "load_thresholds",
    "Trained": "load_adapter",
}
"""Functions of zsprompt that make an object of its name or file."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, which raises UsageError for an argument that does not match its type hint.

    A wrong number or name of arguments is Python's own TypeError.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python names the function
        hints = _hints(function)
        for name, value in given.items():
            require(name, value, hints.get(name, Any))  # self has no hint
        return function(*args, **kwargs)

    return wrapper


def check_fields(value: Any) -> None:
    """Raise UsageError for a field of a dataclass that does not match its type hint."""
    kind: Any = type(value)
    hints = _hints(kind)
    for part in dataclasses.fields(value):
        if part.init:
            require(part.name, getattr(value, part.name), hints[part.name])


def require(name: str, value: object, hint: Any) -> None:
    """Raise UsageError if `value` does not match `hint`, and UnknownName for a text that is none of its choices."""
    if matches(value, hint):
        return
    for part in _parts(hint):
        if get_origin(part) in _LISTS and isinstance(value, list | tuple):
            for position, (item, item_hint) in enumerate(_items(value, part)):
                require(f"{name}[{position}]", item, item_hint)
    choices = [choice for part in _parts(hint) if get_origin(part) is Literal for choice in get_args(part)]
    if choices and isinstance(value, str):
        raise UnknownName(name, value, [choice for choice in choices if isinstance(choice, str)])
    raise UsageError(f"expected {name} to be {_in_words(hint)}, found {_found(value)}{_remedy(value, hint)}")


@functools.cache
def _hints(thing: Any) -> dict[str, Any]:
    return get_type_hints(thing)


def _parts(hint: Any) -> Sequence[Any]:
    """The members of a union; else the hint alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def matches(value: Any, hint: Any) -> bool:
    """Whether a value suits a type hint. Of a list, the first items are looked at."""
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(matches(value, part) for part in args)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in args)
    if hint is Any:
        return True
    if isinstance(value, type) and hint is not type:
        return False
    kind = origin or hint
    if type(kind).__name__ == "TypeAliasType":  # numpy's NDArray is one, from Python 3.12 on
        return matches(value, kind.__value__)
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind is tuple:
        kind = (tuple, list)  # a list of labels may stand for a tuple
    # typing.is_protocol is new in Python 3.13
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        return callable(value) if "__call__" in vars(kind) else True
    if kind is Callable:
        return callable(value)
    if not is_instance(value, kind) or (isinstance(value, str) and kind is not str):
        return False
    return all(matches(item, item_hint) for item, item_hint in _items(value, hint))


def is_instance(value: object, kind: Any) -> bool:
    """As isinstance, without reading the properties of a value whose class has `kind`, or one of them, as a base.

    Up to Python 3.11, isinstance reads every member of a protocol. One that is computed on first use, as an encoder's
    logit scale is, may load weights.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return any(one in type(value).__mro__ for one in kinds) or isinstance(value, kind)


def _items(value: Any, hint: Any) -> Iterator[tuple[Any, Any]]:
    """The first items of a list or a mapping, each with its hint."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is tuple and args[-1] is not ...:
        yield from zip(value, args, strict=False)
    elif origin in _LISTS and isinstance(value, Sequence):  # an iterator can be read once only
        yield from ((item, args[0]) for item in islice(value, _LOOKED_AT))
    elif origin in (dict, Mapping):
        for key, item in islice(value.items(), _LOOKED_AT):
            yield from ((key, args[0]), (item, args[1]))


def _in_words(hint: Any) -> str:
    """What a hint expects: "a strategy or its name"."""
    parts = list(_parts(hint))
    names = {part.__name__ for part in parts if isinstance(part, type)}
    text = "a model's name" if "Encoder" in names else "its name" if names & _LOADERS.keys() else _WORDS[str]
    words = dict.fromkeys(text if part is str else _one_in_words(part) for part in parts)
    if "a path" in words:
        words.pop(_WORDS[str], None)
    *first, last = sorted(words, key=lambda word: (word == "None", word == text))
    return f"{', '.join(first)} or {last}" if first else last


def _one_in_words(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}"
    if origin in _LISTS:
        return f"a list of {_plural(_in_words(args[0]))}"
    if origin in (dict, Mapping):
        return f"a mapping of {_plural(_in_words(args[0]))}"
    kind = origin or hint
    if kind is Callable:
        return "a function"
    return _WORDS.get(kind) or _NOUNS.get(kind.__name__) or _with_article(_spelt_out(kind.__name__))


def _plural(words: str) -> str:
    """ "texts" for "a text", "mappings of texts" for "a mapping of texts"."""
    return " or ".join(re.sub(r"^an? (\w+)", r"\1s", word) for word in words.split(" or "))


def _spelt_out(name: str) -> str:
    """ "embedding store" for "EmbeddingStore"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("nd")).lower()


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _found(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}; write {value.__name__}(…)"
    if value is None or isinstance(value, str | int | float):
        return quoted(value) if isinstance(value, str) else repr(value)
    return _with_article(type(value).__name__.removeprefix("nd"))  # "an array"


def _remedy(value: object, hint: Any) -> str:
    """The function that makes an object of a name, where a name was given."""
    if not isinstance(value, str | Path):
        return ""
    loaders = [_LOADERS[part.__name__] for part in _parts(hint) if isinstance(part, type) and part.__name__ in _LOADERS]
    return f"; zsprompt.{loaders[0]} makes one of a name" if loaders else ""
