"""Few-shot series: training runs over fractions of the images and over seeds, measured on the same test images."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.adapters import Kind, Schedule, load_kind
from zsprompt.adapters.adapter_file import FILE
from zsprompt.adapters.training import CHECKPOINT, FILES, PROMPTS, Course, check_test, check_training, train
from zsprompt.data import Dataset
from zsprompt.errors import TrainingError, UsageError, ZspromptError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import save_result
from zsprompt.evaluation.run import run
from zsprompt.prompts import PromptSet, load_prompts
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Adapter

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

MOST_SEEDS = 1000

_NAMED = 5
"""Maximum number of training runs that one message names; it counts the rest."""


@dataclass(frozen=True)
class Repeat:
    """One training run of a series.

    Attributes:
        fraction: share of the images that it was trained on, 0..1.
        seed: random seed of the sample, the initial weights and the order.
        course: the training run.
        result: on the test images; None without them.
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
    force: bool = False,
) -> list[Repeat]:
    """Train once per fraction and seed. A fraction of the images is a sample in which labels keep their frequency.

    Args:
        kind: kind of adapter, see `train`.
        dataset: training images.
        store: embeds images and texts.
        fractions: shares of the training images, above 0 and at most 1.
        seeds: number of seeds; the first is that of the schedule.
        test: images to measure each adapter on.
        out: a folder with one folder per training run and its result. Finished runs are read from there.
        schedule: settings of all training runs.
        validation: see `train`.
        prompts: see `train`.
        skip_bad: see `train`.
        device: see `train`.
        progress: shows progress.
        force: replace files in `out` that zsprompt did not write.

    Raises:
        UsageError: a fraction or the number of seeds is out of range.
        TrainingError: a training run cannot start; found before the first one starts. Others: see `train`.
    """
    kind = load_kind(kind) if isinstance(kind, str) else kind
    schedule = schedule or kind.schedule
    for fraction in fractions:
        if not 0 < fraction <= 1:
            raise UsageError(f"expected a fraction above 0 and at most 1, got {fraction:g}")
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"expected 1 to {MOST_SEEDS} seeds, got {seeds}")
    replace(schedule, seed=schedule.seed + seeds - 1)  # refuse the last seed before the first training run
    parts = _parts(dataset, fractions, range(schedule.seed, schedule.seed + seeds))
    chosen = prompts if isinstance(prompts, PromptSet) else load_prompts(prompts or PROMPTS)
    if test is not None:
        check_test(kind, dataset, test)
    _check_all(parts, kind, schedule, validation, chosen)
    repeats = []
    for (fraction, seed), part in parts.items():
        logger.info(f"fraction {fraction:g}, seed {seed}")
        folder = None if out is None else repeat_folder(Path(out), fraction, seed)
        course = train(
            kind,
            part,
            store,
            out=folder,
            validation=validation,
            schedule=replace(schedule, seed=seed),
            prompts=chosen,
            skip_bad=skip_bad,
            resume=folder is not None
            and not force
            and any(FILES[name].recognises(folder / name) for name in (CHECKPOINT, FILE)),
            device=device,
            progress=progress,
            force=force,
        )
        result = None if test is None else run(Adapter(course.trained, device=device), test, store)
        if result is not None and folder is not None:
            save_result(result, folder, force=force)
        repeats.append(Repeat(fraction, seed, course, result))
    return repeats


def _parts(dataset: Dataset, fractions: Sequence[float], seeds: range) -> dict[tuple[float, int], Dataset]:
    """The images of each training run, by fraction and seed. A repeated fraction counts once."""
    counts = {fraction: max(1, round(fraction * len(dataset.images))) for fraction in fractions}
    return {
        (fraction, seed): dataset if fraction == 1 else dataset.sample(count, seed)
        for fraction, count in counts.items()
        for seed in seeds
    }


def _check_all(
    parts: Mapping[tuple[float, int], Dataset],
    kind: Kind,
    schedule: Schedule,
    validation: Dataset | float | None,
    prompts: PromptSet,
) -> None:
    """Raise TrainingError before the first training run if any of them cannot start. It names each one."""
    faults = []
    for (fraction, seed), part in parts.items():
        try:
            check_training(kind, part, replace(schedule, seed=seed), validation, prompts)
        except ZspromptError as error:
            faults.append(f"fraction {fraction:g}, seed {seed}: {error}")
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise TrainingError(
            f"{len(faults)} of {counted(len(parts), 'training run')} cannot start: {'; '.join(faults[:_NAMED])}{more}"
        )


def repeat_folder(out: Path, fraction: float, seed: int) -> Path:
    """The folder of one training run in `out`."""
    return out / f"fraction-{fraction:g}-seed-{seed}"


def repeats_frame(repeats: Sequence[Repeat]) -> pd.DataFrame:
    """One row per fraction: images, seeds, mean and standard deviation of validation and test mAP, 0..1.

    The deviation is over seeds (n − 1); NaN for a single seed.
    """
    import pandas as pd

    rows = []
    for fraction in dict.fromkeys(one.fraction for one in repeats):
        group = [one for one in repeats if one.fraction == fraction]
        row: dict[str, Any] = {"fraction": fraction, "images": group[0].course.trained.facts["data"]["images"]}
        row["seeds"] = len(group)
        validation = [one.course.trained.facts["metrics"]["validation_mAP"] for one in group]
        test = [one.result.mAP if one.result else None for one in group]
        for name, values in (("validation_mAP", validation), ("test_mAP", test)):
            measured = np.array([value for value in values if value is not None])
            row[name] = measured.mean() if len(measured) else np.nan
            row[f"{name}_deviation"] = measured.std(ddof=1) if len(measured) > 1 else np.nan
        rows.append(row)
    return pd.DataFrame(rows)
