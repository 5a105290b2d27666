"""The client of an LLM server, against a real HTTP server with all kinds of faults."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from chat_server import (
    DROPPED,
    ChatServer,
    Reply,
    always,
    as_json,
    completion,
    dropped_midway,
    error,
    first,
    half,
    huge,
    late,
    later,
    page,
    plain_connections,
    slow,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.errors import LLMError, UsageError
from zsprompt.llm import PRESETS, ChatClient, Server, find_server
from zsprompt.llm.client import Answer, Messages, RefusedRequestError, _retry_after, clean
from zsprompt.llm.event_loop import run_in_loop

KEY = "sk-test-0123456789"
MODEL = "parrot-1"
QUESTION: Messages = (("system", "You write captions."), ("user", "A caption with a cat, please."))
ATTEMPTS = 6
CAT = completion("a cat")


class Naps:
    """A `sleep` that returns at once and records the seconds."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Asker:
    """A client used from outside any event loop."""

    def __init__(
        self, url: str, *, key: str = KEY, transport: httpx.AsyncBaseTransport | None = None, **options: Any
    ) -> None:
        self.naps = Naps()
        server = Server(url, MODEL, key, **options)
        self.client = ChatClient(server, transport=transport, sleep=self.naps)

    def __call__(self, times: int = 1, *, at_once: bool = False) -> list[Answer]:
        async def job() -> list[Answer]:
            async with self.client.open() as http:
                if at_once:
                    return await asyncio.gather(*(self.client.ask(http, QUESTION) for _ in range(times)))
                return [await self.client.ask(http, QUESTION) for _ in range(times)]

        return run_in_loop(job)

    def error(self) -> str:
        """The error message: one line that names the server but not the key."""
        with pytest.raises(LLMError) as caught:
            self()
        message = str(caught.value)
        assert self.client.server.base_url in message
        assert message.isprintable()
        assert KEY not in message
        return message


@pytest.fixture(autouse=True)
def _plain_connections(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(always(CAT)) as running:
        yield running


def mocked(
    handler: Callable[[httpx.Request], httpx.Response], url: str = "http://llm.test/v1", **options: Any
) -> Asker:
    """An Asker without a server, for tests that need only a status and a body."""
    return Asker(url, transport=httpx.MockTransport(handler), **options)


# -- a request ---------------------------------------------------------------------------------------------------


def test_an_answer(server: ChatServer) -> None:
    server.behaviour = always(completion("a cat on a mat", tokens=42))
    assert Asker(server.url)() == [Answer("a cat on a mat", cut=False, tokens=42)]
    assert server.count == 1


def test_the_body_is_minimal(server: ChatServer) -> None:
    asker = Asker(server.url, answer_tokens=77)
    asker()
    turns = [
        {"role": "system", "content": "You write captions."},
        {"role": "user", "content": "A caption with a cat, please."},
    ]
    assert server.bodies == [{"model": MODEL, "messages": turns, "max_tokens": 77, "temperature": 0}]
    assert server.bodies == [asker.client.body(QUESTION)]
    assert server.requests[0].path == "/v1/chat/completions"


def test_the_key_is_sent_as_a_bearer_token(server: ChatServer) -> None:
    Asker(server.url)()
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_without_a_key_no_such_header_is_sent(server: ChatServer) -> None:
    Asker(server.url, key="")()
    assert "authorization" not in {name.lower() for name in server.requests[0].headers}


def test_letters_of_any_script_go_there_and_back(server: ChatServer) -> None:
    server.behaviour = always(completion("eine Katze, 猫 🐈"))
    assert Asker(server.url)()[0].text == "eine Katze, 猫 🐈"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (completion([{"type": "text", "text": "a cat"}, {"type": "text", "text": " and a dog"}]), "a cat and a dog"),
        (completion([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "a cat"}]), "a cat"),
        (completion(""), ""),
        (completion(None), ""),
        (completion(None, message={"refusal": "I cannot do that"}), "I cannot do that"),
        (completion("a cat", message={"refusal": None, "reasoning_content": "hm"}), "a cat"),
        (completion({"odd": 1}), ""),
        (completion([1, None, "x"]), ""),
    ],
    ids=["parts", "other parts", "empty", "null", "refusal", "reasoning", "odd", "odd parts"],
)
def test_the_text_in_the_shapes_that_servers_give_it(server: ChatServer, reply: Reply, expected: str) -> None:
    server.behaviour = always(reply)
    assert Asker(server.url)()[0].text == expected
    assert server.count == 1


