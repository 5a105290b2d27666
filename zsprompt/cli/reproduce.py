"""The command line of reproductions: the tables of the sources, beside our own numbers."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from zsprompt._utils.text import counted
from zsprompt.cli.options import CacheFolder, Device, DeviceOption, Json
from zsprompt.cli.session import note, refusals


class GroundOption(str, Enum):
    """--on"""

    auto = "auto"
    real = "real"
    scenes = "scenes"


def reproduce(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="A table's name; without it they are listed.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the real data sets. [default: looked for in ZSPROMPT_DATA]")
    ] = None,
    on: Annotated[
        GroundOption, typer.Option(help="real data, drawn scenes, or real data where they are found.")
    ] = GroundOption.auto,
    seeds: Annotated[int, typer.Option(min=1, help="Train each adapter so many times, with seeds 0, 1, …")] = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for table, results and adapters; what is finished there is not repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many epochs.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most N pictures to learn from and N to test on: for a try.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="This model in place of every row's. [default: the source's]")
    ] = None,
    device: Device = DeviceOption.auto,
    cache: CacheFolder = None,
    json: Json = False,
) -> None:
    """Train and measure the rows of a source's table, and print them beside its published numbers."""
    with refusals(quiet=("zsprompt.adapters.train_loop",)):  # a line for each epoch would hide the table's own
        from zsprompt._utils.files import to_json
        from zsprompt._utils.progress import terminal
        from zsprompt.experiments.reproduction import reproduce as measure
        from zsprompt.experiments.reproduction import tables
        from zsprompt.report.of_reproduction import save, terminal_table

        if table is None:
            listed = {name: known.about for name, known in tables().items()}
            width = max(map(len, listed))
            lines = "\n".join(f"{name:{width}}  {about}" for name, about in listed.items())
            typer.echo(to_json({"tables": listed}) if json else lines)
            return
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
            cache=cache or "default",
            progress=terminal,
        )
        if out:
            save(done, out)
        typer.echo(to_json(done.to_dict()) if json else terminal_table(done))
        if done.failed:
            note(f"error: expected {counted(len(done.cells), 'measurement')}, {len(done.failed)} failed; see above why")
            raise typer.Exit(1)
