"""What commands share: where refusals become one line, and how options become stores, labels and captions."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zsprompt.cli.options import DeviceOption, PrecisionOption
from zsprompt.errors import LabelError, UsageError, ZspromptError

if TYPE_CHECKING:
    from zsprompt.data import Dataset
    from zsprompt.llm import Budget, Captions, Writer
    from zsprompt.store import EmbeddingStore
    from zsprompt.strategies import Strategy

_INTERRUPTED = 130


def note(text: str) -> None:
    """A line on stderr."""
    with suppress(OSError):  # nobody can be told that nobody can be told
        typer.echo(text, err=True)


def can_print(text: str) -> bool:
    """Whether stdout's encoding knows the characters of `text`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def drop_output() -> None:
    """Let what could not be printed go, or Python would try again at its end and show a traceback."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Notes(logging.Handler):
    """Shows the package's messages as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


@contextmanager
def _messages(quiet: Sequence[str]) -> Iterator[None]:
    """Show what the package logs from INFO on; of the loggers `quiet` only warnings."""
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
def refusals(again: str = "the same command goes on from there", quiet: Sequence[str] = ()) -> Iterator[None]:
    """One line on stderr and the right exit status for everything that is not a bug.

    Args:
        again: how to go on after ^C.
        quiet: loggers whose messages below a warning are not shown.
    """
    try:
        with _messages(quiet):
            yield
    except ZspromptError as error:
        note("error: " + " ".join(str(error).split()))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        note(f"interrupted; what was finished is stored, and {again}")
        raise typer.Exit(_INTERRUPTED) from None
    except BrokenPipeError:
        drop_output()  # the reader of a pipe left early, as `head` does
        raise typer.Exit(1) from None
    except OSError as error:
        note(f"error: cannot read or write ({error.strerror or error})")
        drop_output()
        raise typer.Exit(1) from None


def open_store(
    model: str, device: DeviceOption, precision: PrecisionOption, batch_size: int | None, cache: Path | None
) -> EmbeddingStore:
    """The store that the options describe. Raises ModelError, CacheError."""
    from zsprompt._utils.progress import terminal
    from zsprompt.encoders import load_encoder
    from zsprompt.store import EmbeddingStore

    encoder = load_encoder(model, device=device.value, precision=precision.value)
    return EmbeddingStore(encoder, cache=cache or "default", batch_size=batch_size, progress=terminal)


def load_model(model: str, cache: Path | None) -> EmbeddingStore:
    """The store of a model, all else by default."""
    return open_store(model, DeviceOption.auto, PrecisionOption.auto, None, cache)


def read_labels(text: str | None, file: Path | None) -> list[str]:
    """The labels of --labels or --labels-file. Raises UsageError unless just one is given, LabelError."""
    from zsprompt._utils.files import read_text

    if (text is None) == (file is None):
        found = "neither" if text is None else "both"
        raise UsageError(f'expected either --labels "dog, cat" or --labels-file FILE, found {found}')
    if text is not None:
        return [label.strip() for label in text.split(",")]
    try:
        lines = read_text(Path(str(file))).split("\n")  # not splitlines, which also splits at rarer characters
    except (OSError, ValueError) as error:
        raise LabelError(f"cannot read labels file {file}: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()  # a file may end in blank lines; one in the middle is more likely a mistake
    return [line.strip() for line in lines]


def chosen_labels(known: Sequence[str], text: str | None, file: Path | None, without: str | None) -> list[str]:
    """The labels of a data set that options ask for: --labels or --labels-file, or all but --without, or all.

    Raises:
        UsageError: more than one of these, or a label to leave out that is not there.
    """
    if without is not None:
        if text is not None or file is not None:
            raise UsageError("expected either labels or --without, found both")
        gone = read_labels(without, None)
        if unknown := [label for label in gone if label not in known]:
            raise UsageError(f"expected labels of the data set in --without, found {unknown[0]!r}")
        return [label for label in known if label not in gone]
    return list(known) if text is None and file is None else read_labels(text, file)


def with_captions_of(data: Dataset, file: Path | None) -> Dataset:
    """`data` with a file's captions of its pictures as those that a machine has written."""
    import dataclasses

    from zsprompt.data.datasets.image_captions import captions_for

    if file is None:
        return data
    return dataclasses.replace(data, written=captions_for([image.id for image in data.images], file))


def check_part(limit: int | None, sample: int | None, seed: int | None) -> None:
    """Raise UsageError unless at most one of --limit and --sample is given, and --seed only with --sample."""
    if limit is not None and sample is not None:
        raise UsageError("expected either --limit (the first N pictures) or --sample (N drawn at random), found both")
    if seed is not None and sample is None:
        raise UsageError("expected --sample N with --seed, found --seed alone")


def take_part(data: Dataset, limit: int | None, sample: int | None, seed: int | None) -> Dataset:
    """The pictures of a data set that --limit, or --sample and --seed, ask for. Raises UsageError."""
    check_part(limit, sample, seed)
    if sample is not None:
        return data.sample(sample, seed or 0)
    return data if limit is None else data.first(limit)


@dataclass(frozen=True)
class CaptionSource:
    """Where options say that captions come from: a bank, and a server for what it lacks."""

    given: str | None
    own: str | None  # the data set's bank
    model: str | None
    base_url: str | None
    timeout: float | None
    offline: bool
    cache: Path | None

    def give(self, strategy: Strategy, max_calls: int | None = None, max_tokens: int | None = None) -> Strategy:
        """`strategy`, with captions if it takes them; at most so much is asked for."""
        from zsprompt.llm import Budget
        from zsprompt.strategies import lacks_captions, with_captions

        if not lacks_captions(strategy) and not (self.given or self.model or self.base_url):
            return strategy
        found = self.captions(Budget(max_calls, max_tokens))
        return with_captions(strategy, found) if found else strategy

    def captions(self, budget: Budget | None = None) -> Captions | None:
        """The captions; None where no bank and no server is named."""
        from zsprompt.llm import Captions, load_bank

        name = self.given or self.own
        bank = load_bank(name) if name else None
        writer = self.writer(budget)
        if writer:
            return Captions.written_by(writer, bank)
        return Captions(bank) if bank else None

    def writer(self, budget: Budget | None = None) -> Writer | None:
        """The server's; None where none is named."""
        from zsprompt._utils.byte_cache import default_cache
        from zsprompt._utils.progress import terminal
        from zsprompt.llm import Answers, ChatClient, Writer, answers_folder, find_server

        server = find_server(base_url=self.base_url, model=self.model, timeout=self.timeout)
        if server is None:
            return None
        answers = Answers(answers_folder(self.cache or default_cache()))
        return Writer(ChatClient(server), answers, budget=budget, offline=self.offline, progress=terminal)