def test_an_answer_that_reached_its_length_is_marked(server: ChatServer) -> None:
    server.behaviour = always(completion("a cat and", finish="length"))
    assert Asker(server.url)()[0].cut


@pytest.mark.parametrize(
    "tokens", [None, "many", 3.5, True, -5, 10**400], ids=["none", "text", "float", "bool", "minus", "huge"]
)
def test_an_invalid_token_count_is_estimated(server: ChatServer, tokens: object) -> None:
    """A negative number would extend the budget, and a huge one does not fit into a float."""
    server.behaviour = always(completion("a cat", tokens=tokens))
    asker = Asker(server.url, tokens_per_minute=10**9)
    count = asker()[0].tokens
    assert count == asker.client.estimated_tokens(QUESTION)
    assert type(count) is int


def test_an_answer_without_usage_is_estimated() -> None:
    asker = mocked(lambda request: httpx.Response(200, json={"choices": [{"message": {"content": "a cat"}}]}))
    (answer,) = asker()
    assert answer == Answer("a cat", cut=False, tokens=asker.client.estimated_tokens(QUESTION))


# -- retried failures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_transient_statuses_are_retried(server: ChatServer, status: int) -> None:
    server.behaviour = first(error(status), error(status), then=always(CAT))
    asker = Asker(server.url)
    assert asker()[0].text == "a cat"
    assert server.count == 3
    assert asker.client.requests == 3
    assert len(asker.naps.seconds) == 2
    assert all(0 <= seconds <= 30 for seconds in asker.naps.seconds)


@pytest.mark.parametrize(
    "fault",
    [
        DROPPED,
        dropped_midway(),
        half(),
        Reply(b""),
        Reply(b"\xff\xfe\x00"),
        as_json([]),
        as_json({"choices": []}),
        as_json({"choices": [None]}),
        as_json({"choices": [{"message": None}]}),
        as_json(None),
        page(500),
        page(502),
        error(200, "upstream is overloaded", inside=502),
        error(200, "slow down", inside=429),
        slow(0.02),
        Reply(CAT.content, latency=5),
    ],
    ids=[
        "dropped",
        "dropped midway",
        "half a JSON",
        "no body",
        "no text",
        "a list",
        "no choice",
        "null choice",
        "null message",
        "null",
        "HTML 500",
        "HTML 502",
        "502 inside",
        "429 inside",
        "byte by byte",
        "late",
    ],
)
def test_transport_faults_are_retried(server: ChatServer, fault: Reply) -> None:
    server.behaviour = first(fault, then=always(CAT))
    asker = Asker(server.url, timeout=1.5)
    assert asker()[0].text == "a cat"
    assert server.count == 2
    assert len(asker.naps.seconds) == 1


