"""Write the generated parts of the documentation: cli.md, python.md, and parts of architecture.md and models.md.

python docs/generate.py           writes them
python docs/generate.py --check   exits with 1 if one is stale

cli.md comes from the Typer app, python.md from `zsprompt.__all__`, the rooms from the imports in the package, the
families of models from the catalogue.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "zsprompt"

_HEADER = "<!-- Written by docs/generate.py. Do not edit. -->\n\n"
_START, _END = "<!-- generated: {} -->", "<!-- end -->"
_SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")


def main() -> None:
    """Write what is stale, or name it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a part is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in generated().items() if not path.is_file() or path.read_text("utf-8") != text}
    if check and stale:
        sys.exit(f"stale: {', '.join(path.name for path in stale)}; run python docs/generate.py")
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")


def generated() -> dict[Path, str]:
    """Each generated page's path and text."""
    return {
        DOCS / "cli.md": cli_page(),
        DOCS / "python.md": python_page(),
        DOCS / "architecture.md": with_part("architecture.md", "rooms", rooms_drawing(imports_by_room(PACKAGE))),
        DOCS / "models.md": with_part("models.md", "families", families_table()),
    }


def with_part(page: str, name: str, part: str) -> str:
    """The text of a page with `part` between the markers of this name."""
    start = _START.format(name)
    before, found, rest = (DOCS / page).read_text(encoding="utf-8").partition(start)
    _, end, after = rest.partition(_END)
    if not (found and end):
        raise SystemExit(f"expected {start} and {_END} in {page}, found neither or one")
    return f"{before}{start}\n{part}\n{_END}{after}"


# The command line


def cli_page() -> str:
    """Every command with its options, by panel; old spellings at the end."""
    import typer

    from zsprompt.cli import app

    root = typer.main.get_command(app)
    commands = [("zsprompt", root), *_commands(root, "zsprompt")]
    parts = [f"# Command line\n\n{_clean(root.help)}"]
    parts += [_command_section(path, command) for path, command in commands if not command.hidden]
    parts.append(_old_spellings(commands))
    return _HEADER + "\n\n".join(part for part in parts if part) + "\n"


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command below `group` with what a user types to call it."""
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if _is_group(command):
            yield from _commands(command, f"{path} {name}")


def _command_section(path: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not _is_hidden(parameter)]
    parts = [f"## {path}"]
    if path != "zsprompt":
        parts.append(_clean(command.help))
    parts.append(f"```text\n{_usage(path, command, shown)}\n```")
    for panel, parameters in _by_panel(shown).items():
        rows = [(_spelling(parameter), _about(parameter)) for parameter in parameters]
        parts.append(f"**{panel}**\n\n{_table(('', 'meaning'), rows)}")
    if _is_group(command):
        visible = [(name, below) for name, below in command.commands.items() if not below.hidden]
        rows = [(f"[`{path} {name}`](#{_anchor(f'{path} {name}')})", _first_line(below)) for name, below in visible]
        parts.append(_table(("command", "what it does"), rows))
    return "\n\n".join(part for part in parts if part)


def _old_spellings(commands: Sequence[tuple[str, Any]]) -> str:
    """Hidden commands and options: accepted, with a line of notice."""
    rows: list[tuple[str, str]] = []
    for path, command in commands:
        if command.hidden:
            rows.append((f"`{path}`", _first_line(command)))
            continue
        hidden = [parameter for parameter in command.params if _is_hidden(parameter)]
        rows += [(f"`{path} {_longest(option)}`", _cell(option.help)) for option in hidden]
    if not rows:
        return ""
    about = "These still work. Those that have a new spelling print one line of notice on stderr."
    return f"## Old spellings\n\n{about}\n\n{_table(('old spelling', 'now'), rows)}"


def _by_panel(parameters: Iterable[Any]) -> dict[str, list[Any]]:
    """Parameters by the panel that --help shows them in, arguments first."""
    panels: dict[str, list[Any]] = {}
    for parameter in sorted(parameters, key=lambda one: one.param_type_name != "argument"):
        default = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(_attribute(parameter, "rich_help_panel") or default, []).append(parameter)
    return panels


def _usage(path: str, command: Any, parameters: Sequence[Any]) -> str:
    words = [path]
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            words.append(_metavar(parameter))
        elif parameter.required:
            words.append(f"{_longest(parameter)} {_metavar(parameter)}")
    return " ".join([*words, "[OPTIONS]", *(["COMMAND"] if _is_group(command) else [])])


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    names = ", ".join(sorted(parameter.opts, key=len, reverse=True))
    return f"`{names}`" if parameter.is_flag else f"`{names} {_metavar(parameter)}`"


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    if choices := _choices(parameter):
        return "|".join(choices)
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    descriptor = _attribute(parameter, "type_descriptor")
    kind = _leaf(descriptor.annotation).__name__ if descriptor else parameter.type.name
    return _SHOWN_TYPES.get(kind.lower().removesuffix(" range"), kind.upper())


_SHOWN_TYPES = {"str": "TEXT", "text": "TEXT", "int": "N", "integer": "N", "float": "X", "path": "PATH"}


def _choices(parameter: Any) -> list[str]:
    """The words an option chooses from; newer versions of Typer keep the annotation, older ones click's type."""
    descriptor = _attribute(parameter, "type_descriptor")
    kind = _leaf(descriptor.annotation) if descriptor else None
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        given: Iterable[Any] = kind
    elif typing.get_origin(kind) is typing.Literal:
        given = typing.get_args(kind)
    else:
        given = () if descriptor else _attribute(parameter.type, "choices") or ()
    return [str(choice.value if isinstance(choice, enum.Enum) else choice) for choice in given]


