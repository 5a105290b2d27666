"""The plot of a training run."""

from __future__ import annotations

from pathlib import Path

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.file_kinds import FileKind
from zsprompt._utils.outputs import write_text
from zsprompt.adapters.registry import name_of
from zsprompt.adapters.training import FILES as TRAINING_FILES
from zsprompt.adapters.training import Course
from zsprompt.report.drawing import svg
from zsprompt.report.figures import training_curve

CURVE = "training.svg"

FILES: dict[str, FileKind] = {**TRAINING_FILES, CURVE: file_kinds.FIGURE}
"""The files of a training run and its plot."""


@checked
def save_training_curve(course: Course, folder: Path | str, *, force: bool = False) -> Path | None:
    """Plot loss and validation mAP by epoch into `folder`. Returns the file; None for an adapter without epochs.

    Args:
        course: the training run.
        folder: its folder; an earlier plot in it is replaced.
        force: also replace a file of that name that zsprompt did not write.

    Raises:
        OutputError: another file has that name, or the file cannot be written.
    """
    if not course.history:
        return None
    facts = course.trained.facts
    title = f"{name_of(course.trained.kind)} on {facts['data']['dataset']}, {course.trained.model}"
    path = Path(folder) / CURVE
    figure = training_curve(course.history, course.best, facts["recipe"]["loss"], title)
    write_text(path, file_kinds.FIGURE, svg(figure.chart), force=force)
    return path
