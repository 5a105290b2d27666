"""Small training runs of every kind, which can be stopped at any step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from adapter_world import directions, sizes_of, world

from zsprompt._utils.progress import Advance
from zsprompt.adapters import Fitted, Kind, Schedule, fit
from zsprompt.adapters.kinds.dm_decoder import DmDecoderSpec
from zsprompt.adapters.kinds.fc import FcSpec
from zsprompt.adapters.kinds.fusion import FusionSpec
from zsprompt.adapters.kinds.linear_probe import LinearProbeSpec
from zsprompt.adapters.kinds.ml_decoder import MlDecoderSpec
from zsprompt.adapters.kinds.mld import MldSpec

PLAIN = Schedule(epochs=4, batch_size=16, lr=3e-3, weight_decay=0.0, optimizer="adam", loss="bce", seed=5)
VARIANTS: dict[str, tuple[Kind, Schedule]] = {
    "adam": (LinearProbeSpec(), replace(PLAIN, weight_decay=0.01)),
    "adamw": (FcSpec(), replace(PLAIN, optimizer="adamw", weight_decay=0.1, loss="mse")),
    "warm-up and decay": (FusionSpec(hidden=16), replace(PLAIN, warm_up=0.4, decay="linear")),
    "dropout": (MldSpec(heads=2, feed_forward=16, dropout=0.5), replace(PLAIN, loss="asl")),
    "selective": (MldSpec(heads=2, feed_forward=16, dropout=0.1), replace(PLAIN, selective=0.5, batch_size=8)),
    "contrastive": (MlDecoderSpec(heads=2, feed_forward=16), replace(PLAIN, loss="asl+clip", clip_weight=0.3)),
    "early stop": (LinearProbeSpec(), replace(PLAIN, epochs=12, patience=2, lr=0.05)),
    "tokens": (DmDecoderSpec(blocks=2, heads=2, feed_forward=16, dropout=0.2), PLAIN),
}
QUICK = ("warm-up and decay", "dropout", "early stop")
every_variant = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in VARIANTS]
)


class Stop(Exception):
    """Stops a training run."""


@contextmanager
def at_step(count: int, what: Callable[[], None]) -> Iterator[Any]:
    """A progress that calls `what` from step `count` of the training run on."""

    @contextmanager
    def progress(name: str, total: int, unit: str) -> Iterator[Advance]:
        done = 0

        def advance(steps: int) -> None:
            nonlocal done
            done += steps
            if done >= count:
                what()

        yield advance

    yield progress


def stop() -> None:
    raise Stop


def fit_variant(name: str, checkpoint: Path | None = None, **options: Any) -> Fitted:
    kind, schedule = VARIANTS[name]
    examples, validation = world(48), world(30, seed=1, noise=3.0)
    return fit(
        kind,
        sizes_of(examples),
        examples,
        directions(),
        schedule,
        validation=validation,
        checkpoint=checkpoint,
        **options,
    )


def digest(weights: Mapping[str, Any]) -> str:
    sha256 = hashlib.sha256()
    for name in sorted(weights):
        sha256.update(name.encode() + weights[name].tobytes())
    return sha256.hexdigest()
