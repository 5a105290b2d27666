"""The plot of a training run."""

from __future__ import annotations

from pathlib import Path

from zsprompt._utils.arguments import checked
from zsprompt._utils.files import whole_file
from zsprompt.adapters.registry import name_of
from zsprompt.adapters.training import Course
from zsprompt.report.drawing import svg
from zsprompt.report.figures import training_curve

CURVE = "training.svg"


@checked
def save_training_curve(course: Course, folder: Path | str) -> Path | None:
    """Plot loss and validation mAP by epoch into `folder`. Returns the file; None for an adapter without epochs.

    Raises:
        OutputError: the file cannot be written.
    """
    if not course.history:
        return None
    facts = course.trained.facts
    title = f"{name_of(course.trained.kind)} on {facts['data']['dataset']}, {course.trained.model}"
    path = Path(folder) / CURVE
    with whole_file(path) as file:
        file.write(svg(training_curve(course.history, course.best, facts["recipe"]["loss"], title).chart))
    return path
