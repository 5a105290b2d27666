"""Progress of long work: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Starts a task and yields a function to call with the number of steps completed."""

    def __call__(self, what: str, total: int, unit: str) -> AbstractContextManager[Advance]: ...


@contextmanager
def quiet(what: str, total: int, unit: str) -> Iterator[Advance]:
    """A Progress that shows nothing."""
    yield lambda _: None


class Outermost:
    """A Progress that hides nested tasks, so that work in several parts has one bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._inside = False

    @contextmanager
    def __call__(self, what: str, total: int, unit: str) -> Iterator[Advance]:
        if self._inside:
            yield lambda _: None
            return
        self._inside = True
        try:
            with self._progress(what, total, unit) as advance:
                yield advance
        finally:
            self._inside = False


@contextmanager
def terminal(what: str, total: int, unit: str) -> Iterator[Advance]:
    """A Progress that draws a bar with rate and remaining time on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not console.is_terminal or not total:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[outlook]}"),
    )
    start = time.monotonic()
    with Bars(*columns, console=console) as bars:
        task = bars.add_task(what, total=total, outlook="")
        done = 0

        def advance(n: int) -> None:
            # the rate is averaged over the whole task: steps come in batches, and a momentary rate would jump
            nonlocal done
            done += n
            bars.update(task, completed=done, outlook=_outlook(done, total, unit, time.monotonic() - start))

        yield advance


def _outlook(done: int, total: int, unit: str, seconds: float) -> str:
    """ "31 images/s, 0:12 left"; empty before the first step."""
    if not done or seconds <= 0:
        return ""
    rate = done / seconds
    minutes, rest = divmod(round((total - done) / rate), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return f"{f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'} {unit}/s, {left} left"
