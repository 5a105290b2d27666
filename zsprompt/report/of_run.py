"""The page of one run: measures, curves, confusions, reliability, false positives and false negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zsprompt import metrics
from zsprompt._utils.files import to_json
from zsprompt._utils.progress import Progress
from zsprompt._utils.text import counted
from zsprompt.data.images import ImageRef
from zsprompt.evaluation.measures import LABEL_MEASURES, Place, numbers, shown_in, texts
from zsprompt.evaluation.reference_words import comparison_text
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.thresholds import calibrated_out_of_fold
from zsprompt.report.charts import Figure
from zsprompt.report.figures import run_figures
from zsprompt.report.gallery import OUTLINE, run_gallery
from zsprompt.report.mistakes import most_mistaken
from zsprompt.report.page import Card, Fold, Page, Report, Section, Table, fact, strategy_name
from zsprompt.report.terminal import best_first, printable, range_text, result_table
from zsprompt.strategies.calibration import Method

_FOLDS = 5


def run_report(result: Result, images: Mapping[str, ImageRef], progress: Progress, notes: Sequence[str]) -> Report:
    """The page of one run.

    Args:
        result: the run.
        images: its images by id, as far as they exist.
        progress: shows progress.
        notes: remarks on the images.
    """
    figures = run_figures(result, _reliabilities(result))
    by_name = {figure.name: figure for figure in figures}
    gallery = run_gallery(result, images, progress)
    sections = [
        Section(
            "labels",
            "Labels",
            texts=[f"{text[0].upper()}{text[1:]}." for text in comparison_text(result.recipe, len(result.labels))],
            figures=[by_name["average-precision"]],
            tables=[_label_table(result)],
        ),
        Section("curves", "Precision and recall", figures=[by_name["precision-recall"]]),
        _confusion_section(result, by_name["confusions"]),
        Section("scores", "Scores", figures=[by_name["scores"]]),
        *_reliability_section(result, by_name),
        Section(
            "gallery",
            "False positives and false negatives",
            texts=[
                "For each label, up to twelve false positives with the highest scores and up to twelve false negatives "
                "with the lowest.",
                *([] if result.prediction.windows is None else [OUTLINE]),
            ],
            notes=notes,
            gallery=gallery,
        ),
        Section("provenance", "Provenance", tables=[_provenance_table(result)], folded=[_everything(result)]),
    ]
    recipe = result.recipe
    page = Page(
        title=f"{strategy_name(recipe)} on {recipe['dataset']} {recipe['split']}",
        subtitle=f"{counted(len(result.images), 'image')}, {counted(len(result.labels), 'label')}, model "
        f"{recipe['model']}, supervision: {recipe.get('supervision', 'not declared')}",
        cards=_cards(result, "headline"),
        more=_cards(result, "page"),
        notes=result.remarks,
        sections=sections,
    )
    return Report(page, figures, result_table(result), result.to_dict())


def _reliabilities(result: Result) -> list[tuple[str, metrics.Reliability]]:
    """Named curves: probabilities of the strategy, if any, and calibrated ones, out of fold."""
    given = [("as given", result.reliability)] if result.reliability else []
    if len(result.images) < _FOLDS or not (result.targets == 1).any():
        return given
    methods: tuple[tuple[str, Method], ...] = (("Platt", "platt"), ("isotonic", "isotonic"))
    fitted = [(name, calibrated_out_of_fold(result, method, folds=_FOLDS)) for name, method in methods]
    return [*given, *((f"{name}, out of fold", metrics.reliability(p, result.targets)) for name, p in fitted)]


def _reliability_section(result: Result, figures: Mapping[str, Figure]) -> list[Section]:
    if "reliability" not in figures:
        return []
    text = (
        "Scores are not probabilities. Calibration turns them into probabilities: it is fitted on four fifths of the "
        "images and measured on the other fifth. To write the curves to a file, run zsprompt thresholds with "
        "--rule per-label,calibrate=platt. Most labels are absent from most images, so most probabilities are near 0, "
        "where the error is small."
    )
    return [Section("reliability", "Reliability", texts=[text], figures=[figures["reliability"]])]


def _cards(result: Result, place: Place) -> list[Card]:
    shown = texts(numbers(result))
    measures = [measure for measure in shown_in(place) if measure.key in shown]
    return [Card(measure.title, shown[measure.key], measure.remarks(shown)) for measure in measures]


def _label_table(result: Result) -> Table:
    header: list[str] = ["label"]
    columns: list[list[str]] = [[printable(label) for label in result.labels]]
    for measure in LABEL_MEASURES:
        if "page" in measure.shown:
            header.append(measure.title)
            columns.append([measure.text(value) for value in measure.of(result)])
            if measure.interval:
                header.append("95 % interval")
                columns.append([range_text(low, high) for low, high in measure.interval(result)])
    rows = list(zip(*columns, strict=True))
    return Table("Labels, the highest AP first, in percent", header, [rows[c] for c in best_first(result)])


def _confusion_section(result: Result, figure: Figure) -> Section:
    table = _confusion_table(result)
    if not table.rows:
        return Section("confusions", "Confusions", ["No label is a false positive on images with another label."])
    return Section("confusions", "Confusions", figures=[figure], tables=[table])


def _confusion_table(result: Result) -> Table:
    rows = [
        [printable(present), printable(wrong), f"{100 * share:.0f}", f"{images:,}"]
        for present, wrong, share, images in most_mistaken(result)
    ]
    header = ["true label", "false positive", "% of these images", "images"]
    return Table("The most frequent confusions", header, rows, words=2)


def _provenance_table(result: Result) -> Table:
    facts = {**result.recipe, "seconds": f"{result.seconds:.1f}", **result.counts}
    return Table("Provenance of the run", ["field", "value"], [fact(key, facts[key]) for key in facts], words=2)


def _everything(result: Result) -> Fold:
    return Fold("All measures, as in result.json", to_json(result.to_dict()))
