"""zsprompt reproduce."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.given_run import cache_folder
from zsprompt.cli.options import COMPUTATION, CacheFolder, Force, Json, argument, option
from zsprompt.cli.session import named_lines, note, refusals


class Ground(str, Enum):
    """--on"""

    auto = "auto"
    real = "real"
    scenes = "scenes"


class Device(str, Enum):
    """--device"""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def reproduce(
    context: typer.Context,
    table: Annotated[str | None, argument("Name of the table; without it, the tables are listed.", "TABLE")] = None,
    root: Annotated[Path | None, option("Folder of the real data sets. [default: ZSPROMPT_DATA]")] = None,
    on: Annotated[Ground, option("real, scenes, or auto: real data if present, else drawn scenes.")] = Ground.auto,
    seeds: Annotated[int, option("Train each adapter this many times, with seeds 0, 1, …", min=1)] = 1,
    out: Annotated[
        Path | None,
        option("Folder for table, results and adapters. Finished measurements in it are not repeated."),
    ] = None,
    epochs: Annotated[int | None, option("Maximum number of epochs.", min=1)] = None,
    limit: Annotated[int | None, option("At most N images to train on and N to test on, for a trial.", min=1)] = None,
    model: Annotated[str | None, option("Model for all rows. [default: the source's]")] = None,
    device: Annotated[Device, option("Where models run.", panel=COMPUTATION)] = Device.auto,
    cache: CacheFolder = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train and measure the rows of a paper's table, and print them next to the published numbers."""
    with refusals(quiet=("zsprompt.adapters.train_loop",)):  # a line per epoch would bury the table's own lines
        from zsprompt._utils.files import to_json
        from zsprompt._utils.outputs import check_folder, reads_folder
        from zsprompt._utils.progress import terminal
        from zsprompt.data import data_folder
        from zsprompt.experiments.reproduction import find_table
        from zsprompt.experiments.reproduction import reproduce as measure
        from zsprompt.report.of_reproduction import output_files, save, terminal_table

        if table is None:
            typer.echo(_listed(json))
            return
        if out:
            names = output_files(find_table(table).name)
            check_folder(out, names, inputs=[reads_folder(root or data_folder())], force=force)
        done = measure(
            table,
            on=on.value,
            root=root,
            seeds=seeds,
            out=out,
            epochs=epochs,
            limit=limit,
            model=model,
            device=device.value,
            cache=cache_folder(context, cache) or "default",
            progress=terminal,
        )
        if out:
            save(done, out, force=force)
        typer.echo(to_json(done.to_dict()) if json else terminal_table(done))
        if done.failed:
            total = counted(len(done.cells), "measurement")
            note(f"error: expected {total}, {len(done.failed)} failed; the reasons are above")
            raise typer.Exit(1)


def _listed(json: bool) -> str:
    from zsprompt._utils.files import to_json
    from zsprompt.experiments.reproduction import tables

    listed = {name: known.about for name, known in tables().items()}
    if json:
        return to_json({"tables": listed})
    return named_lines(list(listed.items()))
