"""zsprompt report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zsprompt.cli.modes import REPORT_OF_ABLATION, typed
from zsprompt.cli.options import HiddenForce, Json, argument, option
from zsprompt.cli.session import note, refusals
from zsprompt.errors import UsageError


def report(
    context: typer.Context,
    folders: Annotated[
        list[Path], argument("Folder that run or ablate wrote with --out; two runs are compared.", "DIR")
    ],
    out: Annotated[
        Path | None,
        option("The page to write. [default: report.html in DIR; for runs A and B, against-A.html in B]"),
    ] = None,
    root: Annotated[Path | None, option("Folder of the images, if they have moved.")] = None,
    force: HiddenForce = False,
    json: Json = False,
) -> None:
    """Make a page of a run, of an ablation, or of the changes between two runs."""
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt._utils.progress import terminal
        from zsprompt.report.build import build_report, is_ablation

        if len(folders) > 2:
            raise UsageError(f"expected one folder or two, found {len(folders)}; for more rows see zsprompt ablate")
        if is_ablation(folders):
            REPORT_OF_ABLATION.refuse(typed(context).items())
        built = build_report(folders, out, root, progress=terminal, force=force)
        for warning in built.warnings:
            note(warning)
        typer.echo(to_json(dict(built.facts)) if json else built.text)
        note(f"wrote the page {built.page}, and its figures to {built.figures}")
