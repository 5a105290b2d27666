"""A command that refuses blank values and numbers that are not finite, and says when an option is given twice."""

from __future__ import annotations

from typing import Any

import typer

from zsprompt._utils.text import finite
from zsprompt.cli.help import SectionedCommand
from zsprompt.cli.session import note


class Command(SectionedCommand):
    """A command whose values are looked at before it runs.

    A blank value is what a script passes whose variable is not set. As a path it would be the current folder.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse, then refuse values that no option means, and name options whose first values do not count."""
        given = list(args)
        rest: list[str] = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:  # a shell that completes a command line
            values, _, order = self.make_parser(ctx).parse_args(given)
            for parameter in dict.fromkeys(order):
                _refuse_blank(parameter, values.get(parameter.name))
                _refuse_infinite(parameter, ctx.params.get(parameter.name))
                if _counts_once(parameter) and order.count(parameter) > 1:
                    note(f"note: {parameter.opts[0]} is given {order.count(parameter)} times; only the last one counts")
        return rest


def _refuse_blank(parameter: Any, value: object) -> None:
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, str) and not one.strip():
            name = parameter.opts[0] if parameter.param_type_name == "option" else str(parameter.metavar)
            note(f"error: expected a value for {name}, found an empty text; give one or leave it out")
            raise typer.Exit(1)


def _refuse_infinite(parameter: Any, value: object) -> None:
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, float):
            try:
                finite(one)
            except ValueError:
                note(f"error: expected a finite number for {parameter.opts[0]}, found {one}; give another")
                raise typer.Exit(1) from None


def _counts_once(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
