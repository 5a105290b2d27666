"""zsprompt cache: the folder of stored embeddings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zsprompt.cli.command import Command
from zsprompt.cli.given_run import cache_folder
from zsprompt.cli.help import SectionedGroup
from zsprompt.cli.options import CacheFolder, Json, option
from zsprompt.cli.session import refusals
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt._utils.byte_cache import ByteCache

cache_app = typer.Typer(
    cls=SectionedGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Inspect, verify and clear the folder of stored embeddings.",
)


@cache_app.command("info", cls=Command)
def info(context: typer.Context, cache: CacheFolder = None, json: Json = False) -> None:
    """Show where the cache is, how many entries it has, and its size."""
    with refusals():
        from zsprompt._utils.files import to_json

        opened = _open(context, cache)
        facts = opened.info()
        opened.close()
        if json:
            typer.echo(to_json({"folder": str(facts.folder), "entries": facts.entries, "bytes": facts.bytes}))
        else:
            typer.echo(f"{facts.folder}: {facts.entries:,} entries, {facts.bytes / 1e6:,.1f} MB")


@cache_app.command("verify", cls=Command)
def verify(context: typer.Context, cache: CacheFolder = None) -> None:
    """Check every entry against its checksum and delete the damaged ones."""
    with refusals():
        opened = _open(context, cache)
        read, deleted = opened.verify()
        opened.close()
        typer.echo(f"{read:,} entries checked, {deleted:,} damaged and deleted")


@cache_app.command("clear", cls=Command)
def clear(
    context: typer.Context, cache: CacheFolder = None, yes: Annotated[bool, option("Do not ask.", "--yes")] = False
) -> None:
    """Delete all stored embeddings."""
    with refusals():
        from zsprompt._utils.byte_cache import clear_cache

        folder = _folder(context, cache)
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"Delete all stored embeddings in {folder}?")):
            raise UsageError(f"nothing deleted in {folder}; to delete without being asked, add --yes")
        typer.echo(f"{folder}: freed {clear_cache(folder) / 1e6:,.1f} MB")


def _folder(context: typer.Context, cache: Path | None) -> Path:
    from zsprompt._utils.byte_cache import default_cache

    return cache_folder(context, cache) or default_cache()


def _open(context: typer.Context, cache: Path | None) -> ByteCache:
    from zsprompt._utils.byte_cache import open_existing

    return open_existing(_folder(context, cache))
