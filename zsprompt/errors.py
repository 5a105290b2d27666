"""Every error zsprompt raises on purpose. The command line prints each as one line; anything else is a bug.

ZspromptError
├── UsageError      an option or argument that cannot be understood
│   ├── UnknownName a name that is in no table, with the near ones
│   └── PlanError   a plan of an ablation that cannot be read or has no rows
├── PromptError     a prompt set that cannot be read or lacks what a strategy needs
├── CaptionError    a caption bank that cannot be read or lacks captions
├── LLMError        a server that cannot be reached or refuses
├── LabelError      labels that are blank, duplicate or too long for the encoder
├── DataError       a data set, folder or annotation that is missing or broken
│   ├── ImageError  one picture that cannot be read
│   └── BadImages   a data set with pictures that cannot be read, all of them named
├── DownloadError   a file that cannot be fetched, or is not what was promised
├── ModelError      weights that are missing, damaged or of another kind
├── AdapterError    an adapter file that is missing, damaged, newer, or made for something else
├── TrainingError   a training that cannot start or go on
├── ThresholdError  thresholds that cannot be read or belong to something else
├── ResultError     a saved result that is missing or damaged, or results that cannot be compared
├── CacheError      a cache folder that is foreign, unwritable, full or damaged
├── OutputError     a result that could not be written
└── ContractError   an object of your own that breaks a rule of zsprompt.testing; an AssertionError too
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_NAMED = 10
"""How many unreadable pictures one message names before it only counts the rest."""


class ZspromptError(Exception):
    """Base of all errors below. Its text is one line: what was expected, what was found, what to do."""


class UsageError(ZspromptError):
    """An option or argument that cannot be understood."""


class UnknownName(UsageError):  # noqa: N818 - reads as what it is
    """A name that stands in no table.

    Args:
        kind: what was looked for, as the reader calls it ("strategy").
        name: what was given.
        known: the names that would have worked.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
        hint = next((f"Did you mean {k!r}? " for k in known if near and k.lower() == near[0]), "")
        super().__init__(f"unknown {kind} {name!r}. {hint}Known: {', '.join(known)}")


class PlanError(UsageError):
    """A plan of an ablation that cannot be read or has no rows."""


class PromptError(ZspromptError):
    """A prompt set that cannot be read or lacks what a strategy needs."""


class CaptionError(ZspromptError):
    """A caption bank that cannot be read or lacks captions."""


class LLMError(ZspromptError):
    """A server that cannot be reached or refuses. It names the server, never the key."""


class LabelError(ZspromptError):
    """Labels that are blank, duplicate or too long for the encoder."""


class DataError(ZspromptError):
    """A data set, folder or annotation that is missing or broken."""


class ImageError(DataError):
    """One picture that cannot be read. The text is the reason alone; the caller knows the name."""


class BadImages(DataError):  # noqa: N818 - reads as what it is
    """A data set with pictures that cannot be read.

    Args:
        bad: (id, reason) of every such picture, in the order of the data set.
        total: number of pictures in the data set.
    """

    def __init__(self, bad: Sequence[tuple[str, str]], total: int) -> None:
        self.bad = tuple(bad)
        named = "; ".join(f"{name}: {reason}" for name, reason in bad[:_NAMED])
        rest = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        super().__init__(
            f"{len(bad)} of {total} pictures cannot be read ({named}{rest}). "
            "Mend them, or leave them out with --skip-bad (skip_bad=True)"
        )


class DownloadError(ZspromptError):
    """A file that cannot be fetched, or is not what was promised."""


class ModelError(ZspromptError):
    """Weights that are missing, damaged or of another kind."""


class CacheError(ZspromptError):
    """A cache folder that is foreign, unwritable, full or damaged."""


class AdapterError(ZspromptError):
    """An adapter file that is missing, damaged, newer, or made for something else."""


class TrainingError(ZspromptError):
    """A training that cannot start or go on."""


class ThresholdError(ZspromptError):
    """Thresholds that cannot be read or belong to something else."""


class ResultError(ZspromptError):
    """A saved result that is missing or damaged, or results that cannot be compared."""


class OutputError(ZspromptError):
    """A result that could not be written."""


class ContractError(ZspromptError, AssertionError):
    """An object of your own that breaks a rule which the package relies on; raised by zsprompt.testing alone.

    Args:
        clause: the rule, in a word or two ("row independence").
        message: what was expected and what was found.
    """

    def __init__(self, clause: str, message: str) -> None:
        self.clause = clause
        super().__init__(f"{clause}: {message}")
