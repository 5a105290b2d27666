"""What the package logs, as tests hear it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Listener(logging.Handler):
    def __init__(self, hear: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.getMessage())  # what it raises reaches the code that logged, which can stand for a kill


@contextmanager
def heard_by(hear: Callable[[str], object]) -> Iterator[None]:
    """Call `hear` with each message of the logger "zsprompt" from INFO on."""
    logger, listener = logging.getLogger("zsprompt"), _Listener(hear)
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
