"""Reading ahead: results of work in a pool, in order, with a bounded number under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")


B = TypeVar("B")


def ahead(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """Ordered results of `work` over `items`, with at most `count` under way or waiting to be taken."""
    source = iter(items)
    under_way: deque[Future[B]] = deque(pool.submit(work, item) for item in islice(source, count))
    while under_way:
        yield under_way.popleft().result()
        under_way.extend(pool.submit(work, item) for item in islice(source, 1))
