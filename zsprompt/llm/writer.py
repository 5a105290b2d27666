"""An LLM that captions label sets: one request per set, a check, a second request if needed, within a budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TypeVar

import httpx

from zsprompt._utils.arrays import Bools
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.text import counted
from zsprompt.errors import LLMError
from zsprompt.llm.answers import Answers
from zsprompt.llm.checks import Complaint, complaint, shortened, tidy
from zsprompt.llm.client import Answer, ChatClient, Messages, RefusedRequestError
from zsprompt.llm.event_loop import run_in_loop
from zsprompt.llm.faults import Fault
from zsprompt.prompts.caption_bank import Caption

A = TypeVar("A")
Fits = Callable[[Sequence[str]], Bools]

# Answers are stored under the text of the request: to change these texts is to ask and pay anew.
# After the mmm-clip seed's "Please caption an image that contains …"; the rest makes answers suitable for an encoder.
_ASK = (
    "Please caption an image that contains {labels}. Answer with the caption alone: one line in English, at most "
    "{words} words, naming each of these and no other object."
)
_ASK_NOTHING = (
    "Please caption an image that contains none of these: {others}. Answer with the caption alone: one line in "
    "English, at most {words} words, naming none of them."
)
_WORDS, _FEWER_WORDS = 30, 15
_AGAIN = "That will not do: {reason}. Answer with a better caption alone, on one line, of at most {words} words."


@dataclass
class Budget:
    """The remaining requests and tokens; None for no limit. Stored answers cost nothing."""

    calls: int | None = None
    tokens: int | None = None
    calls_made: int = 0
    tokens_used: int = 0

    def take(self, tokens: int) -> bool:
        """Count one more request of about `tokens` tokens, if the budget allows it. Returns whether it does."""
        if self.calls is not None and self.calls_made >= self.calls:
            return False
        if self.tokens is not None and self.tokens_used + tokens > self.tokens:
            return False
        self.calls_made += 1
        self.tokens_used += tokens
        return True

    def calls_left(self) -> bool:
        """Whether one more request is allowed, whatever its tokens."""
        return self.calls is None or self.calls_made < self.calls


class SpentError(Exception):
    """The budget is used up."""


@dataclass
class Written:
    """The captions that were written, and the sets without one.

    Attributes:
        captions: by label set.
        shortened: sets whose caption was cut at the end of a clause, to fit the encoder.
        failed: sets for which two answers were rejected, with the last reason.
        refused: sets for which the server gives no answer, with the reason.
        unasked: number of sets that the budget did not cover.
    """

    captions: dict[frozenset[str], Caption] = field(default_factory=dict)
    shortened: set[frozenset[str]] = field(default_factory=set)
    failed: dict[frozenset[str], str] = field(default_factory=dict)
    refused: dict[frozenset[str], str] = field(default_factory=dict)
    unasked: int = 0


@dataclass
class Replies:
    """The answers to some questions.

    Attributes:
        answers: by question.
        refused: questions that the server does not answer, with the reason.
        unasked: number of questions that the budget did not cover.
    """

    answers: dict[Messages, Answer] = field(default_factory=dict)
    refused: dict[Messages, str] = field(default_factory=dict)
    unasked: int = 0


class Writer:
    """Requests captions from a server.

    Args:
        client: sends the requests.
        answers: stored answers; new ones are stored immediately.
        budget: limits requests and tokens.
        offline: send nothing, and use stored answers only.
        progress: shows progress.
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
        self._pending: set[asyncio.Future[Answer]] = set()
        self._has_answers = False
        self._refused_in_a_row: Counter[Fault] = Counter()

    def write(self, sets: Iterable[frozenset[str]], labels: Sequence[str], fits: Fits) -> Written:
        """Captions for label sets.

        Args:
            sets: sets of `labels`; the empty set means "none of them".
            labels: all labels of the data set.
            fits: whether each text fits the encoder.

        Raises:
            LLMError: the server cannot be reached, or refuses all requests. Answers are kept.
        """
        distinct = list(dict.fromkeys(sets))
        job = _Job(self, labels, fits, Written())
        self.each(distinct, job.caption, "captions")
        return job.written

    def answer(self, questions: Iterable[Messages]) -> Replies:
        """The answer to each question, in the order of the questions.

        Raises:
            LLMError: the server cannot be reached, or refuses all requests. Answers are kept.
        """
        distinct = list(dict.fromkeys(questions))
        replies = Replies()

        async def answer_one(http: httpx.AsyncClient, messages: Messages) -> None:
            try:
                replies.answers[messages] = await self.ask(http, messages)
            except SpentError:
                replies.unasked += 1
            except RefusedRequestError as error:
                replies.refused[messages] = self.refusal(error)

        self.each(distinct, answer_one, "questions")
        replies.answers = {asked: replies.answers[asked] for asked in distinct if asked in replies.answers}
        return replies

    def each(self, items: Sequence[A], work: Callable[[httpx.AsyncClient, A], Awaitable[None]], unit: str) -> None:
        """Run `work` on each item, as concurrently as the server allows. Progress is shown in `unit`.

        Raises:
            LLMError: the first one that `work` raises. The others are stopped; answers are kept.
        """
        with self._progress(unit, len(items), unit) as advance:
            run_in_loop(lambda: self._each(items, work, advance))

    async def ask(self, http: httpx.AsyncClient, messages: Messages, *, extra_tokens: int = 0) -> Answer:
        """The stored answer, else the server's, which is then stored.

        Args:
            http: the connections.
            messages: the question.
            extra_tokens: estimated tokens of the question besides its text.

        Raises:
            SpentError: the budget does not cover the question.
            RefusedRequestError: the server refuses this question; see `refusal`. It is not stored: filters err, and
                change.
            LLMError: the server cannot be reached, or refuses all requests.
        """
        identity = self.client.identity(messages)
        answer = self.answers.get(self.client.server.base_url, identity)
        while answer is None or self.client.is_too_short(answer):
            if answer is not None:
                self.client.lengthen(answer)
            answer = await self._request(http, messages, extra_tokens)
            if not self.client.is_too_short(answer):
                self.answers.put(self.client.server.base_url, identity, answer)
        self._has_answers = True
        self._refused_in_a_row.clear()
        return answer

    def refusal(self, error: RefusedRequestError) -> str:
        """The reason why a request failed while others may succeed.

        Raises:
            RefusedRequestError: too many failed in the same way without an answer between them: it is no use to go on.
        """
        self._refused_in_a_row[error.fault] += 1
        most = error.fault.stops[self._has_answers]
        if most is not None and self._refused_in_a_row[error.fault] >= most:
            raise error
        return error.reason

    async def _request(self, http: httpx.AsyncClient, messages: Messages, extra_tokens: int) -> Answer:
        """The server's answer, within the budget."""
        expected = self.client.estimated_tokens(messages) + extra_tokens
        while not self.budget.take(expected):
            if not self._pending or not self.budget.calls_left():
                raise SpentError
            # pending requests may take fewer tokens than estimated
            await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
        request = asyncio.ensure_future(self.client.ask(http, messages))
        self._pending.add(request)
        used = 0  # a refused request costs no tokens
        try:
            answer = await request
            used = answer.tokens
            return answer
        finally:
            self.budget.tokens_used += used - expected
            request.cancel()
            self._pending.discard(request)

    async def _each(
        self,
        items: Sequence[A],
        work: Callable[[httpx.AsyncClient, A], Awaitable[None]],
        advance: Callable[[int], None],
    ) -> None:
        """Run `work` on each item, as concurrently as the server allows. The first failure stops the others."""
        remaining = iter(items)
        async with self.client.open() as http:

            async def worker() -> None:
                for item in remaining:  # workers share the iterator; taking from it never waits
                    await work(http, item)
                    advance(1)

            workers = [asyncio.ensure_future(worker()) for _ in range(self.client.server.concurrency)]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def unanswered(self, questions: Iterable[Messages]) -> list[Messages]:
        """The questions without a stored answer."""
        return [messages for messages in questions if not self._is_answered(messages)]

    def _is_answered(self, messages: Messages) -> bool:
        stored = self.answers.get(self.client.server.base_url, self.client.identity(messages))
        return stored is not None and not self.client.is_too_short(stored)


