"""Results as people and programs read them: tables for a terminal, CSV and JSON files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt.evaluate import Result
from zsprompt.files import remove, require_folder, whole_file
from zsprompt.grammar import counted
from zsprompt.metrics import mean_over_labels
from zsprompt.prediction import Predictions

SEPARATOR = "|"
"""Between label names in one cell of a CSV file."""


def result_table(result: Result) -> str:
    """A run for a terminal: one line a label, the best AP first, headline numbers last, in percent."""
    width = max(len("label"), *(len(label) for label in result.labels))
    positives = (result.targets == 1).sum(axis=0)
    lines = [f"{'label':{width}}     AP  positives  precision  recall     F1"]
    for c in np.argsort(np.nan_to_num(-result.ap, nan=1.0), kind="stable"):
        f1 = result.f1
        measured = f"{100 * f1.precision[c]:9.1f}  {100 * f1.recall[c]:6.1f}  {100 * f1.f1[c]:5.1f}"
        lines.append(f"{result.labels[c]:{width}}  {_percent(result.ap[c])}  {positives[c]:9d}  {measured}")
    return "\n".join([*lines, "", *_headline(result)])


def _headline(result: Result) -> Iterable[str]:
    low, high = map(_short, result.mAP_interval)
    f1, counts, recipe = result.f1, result.counts, result.recipe
    yield f"mAP        {_percent(result.mAP)}   95 % interval {low} to {high}; chance {_short(result.chance)}"
    if result.eleven_point is not None:
        interpolated = mean_over_labels(result.eleven_point)
        yield f"11-point   {_percent(interpolated)}   VOC2007's interpolated mAP"
    nothing = _short(result.seed_mAP_nothing)
    yield f"seed_mAP   {_percent(result.seed_mAP)}   on the yes-or-no decisions; predicting nothing scores {nothing}"
    yield f"sample F1  {_percent(f1.sample)}   micro {_short(f1.micro)}, macro {_short(f1.macro)}"
    yield (
        f"{counted(len(result.images), 'picture')} of {recipe['dataset']} {recipe['split']} "
        f"(difficult: {recipe['difficult']}), {counted(len(result.labels), 'label')}, model {recipe['model']}"
    )
    yield (
        f"encoded {counted(counts['images_encoded'], 'picture')} and {counted(counts['texts_encoded'], 'text')}, "
        f"found {counts['images_cached']:,} and {counts['texts_cached']:,} in the cache; {result.seconds:.1f} s"
    )


def save_result(result: Result, folder: Path) -> None:
    """Write scores.csv, per_class.csv and, last, result.json: a folder with a result.json is complete.

    Raises:
        OutputError: the folder cannot be written, or the disk is full.
    """
    require_folder(folder)
    remove(folder / "result.json")
    _write_scores(result, folder / "scores.csv")
    with whole_file(folder / "per_class.csv") as file:
        result.per_class().to_csv(file, lineterminator="\n")
    with whole_file(folder / "result.json") as file:
        file.write(to_json(result.to_dict()) + "\n")


def to_json(value: dict[str, Any]) -> str:
    """`value` as strict, indented JSON in ASCII."""
    return json.dumps(value, indent=2, allow_nan=False)


def _write_scores(result: Result, path: Path) -> None:
    decisions, scores, targets = result.prediction.decisions, result.prediction.scores, result.targets
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "labels", "true", "left_out", *result.labels])
        for n, image in enumerate(result.images):
            cells = (_joined(result.labels, mask) for mask in (decisions[n], targets[n] == 1, targets[n] == -1))
            writer.writerow([image, *cells, *map(_exact, scores[n])])


def save_predictions(parts: Iterable[Predictions], labels: Sequence[str], path: Path) -> None:
    """Write one row a picture: image, labels decided on (joined by "|"), error, then the score of every label.

    Parts are written as they come. Pictures that could not be read stand at the end, with the reason under `error` and
    no scores.

    Raises:
        OutputError: the file cannot be written, or the disk is full.
    """
    bad: list[tuple[str, str]] = []
    with whole_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "labels", "error", *labels])
        for part in parts:
            for n, image in enumerate(part.images):
                present = SEPARATOR.join(label for label, _ in part.present(n))
                writer.writerow([image, present, "", *map(_exact, part.scores[n])])
            bad += part.bad
        blanks = [""] * len(labels)
        for image, reason in bad:
            writer.writerow([image, "", reason, *blanks])


def predictions_table(predictions: Predictions) -> Iterable[str]:
    """A line a picture: its name and the labels decided on with their scores, best first; – for none."""
    width = min(60, max((len(printable(image)) for image in predictions.images), default=0))
    for n, image in enumerate(predictions.images):
        present = ", ".join(f"{printable(label)} {score:#.3g}" for label, score in predictions.present(n))
        yield f"{printable(image):{width}}  {present or '–'}"


def predictions_dict(predictions: Predictions, recipe: dict[str, Any]) -> dict[str, Any]:
    """What `zsprompt predict --json` prints."""
    rows = [
        {
            "image": image,
            "labels": [label for label, _ in predictions.present(n)],
            "scores": dict(zip(predictions.labels, map(float, predictions.scores[n]), strict=True)),
        }
        for n, image in enumerate(predictions.images)
    ]
    errors = [{"image": image, "error": reason} for image, reason in predictions.bad]
    return {
        "predictions": rows,
        "errors": errors,
        "overflowed": predictions.overflowed,
        **({"captions": dict(predictions.worded)} if predictions.worded else {}),
        "unfamiliar_words": list(predictions.unfamiliar),
        "recipe": recipe,
    }


def printable(name: str) -> str:
    """A file name on one line of a terminal: control characters and bytes that are no text shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def _joined(labels: tuple[str, ...], mask: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    return SEPARATOR.join(label for label, yes in zip(labels, mask, strict=True) if yes)


def _exact(score: np.float32) -> str:
    return np.format_float_positional(score, unique=True, trim="-")  # reads back as the same float32


def _short(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def _percent(value: float) -> str:
    return f"{_short(value):>5}"
