"""A client for chat completions of OpenAI-compatible servers. It retries transient failures."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
import tenacity

from zsprompt.errors import LLMError
from zsprompt.llm.server import Server

A = TypeVar("A")
Messages = tuple[tuple[str, str], ...]
"""(role, content) of each message, oldest first."""

_ATTEMPTS = 6
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LONGEST_RETRY_AFTER = 120.0
_LARGEST_ANSWER = 2**20
_SHOWN = 200  # characters of a server's message that are shown
_RETRIED = frozenset((408, 409, 429))
_NO_QUOTA = ("insufficient_quota", "quota_exceeded", "billing", "arrearage")  # in an error's code or type
_MOST_TOKENS = 10**9  # a larger count is a server's mistake
_CHARACTERS_PER_TOKEN = 4  # approximately, in English


@dataclass(frozen=True)
class Answer:
    """A server's answer.

    Attributes:
        text: unchanged; it may be empty, a refusal, or anything else.
        cut: whether it ended at the maximum length.
        tokens: of question and answer, as counted by the server, else estimated.
    """

    text: str
    cut: bool
    tokens: int


class RefusedRequestError(LLMError):
    """The server understood the request and refused it, for a reason other than the key, the model or a limit."""


class _TransientError(Exception):
    """A failure that may not occur again."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


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
        self._refused_parameters: set[str] = set()
        self._request_pace = _Pace(server.requests_per_minute)
        self._token_pace = _Pace(server.tokens_per_minute)

    def body(self, messages: Messages) -> dict[str, Any]:
        """The request without the key: everything that an answer depends on."""
        turns = [{"role": role, "content": content} for role, content in messages]
        return {
            "model": self.server.model,
            "messages": turns,
            "max_tokens": self.server.answer_tokens,
            "temperature": 0,
        }

    def estimated_tokens(self, messages: Messages) -> int:
        """Estimated tokens of a question and its longest answer."""
        return question_tokens(messages) + self.server.answer_tokens

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
            raise LLMError(
                f"{self.server.base_url} failed {_ATTEMPTS} times, the last time with: {error}; "
                "run again later, answers are kept"
            ) from None

    def open(self) -> httpx.AsyncClient:
        """The connections, as an asynchronous context manager."""
        headers = {"Authorization": f"Bearer {self.server.key}"} if self.server.key else {}
        limits = httpx.Limits(max_connections=self.server.concurrency)
        return httpx.AsyncClient(headers=headers, timeout=self.server.timeout, limits=limits, transport=self._transport)

    async def _attempt(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        await self._request_pace.wait(1)
        expected = self.estimated_tokens(messages)
        await self._token_pace.wait(expected)
        body = {key: value for key, value in self.body(messages).items() if key not in self._refused_parameters}
        try:
            status, headers, content = await asyncio.wait_for(self._post(http, body), self.server.timeout)
        except (TimeoutError, asyncio.TimeoutError):
            raise _TransientError(f"no complete answer within {self.server.timeout:g} s") from None
        except httpx.RequestError as error:
            raise self._unreachable(error) from None
        if status == 400 and (refused := self._refused_parameter(content, body)):
            self._refused_parameters.add(refused)
            return await self._attempt(http, messages)
        answer = self._read(status, headers, content, expected)
        self._token_pace.correct(answer.tokens - expected)
        return answer

    async def _post(self, http: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        self.requests += 1
        async with http.stream("POST", f"{self.server.base_url}/chat/completions", json=body) as response:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > _LARGEST_ANSWER:
                    raise LLMError(
                        f"expected answers of at most {_LARGEST_ANSWER:,} bytes from {self.server.base_url}, found more"
                    )
            return response.status_code, response.headers, b"".join(parts)

    def _unreachable(self, error: httpx.RequestError) -> Exception:
        reason = self._clean(str(error)) or type(error).__name__
        if _is_caused_by(error, ssl.SSLError):
            return LLMError(f"no secure connection to {self.server.base_url} ({reason}); check URL and certificates")
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.ProxyError):
            return LLMError(f"cannot send requests to {self.server.base_url} ({reason}); check URL and proxy")
        return _TransientError(f"cannot reach it ({reason})")

    def _refused_parameter(self, content: bytes, body: dict[str, Any]) -> str | None:
        """The optional parameter that a response with status 400 names, if it was sent.

        Not every server fills in `param`. Some only quote the parameter's name in the message.
        """
        error = _error(_json(content))
        for name in ("max_tokens", "temperature"):
            if name in body and (error.get("param") == name or name in _text(error.get("message"))):
                return name
        return None

    def _read(self, status: int, headers: httpx.Headers, content: bytes, expected: int) -> Answer:
        data = _json(content)
        error = _error(data)
        if status == 200 and isinstance(error.get("code"), int) and error["code"] >= 400:
            status = error["code"]  # some gateways respond with 200 and put the status inside
        if status != 200 or error:
            raise self._failure(status, headers, error, content)
        choice = _first(data, "choices")
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            shown = self._clean(content.decode("utf-8", "replace"))
            raise _TransientError(f"expected a chat completion, found {shown}")
        text = _text(message.get("content")) or _text(message.get("refusal"))
        usage = data.get("usage") if isinstance(data, dict) else None
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        total = total if type(total) is int and 0 <= total <= _MOST_TOKENS else expected
        return Answer(text, choice.get("finish_reason") == "length", total)

    def _failure(self, status: int, headers: httpx.Headers, error: dict[str, Any], content: bytes) -> Exception:
        message = error.get("message")
        shown = self._clean(message if isinstance(message, str) else content.decode("utf-8", "replace"))
        url, code = self.server.base_url, f"{_text(error.get('code'))} {_text(error.get('type'))}".lower()
        if status in (401, 403):
            return LLMError(f"{url} refused the key ({status}: {shown}); set ZSPROMPT_LLM_KEY")
        if status == 404:
            return LLMError(
                f"{url} has no model {self.server.model!r}, or the URL is wrong (404: {shown}); "
                "check --llm [SERVER:]MODEL and its url=URL"
            )
        if any(word in code for word in _NO_QUOTA):
            return LLMError(
                f"the quota at {url} is used up ({status}: {shown}); raise it and run again: answers are kept"
            )
        if status in _RETRIED or status >= 500:
            after = _retry_after(headers.get("retry-after"))
            if after is not None and after > _LONGEST_RETRY_AFTER:
                return LLMError(
                    f"{url} asks to wait {after:,.0f} s ({status}: {shown}); run again later: answers are kept"
                )
            return _TransientError(f"{status}: {shown}", after)
        return RefusedRequestError(f"{url} refused the request ({status}: {shown})")

    def _clean(self, text: str) -> str:
        """A server's message for display: one line, no control characters, never the key."""
        text = clean(text)
        return (text.replace(self.server.key, "…") if self.server.key else text)[:_SHOWN]


def question_tokens(messages: Messages) -> int:
    """Estimated tokens of a question."""
    return sum(len(content) for _, content in messages) // _CHARACTERS_PER_TOKEN


def clean(text: str) -> str:
    """`text` on one line, without control characters: a server's text is not trusted."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def run_in_loop(job: Callable[[], Coroutine[Any, Any, A]]) -> A:
    """Run `job()` in a new event loop in a new thread: the caller's thread may already run a loop.

    An interruption cancels the job, waits until its connections are closed, and is then raised here.
    """
    result: list[A] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task: asyncio.Task[A] | None = None

    async def watched() -> None:
        nonlocal task
        task = asyncio.ensure_future(job())
        try:
            result.append(await task)
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            failed.append(error)

    done = threading.Event()

    def work() -> None:
        try:
            loop.run_until_complete(watched())
        finally:
            loop.close()
            done.set()

    thread = threading.Thread(target=work, name="zsprompt-llm", daemon=True)
    thread.start()
    try:
        while not done.wait(0.1):  # in steps: on some systems, Ctrl-C does not interrupt a longer wait
            pass
    except BaseException:
        with suppress(RuntimeError):  # the loop may just have been closed
            loop.call_soon_threadsafe(lambda: task and task.cancel())
        done.wait()  # not join: after an interruption, it may return while the thread still runs
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return result[0]


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


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error(data: Any) -> dict[str, Any]:
    """The error inside a response, in the shapes that servers use; empty if there is none."""
    error = _first(data, "error") if isinstance(data, list) else data.get("error") if isinstance(data, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _first(data: Any, key: str) -> Any:
    if isinstance(data, list):  # some gateways wrap the response in a list
        data = data[0] if data else None
        return data.get(key) if isinstance(data, dict) else None
    items = data.get(key) if isinstance(data, dict) else None
    return items[0] if isinstance(items, list) and items else None


def _text(content: Any) -> str:
    """The text of a message, which is a string or a list of parts with a text."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
