"""Scores and targets for the tests of metrics: the matrix of test inputs, and shared references."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.random import Generator, default_rng
from sklearn.metrics import average_precision_score

SHAPES = [(1, 1), (1, 4), (9, 1), (7, 3), (120, 6)]
SCORES: dict[str, Callable[[Generator, tuple[int, int]], np.ndarray]] = {
    "continuous": lambda random, shape: random.standard_normal(shape),
    "tied": lambda random, shape: random.integers(-2, 3, shape) / 4,
    "constant": lambda random, shape: np.full(shape, 0.3),
    "0/1": lambda random, shape: (random.random(shape) < 0.3) * 1.0,
    "huge": lambda random, shape: random.standard_normal(shape) * 1e30,
    "tiny": lambda random, shape: random.standard_normal(shape) * 1e-30,
    "tiny differences": lambda random, shape: 1 + random.integers(0, 5, shape) * 2.0**-20,
}
LABELLINGS: dict[str, Callable[[Generator, tuple[int, int]], np.ndarray]] = {
    "two states": lambda random, shape: draw_targets(random, shape),
    "three states": lambda random, shape: draw_targets(random, shape, left_out=0.2),
    "all present": lambda random, shape: np.ones(shape, np.int8),
    "all absent": lambda random, shape: np.zeros(shape, np.int8),
    "all left out": lambda random, shape: np.full(shape, -1, np.int8),
    "one positive": lambda random, shape: (np.arange(shape[0] * shape[1]) == 0).reshape(shape).astype(np.int8),
}

over_labellings = pytest.mark.parametrize("labelling", LABELLINGS)
over_scores = pytest.mark.parametrize("kind", SCORES)
over_shapes = pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, id=str(shape), marks=[pytest.mark.slow] if shape in ((1, 4), (9, 1)) else [])
        for shape in SHAPES
    ],
)


def draw_targets(random: Generator, shape: tuple[int, int], left_out: float = 0.0) -> np.ndarray:
    """Labels of very different prevalence. The first has no positives, the last no negatives."""
    targets = (random.random(shape) < np.linspace(0, 1, shape[1])).astype(np.int8)
    targets[random.random(shape) < left_out] = -1
    return targets


def draw(shape: tuple[int, int], kind: str, labelling: str, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    """Scores and targets of one cell of the matrix."""
    random = default_rng(sum(shape))
    return SCORES[kind](random, shape).astype(dtype), LABELLINGS[labelling](random, shape)


@st.composite
def scores_and_targets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 30), st.integers(1, 4)))
    width, largest = draw(st.sampled_from([(32, 2.0**100), (64, 1e300)]))
    number = st.floats(-largest, largest, width=width) | st.sampled_from([0.0, -0.0, 0.5, 1.0])
    scores = draw(arrays.arrays(f"float{width}", shape, elements=number))
    return scores, draw(arrays.arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1])))


def per_known_column(metric: Callable, values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """`metric` per label, without the cells that are left out; NaN for a label without positives."""
    results = []
    for value, target in zip(values.T, targets.T, strict=True):
        kept = target != -1
        results.append(metric(target[kept], value[kept]) if (target == 1).any() else math.nan)
    return np.array(results)


def sklearn_average_precision(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return per_known_column(average_precision_score, scores, targets)


def torchmetric(name: str, values: np.ndarray, targets: np.ndarray, **options: object) -> np.ndarray:
    """The result of torchmetrics' function with this name, without left-out cells. Skips if it is not installed."""
    functions = pytest.importorskip("torchmetrics.functional.classification", reason="torchmetrics is not installed")
    import torch

    metric = getattr(functions, name)
    return metric(torch.from_numpy(values), torch.from_numpy(targets), ignore_index=-1, **options).numpy()


def label_table(test_data: Path, file: str) -> np.ndarray:
    """[N, C] targets of an official label file."""
    table = pd.read_csv(test_data / "labels" / file, dtype={"id": str})
    if "split" in table:  # VOC: 1 present, 0 only as difficult objects, -1 absent
        table = table[table["split"] == "test"].replace({0: -1, -1: 0})
    return table.select_dtypes("number").to_numpy(np.int8)
