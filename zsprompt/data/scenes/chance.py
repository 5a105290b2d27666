"""Random choices that are the same on every machine and in every version of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import TypeVar

A = TypeVar("A")


class Chance:
    """A stream of choices that a seed fixes.

    Only `Random.random` promises the same numbers in every Python; `choice`, `sample` and numpy's generators do not.
    So everything here is built on it.
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
        """True that often."""
        return self._next() < probability

    def one(self, options: Sequence[A]) -> A:
        """One of `options`, all alike."""
        return options[self.below(len(options))]

    def weighed(self, weights: Mapping[A, float]) -> A:
        """One of the keys, each as often as its weight says."""
        at = self._next() * sum(weights.values())
        for option, weight in weights.items():
            at -= weight
            if at < 0:
                return option
        return list(weights)[-1]  # rounding left a hair at the end

    def shuffled(self, options: Sequence[A]) -> list[A]:
        """`options` in random order."""
        keyed = [(self._next(), i) for i in range(len(options))]
        return [options[i] for _, i in sorted(keyed)]

    def some(self, options: Sequence[A], count: int) -> list[A]:
        """`count` different ones, in random order."""
        return self.shuffled(options)[:count]
