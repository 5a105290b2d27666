"""What `zsprompt train` shows of a finished training run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from zsprompt.cli.session import note

if TYPE_CHECKING:
    from zsprompt.adapters.training import Course
    from zsprompt.data import Dataset
    from zsprompt.store import EmbeddingStore


def show_course(course: Course, out: Path, measured: dict[str, Any], json: bool) -> None:
    """Print the summary of a training run, or its JSON, and where its adapter is."""
    from zsprompt._utils.files import to_json

    typer.echo(to_json(course.to_dict() | measured) if json else _summary(course, measured))
    note(f"wrote the adapter to {out}; use it with --strategy adapter:{out}")


def measured(course: Course, test: Dataset | None, store: EmbeddingStore, device: str) -> dict[str, Any]:
    """The measures of the adapter on `test`; empty without it. Prints the warnings of its result."""
    if test is None:
        return {}
    from zsprompt.evaluation.run import run
    from zsprompt.strategies import on_device, strategy_of

    result = run(on_device(strategy_of(course.trained), device), test, store)
    for warning in result.warnings:
        note(warning)
    low, high = result.mAP_interval
    return {"test": {"split": test.split, "mAP": result.mAP, "mAP_interval": [low, high], "micro_f1": result.f1.micro}}


def _summary(course: Course, measured: dict[str, Any]) -> str:
    facts = course.trained.facts
    data, reached = facts["data"], facts["metrics"]["validation_mAP"]
    of = f" of {teacher}" if (teacher := facts["recipe"].get("strategy")) else ""
    lines = [f"{facts['recipe']['adapter']}{of}: {data['images']:,} images of {data['dataset']} {data['split']}"]
    lines[0] += f", {len(course.trained.labels)} labels, model {course.trained.model}"
    if course.best:
        lines.append(
            f"epoch {course.best} of {len(course.history)} kept, loss {course.history[course.best - 1].loss:.4g}"
        )
    if reached is not None:
        lines.append(
            f"validation mAP  {100 * reached:.1f}   on {data['validation_images']:,} images, which chose the epoch"
        )
    if test := measured.get("test"):
        low, high = (100 * value for value in test["mAP_interval"])
        lines.append(
            f"test mAP        {100 * test['mAP']:.1f}   95 % interval {low:.1f} to {high:.1f}, {test['split']}"
        )
    return "\n".join(lines)
