"""Outcomes: what became of each row, and how it compares with the first one of its data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt.errors import ResultError
from zsprompt.evaluation.compare import require_comparable
from zsprompt.experiments.ablation.plan import Row
from zsprompt.metrics import Difference, Sampling

ROWS = "rows"
"""The folder with a result folder for each row."""


@dataclass(frozen=True)
class Measured:
    """What a finished row came to.

    Attributes:
        facts: the keys of result.json.
        sampling: how its mAP moves from sample to sample.
        what: what it measures, see comparison.what_is_measured.
        folder: where its result lies.
        extra: seconds_warm, and what embedding the pictures took before the row: images_embedded, seconds_images.
    """

    facts: Mapping[str, Any]
    sampling: Sampling = field(repr=False)
    what: Mapping[str, Any] = field(repr=False)
    folder: Path
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row with what became of it.

    Attributes:
        row: the line of the plan.
        prompts: the prompt sets that its texts came from, named.
        model: the model's name.
        measured: None where it failed.
        error: why it failed, one line.
        first: number of the row it is compared with, from 1; None for that row itself and where there is none.
        change: how much higher its mAP is than that row's.
        adjusted: the p-value, adjusted for all rows (Benjamini–Hochberg).
    """

    row: Row
    prompts: str = ""
    model: str = ""
    measured: Measured | None = None
    error: str = ""
    first: int | None = None
    change: Difference | None = None
    adjusted: float | None = None


@dataclass(frozen=True)
class Ablation:
    """All rows, in the order of the plan."""

    entries: tuple[Entry, ...]

    def records(self) -> list[dict[str, Any]]:
        """One flat dict a row, measures 0..1, None where there is none: the columns of ablation.csv."""
        return [_record(number, entry) for number, entry in enumerate(self.entries, 1)]


def compared(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Each finished row against the first finished one of its data set that it can be compared with."""
    firsts: list[int] = []
    found: list[Entry] = []
    for entry in entries:
        first = next((i for i in firsts if _comparable(entries[i], entry)), None)
        if entry.measured is not None and first is None:
            firsts.append(len(found))
        elif entry.measured is not None and first is not None:
            entry = replace(entry, first=first + 1, change=_change(entries[first].measured, entry.measured))
        found.append(entry)
    p = metrics.false_discovery(np.array([entry.change.p if entry.change else np.nan for entry in found]))
    return tuple(
        replace(entry, adjusted=float(value)) if entry.change else entry for entry, value in zip(found, p, strict=True)
    )


def _comparable(first: Entry, second: Entry) -> bool:
    if first.measured is None or second.measured is None:
        return False
    try:
        require_comparable(first.measured.what, second.measured.what)
    except ResultError:
        return False
    return True


def _change(first: Measured | None, second: Measured) -> Difference | None:
    if first is None or first.facts["mAP"] is None or second.facts["mAP"] is None:
        return None
    return metrics.difference(first.sampling, second.sampling)


_FROM_FACTS = (
    *("mAP", "chance", "seed_mAP", "seed_mAP_nothing", "sample_f1", "micro_f1", "macro_f1", "CF1", "OF1"),
    *("f1_at_3", "f1_at_3_ceiling", "f1_at_5", "f1_at_5_ceiling", "hit_at_1", "images", "labels"),
)


def _record(number: int, entry: Entry) -> dict[str, Any]:
    row, facts = entry.row, entry.measured.facts if entry.measured else {}
    recipe, extra = facts.get("recipe", {}), entry.measured.extra if entry.measured else {}
    low, high = facts.get("mAP_interval", (None, None))
    change = entry.change
    texts = [facts.get(key) for key in ("texts_encoded", "texts_cached")]
    return {
        "row": number,
        "strategy": row.strategy if isinstance(row.strategy, str) else repr(row.strategy),
        "prompts": entry.prompts or row.prompts,
        "model": entry.model or row.model,
        "dataset": recipe.get("dataset") or row.dataset_name,
        "split": recipe.get("split") or row.split,
        "names": row.names,
        "difficult": row.difficult,
        "captions": row.captions,
        "supervision": recipe.get("supervision"),
        **{key: facts.get(key) for key in _FROM_FACTS},
        "mAP_low": low,
        "mAP_high": high,
        "compared_with": entry.first,
        "change": change.value if change else None,
        "change_low": change.low if change else None,
        "change_high": change.high if change else None,
        "p": change.p if change else None,
        "p_adjusted": entry.adjusted,
        "texts": sum(texts) if facts else None,
        "texts_encoded": texts[0],
        "overflowed": facts.get("overflowed"),
        "seconds_cold": facts.get("seconds"),
        "seconds_warm": extra.get("seconds_warm"),
        "images_embedded": extra.get("images_embedded"),
        "seconds_images": extra.get("seconds_images"),
        "folder": f"{ROWS}/{entry.measured.folder.name}" if entry.measured else None,
        "error": entry.error or None,
    }


COLUMNS = tuple(_record(0, Entry(Row("", ""))))
"""Of ablation.csv, and the keys of a row in ablation.json."""
