"""The page of one run: numbers beside chance, curves, confusions, reliability, and the pictures that went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from zsprompt import metrics
from zsprompt._utils.files import to_json
from zsprompt._utils.progress import Progress
from zsprompt._utils.text import counted
from zsprompt.data.images import ImageRef
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.thresholds import calibrated_out_of_fold
from zsprompt.report.drawing import Figure
from zsprompt.report.figures import run_figures
from zsprompt.report.gallery import run_gallery
from zsprompt.report.mistakes import most_mistaken
from zsprompt.report.page import Card, Fold, Page, Report, Section, Table, fact, strategy_name
from zsprompt.report.terminal import printable, result_table, short
from zsprompt.strategies.calibration import Method

_FOLDS = 5


def run_report(result: Result, pictures: Mapping[str, ImageRef], progress: Progress, notes: Sequence[str]) -> Report:
    """The page of one run.

    Args:
        result: the run.
        pictures: where its pictures are found by their ids, as far as they are.
        progress: where progress is shown.
        notes: what a reader should know besides the result's own warnings.
    """
    figures = run_figures(result, _reliabilities(result))
    by_name = {figure.name: figure for figure in figures}
    gallery = run_gallery(result, pictures, progress)
    sections = [
        Section("labels", "Labels", figures=[by_name["average-precision"]], tables=[_label_table(result)]),
        Section("curves", "Precision and recall", figures=[by_name["precision-recall"]]),
        Section(
            "confusions",
            "Which label is taken for which",
            figures=[by_name["confusions"]],
            tables=[_confusion_table(result)],
        ),
        Section("scores", "Scores", figures=[by_name["scores"]]),
        *_reliability_section(result, by_name),
        Section(
            "gallery",
            "Mistakes and misses",
            texts=[
                "The most confident mistakes (said, though not there) and the worst misses (there, though not said) of "
                "each label, twelve of each at most."
            ],
            gallery=gallery,
        ),
        Section("recipe", "Recipe", tables=[_recipe_table(result)], folded=[_everything(result)]),
    ]
    recipe = result.recipe
    page = Page(
        title=f"{strategy_name(recipe)} on {recipe['dataset']} {recipe['split']}",
        subtitle=f"{counted(len(result.images), 'picture')}, {counted(len(result.labels), 'label')}, model "
        f"{recipe['model']}, {recipe.get('supervision', 'not declared')}",
        cards=_headline_cards(result),
        notes=[*result.warnings, *notes],
        sections=sections,
    )
    return Report(page, figures, result_table(result), result.to_dict())


def _reliabilities(result: Result) -> list[tuple[str, metrics.Reliability]]:
    """Curves to draw: the strategy's own probabilities where it gave some, and calibrated ones, out of fold."""
    own = [("as given", result.reliability)] if result.reliability else []
    if len(result.images) < _FOLDS or not (result.targets == 1).any():
        return own
    methods: tuple[tuple[str, Method], ...] = (("Platt", "platt"), ("isotonic", "isotonic"))
    fitted = [(name, calibrated_out_of_fold(result, method, folds=_FOLDS)) for name, method in methods]
    return [*own, *((f"{name}, out of fold", metrics.reliability(p, result.targets)) for name, p in fitted)]


def _reliability_section(result: Result, figures: Mapping[str, Figure]) -> list[Section]:
    if "reliability" not in figures:
        return []
    text = (
        "Scores are no probabilities. Calibrated on four fifths of the pictures and judged on the fifth, they become "
        "some; zsprompt thresholds --calibrate makes the curves for use. Most labels are absent from most pictures, "
        "so most of the mass, and of the small error, lies near 0."
    )
    return [Section("reliability", "Reliability", texts=[text], figures=[figures["reliability"]])]


def _headline_cards(result: Result) -> list[Card]:
    low, high = map(short, result.mAP_interval)
    f1, best = result.f1, result.best
    return [
        Card("mAP", short(result.mAP), (f"95 % interval {low} to {high}", f"chance {short(result.chance)}")),
        Card(
            "seed_mAP, on the decisions",
            short(result.seed_mAP),
            (f"predicting nothing scores {short(result.seed_mAP_nothing)}",),
        ),
        Card("sample F1", short(f1.sample), (f"micro {short(f1.micro)}, macro {short(f1.macro)}",)),
        Card(
            "CF1, OF1",
            f"{short(f1.overall.CF1)}, {short(f1.overall.OF1)}",
            (
                f"precision {short(f1.overall.CP)} a class, {short(f1.overall.OP)} overall",
                f"recall {short(f1.overall.CR)} a class, {short(f1.overall.OR)} overall",
            ),
        ),
        *(
            Card(
                f"F1@{k}",
                short(top.f1),
                (
                    f"at most {short(top.ceiling)} here",
                    f"{short(top.passing)} of those decided, at most {short(top.passing_ceiling)}",
                ),
            )
            for k, top in best.items()
        ),
        Card("Hit@1", short(result.hit_at_one), ("it flatters: one of several labels is enough",)),
        Card(
            "interpolated mAP",
            short(metrics.mean_over_labels(result.eleven_point)),
            (f"11-point; all-point {short(metrics.mean_over_labels(result.all_point))}",),
        ),
    ]


def _label_table(result: Result) -> Table:
    f1, chance = result.f1, metrics.prevalence(result.targets)
    rows = [
        [
            printable(result.labels[c]),
            short(result.ap[c]),
            f"{short(result.ap_interval[c, 0])} to {short(result.ap_interval[c, 1])}",
            short(chance[c]),
            f"{result.positives[c]:,}",
            *(short(values[c]) for values in (f1.precision, f1.recall, f1.f1)),
            *(short(values[c]) for values in (result.eleven_point, result.all_point)),
        ]
        for c in np.argsort(np.nan_to_num(-result.ap, nan=1.0), kind="stable")
    ]
    header = [
        "label",
        "AP",
        "95 % interval",
        "chance",
        "positives",
        "precision",
        "recall",
        "F1",
        "11-point",
        "all-point",
    ]
    return Table("Labels, the best first, in percent", header, rows)


def _confusion_table(result: Result) -> Table:
    rows = [
        [printable(there), printable(said), f"{100 * share:.0f}", f"{pictures:,}"]
        for there, said, share, pictures in most_mistaken(result)
    ]
    header = ["on the picture", "said, though not there", "% of these pictures", "pictures"]
    return Table("The most frequent mistakes", header, rows, words=2)


def _recipe_table(result: Result) -> Table:
    facts = {**result.recipe, "seconds": f"{result.seconds:.1f}", **result.counts}
    return Table("What it was made with", ["what", "value"], [fact(key, facts[key]) for key in facts], words=2)


def _everything(result: Result) -> Fold:
    return Fold("Everything measured, as in result.json", to_json(result.to_dict()))
