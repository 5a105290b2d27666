"""The package's log messages, for tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.getMessage())  # its exceptions reach the code that logs, so it can simulate a kill


@contextmanager
def heard_by(hear: Callable[[str], object]) -> Iterator[None]:
    """Call `hear` with each message of the logger "zsprompt" at level INFO or above."""
    logger, listener = logging.getLogger("zsprompt"), _Listener(hear)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