def test_waits_grow(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    server.behaviour = always(error(503))
    asker = Asker(server.url)
    asker.error()
    assert asker.naps.seconds == [0.5, 1, 2, 4, 8]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (error(429, "slow down"), "429: slow down"),
        (error(500, "on\tfire\r\n\x1b[31mred"), "500: on fire [31mred"),
        (page(502), "502: <html> <h1>Bad gateway</h1> </html>"),
        (DROPPED, "cannot reach it"),
        (dropped_midway(), "cannot reach it"),
        (half(), "expected a chat completion, found"),
        (slow(0.02), "no complete answer within 0.1 s"),
    ],
    ids=["429", "500", "HTML", "dropped", "dropped midway", "half a JSON", "slow"],
)
def test_six_attempts_and_one_line(server: ChatServer, fault: Reply, expected: str) -> None:
    server.behaviour = always(fault)
    message = Asker(server.url, timeout=0.1 if "0.1 s" in expected else 5).error()
    assert server.count == ATTEMPTS
    assert "failed 6 times" in message
    assert expected in message


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        asker = Asker(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        assert "cannot reach it" in asker.error()
    assert len(asker.naps.seconds) == ATTEMPTS - 1


def test_a_long_page_is_shown_in_part(server: ChatServer) -> None:
    server.behaviour = always(page(500, "<p>" + "words " * 10_000))
    assert len(Asker(server.url).error()) < 500


# -- final failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "refused the request"),
        (401, "ZSPROMPT_LLM_KEY"),
        (403, "ZSPROMPT_LLM_KEY"),
        (404, "--llm [SERVER:]MODEL"),
        (413, "refused the request"),
        (422, "refused the request"),
    ],
)
@pytest.mark.parametrize("html", [False, True], ids=["JSON", "HTML"])
def test_final_statuses_are_not_retried(server: ChatServer, status: int, expected: str, html: bool) -> None:
    server.behaviour = always(page(status, "<b>no such thing</b>") if html else error(status, "no such thing"))
    asker = Asker(server.url)
    message = asker.error()
    assert expected in message
    assert f"{status}: " in message
    assert "no such thing" in message
    assert server.count == 1
    assert asker.naps.seconds == []


@pytest.mark.parametrize(("status", "refused"), [(400, True), (422, True), (401, False), (404, False), (503, False)])
def test_a_refused_request_has_a_class_of_its_own(server: ChatServer, status: int, refused: bool) -> None:
    """Whatever the server's message says."""
    server.behaviour = always(error(status, "refused the request"))
    with pytest.raises(LLMError) as caught:
        Asker(server.url)()
    assert isinstance(caught.value, RefusedRequestError) == refused


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_another_address_is_not_followed(server: ChatServer, status: int) -> None:
    """The key must not reach another server."""
    with ChatServer(always(CAT)) as other:
        server.behaviour = always(Reply(b"", status, {"Location": f"{other.url}/chat/completions"}))
        assert str(status) in Asker(server.url).error()
        assert (server.count, other.count) == (1, 0)


@pytest.mark.parametrize(
    "fields", [{"code": "insufficient_quota"}, {"type": "insufficient_quota"}], ids=["code", "type"]
)
def test_a_quota_that_is_used_up_is_not_tried_again(server: ChatServer, fields: dict) -> None:
    server.behaviour = always(error(429, "You exceeded your current quota", **fields))
    assert "quota" in Asker(server.url).error()
    assert server.count == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(200, "no such key", inside=401), "ZSPROMPT_LLM_KEY"),
        (error(200, "no such model", inside=404), "--llm [SERVER:]MODEL"),
        (error(200, "content policy", code="policy"), "content policy"),
        (as_json({"error": "something else"}), "something else"),
        (as_json([{"error": {"code": 400, "message": "no such thing", "status": "INVALID"}}]), "no such thing"),
        (as_json([{"error": {"code": 400, "message": "no such thing"}}], 400), "no such thing"),
    ],
    ids=["401", "404", "code", "text", "list 200", "list 400"],
)
def test_an_error_inside_an_answer(server: ChatServer, reply: Reply, expected: str) -> None:
    server.behaviour = always(reply)
    assert expected in Asker(server.url).error()
    assert server.count == 1


def test_a_huge_answer_is_not_read_to_its_end(server: ChatServer) -> None:
    server.behaviour = always(huge())
    assert "1,048,576 bytes" in Asker(server.url).error()
    assert server.count == 1


def test_a_large_answer_is_read(server: ChatServer) -> None:
    server.behaviour = always(huge(900_000))
    assert len(Asker(server.url)()[0].text) == 900_000


