"""A client for chat completions of OpenAI-compatible servers. It retries transient failures."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import tenacity

from zsprompt._utils.http_environment import usable_environment
from zsprompt._utils.text import without_number
from zsprompt.errors import LLMError
from zsprompt.llm.dialect import Dialect, names_an_unknown
from zsprompt.llm.faults import BROKEN, CUT, LONG, PAGE, REFUSED, UNREACHABLE, Fault, fault_of_finish, find_fault
from zsprompt.llm.responses import Completion, Problem, is_page, read_body
from zsprompt.llm.server import Server
from zsprompt.llm.thinking import misplaced_answer, spoken

logger = logging.getLogger("zsprompt")
Messages = tuple[tuple[str, str], ...]
"""(role, content) of each message, oldest first."""

_ATTEMPTS = 6
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LONGEST_RETRY_AFTER = 120.0
_LARGEST_ANSWER = 2**20
_LARGEST_STREAM = 2**25  # each token is an event of some hundred bytes
_SHOWN = 200  # characters of a server's message that are shown
_LONGER = 4  # times the maximum length, if thinking took it all
_UNSENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.ProxyError, httpx.InvalidURL)
_BEGUN = (httpx.ReadError, httpx.RemoteProtocolError, httpx.ReadTimeout, httpx.DecodingError)  # the server was reached
_CHARACTERS_PER_TOKEN = 4  # approximately, in English


@dataclass(frozen=True)
class Answer:
    """A server's answer.

    Attributes:
        text: unchanged; it may be empty, a refusal, or anything else.
        cut: whether it ended at the maximum length.
        tokens: of question and answer, as counted by the server, else estimated.
        refused: whether the server marks the text as a refusal.
        thought: whether the model thought before it answered.
        limit: maximum length that was asked for, in tokens.
    """

    text: str
    cut: bool
    tokens: int
    refused: bool = False
    thought: bool = False
    limit: int = Server.answer_tokens

    @property
    def spoken(self) -> str:
        """The text without thinking."""
        return spoken(self.text)

    @property
    def unfinished(self) -> bool:
        """Whether thinking took tokens that the text needed."""
        return self.cut and (self.thought or not self.spoken)


class RefusedRequestError(LLMError):
    """A request failed for good, and others may not.

    Attributes:
        fault: its kind.
        reason: the kind, and what the server said.
    """

    def __init__(self, message: str, fault: Fault, reason: str) -> None:
        super().__init__(message)
        self.fault = fault
        self.reason = reason


class _TransientError(Exception):
    """A failure that may not occur again."""

    def __init__(self, message: str, fault: Fault, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.retry_after = retry_after


@dataclass(frozen=True)
class _Response:
    """A whole response."""

    status: int
    headers: httpx.Headers
    content: bytes


class ChatClient:
    """Sends requests to one model of one server. Use it within `run_in_loop`, which provides the event loop.

    Args:
        server: the server, the model and its limits.
        transport: for tests; by default httpx's own.
        sleep: for tests; waits between attempts.
    """

    def __init__(
        self,
        server: Server,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.server = server
        self.requests = 0
        self._transport = transport
        self._sleep = sleep
        self.answer_tokens = server.answer_tokens
        self._dialect = Dialect()
        self._has_answered = False
        self._request_pace = _Pace(server.requests_per_minute)
        self._token_pace = _Pace(server.tokens_per_minute)

    def body(self, messages: Messages) -> dict[str, Any]:
        """The request without the key, as it is sent unless the server wants it otherwise."""
        turns = [{"role": role, "content": content} for role, content in messages]
        return {
            "model": self.server.model,
            "messages": turns,
            "max_tokens": self.answer_tokens,
            "temperature": 0,
        }

    def identity(self, messages: Messages) -> dict[str, Any]:
        """Everything that an answer depends on. A whole answer does not depend on its maximum length."""
        return self.body(messages) | {"max_tokens": Server.answer_tokens}

    def estimated_tokens(self, messages: Messages) -> int:
        """Estimated tokens of a question and its longest answer."""
        return question_tokens(messages) + self.answer_tokens

    def is_too_short(self, answer: Answer) -> bool:
        """Whether a longer maximum length, which was not asked for yet, may give a whole answer."""
        if answer.unfinished:
            return answer.limit < _LONGER * self.server.answer_tokens
        return answer.cut and answer.limit < self.server.answer_tokens

    def lengthen(self, answer: Answer) -> None:
        """From now on, ask for answers that may be longer than this one, which is too short."""
        if answer.limit < self.answer_tokens:
            return
        self.answer_tokens = _LONGER * self.server.answer_tokens
        logger.info(
            f"{self.server.model} thinks, and used all {answer.limit:,} tokens of an answer (finish_reason length): "
            f"asking again for up to {self.answer_tokens:,}; --llm …,answer_tokens=N sets the number"
        )

    async def ask(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        """The server's answer to a question.

        Raises:
            LLMError: the server cannot be reached, refuses, or keeps failing. The message names the server.
        """
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=_wait,
            retry=tenacity.retry_if_exception_type(_TransientError),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return await retrying(self._attempt, http, messages)
        except _TransientError as error:
            text = (
                f"{self.server.base_url} failed {_ATTEMPTS} times, the last time with: {error}; "
                "run again later, answers are kept"
            )
            if error.fault.for_all:
                raise LLMError(text) from None
            reason = f"{error.fault.name}, {_ATTEMPTS} times ({error})"
            raise RefusedRequestError(text, error.fault, reason) from None

    def open(self) -> httpx.AsyncClient:
        """The connections, as an asynchronous context manager.

        Raises:
            LLMError: the environment's proxy or certificates cannot be used.
        """
        with usable_environment(LLMError):
            return httpx.AsyncClient(
                headers={"Authorization": f"Bearer {self.server.key}"} if self.server.key else {},
                timeout=self.server.timeout,
                limits=httpx.Limits(max_connections=self.server.concurrency),
                # no proxy reaches this machine
                mounts=dict.fromkeys(("http://", "https://", "all://")) if self.server.is_here else None,
                transport=self._transport,
            )

    async def _attempt(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        await self._request_pace.wait(1)
        expected = self.estimated_tokens(messages)
        await self._token_pace.wait(expected)
        limit, body = self.answer_tokens, self.body(messages)
        sent = self._dialect.worded(body)
        response = await self._sent(http, sent)
        read = read_body(response.status, response.headers.get("content-type", ""), response.content)
        if read.problem is not None or response.status != 200:
            problem = read.problem or Problem()
            fault = find_fault(response.status, problem, with_image=_has_image(messages))
            # what is too long for one item changes nothing for the others
            adaptable = fault is REFUSED or (fault is LONG and names_an_unknown(problem))
            if adaptable and self._dialect.learn(body, sent, problem):
                return await self._attempt(http, messages)
            raise self._failure(fault, response, problem.message)
        answer = self._answer(response, read.completion, limit, expected)
        self._token_pace.correct(answer.tokens - expected)
        self._has_answered = True
        return answer

    async def _sent(self, http: httpx.AsyncClient, body: dict[str, Any]) -> _Response:
        """The response to a request."""
        try:
            return await asyncio.wait_for(self._post(http, body), self.server.timeout)
        except (TimeoutError, asyncio.TimeoutError):
            raise _TransientError(f"no complete answer within {self.server.timeout:g} s", BROKEN) from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    async def _post(self, http: httpx.AsyncClient, body: dict[str, Any]) -> _Response:
        self.requests += 1
        async with http.stream("POST", f"{self.server.base_url}/chat/completions", json=body) as response:
            streamed = "event-stream" in response.headers.get("content-type", "")
            largest = _LARGEST_STREAM if streamed else _LARGEST_ANSWER
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > largest:
                    raise LLMError(
                        f"expected answers of at most {largest:,} bytes from {self.server.base_url}, found more"
                    )
            return _Response(response.status_code, response.headers, b"".join(parts))

    def _unreachable(self, error: Exception) -> Exception:
        reason = without_number(self._clean(str(error))) or type(error).__name__
        if _is_caused_by(error, ssl.SSLError):
            return LLMError(
                f"no secure connection to {self.server.base_url} ({reason}); check URL and certificates "
                "(SSL_CERT_FILE names a file with your own)"
            )
        if isinstance(error, _UNSENDABLE):
            return LLMError(f"cannot send requests to {self.server.base_url} ({reason}); check URL and proxy")
        begun = isinstance(error, _BEGUN)
        return _TransientError(f"cannot reach it ({reason})", BROKEN if begun else UNREACHABLE)

    def _answer(self, response: _Response, completion: Completion | None, limit: int, expected: int) -> Answer:
        if completion is None:
            shown = self._clean(response.content.decode("utf-8", "replace"))
            if is_page(response.content) and not self._has_answered:
                raise self._failure(PAGE, response, "")
            raise _TransientError(f"expected a chat completion, found {shown}", BROKEN)
        if fault := fault_of_finish(completion.finish):
            raise self._failure(fault, response, f"finish_reason {completion.finish}")
        text, cut = completion.text, completion.finish in CUT
        if not text and not cut:
            text = misplaced_answer(completion.reasoning)
        thought = bool(completion.reasoning) or spoken(text) != text.strip()
        tokens = expected if completion.tokens is None else completion.tokens
        return Answer(text, cut, tokens, completion.refused, thought, limit)

    def _failure(self, fault: Fault, response: _Response, message: str) -> Exception:
        shown = self._clean(f"{response.status}: {message or self._plain(response)}")
        if fault.passing:
            after = _retry_after(response.headers.get("retry-after"))
            if after is not None and after > _LONGEST_RETRY_AFTER:
                return LLMError(
                    f"{self.server.base_url} asks to wait {after:,.0f} s ({shown}); run again later: answers are kept"
                )
            return _TransientError(shown, fault, after)
        text = fault.says.format(
            url=self.server.base_url,
            model=self.server.model,
            shown=shown,
            version="" if self.server.names_a_version else ", which usually ends with /v1",
            vision=self.server.vision_model,
        )
        return LLMError(text) if fault.for_all else RefusedRequestError(text, fault, f"{fault.name} ({shown})")

    def _plain(self, response: _Response) -> str:
        """What a response without a message says."""
        if location := response.headers.get("location"):
            return str(location).partition("?")[0].removesuffix("/chat/completions")
        return response.content.decode("utf-8", "replace")

    def _clean(self, text: str) -> str:
        """A server's message for display: one line, no control characters, never the key."""
        text = clean(text)
        return (text.replace(self.server.key, "…") if self.server.key else text)[:_SHOWN]


def _has_image(messages: Messages) -> bool:
    return any(not isinstance(content, str) for _, content in messages)


def question_tokens(messages: Messages) -> int:
    """Estimated tokens of a question."""
    return sum(len(content) for _, content in messages) // _CHARACTERS_PER_TOKEN


def clean(text: str) -> str:
    """`text` on one line, without control characters: a server's text is not trusted."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


class _Pace:
    """Lets at most `limit` units per minute pass, evenly spaced."""

    def __init__(self, limit: float | None) -> None:
        self._seconds_per_unit = 60 / limit if limit else 0.0
        self._next_start = 0.0

    async def wait(self, units: float) -> None:
        now = time.monotonic()
        start = max(now, self._next_start)
        self._next_start = start + units * self._seconds_per_unit
        if start > now:
            await asyncio.sleep(start - now)

    def correct(self, units: float) -> None:
        """Add the difference between actual and estimated units."""
        self._next_start += units * self._seconds_per_unit


def _is_caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, _TransientError) and error.retry_after is not None:
        return error.retry_after
    return tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)(state)


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
            seconds = (at - datetime.now(timezone.utc)).total_seconds()
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
    return None if math.isnan(seconds) else max(0.0, seconds)
