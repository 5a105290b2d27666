"""Building reports: one HTML page and its figures from result folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.modules import is_object_path
from zsprompt._utils.outputs import Reads, check_folder, check_output, new_folder, reads_folder, write_text
from zsprompt._utils.progress import Progress, quiet
from zsprompt.data import load_dataset
from zsprompt.data.images import ImageRef
from zsprompt.data.inputs import reads_images
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

_RESULT_SUFFIXES = (".json", ".csv")


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
    force: bool = False,
) -> Built:
    """Make the page of one run, of one ablation, or of the changes from a first run to a second.

    Args:
        folders: one folder of a run or ablation, or two folders of runs.
        out: the page; by default report.html in the folder, or against-FIRST.html in the second folder.
        root: folder of the data set, if it has moved since the run.
        images: the images of a data set that has no name in the tables.
        progress: shows progress.
        force: also replace a page and figures that zsprompt did not write.

    Raises:
        ResultError: a folder is missing or damaged, or two results cannot be compared.
        OutputError: the page or a figure would replace another file, or cannot be written.
    """
    given = [Path(folder) for folder in ([folders] if isinstance(folders, Path | str) else folders)]
    if not 1 <= len(given) <= 2:
        raise UsageError(f"expected one folder, or two of runs to compare, found {len(given)}")
    out, root = None if out is None else Path(out), None if root is None else Path(root)
    if len(given) == 2:
        first, second = given
        out = out or second / f"against-{first.resolve().name}.html"
        comparison = compare(load_result(first), load_result(second))
        shown, warnings = _images(comparison.second, root, images)
        target = _Target(out, given, tuple(shown.values()), force)
        names = (str(first), str(second))
        return target.write(comparison_report(comparison, names, shown, progress, warnings), warnings)
    folder = given[0]
    out = out or folder / "report.html"
    if is_ablation(given):
        return _Target(out, given, (), force).write(ablation_report(folder))
    result = load_result(folder)
    shown, warnings = _images(result, root, images)
    target = _Target(out, given, tuple(shown.values()), force)
    return target.write(run_report(result, shown, progress, warnings), warnings)


def is_ablation(folders: Sequence[Path]) -> bool:
    """Whether a report of these folders is one of an ablation."""
    return len(folders) == 1 and (folders[0] / JSON).is_file()


@dataclass(frozen=True)
class _Target:
    """Where a report goes. Raises OutputError if the page cannot go there.

    Attributes:
        page: the page; its figures go into a folder next to it.
        folders: the result folders that are read.
        images: the images that are read.
        force: see `build_report`.
    """

    page: Path
    folders: Sequence[Path]
    images: Sequence[ImageRef]
    force: bool

    def __post_init__(self) -> None:
        check_output(self.page, file_kinds.PAGE, inputs=self._inputs(), force=self.force)

    def write(self, report: Report, warnings: Sequence[str] = ()) -> Built:
        """Write the page and its figures, or nothing if one of them would replace another file."""
        folder = self.page.parent / f"{self.page.stem}-figures"
        files = {f"{figure.name}.svg": svg(figure.chart) for figure in report.figures}
        kinds = dict.fromkeys(files, file_kinds.FIGURE)
        check_folder(folder, kinds, inputs=self._inputs(), force=self.force)
        with new_folder(folder):
            for name, text in files.items():
                write_text(folder / name, file_kinds.FIGURE, text, force=self.force)
        write_text(self.page, file_kinds.PAGE, render(report.page), force=self.force)
        return Built(self.page, folder, report.text, report.facts, warnings)

    def _inputs(self) -> list[Reads]:
        results = [reads_folder(folder, suffixes=_RESULT_SUFFIXES, except_for=()) for folder in self.folders]
        return [*results, reads_images(self.images)]


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
        if root is not None:
            raise
        return {}, [f"no thumbnails: {error}; give the folder of the images with --root"]
    return {image.id: image for image in data.images if image.id in measured}, []
