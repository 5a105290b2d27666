"""The command line: reads options, calls the API, prints.

Heavy modules are imported inside the commands, so that --help is fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from zsprompt._version import __version__
from zsprompt.cli.ablate import ablate
from zsprompt.cli.available import list_names
from zsprompt.cli.cache import cache_app
from zsprompt.cli.caption_images import caption_images
from zsprompt.cli.caption_labels import caption_labels
from zsprompt.cli.command import Command
from zsprompt.cli.data import data_app
from zsprompt.cli.given_run import renamed
from zsprompt.cli.help import SectionedGroup
from zsprompt.cli.models import models_app
from zsprompt.cli.options import option
from zsprompt.cli.predict import predict
from zsprompt.cli.report import report
from zsprompt.cli.reproduce import reproduce
from zsprompt.cli.run import run
from zsprompt.cli.session import drop_output, note
from zsprompt.cli.thresholds import thresholds
from zsprompt.cli.train import train
from zsprompt.cli.write_prompts import write_prompts

MEASURE, WRITE, LOOK = "Measure and predict", "Write texts with an LLM", "Look up"

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "predict": (predict, MEASURE),
    "run": (run, MEASURE),
    "ablate": (ablate, MEASURE),
    "thresholds": (thresholds, MEASURE),
    "report": (report, MEASURE),
    "train": (train, MEASURE),
    "reproduce": (reproduce, MEASURE),
    "caption-labels": (caption_labels, WRITE),
    "caption-images": (caption_images, WRITE),
    "write-prompts": (write_prompts, WRITE),
    "list": (list_names, LOOK),
}
"""Every command except the groups `data`, `models` and `cache`, with its panel of --help."""

OLD_COMMANDS = {"caption": "caption-labels", "describe": "caption-images", "rewrite": "write-prompts"}
"""Command names of earlier versions. They still work, with one line of notice."""

app = typer.Typer(
    cls=SectionedGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find several labels in an image with a frozen CLIP model and text alone, and measure how well that works.",
)
for _name, (_command, _panel) in COMMANDS.items():
    app.command(_name, cls=Command, rich_help_panel=_panel)(_command)
for _old, _new in OLD_COMMANDS.items():
    app.command(_old, cls=Command, hidden=True)(renamed(COMMANDS[_new][0], _old, _new))
app.add_typer(data_app, name="data", rich_help_panel=LOOK)
app.add_typer(models_app, name="models", rich_help_panel=LOOK)
app.add_typer(cache_app, name="cache", rich_help_panel=LOOK)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, option("Print the version and exit.", "--version")] = False,
    cache: Annotated[
        Path | None,
        option("Folder for stored embeddings. [default: the user's cache directory]", envvar="ZSPROMPT_CACHE"),
    ] = None,
) -> None:
    if show_version:
        typer.echo(f"zsprompt {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the `zsprompt` command."""
    if sys.stdout is None:
        note("error: expected an open standard output, found it closed; redirect it to a file or to /dev/null")
        raise SystemExit(1)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that is not UTF-8 must not end a long job
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:  # --help on a full disk; the commands catch their own errors
        note(f"error: cannot print the result ({error.strerror or error})")
        drop_output()
        raise SystemExit(1) from None
