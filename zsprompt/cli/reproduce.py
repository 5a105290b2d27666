"""zsprompt reproduce."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.given_run import cache_folder
from zsprompt.cli.modes import (
    REPRODUCE_COUNTS,
    REPRODUCE_NOTHING,
    REPRODUCE_ON_SCENES,
    REPRODUCE_UNTRAINED,
    WITHOUT_OUT,
    Mode,
    typed,
)
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

        for mode in _modes(table, on, out):
            mode.refuse(typed(context).items())
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


def _modes(table: str | None, on: Ground, out: Path | None) -> Iterator[Mode]:
    """The modes that hold for a table. Raises UnknownName for a table that does not exist."""
    from zsprompt.experiments.reproduction.tables import find_table

    if table is None:
        yield REPRODUCE_NOTHING
        return
    if out is None:
        yield WITHOUT_OUT
    every = [settings for row in find_table(table).rows for settings in row.settings.values()]
    if on is Ground.scenes:
        yield REPRODUCE_ON_SCENES
    if not any(settings.adapter for settings in every):
        yield REPRODUCE_UNTRAINED
    if all(settings.counts for settings in every):
        yield REPRODUCE_COUNTS


def _listed(json: bool) -> str:
    from zsprompt._utils.files import to_json
    from zsprompt.experiments.reproduction import tables

    listed = {name: known.about for name, known in tables().items()}
    if json:
        return to_json({"tables": listed})
    return named_lines(list(listed.items()))
