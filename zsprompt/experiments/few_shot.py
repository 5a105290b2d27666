"""Trainings repeated: by how many pictures there are to learn from, and by seed, each measured on the same pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt._utils.progress import Progress, quiet
from zsprompt.adapters import Kind, Schedule, load_kind
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.training import CHECKPOINT, Course, train
from zsprompt.data import Dataset
from zsprompt.errors import UsageError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import save_result
from zsprompt.evaluation.run import run
from zsprompt.prompts import PromptSet
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Adapter

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Repeat:
    """One training of several.

    Attributes:
        fraction: of the pictures that it learnt from, 0..1.
        seed: of the draw, the weights and the order.
        course: what it came to.
        result: on the test pictures, where there are some.
    """

    fraction: float
    seed: int
    course: Course
    result: Result | None


def repeat(
    kind: Kind | str,
    dataset: Dataset,
    store: EmbeddingStore,
    *,
    fractions: Sequence[float] = (1.0,),
    seeds: int = 1,
    test: Dataset | None = None,
    out: Path | str | None = None,
    schedule: Schedule | None = None,
    validation: Dataset | float | None = None,
    prompts: PromptSet | str | None = None,
    skip_bad: bool = False,
    device: str = "auto",
    progress: Progress = quiet,
) -> list[Repeat]:
    """Train once for every fraction and seed; the pictures of a fraction are drawn so that labels keep their share.

    Args:
        kind: see `train`, as for
        dataset: and
        store: and all below that are not explained.
        fractions: shares of the data set's pictures, above 0 and at most 1.
        seeds: how many, from the schedule's on.
        test: pictures to measure every adapter on.
        out: a folder; each training has one in it, with its result. Finished ones are found again.
        schedule: whose seed is the first.
        validation: of each training.
        prompts: of all.
        skip_bad: of all.
        device: of all.
        progress: of all.

    Raises:
        UsageError: a fraction that is none, or no seed.
        TrainingError and others: see `train`.
    """
    kind = load_kind(kind) if isinstance(kind, str) else kind
    schedule = schedule or kind.schedule
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise UsageError(f"expected a fraction above 0 and at most 1, got {fraction:g}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"expected 1 to {MOST_SEEDS} seeds, got {seeds}")
    replace(schedule, seed=schedule.seed + seeds - 1)  # refuse the last one before the first is trained
    found = []
    for fraction in dict.fromkeys(fractions):  # a fraction named twice would count its seeds twice
        for seed in range(schedule.seed, schedule.seed + seeds):
            logger.info(f"fraction {fraction:g}, seed {seed}")
            count = max(1, round(fraction * len(dataset.images)))
            part = dataset if fraction == 1 else dataset.sample(count, seed)
            where = None if out is None else repeat_folder(Path(out), fraction, seed)
            course = train(
                kind,
                part,
                store,
                out=where,
                validation=validation,
                schedule=replace(schedule, seed=seed),
                prompts=prompts,
                skip_bad=skip_bad,
                resume=where is not None and any((where / name).exists() for name in (CHECKPOINT, FILE)),
                device=device,
                progress=progress,
            )
            result = None if test is None else run(Adapter(course.trained, device=device), test, store)
            if result is not None and where is not None:
                save_result(result, where)
            found.append(Repeat(fraction, seed, course, result))
    return found


def repeat_folder(out: Path, fraction: float, seed: int) -> Path:
    """The folder below `out` of one training run."""
    return out / f"fraction-{fraction:g}-seed-{seed}"


def repeats_frame(repeats: Sequence[Repeat]) -> pd.DataFrame:
    """One row a fraction: pictures, seeds, mean and standard deviation of validation and test mAP, 0..1.

    The deviation is that of the seeds (n − 1); NaN for one.
    """
    import pandas as pd

    rows = []
    for fraction in dict.fromkeys(one.fraction for one in repeats):
        own = [one for one in repeats if one.fraction == fraction]
        row: dict[str, Any] = {"fraction": fraction, "pictures": own[0].course.trained.facts["data"]["images"]}
        row["seeds"] = len(own)
        judged = [one.course.trained.facts["metrics"]["validation_mAP"] for one in own]
        measured = [one.result.mAP if one.result else None for one in own]
        for name, values in (("validation_mAP", judged), ("test_mAP", measured)):
            known = np.array([value for value in values if value is not None])
            row[name] = known.mean() if len(known) else np.nan
            row[f"{name}_deviation"] = known.std(ddof=1) if len(known) > 1 else np.nan
        rows.append(row)
    return pd.DataFrame(rows)