@dataclass
class _Job:
    """One `write` call."""

    writer: Writer
    labels: Sequence[str]
    fits: Fits
    written: Written

    async def caption(self, http: httpx.AsyncClient, key: frozenset[str]) -> None:
        """Request the caption of a set, check it, request another if it is rejected, and record the outcome."""
        messages = question(key, self.labels)
        try:
            text, problem = await self._checked(http, key, messages)
            if problem is not None and not problem.final:
                words = _FEWER_WORDS if problem.too_long else _WORDS
                text, problem = await self._checked(http, key, (*messages, *once_more(text, problem, words)))
        except SpentError:
            self.written.unasked += 1
            return
        except RefusedRequestError as error:
            self.written.refused[key] = self.writer.refusal(error)
            return
        if problem is not None and problem.too_long:
            text, problem = self._shortened(key, text, problem)
        if problem is not None:
            self.written.failed[key] = problem.reason
            return
        now = datetime.now(timezone.utc).date().isoformat()
        prompt = messages[-1][1]
        self.written.captions[key] = Caption(tuple(sorted(key)), text, self.writer.client.server.model, prompt, now)

    async def _checked(
        self, http: httpx.AsyncClient, key: frozenset[str], messages: Messages
    ) -> tuple[str, Complaint | None]:
        answer = await self.writer.ask(http, messages)
        text = tidy(answer.spoken)
        problem = broken_off(answer) or complaint(text, sorted(key), self.labels) or cut_off(answer)
        if problem is None and not self.fits([text]).all():
            problem = Complaint("it is too long", too_long=True)
        return text, problem

    def _shortened(self, key: frozenset[str], text: str, problem: Complaint) -> tuple[str, Complaint | None]:
        for short in shortened(text):
            if self.fits([short]).all() and complaint(short, sorted(key), self.labels) is None:
                self.written.shortened.add(key)
                return short, None
        return text, problem


