"""Result: predictions and targets, all their measures, and the provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt import metrics
from zsprompt._utils.arrays import Doubles, Targets
from zsprompt._utils.text import counted
from zsprompt.evaluation.measures import LABEL_MEASURES, number, numbers
from zsprompt.evaluation.provenance import made_up
from zsprompt.evaluation.reference_words import many_labels, recorded
from zsprompt.metrics import F1Scores, Reliability, Sampling, TopK
from zsprompt.strategies import Prediction, ReferenceWords

if TYPE_CHECKING:
    import pandas as pd

FEW_POSITIVES = 50
"""With fewer positives, a label's AP varies by several points between samples, and the result warns."""

BEST = (3, 5)
"""The values of k in F1@k."""


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions, targets and provenance of a run. Measures are computed on first use, all 0..1.

    Attributes:
        labels: C names.
        images: ids of the N images.
        prediction: scores and decisions, [N, C].
        targets: [N, C] under the chosen convention: 1, 0, or −1 left out.
        recipe: provenance: strategy, prompts, model, fingerprint, supervision, reference words, data set and
            conventions, versions.
        skipped: (id, reason) of images excluded because they cannot be read.
        counts: texts and images that were encoded or found in the cache.
        seconds: wall time of embedding and predicting.
        notes: warnings that the numbers alone do not imply, one sentence each.
        resamples: B, number of bootstrap resamples.
    """

    labels: tuple[str, ...]
    images: tuple[str, ...]
    prediction: Prediction
    targets: Targets
    recipe: Mapping[str, Any]
    skipped: tuple[tuple[str, str], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    resamples: int = metrics.RESAMPLES

    @property
    def reference_words(self) -> ReferenceWords | None:
        """What each label was compared with besides the other labels; None if with nothing."""
        return recorded(self.recipe)

    @cached_property
    def ap(self) -> Doubles:
        """[C] average precision; NaN for a label without positives."""
        return metrics.average_precision(self.prediction.scores, self.targets)

    @cached_property
    def mAP(self) -> float:  # noqa: N802 - the field's own spelling
        """Mean of `ap` over the labels that have one."""
        return metrics.mean_over_labels(self.ap)

    @cached_property
    def resampled(self) -> Doubles:
        """[B, C] average precision in each resample of the images; all results use the same resamples."""
        return metrics.resampled_precision(self.prediction.scores, self.targets, resamples=self.resamples)

    @cached_property
    def sampling(self) -> Sampling:
        """Sampling distribution of mAP."""
        without = metrics.mean_without_each(self.prediction.scores, self.targets)
        return Sampling(self.mAP, metrics.mean_precision(self.resampled), without)

    def label_sampling(self, label: int) -> Sampling:
        """Sampling distribution of the AP of the label at position `label`."""
        without = metrics.precision_without_each(self.prediction.scores, self.targets, label)
        return Sampling(float(self.ap[label]), self.resampled[:, label], without)

    @cached_property
    def mAP_interval(self) -> tuple[float, float]:  # noqa: N802
        """95 % interval of mAP, by bootstrap over images."""
        return metrics.interval(self.sampling)

    @cached_property
    def ap_interval(self) -> Doubles:
        """[C, 2] 95 % interval of each label's AP."""
        return np.array([metrics.interval(self.label_sampling(c)) for c in range(len(self.labels))])

    @cached_property
    def eleven_point(self) -> Doubles:
        """[C] VOC2007's interpolated AP."""
        return metrics.eleven_point_average_precision(self.prediction.scores, self.targets)

    @cached_property
    def all_point(self) -> Doubles:
        """[C] VOC2010's interpolated AP."""
        return metrics.all_point_average_precision(self.prediction.scores, self.targets)

    @cached_property
    def seed_mAP(self) -> float:  # noqa: N802
        """The MMM-CLIP paper's own measure, computed from the decisions."""
        return metrics.mean_over_labels(metrics.seed_average_precision(self.prediction.decisions, self.targets))

    @cached_property
    def seed_mAP_nothing(self) -> float:  # noqa: N802
        """`seed_mAP` of predicting nothing."""
        return metrics.mean_over_labels(metrics.seed_nothing(self.targets))

    @cached_property
    def chance(self) -> float:
        """mAP of a random order: the mean prevalence."""
        return metrics.mean_over_labels(metrics.prevalence(self.targets))

    @cached_property
    def f1(self) -> F1Scores:
        """Precision, recall and F1 of the decisions."""
        return metrics.f1_scores(self.prediction.decisions, self.targets)

    @cached_property
    def best(self) -> dict[int, TopK]:
        """F1@3 and F1@5 with their ceilings, by k."""
        scores, decisions = self.prediction.scores, self.prediction.decisions
        return {k: metrics.top_k(scores, self.targets, decisions, k) for k in BEST}

    @cached_property
    def hit_at_one(self) -> float:
        """Share of images whose highest-scored label is correct. Optimistic: one correct label is enough."""
        return metrics.hit_at_one(self.prediction.scores, self.targets)

    @cached_property
    def reliability(self) -> Reliability | None:
        """Calibration of the probabilities; None where the strategy has none."""
        given = self.prediction.probabilities
        return None if given is None else metrics.reliability(given, self.targets)

    @cached_property
    def positives(self) -> list[int]:
        """[C] number of images per label."""
        return [int(count) for count in (self.targets == 1).sum(axis=0)]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about the numbers, one sentence each."""
        return (*_rare(self.labels, self.positives), *_cautions(self), *self.notes)

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """The same for a reader who has the table of labels: labels are counted, not named."""
        return (*_rare(self.labels, self.positives, named=False), *_cautions(self), *self.notes)

    def to_dict(self) -> dict[str, Any]:
        """The stable keys of `--json` and result.json; an undefined measure is None."""
        intervals = [list(map(number, interval)) for interval in self.ap_interval]
        return {
            **dict.fromkeys(("mAP", "mAP_interval")),  # first, before the measures per label
            "ap": dict(zip(self.labels, map(number, self.ap), strict=True)),
            "ap_interval": dict(zip(self.labels, intervals, strict=True)),
            **numbers(self),
            "images": len(self.images),
            "labels": len(self.labels),
            **self.counts,
            "overflowed": self.prediction.overflowed,
            **({"captions": dict(self.prediction.worded)} if self.prediction.worded else {}),
            "skipped": len(self.skipped),
            "skipped_images": dict(self.skipped),
            "seconds": round(self.seconds, 3),
            "positives": dict(zip(self.labels, self.positives, strict=True)),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "resamples": self.resamples,
            "recipe": dict(self.recipe),
        }

    def per_class(self) -> pd.DataFrame:
        """One row per label with the columns of LABEL_MEASURES: ap, its interval, positives, precision, …"""
        import pandas as pd

        columns: dict[str, Any] = {}
        for measure in LABEL_MEASURES:
            columns |= measure.columns(self)
        return pd.DataFrame(columns, index=pd.Index(self.labels, name="label"))


def _cautions(result: Result) -> Iterator[str]:
    """Warnings that follow from the numbers."""
    prediction = result.prediction
    yield from many_labels(result.recipe, len(result.labels), len(result.images), int(prediction.decisions.sum()))
    if np.isin(prediction.scores, (0, 1)).all():
        yield "all scores are 0 or 1, so mAP measures ties; use scores that rank, or read seed_mAP and F1 instead"
    if prediction.overflowed:
        share = prediction.overflowed / len(result.targets)
        yield f"{share:.4g} candidates per image were left out because their text does not fit the model"
    yield from made_up(prediction.worded)
    if result.skipped:
        yield f"{counted(len(result.skipped), 'image')} excluded: cannot be read"
    if result.counts.get("texts_not_kept"):
        texts = counted(result.counts["texts_not_kept"], "candidate text")
        yield f"{texts} embedded but not stored; another run embeds them again"


def _rare(labels: Sequence[str], positives: Sequence[int], *, named: bool = True) -> Iterator[str]:
    """Warnings about labels with no or few positives, with their names or their number."""
    without = [label for label, count in zip(labels, positives, strict=True) if count == 0]
    few = [f"{label} {count}" for label, count in zip(labels, positives, strict=True) if 0 < count < FEW_POSITIVES]
    every = counted(len(labels), "label")
    if without:
        names = ", ".join(without) if named else f"{len(without)} of {every}"
        yield f"no positives for {names}: these labels have no AP, mAP excludes them, and macro F1 counts them as 0"
    if few:
        names = f": {', '.join(few)}" if named else ""
        yield (
            f"fewer than {FEW_POSITIVES} positives for {len(few)} of {every}, so their AP and its interval are "
            f"imprecise{names}"
        )