def _leaf(annotation: Any) -> Any:
    """The type of one value: `str` for `list[str] | None`."""
    inner = [part for part in typing.get_args(annotation) if part not in (type(None), ...)]
    return annotation if not inner or typing.get_origin(annotation) is typing.Literal else _leaf(inner[0])


def _about(parameter: Any) -> str:
    text = _cell(parameter.help)
    if _attribute(parameter, "envvar"):
        text += f" Environment: `{parameter.envvar}`."
    if parameter.required and parameter.param_type_name != "argument":
        return f"{text} Required."
    return text + _default(parameter)


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or isinstance(value, bool) or callable(value) or "[default" in (parameter.help or ""):
        return ""
    value = value.value if isinstance(value, enum.Enum) else value
    return "" if value in ("", (), []) or "Sentinel" in type(value).__name__ else f" Default: `{value}`."


def _longest(option: Any) -> str:
    return str(max(option.opts, key=len))


def _is_hidden(parameter: Any) -> bool:
    return bool(_attribute(parameter, "hidden"))


def _is_group(command: Any) -> bool:
    return _attribute(command, "commands") is not None


def _attribute(thing: Any, name: str) -> Any:
    """An attribute of one of click's objects, whose kinds differ in what they have."""
    return getattr(thing, name, None)


def _first_line(command: Any) -> str:
    return _cell((command.help or "").strip().split("\n\n")[0])


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w-]+", "-", heading.lower()).strip("-")


# The Python API


_PYTHON_INTRODUCTION = """# Python

The public names of `zsprompt`. Importing the package loads neither torch nor a model; each name is loaded when it is
first used.

Letters: **N** images, **C** labels, **T** texts, **D** embedding width, **L** spatial tokens per image."""


def python_page() -> str:
    """Every public name with its signature and docstring."""
    import zsprompt

    parts = [_PYTHON_INTRODUCTION]
    named = {name: getattr(zsprompt, name) for name in zsprompt.__all__ if not name.startswith("__")}
    for title, belongs in _KINDS.items():
        members = {name: value for name, value in named.items() if belongs(value)}
        if members:
            parts.append(f"## {title}")
            parts += [_entry(name, value) for name, value in members.items()]
    return _HEADER + "\n\n".join(parts) + "\n"


_KINDS: Mapping[str, Callable[[Any], bool]] = {
    "Functions": inspect.isfunction,
    "Classes": inspect.isclass,
    "Modules": inspect.ismodule,
}


def _entry(name: str, value: Any, depth: int = 3) -> str:
    parts = [f"{'#' * depth} {name}"]
    if isinstance(value, ModuleType):
        parts.append(_prose(value))
        below = {part: getattr(value, part) for part in value.__all__}
        parts += [_entry(f"{name}.{part}", thing, depth + 1) for part, thing in below.items()]
        return "\n\n".join(parts)
    parts.append(f"```python\n{_signature(name, value)}\n```")
    parts.append(_prose(value))
    if inspect.isclass(value):
        parts += [_method(method, function) for method, function in _methods(value)]
    return "\n\n".join(part for part in parts if part)


