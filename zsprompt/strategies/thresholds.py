"""Thresholds: from which score a label is present, for which strategy, and on which images this was chosen."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Bools, Doubles, Floats
from zsprompt._utils.digests import digest
from zsprompt._utils.files import read_fault, read_text
from zsprompt._utils.outputs import write_json
from zsprompt._utils.validate import Distinct, Section, first_fault
from zsprompt.errors import ThresholdError
from zsprompt.strategies.calibration import Calibration

FORMAT = "zsprompt thresholds"
VERSION = 2
"""Version 2 identifies the strategy by its digest; version 1 by its repr."""

_FACTS = {
    "labels": Distinct,
    "thresholds": list[float | None],
    "rule": str,
    "tuned": bool,
    **dict.fromkeys(("made_for", "made_on", "measured"), dict[str, Any]),
}
_CONTENT = Section(_FACTS | {"calibration": Calibration | None}, _FACTS.keys())


@dataclass(frozen=True)
class Thresholds:
    """One threshold per label, and the strategy it was chosen for. Read them with `load_thresholds`.

    `digest` is part of the `repr`, so a result identifies the exact values it was made with.

    Attributes:
        labels: C labels.
        values: C thresholds. A label is present where its score exceeds its threshold, and never where that is NaN.
        rule: how they were chosen, in words.
        tuned: whether they were chosen on targets; otherwise only on scores of other images.
        made_for: the strategy, prompts, model and fingerprint that give the scores. The digest of the strategy decides.
        made_on: data set, split and images they were chosen on.
        measured: measures on images that were not used to choose them.
        calibration: turns the same scores into probabilities; None if none was fitted.
    """

    labels: tuple[str, ...] = field(repr=False)
    values: tuple[float, ...] = field(repr=False)
    rule: str
    tuned: bool
    made_for: Mapping[str, Any] = field(repr=False)
    made_on: Mapping[str, Any] = field(repr=False)
    measured: Mapping[str, Any] = field(default_factory=dict, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest((self.labels, self.values, self.calibration)))

    def order(self, labels: Sequence[str]) -> list[int]:
        """The position of each of `labels` among the thresholds.

        Raises:
            ThresholdError: the thresholds were chosen for other labels.
        """
        place = {label: c for c, label in enumerate(self.labels)}
        if set(place) != set(labels):
            extra = ", ".join([label for label in labels if label not in place][:5])
            missing = ", ".join([label for label in self.labels if label not in set(labels)][:5])
            differences = " and ".join(filter(None, (extra and f"also {extra}", missing and f"no {missing}")))
            raise ThresholdError(
                f"expected the {len(place)} labels that the thresholds were made for, found {differences}; "
                "use those labels, or make thresholds for these"
            )
        return [place[label] for label in labels]

    def decide(self, scores: Floats, labels: Sequence[str]) -> Bools:
        """[N, C] decisions for [N, C] scores of `labels`. Raises ThresholdError for other labels."""
        import numpy as np

        return decide(scores, np.array(self.values)[self.order(labels)])

    def probabilities(self, scores: Floats, labels: Sequence[str]) -> Floats | None:
        """[N, C] probabilities for [N, C] scores of `labels`; None without a calibration."""
        if self.calibration is None:
            return None
        curves = tuple(self.calibration.curves[c] for c in self.order(labels))
        return Calibration(self.calibration.method, curves).probabilities(scores)


def thresholds_dict(thresholds: Thresholds) -> dict[str, Any]:
    """The content of the file, which `zsprompt thresholds --json` prints. A label that is never present has None."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "rule": thresholds.rule,
        "tuned": thresholds.tuned,
        "labels": list(thresholds.labels),
        "thresholds": [None if math.isnan(value) else value for value in thresholds.values],
        "calibration": _calibration_dict(thresholds.calibration),
        "measured": dict(thresholds.measured),
        "made_for": dict(thresholds.made_for),
        "made_on": dict(thresholds.made_on),
    }


@checked
def save_thresholds(thresholds: Thresholds, path: Path | str, *, force: bool = False) -> None:
    """Write a JSON file that `load_thresholds` reads. The write is atomic.

    Args:
        thresholds: the thresholds.
        path: the file; earlier thresholds in it are replaced.
        force: also replace a file that zsprompt did not write.

    Raises:
        OutputError: another file is at `path`, or the file cannot be written.
    """
    write_json(Path(path), file_kinds.THRESHOLDS, thresholds_dict(thresholds), indent=1, force=force)


@checked
def load_thresholds(path: Path | str) -> Thresholds:
    """The thresholds of a file.

    Raises:
        ThresholdError: the file is missing, damaged, of another version, or not a thresholds file.
    """
    path = Path(path)
    facts = _read(path)
    labels, values = facts["labels"], [math.nan if value is None else value for value in facts["thresholds"]]
    if len(labels) != len(values):
        raise ThresholdError(f"expected one threshold per label in {path}, found others; create the file again")
    return Thresholds(
        labels=tuple(labels),
        values=tuple(map(float, values)),
        rule=facts["rule"],
        tuned=facts["tuned"],
        made_for=facts["made_for"],
        made_on=facts["made_on"],
        measured=facts["measured"],
        calibration=_calibration(path, facts.get("calibration"), len(labels)),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(read_text(path))
    except FileNotFoundError:
        raise ThresholdError(
            f"expected a thresholds file at {path}, found none; create one with `zsprompt thresholds --out FILE`"
        ) from None
    except (OSError, ValueError) as error:
        raise ThresholdError(f"cannot read thresholds file {path}: {read_fault(path, error)}") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ThresholdError(f"expected a file written by `zsprompt thresholds` at {path}, found another")
    if (version := facts.get("version")) != VERSION:
        remedy = "create the file again with `zsprompt thresholds`" if version == 1 else "update zsprompt"
        raise ThresholdError(f"expected version {VERSION} in {path}, found {version!r}; {remedy}")
    if fault := first_fault(facts, _CONTENT, extra_keys=True):
        raise ThresholdError(f"{path}: {fault}; create the file again")
    return facts


def _calibration_dict(calibration: Calibration | None) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {"method": calibration.method, "curves": [[list(part) for part in curve] for curve in calibration.curves]}


def _calibration(path: Path, facts: Mapping[str, Any] | None, labels: int) -> Calibration | None:
    if facts is None:
        return None
    curves = tuple((tuple(first), tuple(second)) for first, second in facts["curves"])
    if len(curves) != labels or not all(len(first) == len(second) > 0 for first, second in curves):
        raise ThresholdError(f"expected one calibration curve per label in {path}, found others; create the file again")
    return Calibration(facts["method"], curves)


def decide(scores: Floats, thresholds: Doubles) -> Bools:
    """[N, C] which scores exceed the threshold of their label; none where that is NaN."""
    return np.asarray(scores.astype(np.float64) > thresholds)
