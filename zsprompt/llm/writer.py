"""An LLM that writes captions for label sets: asked once a set, checked, asked once more, and never beyond a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TypeVar

import httpx

from zsprompt._utils.arrays import Bools
from zsprompt._utils.progress import Progress, quiet
from zsprompt.errors import LLMError
from zsprompt.llm.answers import Answers
from zsprompt.llm.checks import Complaint, complaint, shortened, tidy
from zsprompt.llm.client import Answer, ChatClient, Messages, together
from zsprompt.prompts.caption_bank import Caption

A = TypeVar("A")
Fits = Callable[[Sequence[str]], Bools]

# After the mmm-clip seed's "Please caption an image that contains …"; the rest keeps an answer fit to be embedded.
_ASK = (
    "Please caption an image that contains {labels}. Answer with the caption alone: one line in English, at most "
    "{words} words, naming each of these and no other object."
)
_ASK_NOTHING = (
    "Please caption an image that contains none of these: {others}. Answer with the caption alone: one line in "
    "English, at most {words} words, naming none of them."
)
_WORDS, _FEWER_WORDS = 30, 15
_AGAIN = "That will not do: {said}. Answer with a better caption alone, on one line, of at most {words} words."


@dataclass
class Budget:
    """What may still be asked. Answers that are kept cost nothing."""

    calls: int | None = None
    tokens: int | None = None
    calls_made: int = 0
    tokens_used: int = 0

    def take(self, tokens: int) -> bool:
        """Whether one more request of about so many tokens is within the budget; it is then counted."""
        if self.calls is not None and self.calls_made >= self.calls:
            return False
        if self.tokens is not None and self.tokens_used + tokens > self.tokens:
            return False
        self.calls_made += 1
        self.tokens_used += tokens
        return True

    def calls_left(self) -> bool:
        """Whether the number of requests allows one more."""
        return self.calls is None or self.calls_made < self.calls


class SpentError(Exception):
    """The budget is used up."""


@dataclass
class Written:
    """What came of writing captions.

    Attributes:
        captions: by label set.
        shortened: sets whose caption was cut at the end of a clause to fit the model.
        failed: sets for which two answers would not do, with the last complaint.
        unasked: how many sets the budget did not reach.
    """

    captions: dict[frozenset[str], Caption] = field(default_factory=dict)
    shortened: set[frozenset[str]] = field(default_factory=set)
    failed: dict[frozenset[str], str] = field(default_factory=dict)
    unasked: int = 0


class Writer:
    """Writes captions with the help of a server.

    Args:
        client: whom to ask.
        answers: what was answered before; new answers are kept there at once.
        budget: how much may be asked.
        offline: ask nothing, and use the answers that are kept.
        progress: where progress is shown.
    """

    def __init__(
        self,
        client: ChatClient,
        answers: Answers,
        *,
        budget: Budget | None = None,
        offline: bool = False,
        progress: Progress = quiet,
    ) -> None:
        self.client = client
        self.answers = answers
        self.offline = offline
        self.budget = Budget(calls=0) if offline else budget or Budget()
        self._progress = progress
        self._under_way: set[asyncio.Future[Answer]] = set()

    def write(self, sets: Iterable[frozenset[str]], labels: Sequence[str], fits: Fits) -> Written:
        """Captions for label sets.

        Args:
            sets: of `labels`; the empty one is "none of them".
            labels: all that could be named.
            fits: whether texts fit the model they are for.

        Raises:
            LLMError: the server cannot be reached or refuses; what was answered is kept.
        """
        wanted = list(dict.fromkeys(sets))
        job = _Job(self, labels, fits, Written())
        self.each(wanted, job.caption, "captions")
        return job.written

    def answer(self, questions: Iterable[Messages]) -> tuple[dict[Messages, Answer], int]:
        """The answer to each question, and how many the budget did not reach.

        Raises:
            LLMError: the server cannot be reached or refuses; what was answered is kept.
        """
        wanted = list(dict.fromkeys(questions))
        found: dict[Messages, Answer] = {}

        async def one(http: httpx.AsyncClient, asked: Messages) -> None:
            with suppress(SpentError):
                found[asked] = await self.ask(http, asked)

        self.each(wanted, one, "questions")
        return {asked: found[asked] for asked in wanted if asked in found}, len(wanted) - len(found)

    def each(self, wanted: Sequence[A], work: Callable[[httpx.AsyncClient, A], Awaitable[None]], what: str) -> None:
        """`work` on each of `wanted`, as many at a time as the server may be asked, with progress in `what`.

        Raises:
            LLMError: the first that `work` raises; the others are stopped, and what was answered is kept.
        """
        with self._progress(what, len(wanted), what) as advance:
            together(lambda: self._each(wanted, work, advance))

    async def ask(self, http: httpx.AsyncClient, messages: Messages, *, besides: int = 0) -> Answer:
        """The answer that is kept, else the server's, which is then kept.

        Args:
            http: the connections.
            messages: the question.
            besides: tokens that it takes besides its text, as far as is known.

        Raises:
            SpentError: it is beyond the budget.
            LLMError: the server cannot be reached or refuses.
        """
        body = self.client.body(messages)
        known = self.answers.get(self.client.server.base_url, body)
        if known is not None:
            return known
        expected = self.client.estimated_tokens(messages) + besides
        while not self.budget.take(expected):
            if not self._under_way or not self.budget.calls_left():
                raise SpentError
            await asyncio.wait(
                self._under_way, return_when=asyncio.FIRST_COMPLETED
            )  # they may take less than estimated
        asking = asyncio.ensure_future(self.client.ask(http, messages))
        self._under_way.add(asking)
        try:
            answer = await asking
            self.budget.tokens_used += answer.tokens - expected
        finally:
            asking.cancel()
            self._under_way.discard(asking)
        self.answers.put(self.client.server.base_url, body, answer)
        return answer

    async def _each(
        self,
        wanted: Sequence[A],
        work: Callable[[httpx.AsyncClient, A], Awaitable[None]],
        advance: Callable[[int], None],
    ) -> None:
        """`work` on each, as many at a time as the server may be asked; the first that fails stops the others."""
        waiting = iter(wanted)
        async with self.client.open() as http:

            async def worker() -> None:
                for one in waiting:  # workers share the iterator, and none waits while it takes from it
                    await work(http, one)
                    advance(1)

            workers = [asyncio.ensure_future(worker()) for _ in range(self.client.server.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def unanswered(self, questions: Iterable[Messages]) -> list[Messages]:
        """Those questions that have no answer yet."""
        url = self.client.server.base_url
        return [asked for asked in questions if self.answers.get(url, self.client.body(asked)) is None]


@dataclass
class _Job:
    """One `write` call."""

    writer: Writer
    labels: Sequence[str]
    fits: Fits
    written: Written

    async def caption(self, http: httpx.AsyncClient, key: frozenset[str]) -> None:
        """Ask for the caption of a set, check it, ask once more, and write down what came of it."""
        asked = question(key, self.labels)
        try:
            text, said = await self._checked(http, key, asked)
            if said is not None:
                words = _FEWER_WORDS if said.too_long else _WORDS
                text, said = await self._checked(http, key, (*asked, *once_more(text, said, words)))
        except SpentError:
            self.written.unasked += 1
            return
        if said is not None and said.too_long:
            text, said = self._shortened(key, text, said)
        if said is not None:
            self.written.failed[key] = said.said
            return
        now = datetime.now(timezone.utc).date().isoformat()
        prompt = asked[-1][1]
        self.written.captions[key] = Caption(tuple(sorted(key)), text, self.writer.client.server.model, prompt, now)

    async def _checked(
        self, http: httpx.AsyncClient, key: frozenset[str], messages: Messages
    ) -> tuple[str, Complaint | None]:
        answer = await self.writer.ask(http, messages)
        text = tidy(answer.text)
        said = complaint(text, sorted(key), self.labels)
        if said is None and answer.cut:
            said = Complaint("it broke off before its end", too_long=True)
        if said is None and not self.fits([text]).all():
            said = Complaint("it is too long", too_long=True)
        return text, said

    def _shortened(self, key: frozenset[str], text: str, said: Complaint) -> tuple[str, Complaint | None]:
        for short in shortened(text):
            if self.fits([short]).all() and complaint(short, sorted(key), self.labels) is None:
                self.written.shortened.add(key)
                return short, None
        return text, said


def question(key: frozenset[str], labels: Sequence[str]) -> Messages:
    """What is asked for a label set; the same whatever the order of its labels, and of all labels."""
    if not key:
        return (("user", _ASK_NOTHING.format(others=", ".join(sorted(labels)), words=_WORDS)),)
    *first, last = sorted(key)
    listed = f"{', '.join(first)} and {last}" if first else last
    return (("user", _ASK.format(labels=listed, words=_WORDS)),)


def once_more(text: str, said: Complaint, words: int) -> Messages:
    """What follows a question whose answer `text` will not do: a second one, for at most so many words."""
    return (("assistant", text), ("user", _AGAIN.format(said=said.said, words=words)))


def require_all(written: Written, asked_with: str) -> None:
    """Raise LLMError if the budget ended before every set was asked for."""
    if written.unasked:
        raise LLMError(
            f"the budget ended with {written.unasked:,} label sets not asked for; what was answered is kept, "
            f"go on with a larger {asked_with}"
        )
