"""Chat completions of any OpenAI-compatible server: retried where that helps, one clear line where it does not."""

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
"""(role, content) of each turn, oldest first."""

_ATTEMPTS = 6
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LONGEST_RETRY_AFTER = 120.0
_LARGEST_ANSWER = 2**20
_SAID = 200  # characters of a server's message that are shown
_RETRIED = frozenset((408, 409, 429))
_NO_QUOTA = ("insufficient_quota", "quota_exceeded", "billing", "arrearage")
_MOST_TOKENS = 10**9  # a larger count is a mistake of the server
_MARKS_A_TOKEN = 4  # about, in English


@dataclass(frozen=True)
class Answer:
    """What a server said.

    Attributes:
        text: as it came; it may be empty, a refusal, or anything else.
        cut: it ended because it reached the length asked for.
        tokens: of question and answer, as counted by the server, else estimated.
    """

    text: str
    cut: bool
    tokens: int


class _TransientError(Exception):
    """Something that may go better the next time."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChatClient:
    """Asks one server for one model. Use it inside `together`, which brings the event loop.

    Args:
        server: where and how.
        transport: for tests; httpx's own unless given.
        sleep: for tests; what waits between attempts.
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
        self._refused: set[str] = set()
        self._by_requests = _Pace(server.requests_per_minute)
        self._by_tokens = _Pace(server.tokens_per_minute)

    def body(self, messages: Messages) -> dict[str, Any]:
        """The whole request but for the key: what an answer depends on."""
        turns = [{"role": role, "content": content} for role, content in messages]
        return {
            "model": self.server.model,
            "messages": turns,
            "max_tokens": self.server.answer_tokens,
            "temperature": 0,
        }

    def estimated_tokens(self, messages: Messages) -> int:
        """Of a question and the longest answer to it, roughly."""
        return question_tokens(messages) + self.server.answer_tokens

    async def ask(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        """One answer.

        Raises:
            LLMError: the server cannot be reached, refuses, or keeps failing; one line that names it.
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
                "run again later, what was answered is kept"
            ) from None

    def open(self) -> httpx.AsyncClient:
        """The connections, to be used as an asynchronous context manager."""
        headers = {"Authorization": f"Bearer {self.server.key}"} if self.server.key else {}
        limits = httpx.Limits(max_connections=self.server.concurrency)
        return httpx.AsyncClient(headers=headers, timeout=self.server.timeout, limits=limits, transport=self._transport)

    async def _attempt(self, http: httpx.AsyncClient, messages: Messages) -> Answer:
        await self._by_requests.wait(1)
        expected = self.estimated_tokens(messages)
        await self._by_tokens.wait(expected)
        body = {key: value for key, value in self.body(messages).items() if key not in self._refused}
        try:
            status, headers, content = await asyncio.wait_for(self._post(http, body), self.server.timeout)
        except (TimeoutError, asyncio.TimeoutError):
            raise _TransientError(f"no whole answer within {self.server.timeout:g} s") from None
        except httpx.RequestError as error:
            raise self._unreachable(error) from None
        if status == 400 and (refused := self._refused_name(content, body)):
            self._refused.add(refused)
            return await self._attempt(http, messages)
        answer = self._read(status, headers, content, expected)
        self._by_tokens.settle(answer.tokens - expected)
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
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLError) or "CERTIFICATE" in str(cause):
                return LLMError(
                    f"no secure connection to {self.server.base_url} ({reason}); check URL and certificates"
                )
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.ProxyError):
            return LLMError(f"cannot ask {self.server.base_url} ({reason})")
        return _TransientError(f"cannot reach it ({reason})")

    def _refused_name(self, content: bytes, body: dict[str, Any]) -> str | None:
        """The optional parameter that a 400 complains of, if it names one that was sent."""
        error = _error(_json(content))
        for name in ("max_tokens", "temperature"):
            if name in body and (error.get("param") == name or name in _text(error.get("message"))):
                return name
        return None

    def _read(self, status: int, headers: httpx.Headers, content: bytes, expected: int) -> Answer:
        data = _json(content)
        error = _error(data)
        if status == 200 and isinstance(error.get("code"), int) and error["code"] >= 400:
            status = error["code"]  # some gateways answer 200 and put the status inside
        if status != 200 or error:
            raise self._failure(status, headers, error, content)
        choice = _first(data, "choices")
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict):
            found = self._clean(content.decode("utf-8", "replace"))
            raise _TransientError(f"an answer that is no chat completion: {found}")
        text = _text(message.get("content")) or _text(message.get("refusal"))
        usage = data.get("usage") if isinstance(data, dict) else None
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        total = total if type(total) is int and 0 <= total <= _MOST_TOKENS else expected
        return Answer(text, choice.get("finish_reason") == "length", total)

    def _failure(self, status: int, headers: httpx.Headers, error: dict[str, Any], content: bytes) -> Exception:
        message = error.get("message")
        said = self._clean(message if isinstance(message, str) else content.decode("utf-8", "replace"))
        where, code = self.server.base_url, f"{_text(error.get('code'))} {_text(error.get('type'))}".lower()
        if status in (401, 403):
            return LLMError(f"{where} refused the key ({status}: {said}); set ZSPROMPT_LLM_KEY")
        if status == 404:
            return LLMError(
                f"{where} knows no model {self.server.model!r} or no such address (404: {said}); "
                "check --llm-model and --llm-base-url"
            )
        if any(word in code for word in _NO_QUOTA):
            return LLMError(f"the quota at {where} is used up ({status}: {said}); what was answered is kept")
        if status in _RETRIED or status >= 500:
            after = _retry_after(headers.get("retry-after"))
            if after is not None and after > _LONGEST_RETRY_AFTER:
                return LLMError(
                    f"{where} asks to wait {after:,.0f} s ({status}: {said}); run again later: answers are kept"
                )
            return _TransientError(f"{status}: {said}", after)
        return LLMError(f"{where} refused the request ({status}: {said})")

    def _clean(self, text: str) -> str:
        """A server's words, fit to be shown: one line, no control characters, never the key."""
        text = clean(text)
        return (text.replace(self.server.key, "…") if self.server.key else text)[:_SAID]


def question_tokens(messages: Messages) -> int:
    """Of a question, roughly."""
    return sum(len(content) for _, content in messages) // _MARKS_A_TOKEN


def clean(text: str) -> str:
    """`text` on one line and without control characters: what a server sends is data."""
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())


