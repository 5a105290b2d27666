"""Random choices that are identical on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

A = TypeVar("A")


class Chance:
    """A stream of choices, determined by a seed.

    All choices use `Random.random`, whose numbers are the same in every version of Python. `choice`, `sample` and
    NumPy's generators do not guarantee this.
    """

    def __init__(self, seed: str) -> None:
        self._next = Random(seed).random

    def between(self, low: float, high: float) -> float:
        """A number from low to high."""
        return low + (high - low) * self._next()

    def below(self, count: int) -> int:
        """A whole number from 0 to count − 1."""
        return int(self._next() * count)

    def happens(self, probability: float) -> bool:
        """True with the given probability."""
        return self._next() < probability

    def one(self, options: Sequence[A]) -> A:
        """One of `options`, with equal probabilities."""
        return options[self.below(len(options))]

    def weighed(self, weights: Mapping[A, float]) -> A:
        """One of the keys, with probabilities proportional to their weights."""
        at = self._next() * sum(weights.values())
        for option, weight in weights.items():
            at -= weight
            if at < 0:
                return option
        return list(weights)[-1]  # reached only through rounding

    def shuffled(self, options: Sequence[A]) -> list[A]:
        """`options` in random order."""
        keyed = [(self._next(), i) for i in range(len(options))]
        return [options[i] for _, i in sorted(keyed)]

    def some(self, options: Sequence[A], count: int) -> list[A]:
        """`count` distinct options, in random order."""
        return self.shuffled(options)[:count]
