"""zsprompt ablate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.given_run import GivenRun, takes_run
from zsprompt.cli.modes import ABLATE_PLAN
from zsprompt.cli.options import HiddenForce, Json, option
from zsprompt.cli.session import note, notes, refusals
from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.experiments.spec import RunSpec


@takes_run(repeated=True)
def ablate(
    given: GivenRun,
    out: Annotated[Path, option("Folder for the table, with a result folder per row.")],
    plan: Annotated[Path | None, option("TOML file with the rows, instead of options that name rows.")] = None,
    force: HiddenForce = False,
    json: Json = False,
) -> None:
    """Measure every combination of options once, and test which differences are real.

    Repeat the command to continue an interrupted ablation, or to add rows.
    """
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt._utils.outputs import check_folder, reads_file
        from zsprompt.experiments.ablation import ablate as measure
        from zsprompt.experiments.inputs import inputs_of
        from zsprompt.report.tables import FILES, save_ablation, terminal_table

        rows = _rows(given, plan)
        inputs = [*([reads_file(plan)] if plan else []), *(reads for row in rows for reads in inputs_of(row))]
        check_folder(out, FILES, inputs=inputs, force=force)
        done = measure(rows, out, resources=given.resources())
        records = done.records()
        typer.echo(to_json({"rows": records}) if json else terminal_table(records))
        notes(done.notes)
        if any(not record["error"] for record in records):  # an earlier table is worth more than one of failures
            save_ablation(done, out, force=force)
            note(f"wrote the table to {out}; `zsprompt report {out}` makes a page of it")
        failed = [record["row"] for record in records if record["error"]]
        if failed:
            total = counted(len(rows), "row")
            note(f"error: expected {total}, {len(failed)} failed: {', '.join(map(str, failed))}; the reasons are above")
            raise typer.Exit(1)


def _rows(given: GivenRun, plan: Path | None) -> list[RunSpec]:
    from dataclasses import replace

    from zsprompt.experiments.ablation import read_plan

    if plan:
        given.use(ABLATE_PLAN)
        how = given.only()
        return [replace(row, **how) for row in read_plan(plan)]
    for name in ("strategy", "dataset"):
        if name not in given.values:
            raise UsageError(f"expected --{name} once or more, or --plan FILE, found neither")
    return given.specs()
