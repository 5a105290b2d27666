"""A session of the command line: messages on stderr, refusals as one line, and exit statuses."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import typer

from zsprompt.errors import ZspromptError

_INTERRUPTED = 130


def note(text: str) -> None:
    """Print a line on stderr."""
    with suppress(OSError):  # stderr may be closed too
        typer.echo(text, err=True)


def notes(texts: Iterable[str]) -> None:
    """Print lines on stderr."""
    for text in texts:
        note(text)


def named_lines(entries: Sequence[tuple[str, str]]) -> str:
    """Names with one line about each, wrapped to the width of a terminal."""
    from zsprompt.report.terminal import text_table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return text_table((), entries, left=(0, 1), width=width)


def can_print(text: str) -> bool:
    """Whether stdout's encoding has the characters of `text`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def drop_output() -> None:
    """Discard what could not be printed. Python would retry at exit and show a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Notes(logging.Handler):
    """Shows the package's messages as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def _messages(quiet: Sequence[str]) -> Iterator[None]:
    """Show the package's messages from INFO up; only warnings of the loggers in `quiet`."""
    logger, handler = logging.getLogger("zsprompt"), _Notes(logging.INFO)
    before = {name: logging.getLogger(name).level for name in (logger.name, *quiet)}
    logger.setLevel(logging.INFO)
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def refusals(again: str = "the same command continues from there", quiet: Sequence[str] = ()) -> Iterator[None]:
    """One line on stderr and the right exit status for everything that is not a bug.

    Args:
        again: how to continue after Ctrl-C.
        quiet: loggers whose messages below a warning are not shown.
    """
    try:
        with _messages(quiet):
            yield
    except ZspromptError as error:
        note("error: " + " ".join(str(error).split()))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        note(f"interrupted; finished work is stored, and {again}")
        raise typer.Exit(_INTERRUPTED) from None
    except BrokenPipeError:
        drop_output()  # the reader of a pipe left early, as `head` does
        raise typer.Exit(1) from None
    except OSError as error:
        note(f"error: cannot read or write ({error.strerror or error})")
        drop_output()
        raise typer.Exit(1) from None
