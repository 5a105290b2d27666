"""Captions of label sets, from a caption bank, an LLM server or composition, with counts of their origin."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.text import counted
from zsprompt.errors import CaptionError
from zsprompt.llm.client import question_tokens
from zsprompt.llm.server import Server
from zsprompt.llm.writer import Fits, Writer, Written, question, require_all
from zsprompt.prompts import LabelSet, PromptSet
from zsprompt.prompts.caption_bank import Bank

logger = logging.getLogger("zsprompt")

_LISTED = 3  # label sets that an error message names


@dataclass(frozen=True)
class Plan:
    """The cost of captions for some label sets.

    Attributes:
        sets: number of distinct label sets.
        banked: sets with a caption in the bank.
        answered: sets whose first request has a stored answer.
        asked: sets that need a request. A rejected caption needs a second one.
        question_tokens: tokens of the requests, estimated.
        answer_tokens: maximum number of tokens of their answers.
    """

    sets: int
    banked: int
    answered: int
    asked: int
    question_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Captions:
    """The sources of label-set captions: first the bank, then stored answers, then the server.

    Attributes:
        bank: existing captions.
        writer: requests the others from a server; None for no server.
    """

    bank: Bank = field(default_factory=lambda: Bank.of("none", ()))
    writer: Writer | None = field(default=None, repr=False, compare=False)
    model: str = ""  # the writer's, for the repr

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def written_by(cls, writer: Writer, bank: Bank | None = None) -> Captions:
        """Captions from `bank`; `writer` requests the others."""
        server = writer.client.server
        return cls(bank or Bank.of("none", ()), writer, f"{server.model} at {server.base_url}")

    def plan(self, label_sets: Iterable[LabelSet], labels: Sequence[str]) -> Plan:
        """The cost of `fetch`. Sends nothing."""
        keys = dict.fromkeys(map(frozenset, label_sets))
        missing = [key for key in keys if self.bank.get(key) is None]
        questions = [question(key, labels) for key in missing]
        new = self.writer.unanswered(questions) if self.writer else questions
        longest = self.writer.client.server.answer_tokens if self.writer else Server.answer_tokens
        tokens = sum(map(question_tokens, new))
        return Plan(len(keys), len(keys) - len(missing), len(missing) - len(new), len(new), tokens, longest * len(new))

    def fetch(self, label_sets: Iterable[LabelSet], labels: Sequence[str], fits: Fits) -> Written:
        """Captions for all sets, including those of the bank; see Writer.write."""
        keys = list(dict.fromkeys(map(frozenset, label_sets)))
        banked = {key: self.bank.captions[key] for key in keys if key in self.bank.captions}
        if self.writer is None:
            return Written(banked, unasked=len(keys) - len(banked))
        written = self.writer.write([key for key in keys if key not in banked], labels, fits)
        written.captions.update(banked)
        return written

    def wording(self, labels: Sequence[str], fits: Fits, fallback: PromptSet, *, compose: bool = True) -> Wording:
        """A Phrasing for label sets that counts the origin of its texts.

        Args:
            labels: all labels of the data set.
            fits: whether each text fits the encoder.
            fallback: words a set if two answers were rejected, or the server refused.
            compose: without a server, compose a missing caption from the captions of subsets.
        """
        return Wording(self, labels, fits, fallback, compose)


class Wording:
    """A Phrasing: one text per label set, whatever the order of its labels.

    Attributes:
        tally: number of distinct label sets so far, by the origin of their text: "banked" (the bank), "composed"
            (captions of subsets), "written" (a server, now or earlier), "shortened" (the same, cut at the end of a
            clause), "template" (two answers were rejected, or the server refused).
    """

    def __init__(
        self, captions: Captions, labels: Sequence[str], fits: Fits, fallback: PromptSet, compose: bool
    ) -> None:
        self._captions = captions
        self._labels = labels
        self._fits = fits
        self._fallback = fallback
        self._compose = compose
        self._texts: dict[frozenset[str], str] = {}
        self.tally: Counter[str] = Counter()

    def __call__(self, label_sets: Sequence[LabelSet]) -> list[str]:
        """One text per label set.

        Raises:
            CaptionError: some sets have no caption, and none can be composed. The message counts them and names the
                first ones.
            LLMError: the server cannot be reached or refuses. Answers are kept.
        """
        keys = [frozenset(labels) for labels in label_sets]
        new = [key for key in dict.fromkeys(keys) if key not in self._texts]
        for key in new:
            self._take(key, "banked", self._captions.bank.get(key))
        new = [key for key in new if key not in self._texts]
        if self._captions.writer:
            self._write(self._captions.writer, new)
        missing = [key for key in new if key not in self._texts]
        if self._compose:
            for key in missing:
                self._take(key, "composed", self._captions.bank.composed(key))
        missing = [key for key in missing if key not in self._texts]
        if missing:
            raise CaptionError(self._missing_message(missing))
        return [self._texts[key] for key in keys]

    def _write(self, writer: Writer, new: Sequence[frozenset[str]]) -> None:
        if not new:
            return
        written = writer.write(new, self._labels, self._fits)
        if not writer.offline:
            require_all(written, "max_calls or max_tokens (--llm …,max_calls=N)")
        for key, reason in written.refused.items():
            logger.warning(f"no caption for {' + '.join(sorted(key)) or 'the empty set'}: {reason}")
        for key in new:
            if key in written.failed or key in written.refused:
                self._take(key, "template", self._fallback.texts([tuple(sorted(key))])[0])
            elif key in written.captions:
                self._take(key, "shortened" if key in written.shortened else "written", written.captions[key].caption)

    def _take(self, key: frozenset[str], source: str, text: str | None) -> None:
        if text is not None:
            self._texts[key] = text
            self.tally[source] += 1

    def _missing_message(self, missing: Sequence[frozenset[str]]) -> str:
        listed = "; ".join(" + ".join(sorted(key)) or "nothing" for key in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
        instead = "" if self._compose else ", leave out compose=no"
        return (
            f"caption bank {self._captions.bank.name} has no caption for {counted(len(missing), 'label set')} "
            f"({listed}{more}); use a bank that has them with --captions FILE{instead}, or name a server with "
            "--llm [SERVER:]MODEL: `zsprompt caption-labels` with the same options requests them, and --dry-run "
            "counts them"
        )
