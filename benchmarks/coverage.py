"""Coverage of the bootstrap intervals on simulated scores with a known true mAP.

    python benchmarks/coverage.py --out benchmarks/results/FILE.csv

A label is present with its prevalence. Its scores are N(0, 1) where it is absent and N(d, 1) where it is present, with
d from 0.5 to 2.5 over the labels. The true average precision is then an integral of precision over recall.

Each row is a method for 95 % intervals in one world. `holds` is the share of repeats whose interval contains the truth;
`below` and `above` are the shares with the truth on either side. `width` is the mean width, and for differences `found`
is the share with p < 0.05. Two scorers are compared on the same images with correlated noise. Pairs are drawn `--pairs`
times, single scorers `--repeats` times: 500 repeats give the coverage to within two points, 2,000 to within one.
`--first` is the first seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import arguments, save
from scipy.integrate import quad
from scipy.stats import norm

from zsprompt import metrics
from zsprompt._utils.arrays import Doubles

Answer = tuple[float, float, float]  # low, high, p


@dataclass(frozen=True)
class World:
    """A simulation: number of images, prevalence per label, and separation of its positives for one or two scorers."""

    name: str
    images: int
    prevalence: Doubles
    first: Doubles
    second: Doubles | None = None
    shared: float = 0.0  # correlation of the noise of the two scorers


def worlds() -> Iterator[World]:
    ten, twenty = np.linspace(0.5, 2.5, 10), np.linspace(0.5, 2.5, 20)
    seven = np.full(10, 0.07)
    for images in (3000, 500):
        yield World("mAP, 10 labels of 7 %", images, seven, ten)
    yield World("mAP, 20 labels of 7 %", 500, np.full(20, 0.07), twenty)
    yield World("mAP, 10 labels of 1 to 30 %", 500, np.geomspace(0.01, 0.3, 10), ten)
    for images in (3000, 500):
        yield World("no difference, the same per label", images, seven, ten, ten, 0.5)
        yield World("no difference, others per label", images, seven, ten, ten[::-1], 0.8)
        yield World("a difference", images, seven, ten, ten + 0.2, 0.8)


def true_precision(world: World, separation: Doubles) -> float:
    """mAP on infinitely many images."""

    def area(d: float, share: float) -> float:
        def step(t: float) -> float:
            hits = share * norm.sf(t - d)
            return float(hits / (hits + (1 - share) * norm.sf(t)) * norm.pdf(t - d))

        return float(quad(step, -8, d + 8, limit=200)[0])

    return float(np.mean([area(d, share) for d, share in zip(separation, world.prevalence, strict=True)]))


def percentile(value: float, drawn: Doubles) -> tuple[float, float]:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return low, high


def reflected(value: float, drawn: Doubles) -> tuple[float, float]:
    low, high = percentile(value, drawn)
    return 2 * value - high, 2 * value - low


def bias_corrected(value: float, drawn: Doubles) -> tuple[float, float]:
    """Efron's BC: percentiles shifted by the share of resamples below the value."""
    share = ((drawn < value).sum() + (drawn == value).sum() / 2) / len(drawn)
    shift = norm.ppf(np.clip(share, 1 / (len(drawn) + 1), len(drawn) / (len(drawn) + 1)))
    low, high = np.quantile(drawn, norm.cdf(2 * shift + norm.ppf((0.025, 0.975))))
    return low, high


WAYS: dict[str, Callable[[float, Doubles], tuple[float, float]]] = {
    "reflected": reflected,
    "bias-corrected": bias_corrected,
    "percentile": percentile,
}


def measured(scores: Doubles, targets: Any, resamples: int, seed: int) -> metrics.Sampling:
    """The sampling variation of the mAP."""
    drawn = metrics.resampled_precision(scores, targets, resamples=resamples, seed=seed)
    value = metrics.mean_over_labels(metrics.average_precision(scores, targets))
    return metrics.Sampling(value, metrics.mean_precision(drawn), metrics.mean_without_each(scores, targets))


def answers(world: World, resamples: int, seed: int) -> dict[str, Answer]:
    """One repeat: draw the world, and compute the interval of every method."""
    random = np.random.default_rng((1, seed))  # another stream than that of the resamples
    shape = world.images, len(world.prevalence)
    targets, noise = (random.random(shape) < world.prevalence).astype(np.int8), random.standard_normal(shape)
    first = measured(noise + targets * world.first, targets, resamples, seed)
    if world.second is None:
        others = {name: (*way(first.value, first.resampled), np.nan) for name, way in WAYS.items()}
        return {"as shipped": (*metrics.interval(first), np.nan)} | others
    noise = world.shared * noise + np.sqrt(1 - world.shared**2) * random.standard_normal(shape)
    second = measured(noise + targets * world.second, targets, resamples, seed)
    shipped, plain = metrics.difference(first, second), second.resampled - first.resampled
    p = min(1.0, (2 * min((plain <= 0).sum(), (plain >= 0).sum()) + 1) / (resamples + 1))
    return {
        "as shipped": (shipped.low, shipped.high, shipped.p),
        "percentile": (*percentile(second.value - first.value, plain), p),
    }


def rows(world: World, seeds: range, resamples: int) -> Iterator[dict[str, Any]]:
    truth = true_precision(world, world.first)
    if world.second is not None:
        truth = true_precision(world, world.second) - truth
    tries = [answers(world, resamples, seed) for seed in seeds]
    for way in tries[0] if tries else ():
        low, high, p = np.array([repeat[way] for repeat in tries]).T
        yield {
            "world": world.name,
            "images": world.images,
            "way": way,
            "truth": round(truth, 9),
            "holds": ((low <= truth) & (truth <= high)).mean(),
            "below": (truth < low).mean(),
            "above": (truth > high).mean(),
            "width": (high - low).mean(),
            "found": np.nan if world.second is None else (p < 0.05).mean(),
            "repeats": len(seeds),
            "first_seed": seeds.start,
            "resamples": resamples,
        }


def main() -> None:
    options = arguments(__doc__, repeats=500, pairs=500, first=0, resamples=metrics.RESAMPLES)
    table = []
    for world in worlds():
        repeats = options.repeats if world.second is None else options.pairs
        table += list(rows(world, range(options.first, options.first + repeats), options.resamples))
        print(f"{world.name}, {world.images} images: done", flush=True)
    save(table, options.out)


if __name__ == "__main__":
    main()