def _method(name: str, function: Any) -> str:
    target = function.fget if isinstance(function, property) else inspect.unwrap(_function(function))
    shown = f"`{name}`" if isinstance(function, property) or _is_cached(function) else f"`{_signature(name, target)}`"
    first = _escaped(inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
    return f"- {shown} – {first}" if first else f"- {shown}"


def _methods(kind: type) -> list[tuple[str, Any]]:
    """Public methods and properties that the class itself defines, in the order of the source."""
    own = [(name, value) for name, value in vars(kind).items() if not name.startswith("_")]
    return [(name, value) for name, value in own if _is_cached(value) or isinstance(value, _DESCRIBED)]


_DESCRIBED = (property, classmethod, staticmethod, type(main))


def _is_cached(value: Any) -> bool:
    return type(value).__name__ == "cached_property"


def _function(value: Any) -> Any:
    if isinstance(value, classmethod | staticmethod):
        return value.__func__
    return value.func if _is_cached(value) else value


def _signature(name: str, value: Any) -> str:
    """As a reader writes the call: annotations as in the source, factories and functions as …"""
    if inspect.isclass(value) and issubclass(value, BaseException):
        return f"class {name}({value.__bases__[0].__name__})"
    if inspect.isclass(value) and "_is_protocol" in vars(value):
        return f"class {name}(Protocol)"
    try:
        given = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parameters = [_plain(parameter) for key, parameter in given.parameters.items() if key not in ("self", "cls")]
    given = given.replace(parameters=parameters)
    text = str(given.replace(return_annotation=inspect.Signature.empty) if inspect.isclass(value) else given)
    text = re.sub(r"'([^']*)'(?=[,)=]| =|$)", r"\1", text) if "'" in text else text
    text = f"{name}{text}"
    return text if len(text) <= 100 else _broken(text)


def _plain(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default
    if isinstance(default, enum.Enum):
        return parameter.replace(default=_Text(repr(default.value)))
    if default is inspect.Parameter.empty:
        return parameter
    unprintable = callable(default) or _is_factory(default) or dataclasses.is_dataclass(default)
    return parameter.replace(default=_Text("…")) if unprintable or " at 0x" in repr(default) else parameter


class _Text:
    """A default that is shown as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _is_factory(default: Any) -> bool:
    return default is dataclasses.MISSING or type(default).__name__ == "_HAS_DEFAULT_FACTORY_CLASS"


def _broken(text: str) -> str:
    """A long signature, one parameter per line."""
    opening = text.index("(")
    depth, start, parts = 0, opening + 1, []
    for position in range(opening, len(text)):
        mark = text[position]
        depth += (mark in "([{") - (mark in ")]}")
        if (mark == "," and depth == 1) or depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
        if depth == 0:
            break
    inside = "".join(f"    {part},\n" for part in parts if part)
    return f"{text[: opening + 1]}\n{inside}{text[position:]}"


def _prose(value: Any) -> str:
    """A docstring as Markdown: its sections become lists."""
    return "\n\n".join(filter(None, _blocks((inspect.getdoc(value) or "").splitlines())))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    plain: list[str] = []
    position = 0
    while position < len(lines):
        title = lines[position].strip().removesuffix(":")
        position += 1
        if title not in _SECTIONS or not lines[position - 1].strip().endswith(":"):
            plain.append(lines[position - 1])
            continue
        inside = []
        while position < len(lines) and (not lines[position].strip() or lines[position].startswith("    ")):
            inside.append(lines[position][4:])
            position += 1
        yield _escaped("\n".join(plain).strip())
        plain = []
        yield f"**{title}**\n\n{_list(inside, named=title not in ('Returns', 'Yields'))}"
    yield _escaped("\n".join(plain).strip())


def _list(lines: Sequence[str], named: bool) -> str:
    """Entries of a section; a line that is indented further belongs to the entry above."""
    entries: list[str] = []
    for line in filter(str.strip, lines):
        if line.startswith("    ") and entries:
            entries[-1] += f" {line.strip()}"
        else:
            entries.append(line.strip())
    if not named:
        return _escaped(" ".join(entries))
    parts = [entry.partition(": ") for entry in entries]
    return "\n".join(f"- `{name}`: {_escaped(about)}" if colon else f"- {name}" for name, colon, about in parts)


# The rooms


def imports_by_room(package: Path) -> dict[str, set[str]]:
    """Each room (a sub-package, or a module at the top) and the other rooms that it imports, anywhere in its code."""
    rooms: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if not room.startswith("__") and room != "_version":
            rooms.setdefault(room, set()).update(_imported(path, package.name))
    return {room: {other for other in found if other in rooms and other != room} for room, found in rooms.items()}


def _imported(path: Path, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            parts = node.module.split(".")
            if parts[0] == package:
                yield from parts[1:2] or (alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (parts[1] for parts in names if parts[0] == package and parts[1:])


def rooms_drawing(rooms: Mapping[str, set[str]]) -> str:
    """The rooms, highest floor first, each with the rooms it imports; an arrow points down or is named."""
    floors = _floors(rooms)
    width = max(map(len, rooms))
    order = sorted(rooms, key=lambda room: (-floors[room], room))
    lines = []
    for room in order:
        below = sorted(rooms[room], key=lambda other: (-floors[other], other))
        lines.append(f"{floors[room]:2}  {room:{width}}  {'→ ' if below else ''}{' '.join(below)}".rstrip())
    up = sorted(f"{a} → {b}" for a, found in rooms.items() for b in found if floors[b] >= floors[a])
    total = sum(map(len, rooms.values()))
    summary = f"{len(rooms)} rooms on {max(floors.values()) + 1} floors, {total} arrows"
    return f"```text\n{chr(10).join(lines)}\n\n{summary}; in a circle: {', '.join(up) or 'none'}\n```"


def _floors(rooms: Mapping[str, set[str]]) -> dict[str, int]:
    """0 for a room that imports no other, else one more than the highest room it imports; circles share a floor."""
    reach = {room: _reachable(room, rooms) for room in rooms}
    floors: dict[str, int] = {}

    def floor(room: str) -> int:
        if room not in floors:
            below = [other for other in reach[room] if room not in reach[other]]
            floors[room] = 1 + max(map(floor, below), default=-1)
        return floors[room]

    return {room: floor(room) for room in rooms}


def _reachable(room: str, rooms: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [room]
    while waiting:
        for other in rooms[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


# The families of models


def families_table() -> str:
    """Each family of the catalogue: a small example, the longest text, the licence, and what it needs."""
    from zsprompt._utils.registry import DEFAULT_MODEL
    from zsprompt.encoders.catalogue import families, known_models

    rows = []
    for family in families():
        models = [model for model in known_models() if model.family == family]
        default = [model for model in models if model.name == DEFAULT_MODEL]
        example = (default or sorted(models, key=_is_less_known))[0]
        contexts = ", ".join(map(str, sorted({model.context for model in models})))
        licences = ", ".join(dict.fromkeys(model.licence for model in models))
        rows.append((family, str(len(models)), f"`{example.name}`", contexts, licences, _needs(example)))
    return _table(("family", "models", "example", "longest text", "licence", "the example needs"), rows)


def _is_less_known(model: Any) -> tuple[bool, float]:
    """For sorting: models with a name on Hugging Face first, then the smaller ones."""
    return not model.aliases, model.parameters


def _needs(model: Any) -> str:
    """The extra that a model needs, and what it downloads once."""
    parts = [f"extra `{model.extra}`"] if model.extra else []
    parts += [f"{model.download_mb:,} MB"] if model.download_mb else []
    return ", ".join(parts) or "nothing"


# Markdown


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [columns, ["---"] * len(columns), *rows])


def _clean(text: str | None) -> str:
    """A help text as Markdown: its line breaks are not meant."""
    return _escaped("\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n")))


def _cell(text: str | None) -> str:
    return _clean(text).replace("\n", " ").replace("|", "\\|")


def _escaped(text: str) -> str:
    return re.sub(r"(`[^`]*`)|([<*])", lambda match: match[1] or f"\\{match[2]}", text)


if __name__ == "__main__":
    main()
