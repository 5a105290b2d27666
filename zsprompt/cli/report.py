"""zsprompt report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zsprompt.cli.options import Json, argument, option
from zsprompt.cli.session import note, refusals
from zsprompt.errors import UsageError


def report(
    folders: Annotated[list[Path], argument("What run or ablate wrote with --out.", "DIR")],
    out: Annotated[
        Path | None, option("The page to write. [default: report.html in DIR, against-A.html in the second]")
    ] = None,
    root: Annotated[Path | None, option("Folder of the images, if they have been moved.")] = None,
    json: Json = False,
) -> None:
    """Make one page of a run, of an ablation, or of what changed between two runs."""
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt._utils.progress import terminal
        from zsprompt.report.build import build_report

        if len(folders) > 2:
            raise UsageError(f"expected one folder or two, found {len(folders)}; for more rows see zsprompt ablate")
        built = build_report(folders, out, root, progress=terminal)
        for warning in built.warnings:
            note(warning)
        typer.echo(to_json(dict(built.facts)) if json else built.text)
        note(f"page in {built.page}, figures in {built.figures}")
