"""Read-ahead: ordered results from a thread pool with a bounded number of pending items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def ahead(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """Results of `work` over `items`, in order; at most `count` are running or waiting to be consumed."""
    source = iter(items)
    pending: deque[Future[B]] = deque(pool.submit(work, item) for item in islice(source, count))
    while pending:
        yield pending.popleft().result()
        pending.extend(pool.submit(work, item) for item in islice(source, 1))
