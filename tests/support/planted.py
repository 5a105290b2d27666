"""Planted results, for tests of code that uses results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zsprompt.encoders.windows import Grid
from zsprompt.evaluation.result import Result
from zsprompt.strategies import Prediction
from zsprompt.strategies.base import BestWindows

RECIPE: dict[str, Any] = {
    "strategy": "PerLabel(prompts=PromptSet(name='photo', digest='0'), threshold=2.0)",
    "spec": "per-label",
    "strategy_digest": "000000000000",
    "prompts": ["photo 0"],
    "model": "planted",
    "fingerprint": "planted/1",
    "supervision": "label-free",
    "versions": {"zsprompt": "0"},
    "dataset": "planted",
    "split": "test",
    "names": "readable",
    "difficult": "ignore",
    "origin": None,
}


def windows_of(result: Result) -> BestWindows:
    """A window of each image for each label, on grids of many shapes."""
    count, labels = result.prediction.scores.shape
    grids = np.array([(16, 1 + 5 * n % 16, 7, 3) if n % 2 else (1 + 3 * n % 16, 16, 4, 3) for n in range(count)])
    sizes = np.array([len(Grid(*map(int, grid))) for grid in grids])
    best = (np.arange(count)[:, None] + np.arange(labels)) % sizes[:, None]
    return BestWindows(grids.astype(np.intp), best.astype(np.intp))


def planted_result(
    count: int = 60,
    labels: Sequence[str] = ("cat", "dog", "owl"),
    *,
    strength: float = 1.5,
    seed: int = 0,
    left_out: float = 0.05,
    **changes: Any,
) -> Result:
    """Informative scores: positives are `strength` standard deviations higher. Targets depend on `seed` alone."""
    random = np.random.default_rng(seed)
    shape = (count, len(labels))
    present = random.random(shape) < 0.3
    hidden = random.random(shape) < left_out
    noise = random.standard_normal(shape)
    scores = (noise + strength * present).astype(np.float32)
    targets = np.where(hidden, -1, present).astype(np.int8)
    facts = {
        "labels": tuple(labels),
        "images": tuple(f"{n:04}.png" for n in range(count)),
        "prediction": Prediction(scores, scores > 1),
        "targets": targets,
        "recipe": RECIPE,
        "counts": {
            **{"texts_encoded": 3, "texts_cached": 0, "texts_not_kept": 0},
            **{"images_encoded": count, "images_cached": 0},
        },
        "resamples": 200,
    }
    return Result(**(facts | changes))
