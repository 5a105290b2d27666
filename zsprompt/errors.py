"""Every error that zsprompt raises on purpose. The command line prints each as one line; anything else is a bug.

ZspromptError
├── UsageError      an option or argument that is not understood
│   ├── UnknownName an unknown name, with the closest known one
│   └── PlanError   an ablation plan that cannot be read or has no rows
├── PromptError     a prompt set that cannot be read or lacks what a strategy needs
├── CaptionError    a caption bank that cannot be read or lacks captions
├── LLMError        a server that cannot be reached or refuses
├── LabelError      labels that are blank, duplicated or too long for the encoder
├── DataError       a data set, folder or annotation that is missing or broken
│   ├── ImageError  one image that cannot be read
│   └── BadImages   a data set with images that cannot be read
├── DownloadError   a file that cannot be downloaded or fails its check
├── ModelError      weights that are missing, damaged or of another kind
├── AdapterError    an adapter file that is missing, damaged, too new, or made for something else
├── TrainingError   a training run that cannot start or continue
├── ThresholdError  thresholds that cannot be read or belong to something else
├── ResultError     a saved result that is missing or damaged, or results that cannot be compared
├── CacheError      a cache folder that is foreign, unwritable, full or damaged
├── OutputError     an output file that cannot be written
└── ContractError   an object of yours that breaks a rule of zsprompt.testing; also an AssertionError
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_NAMED = 10
"""Maximum number of unreadable images that one message names; it counts the rest."""


class ZspromptError(Exception):
    """Base of all errors below. Its text is one line: what was expected, what was found, and what to do."""


class UsageError(ZspromptError):
    """An option or argument that is not understood."""


_MOST_SHOWN, _NEAR_SHOWN = 40, 10


class UnknownName(UsageError):  # noqa: N818 - reads as what it is
    """An unknown name. The message suggests the closest known one.

    Args:
        kind: what the name should stand for, in the user's words ("strategy").
        name: the name that was given.
        choices: the valid names.
        near: those closest to the name, the closest first, where the caller knows better than spelling.
        see: a command that shows all valid names; the message names it instead of them.
    """

    def __init__(
        self, kind: str, name: str, choices: Iterable[str], *, near: Sequence[str] = (), see: str = ""
    ) -> None:
        choices = sorted(choices)
        if see:
            meant = f". Did you mean {near[0]!r}?" if near else ""
            others = f" Also close: {', '.join(near[1:])}" if near[1:] else ""
            super().__init__(f"unknown {kind} {name!r}{meant}{others}{'; ' if others or not near else ' '}see {see}")
            return
        by_lower = {choice.lower(): choice for choice in choices}
        close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
        hint = f"Did you mean {by_lower[close[0]]!r}? " if close else ""
        shown = "Known"
        if len(choices) > _MOST_SHOWN:
            near = difflib.get_close_matches(name.lower(), by_lower, n=_NEAR_SHOWN, cutoff=0.0)
            shown, choices = f"Closest of {len(choices)}", [by_lower[one] for one in near]
        super().__init__(f"unknown {kind} {name!r}. {hint}{shown}: {', '.join(choices)}")


class PlanError(UsageError):
    """An ablation plan that cannot be read or has no rows."""


class PromptError(ZspromptError):
    """A prompt set that cannot be read or lacks what a strategy needs."""


class CaptionError(ZspromptError):
    """A caption bank that cannot be read or lacks captions."""


class LLMError(ZspromptError):
    """A server that cannot be reached or refuses. The message names the server, never the key."""


class LabelError(ZspromptError):
    """Labels that are blank, duplicated or too long for the encoder."""


class DataError(ZspromptError):
    """A data set, folder or annotation that is missing or broken."""


class ImageError(DataError):
    """One image that cannot be read. The text is only the reason; the caller knows the name."""


class BadImages(DataError):  # noqa: N818 - reads as what it is
    """A data set with images that cannot be read.

    Args:
        bad: (id, reason) of every such image, in the order of the data set.
        total: number of images in the data set.
    """

    def __init__(self, bad: Sequence[tuple[str, str]], total: int) -> None:
        self.bad = tuple(bad)
        named = "; ".join(f"{name}: {reason}" for name, reason in bad[:_NAMED])
        rest = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        super().__init__(
            f"{len(bad)} of {total} images cannot be read ({named}{rest}). "
            "Fix them, or pass --skip-bad (skip_bad=True) to exclude them"
        )


class DownloadError(ZspromptError):
    """A file that cannot be downloaded or fails its check."""


class ModelError(ZspromptError):
    """Weights that are missing, damaged or of another kind."""


class CacheError(ZspromptError):
    """A cache folder that is foreign, unwritable, full or damaged."""


class AdapterError(ZspromptError):
    """An adapter file that is missing, damaged, too new, or made for something else."""


class TrainingError(ZspromptError):
    """A training run that cannot start or continue."""


class ThresholdError(ZspromptError):
    """Thresholds that cannot be read or belong to something else."""


class ResultError(ZspromptError):
    """A saved result that is missing or damaged, or results that cannot be compared."""


class OutputError(ZspromptError):
    """An output file that cannot be written."""


class ContractError(ZspromptError, AssertionError):
    """An object of yours that breaks a rule of the package. Only zsprompt.testing raises it.

    Args:
        clause: the rule in a word or two ("row independence").
        message: what was expected and what was found.
    """

    def __init__(self, clause: str, message: str) -> None:
        self.clause = clause
        super().__init__(f"{clause}: {message}")
