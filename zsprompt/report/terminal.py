"""Results as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt._utils.text import counted
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.result import Result
from zsprompt.metrics import mean_over_labels
from zsprompt.strategies.thresholds import Thresholds

_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def result_table(result: Result, *, blocks: bool = True, interpolated: bool = False) -> str:
    """A run for a terminal: one line a label, the best AP first with a bar, headline numbers last, in percent.

    Args:
        result: what to show.
        blocks: draw bars with block characters; with "#" where the terminal has none.
        interpolated: also VOC's two interpolated mAPs.
    """
    width = max(len("label"), *(len(printable(label)) for label in result.labels))
    lines = [f"{'label':{width}}     AP  {'':{_BAR}}  positives  precision  recall     F1"]
    for c in np.argsort(np.nan_to_num(-result.ap, nan=1.0), kind="stable"):
        f1, drawn = result.f1, bar(result.ap[c], _BAR, blocks=blocks)
        measured = f"{100 * f1.precision[c]:9.1f}  {100 * f1.recall[c]:6.1f}  {100 * f1.f1[c]:5.1f}"
        label = f"{printable(result.labels[c]):{width}}"
        lines.append(f"{label}  {percent(result.ap[c])}  {drawn}  {result.positives[c]:9d}  {measured}")
    return "\n".join([*lines, "", *_headline(result, interpolated)])


def bar(share: float, width: int, *, blocks: bool = True) -> str:
    """`share`, 0..1 or NaN, as a bar in `width` columns."""
    share = 0.0 if np.isnan(share) else min(1.0, max(0.0, share))
    if not blocks:
        return f"{'#' * round(share * width):{width}}"
    full, rest = divmod(round(share * width * 8), 8)
    return f"{_EIGHTHS[-1] * full + (_EIGHTHS[rest] if rest else ''):{width}}"


def _headline(result: Result, interpolated: bool) -> Iterator[str]:
    low, high = map(short, result.mAP_interval)
    f1, best, counts, recipe = result.f1, result.best[3], result.counts, result.recipe
    yield f"mAP        {percent(result.mAP)}   95 % interval {low} to {high}; chance {short(result.chance)}"
    if interpolated:
        eleven, every = mean_over_labels(result.eleven_point), mean_over_labels(result.all_point)
        yield f"11-point   {percent(eleven)}   VOC2007's interpolated mAP; VOC2010's all-point {short(every)}"
    nothing = short(result.seed_mAP_nothing)
    yield f"seed_mAP   {percent(result.seed_mAP)}   on the yes-or-no decisions; predicting nothing scores {nothing}"
    yield f"sample F1  {percent(f1.sample)}   micro {short(f1.micro)}, macro {short(f1.macro)}"
    yield f"F1@3       {percent(best.f1)}   of at most {short(best.ceiling)}: pictures do not have three labels each"
    yield (
        f"{counted(len(result.images), 'picture')} of {recipe['dataset']} {recipe['split']} "
        f"(difficult: {recipe['difficult']}), {counted(len(result.labels), 'label')}, model {recipe['model']}"
    )
    yield (
        f"encoded {counted(counts['images_encoded'], 'picture')} and {counted(counts['texts_encoded'], 'text')}, "
        f"found {counts['images_cached']:,} and {counts['texts_cached']:,} in the cache; {result.seconds:.1f} s"
    )


def thresholds_table(found: Thresholds, *, blocks: bool = True) -> str:
    """Thresholds for a terminal: one line a label, then how good they are on pictures they were not chosen on."""
    width = max(len("label"), *(len(printable(label)) for label in found.labels))
    reached = found.measured.get("per_label", {})
    positives = found.made_on.get("positives", {})
    lines = [f"{'label':{width}}  threshold" + ("  positives  precision  recall     F1" if reached else "")]
    for label, value in zip(found.labels, found.values, strict=True):
        line = f"{printable(label):{width}}  {'never' if np.isnan(value) else f'{value:.4g}':>9}"
        if own := reached.get(label):
            numbers = f"{100 * own['precision']:9.1f}  {100 * own['recall']:6.1f}  {100 * own['f1']:5.1f}"
            line += f"  {positives[label]:9d}  {numbers}  {bar(own['f1'], _BAR, blocks=blocks)}".rstrip()
        lines.append(line)
    return "\n".join([*lines, "", *_reached(found)])


def _reached(found: Thresholds) -> Iterator[str]:
    yield f"{found.rule}; chosen on {counted(found.made_on['images'], 'picture')}"
    if not found.tuned:
        return
    for name, key in (("these, out of fold", "out_of_fold"), ("the strategy's own", "own")):
        f1 = found.measured[key]
        yield (
            f"{name:18}  micro F1 {percent(f1['micro_f1'])}  macro {percent(f1['macro_f1'])}  "
            f"sample {percent(f1['sample_f1'])}  precision {percent(f1['OP'])}  recall {percent(f1['OR'])}"
        )
    if "calibration_error" in found.measured:
        yield f"expected calibration error {short(found.measured['calibration_error'])}, out of fold"
    yield f"out of fold: each of {found.measured['folds']} parts of the pictures judged by what the others choose"


def predictions_table(predictions: Predictions) -> Iterable[str]:
    """A line a picture: its name and the labels decided on, best first, with score or probability; – for none."""
    width = min(60, max((len(printable(image)) for image in predictions.images), default=0))
    for n, image in enumerate(predictions.images):
        present = ", ".join(
            f"{printable(label)} {_said(predictions, n, label, score)}" for label, score in predictions.present(n)
        )
        yield f"{printable(image):{width}}  {present or '–'}"


def _said(predictions: Predictions, n: int, label: str, score: float) -> str:
    if predictions.probabilities is None:
        return f"{score:#.3g}"
    return f"{100 * predictions.probabilities[n, predictions.labels.index(label)]:.0f} %"


def predictions_dict(predictions: Predictions, recipe: dict[str, Any]) -> dict[str, Any]:
    """What `zsprompt predict --json` prints."""
    rows = [
        {
            "image": image,
            "labels": [label for label, _ in predictions.present(n)],
            "scores": _by_label(predictions, predictions.scores[n]),
            **_probabilities(predictions, n),
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


def _probabilities(predictions: Predictions, n: int) -> dict[str, dict[str, float]]:
    given = predictions.probabilities
    return {} if given is None else {"probabilities": _by_label(predictions, given[n])}


def _by_label(predictions: Predictions, row: Floats) -> dict[str, float]:
    return dict(zip(predictions.labels, map(float, row), strict=True))


def printable(name: str) -> str:
    """A file name on one line of a terminal: control characters and bytes that are no text shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in name)


def short(value: float) -> str:
    """`value`, 0..1, in percent; – for NaN."""
    return "–" if np.isnan(value) else f"{100 * value:.1f}"


def percent(value: float) -> str:
    """`short` in five columns."""
    return f"{short(value):>5}"
