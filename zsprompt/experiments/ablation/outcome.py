"""Outcomes: the measures or the error of each row, and its change against the first row of its data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt import metrics
from zsprompt.errors import ResultError
from zsprompt.evaluation.compare import require_comparable
from zsprompt.evaluation.measures import shown_in
from zsprompt.experiments.ablation.plan import Row
from zsprompt.metrics import Difference, Sampling
from zsprompt.strategies import spec_of

ROWS = "rows"
"""The folder that holds one result folder per row."""


@dataclass(frozen=True)
class Measured:
    """The result of a finished row.

    Attributes:
        facts: the content of result.json.
        sampling: sampling distribution of its mAP.
        what: what it measures, see `compare.what_is_measured`.
        folder: its result folder.
        extra: seconds_warm, and the cost of embedding the images before the row: images_embedded, seconds_images.
    """

    facts: Mapping[str, Any]
    sampling: Sampling = field(repr=False)
    what: Mapping[str, Any] = field(repr=False)
    folder: Path
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """A row with its outcome.

    Attributes:
        row: the row of the plan.
        prompts: names of its prompt sets.
        model: name of the model.
        measured: its result; None where it failed.
        error: why it failed, in one line.
        first: number, from 1, of the row it is compared with; None for a first row and for a failed one.
        change: change of mAP against that row.
        adjusted: the p-value, adjusted for the number of rows (Benjamini–Hochberg).
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
        """One flat dict per row, measures 0..1 or None: the columns of ablation.csv."""
        return [_record(number, entry) for number, entry in enumerate(self.entries, 1)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of the results of all rows, each once."""
        results = (entry.measured.facts for entry in self.entries if entry.measured is not None)
        return tuple(dict.fromkeys(note for facts in results for note in facts["notes"]))


def compared(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Compare each finished row with the first finished row that measures the same thing."""
    firsts: list[int] = []
    done: list[Entry] = []
    for entry in entries:
        first = next((i for i in firsts if _comparable(entries[i], entry)), None)
        if entry.measured is not None and first is None:
            firsts.append(len(done))
        elif entry.measured is not None and first is not None:
            entry = replace(entry, first=first + 1, change=_change(entries[first].measured, entry.measured))
        done.append(entry)
    p = metrics.false_discovery(np.array([entry.change.p if entry.change else np.nan for entry in done]))
    return tuple(
        replace(entry, adjusted=float(value)) if entry.change else entry for entry, value in zip(done, p, strict=True)
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


_MEASURED = [key for measure in shown_in("ablation") for key in measure.keys]
_FROM_FACTS = tuple(dict.fromkeys(("mAP", "chance", *_MEASURED, "images", "labels")))  # chance comes after mAP


def _record(number: int, entry: Entry) -> dict[str, Any]:
    row, facts = entry.row, entry.measured.facts if entry.measured else {}
    named = row.to_dict()  # objects by their names
    recipe, extra = facts.get("recipe", {}), entry.measured.extra if entry.measured else {}
    low, high = facts.get("mAP_interval", (None, None))
    change = entry.change
    texts = [facts.get(key) for key in ("texts_encoded", "texts_cached")]
    return {
        "row": number,
        "strategy": row.strategy if isinstance(row.strategy, str) else spec_of(row.strategy),
        "prompts": entry.prompts or named.get("prompts"),
        "model": entry.model or named.get("model"),
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
"""The columns of ablation.csv, and the keys of a row in ablation.json."""