def together(job: Callable[[], Coroutine[Any, Any, A]]) -> A:
    """Run `job()` in an event loop of its own, in a thread of its own: the caller may have a loop running.

    An interruption cancels the job, waits until it has let go of its connections, and goes on to the caller.
    """
    found: list[A] = []
    failed: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task: asyncio.Task[A] | None = None

    async def watched() -> None:
        nonlocal task
        task = asyncio.ensure_future(job())
        try:
            found.append(await task)
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
        while not done.wait(0.1):  # in steps, or Ctrl-C would wait for the end on some systems
            pass
    except BaseException:
        with suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(lambda: task and task.cancel())
        done.wait()  # not join: once interrupted it takes a running thread for an ended one
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return found[0]


class _Pace:
    """Lets at most `limit` units a minute pass, evenly."""

    def __init__(self, limit: float | None) -> None:
        self._each = 60 / limit if limit else 0.0
        self._free = 0.0

    async def wait(self, units: float) -> None:
        now = time.monotonic()
        start = max(now, self._free)
        self._free = start + units * self._each
        if start > now:
            await asyncio.sleep(start - now)

    def settle(self, units: float) -> None:
        """Take back, or add, what was estimated wrongly."""
        self._free += units * self._each


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
    """The error inside an answer, in the shapes that servers give it; empty where there is none."""
    error = _first(data, "error") if isinstance(data, list) else data.get("error") if isinstance(data, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _first(data: Any, key: str) -> Any:
    if isinstance(data, list):  # some gateways wrap the answer in a list
        data = data[0] if data else None
        return data.get(key) if isinstance(data, dict) else None
    items = data.get(key) if isinstance(data, dict) else None
    return items[0] if isinstance(items, list) and items else None


def _text(content: Any) -> str:
    """A message's text: a string, or a list of parts that have one."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""
