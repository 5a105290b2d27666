"""Building reports: one HTML page and its figures from result folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsprompt._utils.arguments import checked
from zsprompt._utils.files import require_folder, require_writable, whole_file
from zsprompt._utils.modules import is_object_path
from zsprompt._utils.progress import Progress, quiet
from zsprompt.data import load_dataset
from zsprompt.data.images import ImageRef
from zsprompt.errors import UsageError, ZspromptError
from zsprompt.evaluation.compare import compare
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result
from zsprompt.report.drawing import svg
from zsprompt.report.of_ablation import ablation_report
from zsprompt.report.of_comparison import comparison_report
from zsprompt.report.of_run import run_report
from zsprompt.report.page import Report, render
from zsprompt.report.tables import JSON


@dataclass(frozen=True)
class Built:
    """A report on disk.

    Attributes:
        page: the HTML file.
        figures: the folder with its figures as SVG files.
        text: a summary for a terminal.
        facts: a summary for programs.
        warnings: remarks for readers of the page, one sentence each.
    """

    page: Path
    figures: Path
    text: str
    facts: Mapping[str, Any]
    warnings: Sequence[str] = ()


@checked
def build_report(
    folders: Sequence[Path | str] | Path | str,
    out: Path | str | None = None,
    root: Path | str | None = None,
    *,
    images: Sequence[ImageRef] | None = None,
    progress: Progress = quiet,
) -> Built:
    """Make the page of one run, of one ablation, or of the changes from a first run to a second.

    Args:
        folders: one folder of a run or ablation, or two folders of runs.
        out: the page; by default report.html in the folder, or against-FIRST.html in the second folder.
        root: folder of the data set, if it has moved since the run.
        images: the images of a data set that has no name in the tables.
        progress: shows progress.

    Raises:
        ResultError: a folder is missing or damaged, or two results cannot be compared.
        OutputError: the page cannot be written.
    """
    given = [Path(folder) for folder in ([folders] if isinstance(folders, Path | str) else folders)]
    if not 1 <= len(given) <= 2:
        raise UsageError(f"expected one folder, or two of runs to compare, found {len(given)}")
    out, root = None if out is None else Path(out), None if root is None else Path(root)
    if len(given) == 2:
        first, second = given
        out = out or second / f"against-{first.resolve().name}.html"
        comparison = compare(load_result(first), load_result(second))
        require_writable(out)
        shown, warnings = _images(comparison.second, root, images)
        names = (str(first), str(second))
        return _write(comparison_report(comparison, names, shown, progress, warnings), out, warnings)
    folder = given[0]
    out = out or folder / "report.html"
    if (folder / JSON).is_file():
        require_writable(out)
        return _write(ablation_report(folder), out)
    result = load_result(folder)
    require_writable(out)
    shown, warnings = _images(result, root, images)
    return _write(run_report(result, shown, progress, warnings), out, warnings)


def _write(report: Report, out: Path, warnings: Sequence[str] = ()) -> Built:
    """Write the page, and its figures into a folder next to it."""
    folder = out.parent / f"{out.stem}-figures"
    require_folder(folder)
    for figure in report.figures:
        with whole_file(folder / f"{figure.name}.svg") as file:
            file.write(svg(figure.chart))
    with whole_file(out) as file:
        file.write(render(report.page))
    return Built(out, folder, report.text, report.facts, warnings)


def _images(
    result: Result, root: Path | None, given: Sequence[ImageRef] | None
) -> tuple[dict[str, ImageRef], list[str]]:
    """The images of a result by id, and the reason if there are none."""
    origin, measured = result.recipe.get("origin"), set(result.images)
    if given is not None:
        return {image.id: image for image in given if image.id in measured}, []
    if not isinstance(origin, dict) or not {"dataset", "root", "split"} <= set(origin):
        return {}, [
            "no thumbnails: the result does not say where the images are, because its data set was made in Python"
        ]
    if is_object_path(str(origin["dataset"])):  # a result may come from an untrusted source
        return {}, [f"no thumbnails: data set {origin['dataset']} is Python code, which a report does not run"]
    try:
        names = str(result.recipe["names"])
        data = load_dataset(str(origin["dataset"]), root=root or origin["root"], split=origin["split"], names=names)
    except ZspromptError as error:
        return {}, [f"no thumbnails: {error}; give the folder of the images with --root"]
    return {image.id: image for image in data.images if image.id in measured}, []
