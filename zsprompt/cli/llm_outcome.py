"""What an LLM did not answer: named, counted, and exit status 1. The same for every command that asks one."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.session import note

_NAMED = 10


def name_refused(refused: Mapping[str, str]) -> None:
    """Name what the server gave no answer about, with its reasons."""
    from zsprompt.report import printable

    for name, reason in list(refused.items())[:_NAMED]:
        note(f"no answer about {printable(name)}: {reason}")


def exit_if_incomplete(refused: Mapping[str, str], written: int, asked: int, noun: str, *, told: bool = False) -> None:
    """End the command with status 1 and one line if the server refused any, or if nothing at all was written.

    Args:
        refused: what the server gave no answer about.
        written: number of items with an answer that could be used.
        asked: number of items.
        noun: "image", "label set", "label".
        told: whether an error was printed already.
    """
    if refused:
        again = f"the same command asks again about {'it' if len(refused) == 1 else 'these'} only"
        note(f"error: expected answers about {counted(asked, noun)}, found none about {len(refused):,}; {again}")
    elif asked and not written and not told:
        note(f"error: expected answers about {counted(asked, noun)}, found none to use; the reasons are above")
    if refused or told or (asked and not written):
        raise typer.Exit(1)