def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_kept() -> None:
    import gzip

    packed = gzip.compress(b" " * 2**24)
    asker = mocked(lambda request: httpx.Response(200, content=packed, headers={"Content-Encoding": "gzip"}))
    assert "1,048,576 bytes" in asker.error()


def test_an_answer_that_does_not_unpack_is_tried_again(server: ChatServer) -> None:
    broken = Reply(b"no gzip", headers={"Content-Encoding": "gzip"})
    server.behaviour = first(broken, then=always(CAT))
    assert Asker(server.url)()[0].text == "a cat"
    server.behaviour = always(broken)
    assert "failed 6 times" in Asker(server.url).error()


def test_an_answer_nested_beyond_reason_is_no_crash(server: ChatServer) -> None:
    nested = '"x"'
    for _ in range(450):
        nested = f'[{{"text": {nested}}}]'
    reply = Reply(f'{{"choices": [{{"message": {{"content": {nested}}}}}]}}'.encode())
    server.behaviour = first(reply, then=always(CAT))
    assert Asker(server.url)()[0].text in ("a cat", "x", "")


def test_a_secure_url_of_a_plain_server_is_not_tried_six_times(server: ChatServer) -> None:
    asker = Asker(server.url.replace("http:", "https:"), timeout=5)
    message = asker.error()
    assert "secure connection" in message
    assert "check URL" in message
    assert server.connections == 1
    assert asker.naps.seconds == []


def test_a_certificate_that_is_not_trusted_is_not_tried_six_times() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no connection") from ssl.SSLCertVerificationError("self-signed certificate")

    asker = mocked(refuse, "https://llm.test/v1")
    assert "certificates" in asker.error()
    assert asker.client.requests == 1


# -- Retry-After -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "seconds"), [("7", 7), ("0", 0), ("2.5", 2.5), ("-3", 0), ("120", 120)])
@pytest.mark.parametrize("status", [429, 503])
def test_seconds_of_retry_after_are_waited(server: ChatServer, after: str, seconds: float, status: int) -> None:
    server.behaviour = first(later(after, status), then=always(CAT))
    asker = Asker(server.url)
    asker()
    assert asker.naps.seconds == [seconds]


def test_a_date_of_retry_after_is_waited_for(server: ChatServer) -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=60)
    server.behaviour = first(later(format_datetime(at, usegmt=True)), then=always(CAT))
    asker = Asker(server.url)
    asker()
    (seconds,) = asker.naps.seconds
    assert 50 < seconds <= 60


def test_a_date_of_retry_after_that_is_over_is_not_waited_for(server: ChatServer) -> None:
    server.behaviour = first(later("Wed, 21 Oct 2015 07:28:00 GMT"), then=always(CAT))
    asker = Asker(server.url)
    asker()
    assert asker.naps.seconds == [0]


def test_a_retry_after_that_says_nothing_is_left_out(server: ChatServer) -> None:
    server.behaviour = first(later("soon"), then=always(CAT))
    asker = Asker(server.url)
    asker()
    (seconds,) = asker.naps.seconds
    assert 0 <= seconds <= 0.5


