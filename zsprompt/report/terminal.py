"""Results as terminal output."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Sequence
from io import StringIO
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt._utils.text import counted
from zsprompt.evaluation.compare import Comparison
from zsprompt.evaluation.measures import LABEL_MEASURES, number_text, numbers, shown_in, texts
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.provenance import made_up, never_seen
from zsprompt.evaluation.reference_words import comparison_text
from zsprompt.evaluation.result import Result
from zsprompt.strategies.thresholds import Thresholds

_BAR = 10
_UNBOUNDED = 100_000  # columns: wider than any table
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Container[int] = (0,), width: int = 0
) -> str:
    """Cells in aligned columns, without lines and colours, so that they can be copied.

    Args:
        header: one name per column, of one or more lines; empty for no header.
        rows: one cell per column each.
        left: positions of the columns that are aligned left; the others are aligned right.
        width: wrap the last column to fit this width; 0 does not wrap.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = len(header) or max(map(len, rows), default=0)
    table = Table(box=None, pad_edge=False, show_header=bool(header))
    for c in range(columns):
        name, wraps = header[c] if header else "", bool(width) and c == columns - 1
        table.add_column(Text(name), justify="left" if c in left else "right", no_wrap=not wraps, overflow="fold")
    for cells in rows:
        table.add_row(*map(Text, cells))
    written = StringIO()
    Console(file=written, width=width or _UNBOUNDED, color_system=None, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def result_table(result: Result, *, blocks: bool = True, interpolated: bool = False) -> str:
    """A run for a terminal, in percent: one line per label, the highest AP first, then the headline measures.

    Args:
        result: the run.
        blocks: draw bars with block characters, else with "#".
        interpolated: show VOC's two interpolated mAPs too.
    """
    first, *others = [(measure, measure.of(result)) for measure in LABEL_MEASURES if "terminal" in measure.shown]
    header = ["label", first[0].title, "", *(measure.title for measure, _ in others)]
    rows = [
        [
            printable(result.labels[c]),
            first[0].text(first[1][c]),
            bar(float(result.ap[c]), _BAR, blocks=blocks),
            *(measure.text(values[c]) for measure, values in others),
        ]
        for c in best_first(result)
    ]
    return "\n".join([text_table(header, rows, left=(0, 2)), "", *_headline(result, interpolated)])


def best_first(result: Result) -> list[int]:
    """Positions of the labels by falling AP, labels without AP last."""
    return [int(c) for c in np.argsort(np.nan_to_num(-result.ap, nan=1.0), kind="stable")]


def by_change(comparison: Comparison) -> list[int]:
    """Positions of the labels, the largest change first."""
    sizes = np.abs(np.array([change.value for change in comparison.ap]))
    return [int(c) for c in np.argsort(np.nan_to_num(-sizes, nan=1.0), kind="stable")]


def bar(share: float, width: int, *, blocks: bool = True) -> str:
    """`share`, 0..1 or NaN, as a bar in `width` columns."""
    share = 0.0 if np.isnan(share) else min(1.0, max(0.0, share))
    if not blocks:
        return f"{'#' * round(share * width):{width}}"
    full, rest = divmod(round(share * width * 8), 8)
    return f"{_EIGHTHS[-1] * full + (_EIGHTHS[rest] if rest else ''):{width}}"


def _headline(result: Result, interpolated: bool) -> Iterator[str]:
    counts, recipe, shown = result.counts, result.recipe, texts(numbers(result))
    measures = shown_in("terminal", "interpolated") if interpolated else shown_in("terminal")
    width = max(len(measure.title) for measure in measures)
    for measure in measures:
        if measure.key in shown:
            yield f"{measure.title:{width}}  {shown[measure.key]:>5}   {'; '.join(measure.remarks(shown))}".rstrip()
    yield (
        f"{counted(len(result.images), 'image')} of {recipe['dataset']} {recipe['split']} "
        f"(difficult: {recipe['difficult']}), {counted(len(result.labels), 'label')}, model {recipe['model']}"
    )
    yield from comparison_text(recipe, len(result.labels))
    yield (
        f"encoded {counted(counts['images_encoded'], 'image')} and {counted(counts['texts_encoded'], 'text')}, "
        f"found {counts['images_cached']:,} and {counts['texts_cached']:,} in the cache; {result.seconds:.1f} s"
    )


def thresholds_table(thresholds: Thresholds, *, blocks: bool = True) -> str:
    """Thresholds for a terminal: one line per label, then their out-of-fold measures."""
    labels, positives = thresholds.labels, thresholds.made_on.get("positives", {})
    per_label = thresholds.measured.get("per_label", {})
    measured = {label: {"positives": positives[label], **values} for label, values in per_label.items()}
    shown = [measure for measure in LABEL_MEASURES if any(measure.key in values for values in measured.values())]
    rows = [[printable(label), _threshold(value)] for label, value in zip(labels, thresholds.values, strict=True)]
    for row, label in zip(rows, labels, strict=True):
        if label in measured:
            row += [measure.text(measured[label][measure.key]) for measure in shown]
            row += [bar(measured[label]["f1"], _BAR, blocks=blocks)]
    header = ["label", "threshold", *(measure.title for measure in shown), *([""] if shown else [])]
    return "\n".join([text_table(header, rows, left=(0, 2 + len(shown))), "", *_out_of_fold(thresholds)])


def _threshold(value: float) -> str:
    return "never" if np.isnan(value) else f"{value:.4g}"


_MEASURED = {
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "sample_f1": "sample F1",
    "OP": "precision",
    "OR": "recall",
}


def _out_of_fold(thresholds: Thresholds) -> Iterator[str]:
    measured = thresholds.measured
    yield f"{thresholds.rule}; chosen on {counted(thresholds.made_on['images'], 'image')}"
    if not thresholds.tuned:
        return
    named = (("these thresholds, out of fold", "out_of_fold"), ("decisions of the strategy", "own"))
    rows = [[name, *(short(measured[key][measure]) for measure in _MEASURED)] for name, key in named]
    yield text_table(["", *_MEASURED.values()], rows)
    if "calibration_error" in measured:
        yield f"expected calibration error {short(measured['calibration_error'])}, out of fold"
    yield f"out of fold: each of {measured['folds']} folds is measured with thresholds from the other folds"


def predictions_table(predictions: Predictions) -> Iterable[str]:
    """One line per image: its name and the predicted labels with scores or probabilities; – for none."""
    width = min(60, max((len(printable(image)) for image in predictions.images), default=0))
    for n, image in enumerate(predictions.images):
        present = ", ".join(
            f"{printable(label)} {confidence_text(predictions, n, label, score)}"
            for label, score in predictions.present(n)
        )
        yield f"{printable(image):{width}}  {present or '–'}"


def confidence_text(predictions: Predictions, n: int, label: str, score: float) -> str:
    """The probability of a label on image `n` in percent, or its score where there are no probabilities.

    A score that is the logarithm of a posterior is given as the posterior.
    """
    if predictions.probabilities is None:
        return f"{math.exp(score):.2g}" if predictions.scores_logs else f"{score:#.3g}"
    return f"{100 * predictions.probabilities[n, predictions.labels.index(label)]:.0f} %"


def predictions_dict(predictions: Predictions, recipe: dict[str, Any], warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The output of `zsprompt predict --json`.

    Args:
        predictions: scores and decisions.
        recipe: their provenance.
        warnings: what the numbers do not tell, one sentence each; those of the predictions are added.
    """
    own = (*never_seen(recipe["model"], predictions.unfamiliar), *made_up(predictions.worded))
    rows = [
        {
            "image": image,
            "labels": [label for label, _ in predictions.present(n)],
            "scores": _by_label(predictions, predictions.scores[n]),
            **_probabilities(predictions, n),
            **_boxes(predictions, n),
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
        "warnings": [*warnings, *own],
        "recipe": recipe,
    }


def _probabilities(predictions: Predictions, n: int) -> dict[str, dict[str, float]]:
    given = predictions.probabilities
    return {} if given is None else {"probabilities": _by_label(predictions, given[n])}


def _boxes(predictions: Predictions, n: int) -> dict[str, dict[str, list[float]]]:
    """The window of each predicted label, with 4 digits: a place is wider than a hundredth of an image."""
    if predictions.windows is None:
        return {}
    boxes = predictions.boxes(n)
    return {"boxes": {label: [round(share, 4) for share in boxes[label]] for label, _ in predictions.present(n)}}


def _by_label(predictions: Predictions, row: Floats) -> dict[str, float]:
    return dict(zip(predictions.labels, map(float, row), strict=True))


def printable(name: str) -> str:
    """A name on one line of a terminal, with escapes for control characters and bytes that are no text."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def short(value: float) -> str:
    """`value`, 0..1, as text in percent; – for NaN."""
    return number_text(value)


def range_text(low: float, high: float) -> str:
    """An interval, 0..1, as text in percent; – where it has no ends."""
    return short(np.nan) if np.isnan([low, high]).any() else f"{short(low)} to {short(high)}"


def points(value: float) -> str:
    """A change of a number 0..1, as text in points with its sign; – for NaN."""
    if np.isnan(value):
        return "–"
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text
