"""--help in sections of plain text: quick to print, easy to copy, with square brackets unchanged.

Words are never broken, so that options and names can be copied. On a narrow terminal, texts stand below their names.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

_ARGUMENTS, _OPTIONS, _COMMANDS = "Arguments", "Options", "Commands"
_WIDEST, _NARROWEST = 78, 20
_NAMES, _GAP = 30, 2
_READABLE = 36
"""Fewest columns for texts next to their names; with fewer, they stand below."""


def _write_usage(ctx: Any, formatter: Any) -> None:
    """Set the width of the formatter to that of the terminal, and write the usage line.

    The formatter's own least width is 50.
    """
    formatter.width = max(min(shutil.get_terminal_size().columns - 2, _WIDEST), _NARROWEST)
    usage = " ".join(["Usage:", ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])
    formatter.write("\n  ".join(_wrapped(usage, formatter.width - 2)) + "\n")


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of a paragraph. A word that is longer than a line has a line of its own."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _write(formatter: Any, records: list[tuple[str, tuple[str, str]]]) -> None:
    """Write (section, (name, text)) records, section by section, in the order in which sections first occur."""
    for section in dict.fromkeys(section for section, _ in records):
        with formatter.section(section):
            _write_list(formatter, [record for named, record in records if named == section])


def _write_list(formatter: Any, records: Sequence[tuple[str, str]]) -> None:
    """Write names and texts: in two columns, or where there is no room for two, texts below names."""
    column = min(max(len(name) for name, _ in records), _NAMES) + _GAP
    room, indent = formatter.width - formatter.current_indent, " " * formatter.current_indent
    if room - column < _READABLE:
        for name, text in records:
            formatter.write("".join(f"{indent}{line}\n" for line in _wrapped(name, room)))
            formatter.write("".join(f"{indent}  {line}\n" for line in _wrapped(text, room - _GAP)))
        return
    for name, text in records:
        lines = _wrapped(text, room - column) or [""]
        first = [name, *lines] if len(name) > column - _GAP else [f"{name:{column}}{lines[0]}", *lines[1:]]
        rest = "".join(f"{indent}{'':{column}}{line}\n" for line in first[1:])
        formatter.write(f"{indent}{first[0]}".rstrip() + f"\n{rest}")


def _write_paragraphs(formatter: Any, text: str) -> None:
    for paragraph in text.split("\n\n"):
        lines = _wrapped(" ".join(paragraph.split()), formatter.width - 2)
        formatter.write("".join(f"\n{'':2}{line}" for line in lines) + ("\n" if lines else ""))


class SectionedCommand(TyperCommand):
    """A command whose --help has a section for each panel of its options."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """The usage line, on the width of the terminal."""
        _write_usage(ctx, formatter)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the command does."""
        _write_paragraphs(formatter, self.help or "")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the main options, then the others panel by panel."""
        records = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "argument":
                name = str(parameter.metavar) if parameter.nargs == -1 else record[0]  # its type would be "list[Path]"
                records.append((_ARGUMENTS, (name, record[1])))
            elif record is not None:
                records.append((_panel_of(parameter), record))
        _write(formatter, sorted(records, key=lambda one: (one[0] != _ARGUMENTS, one[0] != _OPTIONS)))


class SectionedGroup(TyperGroup):
    """A group whose --help has a section for each panel of its commands."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """The usage line, on the width of the terminal."""
        _write_usage(ctx, formatter)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the commands do."""
        _write_paragraphs(formatter, self.help or "")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The options of the group, then its commands."""
        records = [record for one in self.get_params(ctx) if (record := one.get_help_record(ctx)) is not None]
        if records:
            _write(formatter, [(_OPTIONS, record) for record in records])
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Commands panel by panel, each with the first paragraph of its help."""
        shown = {name: self.commands[name] for name in self.list_commands(ctx) if not self.commands[name].hidden}
        _write(formatter, [(_panel_of(one, _COMMANDS), (name, _first_paragraph(one))) for name, one in shown.items()])


def _first_paragraph(command: Any) -> str:
    return " ".join((command.help or "").split("\n\n")[0].split())


def _panel_of(thing: Any, default: str = _OPTIONS) -> str:
    """The panel that typer keeps on an option, or on a command or group; built-in options have none."""
    panel = getattr(thing, "rich_help_panel", None)
    return panel if isinstance(panel, str) else default