@pytest.mark.parametrize("after", ["121", "86400", "inf", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_too_long_a_wait_gives_up_at_once(server: ChatServer, after: str) -> None:
    server.behaviour = always(later(after))
    asker = Asker(server.url)
    assert "run again later" in asker.error()
    assert (server.count, asker.naps.seconds) == (1, [])


@settings(max_examples=200, deadline=None)
@given(
    st.text()
    | st.floats().map(str)
    | st.builds(
        "Wed, {} Oct {} 07:{}:00 {}{}".format,
        *[st.integers(0, 10**6)] * 3,
        st.sampled_from("+-"),
        st.integers(0, 10**20),
    )
)
def test_no_retry_after_is_a_crash(value: str) -> None:
    found = _retry_after(value)
    assert found is None or found >= 0


# -- a parameter that is refused ---------------------------------------------------------------------------------


def choosy(
    *refused: str, says: str = "Unsupported parameter: '{}' is not supported with this model.", param: bool = True
):
    """A model that refuses a request for its parameters, one at a time."""

    def behave(body: dict, number: int) -> Reply:
        for name in refused:
            if name in body:
                return error(400, says.format(name), param=name if param else None)
        return CAT

    return behave


@pytest.mark.parametrize("param", [True, False], ids=["param", "message"])
@pytest.mark.parametrize("name", ["max_tokens", "temperature"])
def test_a_refused_parameter_is_left_out_from_then_on(server: ChatServer, name: str, param: bool) -> None:
    server.behaviour = choosy(name, param=param)
    asker = Asker(server.url)
    assert [answer.text for answer in asker(times=3)] == ["a cat"] * 3
    assert [name in body for body in server.bodies] == [True, False, False, False]
    assert asker.naps.seconds == []
    assert asker()[0].text == "a cat"
    assert server.count == 5


def test_two_refused_parameters(server: ChatServer) -> None:
    server.behaviour = choosy("temperature", "max_tokens", says="Bad value.")
    asker = Asker(server.url)
    asker(times=2)
    assert [sorted(body) for body in server.bodies][-1] == ["max_completion_tokens", "messages", "model"]
    assert server.count == 4


def test_a_parameter_is_refused_to_several_at_once(server: ChatServer) -> None:
    server.behaviour = late(0.1, choosy("temperature"))
    asker = Asker(server.url, concurrency=4)
    assert len(asker(times=4, at_once=True)) == 4
    assert server.count == 8


def test_a_parameter_that_is_needed_is_left_out_once(server: ChatServer) -> None:
    """The next request does not have it, and then the refusal is final."""
    server.behaviour = always(error(400, "temperature and max_tokens are wrong"))
    Asker(server.url).error()
    assert server.count == 3


def test_what_an_answer_is_kept_under_does_not_change_with_what_is_refused(server: ChatServer) -> None:
    server.behaviour = choosy("temperature")
    asker = Asker(server.url)
    before = asker.client.body(QUESTION)
    asker()
    assert asker.client.body(QUESTION) == before


# -- the key stays secret ----------------------------------------------------------------------------------------

ECHOES = [
    error(400, f"your key {KEY} is odd"),
    error(401, f"Incorrect API key provided: {KEY}."),
    error(404, f"no model for Bearer {KEY}"),
    error(429, f"slow down, {KEY}"),
    error(429, f"{KEY} has no money", code="insufficient_quota"),
    error(200, f"{KEY}?", inside=403),
    later("9999"),
    page(500, f"<html>Authorization: Bearer {KEY}</html>"),
    page(401, f"<html>Authorization: Bearer {KEY}</html>"),
    page(200, f"<html>Authorization: Bearer {KEY}</html>"),
    as_json({"detail": f"Bearer {KEY}"}, 422),
    as_json({"odd": KEY}),
]


@pytest.mark.parametrize("reply", ECHOES, ids=range(len(ECHOES)))
def test_the_key_is_in_no_error_and_no_log(server: ChatServer, reply: Reply, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.behaviour = always(reply)
    asker = Asker(server.url)
    with pytest.raises(LLMError) as caught:
        asker()
    chain: list[BaseException | None] = [caught.value]
    while chain[-1] is not None:
        assert KEY not in f"{chain[-1]} {chain[-1]!r}"
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    assert any(record.name.startswith("httpx") for record in caplog.records)
    assert all(KEY not in record.getMessage() + repr(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("status", [200, 422])
def test_no_beginning_of_the_key_is_shown_either(status: int) -> None:
    """A long page is cut for display, possibly within a key."""
    text = ""
    asker = mocked(lambda request: httpx.Response(status, text=text))
    for before in (180, 190, 195, 199, 985, 990, 995, 999):
        for filler in ("x", " "):
            text = "<" + filler * (before - 1) + KEY
            assert KEY[:3] not in asker.error(), (before, filler)


def test_the_key_is_in_no_repr() -> None:
    asker = Asker("https://llm.test/v1")
    for thing in (asker.client, asker.client.server, vars(asker.client)):
        assert KEY not in f"{thing} {thing!r}"
    assert KEY not in json.dumps(asker.client.body(QUESTION))
    http = asker.client.open()
    assert KEY not in f"{http!r} {http.headers!r}"
    asyncio.run(http.aclose())


def test_control_characters_of_the_server_are_not_shown(server: ChatServer) -> None:
    evil = "".join(map(chr, range(32))) + "\x7f\x85\x9b\u200b\u2028\u202e\ud800"
    server.behaviour = always(as_json({"error": {"message": f"a{evil}b{evil}c"}}, 400))
    assert "400: a b c" in Asker(server.url).error()


@given(st.text())
def test_clean_leaves_one_printable_line(text: str) -> None:
    found = clean(text)
    assert found.isprintable()
    assert found == found.strip()
    assert clean(found) == found


# -- limits ------------------------------------------------------------------------------------------------------


def test_requests_per_minute(server: ChatServer) -> None:
    asker = Asker(server.url, requests_per_minute=600, concurrency=5)
    asker(times=5, at_once=True)
    times = sorted(request.time for request in server.requests)
    assert times[-1] - times[0] >= 0.3


def test_requests_that_are_tried_again_count_too(server: ChatServer) -> None:
    server.behaviour = first(*[error(503)] * 4, then=always(CAT))
    Asker(server.url, requests_per_minute=600)()
    assert server.requests[-1].time - server.requests[0].time >= 0.3


def test_tokens_per_minute(server: ChatServer) -> None:
    """About 100 tokens each, at 60,000 per minute: a tenth of a second each."""
    server.behaviour = always(completion("a cat", tokens=100))
    asker = Asker(server.url, tokens_per_minute=60_000, answer_tokens=100 - 11, concurrency=5)
    assert asker.client.estimated_tokens(QUESTION) == pytest.approx(100, abs=3)
    asker(times=5, at_once=True)
    times = sorted(request.time for request in server.requests)
    assert times[-1] - times[0] >= 0.3


def test_tokens_that_were_not_used_are_given_back(server: ChatServer) -> None:
    """A long answer is expected, a short one comes, and the next question does not wait."""
    server.behaviour = always(completion("a cat", tokens=10))
    start = time.monotonic()
    Asker(server.url, tokens_per_minute=60_000, answer_tokens=2000)(times=4)
    assert time.monotonic() - start < 4


def test_without_limits_nothing_waits(server: ChatServer) -> None:
    start = time.monotonic()
    Asker(server.url)(times=20)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("most", [1, 3])
def test_never_more_requests_at_once_than_allowed(server: ChatServer, most: int) -> None:
    server.latency = 0.05
    Asker(server.url, concurrency=most)(times=12, at_once=True)
    assert server.count == 12
    assert server.most_at_once == most


# -- run_in_loop -------------------------------------------------------------------------------------------------


async def seven() -> int:
    await asyncio.sleep(0)
    return 7


def test_run_in_loop_gives_the_result() -> None:
    assert run_in_loop(seven) == 7


def test_run_in_loop_within_a_running_loop() -> None:
    async def caller() -> int:
        return run_in_loop(seven)

    assert asyncio.run(caller()) == 7


def test_run_in_loop_within_run_in_loop() -> None:
    async def outer() -> int:
        return run_in_loop(seven)

    assert run_in_loop(outer) == 7


def test_run_in_loop_raises_what_the_job_raised() -> None:
    async def job() -> None:
        raise LLMError("no")

    with pytest.raises(LLMError, match="no"):
        run_in_loop(job)


def test_run_in_loop_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    run_in_loop(seven)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("running", [False, True], ids=["alone", "within a loop"])
def test_an_interruption_cancels_the_job_and_waits_for_it(running: bool) -> None:
    events: list[str] = []

    async def job() -> None:
        try:
            await asyncio.sleep(0.15)  # the caller waits by then
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            events.append("let go")
            raise

    interrupted(job, running)
    assert events == ["let go"]
    assert not [thread for thread in threading.enumerate() if thread.name == "zsprompt-llm"]


def test_an_interruption_at_the_very_end_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(threading.Event):
        interrupted = False

        def wait(self, timeout: float | None = None) -> bool:
            super().wait()
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return True

    monkeypatch.setattr("zsprompt.llm.event_loop.threading", SimpleNamespace(Thread=threading.Thread, Event=Late))
    with pytest.raises(KeyboardInterrupt):
        run_in_loop(seven)


def test_an_interruption_ends_a_request(server: ChatServer) -> None:
    def interrupt(body: dict, number: int) -> Reply:
        os.kill(os.getpid(), signal.SIGINT)
        return Reply(CAT.content, latency=30)

    server.behaviour = interrupt
    asker = Asker(server.url)

    async def job() -> None:
        async with asker.client.open() as http:
            await asker.client.ask(http, QUESTION)

    start = time.monotonic()
    interrupted(job, running=False)
    assert time.monotonic() - start < 5
    assert server.count == 1


def interrupted(job: Callable[[], Coroutine[Any, Any, None]], running: bool) -> None:
    """Run a job that interrupts this process like Ctrl-C."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if running:

            async def caller() -> None:
                with pytest.raises(KeyboardInterrupt):
                    run_in_loop(job)

            loop = asyncio.new_event_loop()  # asyncio.run would take the signal
            loop.run_until_complete(caller())
            loop.close()
        else:
            with pytest.raises(KeyboardInterrupt):
                run_in_loop(job)
    finally:
        signal.signal(signal.SIGINT, old)


# -- which server ------------------------------------------------------------------------------------------------


def find(environment: dict[str, str] | None = None, **arguments: Any) -> Server:
    found = find_server(environment=environment or {}, **arguments)
    assert found is not None
    return found


def test_nothing_named_is_no_server() -> None:
    assert find_server(environment={}) is None
    assert find_server(environment={"OPENAI_API_KEY": KEY, "ZSPROMPT_LLM_KEY": KEY}) is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    url, variable = PRESETS[name]
    found = find({variable: KEY} if variable else {}, base_url=name, model="m")
    assert (found.base_url, found.model, found.key) == (url, "m", KEY if variable else "")


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "local"])
def test_presets_of_providers_have_a_model(name: str) -> None:
    assert find(base_url=name).model


def test_local_needs_a_model() -> None:
    with pytest.raises(LLMError, match=r"--llm .*MODEL or set ZSPROMPT_LLM_MODEL"):
        find(base_url="local")


def test_a_url_needs_a_model() -> None:
    with pytest.raises(LLMError, match=r"https://llm\.test/v1"):
        find(base_url="https://llm.test/v1")


@pytest.mark.parametrize(
    ("environment", "preset"),
    [
        ({"OPENAI_API_KEY": KEY}, "openai"),
        ({"DASHSCOPE_API_KEY": KEY}, "qwen"),
        ({"OPENAI_API_KEY": KEY, "DASHSCOPE_API_KEY": "other"}, "openai"),
        ({}, "local"),
    ],
)
def test_a_model_alone_goes_to_whom_there_is_a_key_for(environment: dict[str, str], preset: str) -> None:
    found = find(environment, model="m")
    assert (found.base_url, found.key) == (PRESETS[preset][0], environment.get(PRESETS[preset][1], ""))


def test_the_environment_names_everything() -> None:
    found = find(
        {
            "ZSPROMPT_LLM_BASE_URL": "https://llm.test/v1/",
            "ZSPROMPT_LLM_MODEL": "m",
            "ZSPROMPT_LLM_KEY": f" {KEY}\n",
            "ZSPROMPT_LLM_TIMEOUT": "7.5",
            "ZSPROMPT_LLM_CONCURRENCY": "3",
            "ZSPROMPT_LLM_REQUESTS_PER_MINUTE": "60",
            "ZSPROMPT_LLM_TOKENS_PER_MINUTE": "1e5",
        }
    )
    assert found == Server("https://llm.test/v1", "m", KEY, 7.5, 3, 60, 100_000)
    assert isinstance(found.concurrency, int)


def test_the_environment_is_this_process_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSPROMPT_LLM_MODEL", "from the environment")
    found = find_server()
    assert found is not None
    assert found.model == "from the environment"


def test_arguments_come_before_the_environment() -> None:
    environment = {
        f"ZSPROMPT_LLM_{name}": value
        for name, value in {
            "BASE_URL": "qwen",
            "MODEL": "other",
            "TIMEOUT": "1",
            "CONCURRENCY": "1",
            "REQUESTS_PER_MINUTE": "1",
            "TOKENS_PER_MINUTE": "1",
        }.items()
    }
    found = find(
        environment,
        base_url="http://llm.test",
        model="m",
        timeout=9,
        concurrency=9,
        requests_per_minute=9,
        tokens_per_minute=9,
    )
    assert found == Server("http://llm.test", "m", "", 9, 9, 9, 9)


def test_an_own_key_comes_before_a_provider_s() -> None:
    assert find({"ZSPROMPT_LLM_KEY": "own", "OPENAI_API_KEY": KEY}, base_url="openai").key == "own"


@pytest.mark.parametrize(
    "url",
    [
        "https://llm.test/v1",
        "https://api.openai.com.evil.test/v1",
        "https://evil.test/api.openai.com/v1",
        "https://notapi.openai.com/v1",
        "http://api.openai.com/v1",
        "qwen",
        "local",
    ],
)
def test_the_key_of_a_provider_goes_to_no_one_else(url: str) -> None:
    """Nor is it sent over an unencrypted connection."""
    assert find({"OPENAI_API_KEY": KEY}, base_url=url, model="m").key == ""


def test_the_url_of_a_provider_takes_its_key() -> None:
    assert find({"OPENAI_API_KEY": KEY}, base_url="https://api.openai.com/v1/", model="m").key == KEY


@pytest.mark.parametrize(
    "url",
    [
        "llm.test/v1",
        "ftp://llm.test/v1",
        "https://",
        "OpenAI!",
        "http://[::1/v1",
        "http://llm.test:port/v1",
        "http://llm.test:99999/v1",
        "http://llm.test:0/v1",
        "http://llm\x01.test/v1",
        "http://xn--a/v1",
    ],
)
def test_what_is_no_url_is_refused_with_what_would_be(url: str) -> None:
    with pytest.raises(UsageError, match="expected an LLM base URL") as caught:
        find(base_url=url, model="m")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{KEY}@llm.test/v1",
        f"https://{KEY}@llm.test/v1",
        f"https://llm.test/v1?key={KEY}",
        f"ftp://user:{KEY}@llm.test/v1",
        f"user:{KEY}@llm.test/v1",
    ],
)
def test_a_url_with_a_key_in_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(base_url=url, model="m")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(UsageError, match="LLM key") as caught:
        find({"ZSPROMPT_LLM_KEY": key}, base_url="openai")
    assert key not in str(caught.value)


@pytest.mark.parametrize("name", ["TIMEOUT", "CONCURRENCY", "REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE"])
@pytest.mark.parametrize("value", ["many", "1,5", "0", "-1", "nan", "inf"])
def test_what_is_no_number_above_0_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError):
        find({f"ZSPROMPT_LLM_{name}": value}, model="m")


@pytest.mark.parametrize("name", ["timeout", "concurrency", "requests_per_minute", "tokens_per_minute"])
@pytest.mark.parametrize("value", [0, -1])
def test_arguments_of_0_or_less_are_refused(name: str, value: int) -> None:
    with pytest.raises(UsageError):
        find(model="m", **{name: value})


def test_a_server_is_not_changed_by_a_blank_variable() -> None:
    assert find({"ZSPROMPT_LLM_TIMEOUT": "", "ZSPROMPT_LLM_BASE_URL": ""}, model="m").timeout == 60
