"""The images of `zsprompt train`: the training split, and other splits of the same data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from zsprompt.errors import UsageError

if TYPE_CHECKING:
    from zsprompt.data import Dataset
    from zsprompt.experiments.spec import Resources, RunSpec


def on_training_split(spec: RunSpec) -> RunSpec:
    """The run, on the training split unless it names a split."""
    from zsprompt.data import TRAINING

    return spec if spec.split else replace(spec, split=TRAINING.get(spec.dataset_name))


def loader(spec: RunSpec, resources: Resources) -> Callable[[str | None], Dataset]:
    """Loads the data set of the run or, whole, another split of it, with the same labels and captions.

    The function raises UsageError for a run without a data set.
    """

    def load(split: str | None) -> Dataset:
        part = spec if split is None else replace(spec, split=split, limit=None, sample=None, seed=None)
        data = part.load_data(resources)
        if data is None:
            raise UsageError("expected --dataset NAME, found none")
        return data

    return load
