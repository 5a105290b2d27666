"""The table of measures: each number of a result with its name, its function and the places that show it.

To add a measure, write its function in zsprompt.metrics and add one line here. JSON, ablations, the terminal, pages
and reproductions iterate over the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zsprompt._utils.arrays import Doubles
from zsprompt.metrics import mean_over_labels, prevalence

if TYPE_CHECKING:
    from zsprompt.evaluation.result import Result

Place = Literal[
    "terminal", "interpolated", "headline", "page", "comparison", "ablation", "ablation table", "reproduction"
]
"""Where a measure is shown. JSON has all measures.

- terminal: a line in the output of `zsprompt run`.
- interpolated: the same, with --eleven-point only.
- headline: one of the three large cards on the page of a run.
- page: one of the other numbers there.
- comparison: its change, a card on the page of two runs.
- ablation: a column of ablation.csv.
- ablation table: a column of the printed tables.
- reproduction: a metric that the tables of reproductions may use, by its title.
"""

EVERYWHERE: tuple[Place, ...] = ("terminal", "page", "comparison", "ablation", "ablation table", "reproduction")
_TABLES: tuple[Place, ...] = ("ablation", "ablation table", "reproduction")


@dataclass(frozen=True)
class Measure:
    """One number of a result.

    Attributes:
        key: name in JSON and in ablation.csv.
        title: name for readers.
        of: computes the number; NaN where it is undefined, None where the result lacks it.
        shown: the places that show it.
        interval: computes its 95 % interval, KEY_interval in JSON.
        nothing: computes the score of predicting nothing, KEY_nothing in JSON.
        ceiling: computes the highest possible value on these targets, KEY_ceiling in JSON.
        notes: remarks next to the number; {KEY} stands for the text of another number.
        percent: whether the number, 0..1, is shown in percent.
        decimals: number of decimals shown.
    """

    key: str
    title: str
    of: Callable[[Result], float | None]
    shown: Sequence[Place] = ()
    interval: Callable[[Result], tuple[float, float]] | None = None
    nothing: Callable[[Result], float] | None = None
    ceiling: Callable[[Result], float] | None = None
    notes: Sequence[str] = ()
    percent: bool = True
    decimals: int = 1

    @property
    def keys(self) -> tuple[str, ...]:
        """Its key, and the keys of its baseline and ceiling."""
        nothing, ceiling = f"{self.key}_nothing", f"{self.key}_ceiling"
        return (self.key, *([nothing] if self.nothing else []), *([ceiling] if self.ceiling else []))

    def numbers(self, result: Result) -> dict[str, Any]:
        """Its numbers by key, as in JSON; empty where the result lacks the measure."""
        value = self.of(result)
        if value is None:
            return {}
        interval = {f"{self.key}_interval": list(map(number, self.interval(result)))} if self.interval else {}
        bounds = [number(of(result)) for of in (self.nothing, self.ceiling) if of]
        return {self.key: number(value), **interval, **dict(zip(self.keys[1:], bounds, strict=True))}

    def text(self, value: float | None) -> str:
        """The text of a value; – for None and NaN."""
        return number_text(value, percent=self.percent, decimals=self.decimals)

    def baselines(self, shown: Mapping[str, str]) -> list[str]:
        """The score of predicting nothing and the ceiling; `shown` are the texts of all numbers, see `texts`."""
        nothing = [f"{shown[f'{self.key}_nothing']} for predicting nothing"] if self.nothing else []
        return [*nothing, *([f"at most {shown[f'{self.key}_ceiling']}"] if self.ceiling else [])]

    def remarks(self, shown: Mapping[str, str]) -> list[str]:
        """What stands next to the number: interval, baselines and notes; `shown` as for `baselines`."""
        low, high = f"{self.key}_low", f"{self.key}_high"
        interval = [f"95 % interval {shown[low]} to {shown[high]}"] if self.interval else []
        return [*interval, *self.baselines(shown), *(note.format_map(shown) for note in self.notes)]


@dataclass(frozen=True)
class LabelMeasure:
    """One number per label of a result.

    Attributes:
        key: column in per_class.csv.
        title: name for readers.
        of: computes it, [C]; NaN where it is undefined.
        shown: the tables that show it.
        interval: computes its 95 % interval, [C, 2], the columns KEY_low and KEY_high.
        percent: whether the number, 0..1, is shown in percent; if not, it is a count.
        metric: name in the tables of reproductions; "" where they do not use it.
        overall: computes `metric` for all labels together.
    """

    key: str
    title: str
    of: Callable[[Result], Sequence[int] | Doubles]
    shown: Sequence[Literal["terminal", "page"]] = ()
    interval: Callable[[Result], Doubles] | None = None
    percent: bool = True
    metric: str = ""
    overall: Callable[[Result], float] | None = None

    def columns(self, result: Result) -> dict[str, Any]:
        """Its columns of per_class.csv, [C] each."""
        bounds = self.interval(result) if self.interval else None
        interval = {} if bounds is None else {f"{self.key}_low": bounds[:, 0], f"{self.key}_high": bounds[:, 1]}
        return {self.key: self.of(result), **interval}

    def text(self, value: float) -> str:
        """The text of a value; – for NaN."""
        return number_text(value) if self.percent else f"{value:,}"


MEASURES: tuple[Measure, ...] = (
    Measure(
        key="mAP",
        title="mAP",
        of=lambda r: r.mAP,
        shown=("terminal", "headline", "ablation", "reproduction"),
        interval=lambda r: r.mAP_interval,
        notes=("chance {chance}",),
    ),
    Measure(
        key="mAP_11_point",
        title="11-point",
        of=lambda r: mean_over_labels(r.eleven_point),
        shown=("interpolated", "page"),
        notes=("VOC2007's interpolated mAP", "VOC2010's all-point {mAP_all_point}"),
    ),
    Measure("mAP_all_point", "all-point", lambda r: mean_over_labels(r.all_point)),
    Measure(
        key="seed_mAP",
        title="seed_mAP",
        of=lambda r: r.seed_mAP,
        shown=("terminal", "page", *_TABLES),
        nothing=lambda r: r.seed_mAP_nothing,
        notes=("computed from the decisions",),
    ),
    Measure("chance", "chance", lambda r: r.chance, ("ablation",)),
    Measure(
        key="sample_f1",
        title="sample F1",
        of=lambda r: r.f1.sample,
        shown=("terminal", "headline", "comparison", *_TABLES),
        notes=("micro {micro_f1}, macro {macro_f1}",),
    ),
    Measure("micro_f1", "micro F1", lambda r: r.f1.micro, _TABLES),
    Measure("macro_f1", "macro F1", lambda r: r.f1.macro, _TABLES),
    Measure("CP", "CP", lambda r: r.f1.overall.CP),
    Measure("CR", "CR", lambda r: r.f1.overall.CR),
    Measure(
        key="CF1",
        title="CF1",
        of=lambda r: r.f1.overall.CF1,
        shown=("page", "ablation"),
        notes=("mean over labels: precision {CP}, recall {CR}",),
    ),
    Measure("OP", "OP", lambda r: r.f1.overall.OP),
    Measure("OR", "OR", lambda r: r.f1.overall.OR),
    Measure(
        key="OF1",
        title="OF1",
        of=lambda r: r.f1.overall.OF1,
        shown=("headline", "ablation"),
        notes=("over all decisions: precision {OP}, recall {OR}",),
    ),
    Measure(
        key="f1_at_3",
        title="F1@3",
        of=lambda r: r.best[3].f1,
        shown=("terminal", "page", *_TABLES),
        ceiling=lambda r: r.best[3].ceiling,
        notes=("predicted labels only: {f1_at_3_passing}, at most {f1_at_3_passing_ceiling}",),
    ),
    Measure(
        key="f1_at_3_passing",
        title="F1@3>0.5",
        of=lambda r: r.best[3].passing,
        shown=("reproduction",),
        ceiling=lambda r: r.best[3].passing_ceiling,
    ),
    Measure(
        key="f1_at_5",
        title="F1@5",
        of=lambda r: r.best[5].f1,
        shown=("page", *_TABLES),
        ceiling=lambda r: r.best[5].ceiling,
        notes=("predicted labels only: {f1_at_5_passing}, at most {f1_at_5_passing_ceiling}",),
    ),
    Measure(
        key="f1_at_5_passing",
        title="F1@5>0.5",
        of=lambda r: r.best[5].passing,
        shown=("reproduction",),
        ceiling=lambda r: r.best[5].passing_ceiling,
    ),
    Measure("CP_top3", "CP@3", lambda r: r.best[3].overall.CP),
    Measure("CR_top3", "CR@3", lambda r: r.best[3].overall.CR),
    Measure("CF1_top3", "CF1@3", lambda r: r.best[3].overall.CF1),
    Measure("OP_top3", "OP@3", lambda r: r.best[3].overall.OP),
    Measure("OR_top3", "OR@3", lambda r: r.best[3].overall.OR),
    Measure("OF1_top3", "OF1@3", lambda r: r.best[3].overall.OF1),
    Measure(
        key="hit_at_1",
        title="Hit@1",
        of=lambda r: r.hit_at_one,
        shown=("page", "ablation"),
        notes=("optimistic: one correct label per image is enough",),
    ),
    Measure("calibration_error", "calibration error", lambda r: r.reliability.error if r.reliability else None),
)
"""All measures of a result, in the order of JSON."""

LABEL_MEASURES: tuple[LabelMeasure, ...] = (
    LabelMeasure(
        key="ap",
        title="AP",
        of=lambda r: r.ap,
        shown=("terminal", "page"),
        interval=lambda r: r.ap_interval,
        metric="mAP",
        overall=lambda r: r.mAP,
    ),
    LabelMeasure(
        key="positives",
        title="positives",
        of=lambda r: r.positives,
        shown=("terminal", "page"),
        percent=False,
        metric="positives",
        overall=lambda r: sum(r.positives),
    ),
    LabelMeasure("left_out", "left out", lambda r: (r.targets == -1).sum(axis=0), percent=False),
    LabelMeasure("chance", "chance", lambda r: prevalence(r.targets), ("page",)),
    LabelMeasure(
        key="precision",
        title="precision",
        of=lambda r: r.f1.precision,
        shown=("terminal", "page"),
        metric="precision",
        overall=lambda r: r.f1.sample_precision,
    ),
    LabelMeasure(
        key="recall",
        title="recall",
        of=lambda r: r.f1.recall,
        shown=("terminal", "page"),
        metric="recall",
        overall=lambda r: r.f1.sample_recall,
    ),
    LabelMeasure(
        key="f1",
        title="F1",
        of=lambda r: r.f1.f1,
        shown=("terminal", "page"),
        metric="F1",
        overall=lambda r: r.f1.sample,
    ),
    LabelMeasure("ap_11_point", "11-point", lambda r: r.eleven_point, ("page",)),
    LabelMeasure("ap_all_point", "all-point", lambda r: r.all_point, ("page",)),
)
"""All measures of a label, in the order of per_class.csv."""


def shown_in(*places: Place) -> list[Measure]:
    """The measures that at least one of the places shows, in the order of the table."""
    return [measure for measure in MEASURES if not set(places).isdisjoint(measure.shown)]


def numbers(result: Result) -> dict[str, Any]:
    """All measures of a result by key, as in JSON."""
    values: dict[str, Any] = {}
    for measure in MEASURES:
        values |= measure.numbers(result)
    return values


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The texts of numbers by key; the bounds of an interval as KEY_low and KEY_high.

    Args:
        values: `numbers` of a result, or a row of ablation.json.
    """
    shown: dict[str, str] = {}
    for measure in MEASURES:
        shown |= {key: measure.text(values[key]) for key in measure.keys if key in values}
        if f"{measure.key}_interval" in values:
            low, high = map(measure.text, values[f"{measure.key}_interval"])
            shown |= {f"{measure.key}_low": low, f"{measure.key}_high": high}
    return shown


def number(value: float) -> float | None:
    """`value` for JSON; None for NaN."""
    return None if np.isnan(value) else float(value)


def number_text(value: float | None, *, percent: bool = True, decimals: int = 1) -> str:
    """The text of a number; – for None and NaN."""
    return "–" if value is None or np.isnan(value) else f"{(100 if percent else 1) * value:.{decimals}f}"
