"""Captions: a Phrasing from a caption bank, completed by a server or from parts, with a count of which did what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from zsprompt.errors import CaptionError
from zsprompt.llm.client import question_tokens
from zsprompt.llm.server import Server
from zsprompt.llm.writer import Fits, Writer, Written, question, require_all
from zsprompt.prompts import LabelSet, PromptSet
from zsprompt.prompts.caption_bank import Bank

_NAMED = 3


@dataclass(frozen=True)
class Plan:
    """What captions for some label sets would take.

    Attributes:
        sets: distinct label sets.
        banked: that the bank has.
        answered: whose first question was answered before.
        asked: that the server would be asked for; a caption that will not do costs a second question.
        question_tokens: of these questions, estimated.
        answer_tokens: at most, of their answers.
    """

    sets: int
    banked: int
    answered: int
    asked: int
    question_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Captions:
    """Where the captions of label sets come from: the bank first, then answers that are kept, then the server.

    Attributes:
        bank: captions that are there.
        writer: asks a server for the others; None for none.
    """

    bank: Bank = field(default_factory=lambda: Bank.of("none", ()))
    writer: Writer | None = field(default=None, repr=False, compare=False)
    model: str = ""  # the writer's, for the repr

    @classmethod
    def written_by(cls, writer: Writer, bank: Bank | None = None) -> Captions:
        """Captions of `bank`, the others by a server."""
        server = writer.client.server
        return cls(bank or Bank.of("none", ()), writer, f"{server.model} at {server.base_url}")

    def plan(self, label_sets: Iterable[LabelSet], labels: Sequence[str]) -> Plan:
        """What `fetch` would take; asks nothing."""
        keys = dict.fromkeys(map(frozenset, label_sets))
        lacking = [key for key in keys if self.bank.get(key) is None]
        questions = [question(key, labels) for key in lacking]
        new = self.writer.unanswered(questions) if self.writer else questions
        longest = self.writer.client.server.answer_tokens if self.writer else Server.answer_tokens
        tokens = sum(map(question_tokens, new))
        return Plan(len(keys), len(keys) - len(lacking), len(lacking) - len(new), len(new), tokens, longest * len(new))

    def fetch(self, label_sets: Iterable[LabelSet], labels: Sequence[str], fits: Fits) -> Written:
        """Captions for all of the sets, the bank's among them; see Writer.write."""
        keys = list(dict.fromkeys(map(frozenset, label_sets)))
        banked = {key: self.bank.captions[key] for key in keys if key in self.bank.captions}
        if self.writer is None:
            return Written(banked, unasked=len(keys) - len(banked))
        written = self.writer.write([key for key in keys if key not in banked], labels, fits)
        written.captions.update(banked)
        return written

    def wording(self, labels: Sequence[str], fits: Fits, fallback: PromptSet, *, compose: bool = True) -> Wording:
        """A Phrasing for sets of `labels` that counts what it did.

        Args:
            labels: all that could be named.
            fits: whether texts fit the model they are for.
            fallback: words a set whose two answers would not do.
            compose: without a server, a set without a caption gets one made of the captions of its parts.
        """
        return Wording(self, labels, fits, fallback, compose)


class Wording:
    """A Phrasing: one text for each label set, the same for every order of its labels.

    Attributes:
        tally: distinct label sets worded so far, by where their text came from: "banked" (the bank), "composed" (of
            captions of their parts), "written" (a server, now or before), "shortened" (the same, cut at the end of a
            clause), "template" (two answers would not do).
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
        """One text a label set.

        Raises:
            CaptionError: sets have no caption and cannot be composed; they are counted and the first ones named.
            LLMError: the server cannot be reached or refuses; what was answered is kept.
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
            raise CaptionError(self._refusal(missing))
        return [self._texts[key] for key in keys]

    def _write(self, writer: Writer, new: Sequence[frozenset[str]]) -> None:
        if not new:
            return
        written = writer.write(new, self._labels, self._fits)
        if not writer.offline:
            require_all(written, "--max-calls or --max-tokens")
        for key in new:
            if key in written.failed:
                self._take(key, "template", self._fallback.texts([tuple(sorted(key))])[0])
            elif key in written.captions:
                self._take(key, "shortened" if key in written.shortened else "written", written.captions[key].caption)

    def _take(self, key: frozenset[str], source: str, text: str | None) -> None:
        if text is not None:
            self._texts[key] = text
            self.tally[source] += 1

    def _refusal(self, missing: Sequence[frozenset[str]]) -> str:
        named = "; ".join(" + ".join(sorted(key)) or "nothing" for key in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        instead = "" if self._compose else ", leave out compose=no"
        return (
            f"caption bank {self._captions.bank.name} has no caption for {len(missing):,} of the label sets "
            f"({named}{more}); give a bank that has them with --captions FILE{instead}, or name a server with "
            "--llm-model: `zsprompt caption` with the same options fetches them, and --dry-run counts them"
        )
