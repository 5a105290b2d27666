"""--help in sections of plain text: quick to print, easy to copy, with square brackets unchanged."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

_ARGUMENTS, _OPTIONS, _COMMANDS = "Arguments", "Options", "Commands"


def _write(formatter: Any, records: list[tuple[str, tuple[str, str]]]) -> None:
    """Write (section, (name, text)) records, section by section, in the order in which sections first occur."""
    for section in dict.fromkeys(section for section, _ in records):
        with formatter.section(section):
            formatter.write_dl([record for named, record in records if named == section])


class SectionedCommand(TyperCommand):
    """A command whose --help has a section for each panel of its options."""

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
