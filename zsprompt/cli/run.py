"""zsprompt run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zsprompt.cli.given_run import GivenRun, takes_run
from zsprompt.cli.modes import RUN_AS_JSON, WITHOUT_OUT
from zsprompt.cli.options import Force, Json, option
from zsprompt.cli.session import can_print, note, refusals


@takes_run(required=("strategy", "dataset"))
def run(
    given: GivenRun,
    eleven_point: Annotated[bool, option("Also VOC's interpolated mAPs.", "--eleven-point", hidden=True)] = False,
    out: Annotated[Path | None, option("Folder for result.json, scores.csv and per_class.csv.")] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Measure a strategy on a data set: mAP, F1 and chance."""
    with refusals():
        from zsprompt import report
        from zsprompt._utils.files import to_json
        from zsprompt._utils.outputs import check_folder
        from zsprompt.evaluation.result_files import FILES, save_result
        from zsprompt.experiments.inputs import inputs_of

        spec, resources = given.spec(), given.resources()
        if json:
            given.use(RUN_AS_JSON)
        if out is None:
            given.use(WITHOUT_OUT)
        resolved = spec.resolve(resources)
        resolved.check(resources)
        if out:
            check_folder(out, FILES, inputs=inputs_of(spec, resolved.dataset), force=force)
        with resources.open_store(resolved.model, spec.device, spec.precision) as store:
            result = resolved.prepared(store).run()
        if out:
            save_result(result, out, force=force)
        shown = report.result_table(result, blocks=can_print("█"), interpolated=eleven_point)
        typer.echo(to_json(result.to_dict()) if json else shown)
        for warning in result.warnings:
            note(warning)
        for image, reason in result.skipped:
            note(f"left out {report.printable(image)}: {reason}")