def broken_off(answer: Answer) -> Complaint | None:
    """Why an answer is no caption, whatever its text."""
    if answer.refused:
        return Complaint("it is a refusal and no caption")
    if answer.unfinished and not answer.spoken:
        return Complaint(
            f"thinking took all {answer.limit:,} tokens of the answer (finish_reason length); "
            "set a larger --llm …,answer_tokens=N",
            final=True,
        )
    return None


def cut_off(answer: Answer) -> Complaint | None:
    """The complaint about an answer that reached its maximum length."""
    return Complaint("it broke off before its end", too_long=True) if answer.cut else None


def question(key: frozenset[str], labels: Sequence[str]) -> Messages:
    """The question for a label set. It depends neither on the order of its labels nor on that of all labels."""
    if not key:
        return (("user", _ASK_NOTHING.format(others=", ".join(sorted(labels)), words=_WORDS)),)
    *first, last = sorted(key)
    listed = f"{', '.join(first)} and {last}" if first else last
    return (("user", _ASK.format(labels=listed, words=_WORDS)),)


def once_more(text: str, problem: Complaint, words: int) -> Messages:
    """The messages that follow a rejected answer `text`: a second question, for at most `words` words."""
    return (("assistant", text), ("user", _AGAIN.format(reason=problem.reason, words=words)))


def require_all(written: Written, options: str) -> None:
    """Raise LLMError, naming the options of the budget, if it ended before every set was requested."""
    if written.unasked:
        raise LLMError(
            f"the budget ended with {counted(written.unasked, 'label set')} left; answers are kept, "
            f"run again with larger {options}"
        )
