"""LLM servers as they are: every shape of an error, of thinking and of an answer, against a real HTTP server."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from shutil import which
from threading import Thread
from typing import Any, cast

import httpx
import pytest
from chat_server import (
    Behaviour,
    Body,
    ChatServer,
    Reply,
    always,
    completion,
    error,
    first,
    late,
    page,
    plain_connections,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from server_shapes import BODIES, REFUSED_PARAMETERS, SHAPES, THINKING, WRAPPINGS, Shape, streamed

from zsprompt.errors import DownloadError, LLMError
from zsprompt.llm import Answers, Budget, ChatClient, Server, Writer, find_server
from zsprompt.llm.caption_lines import caption_lines
from zsprompt.llm.checks import tidy
from zsprompt.llm.client import Answer, Messages, RefusedRequestError
from zsprompt.llm.dialect import CHANGES
from zsprompt.llm.event_loop import run_in_loop
from zsprompt.llm.faults import BROKEN, FAULTS, LONG, PAGE, REFUSED, UNREACHABLE, find_fault
from zsprompt.llm.responses import Problem, read_body
from zsprompt.llm.thinking import misplaced_answer, spoken

QUESTION: Messages = (("user", "A caption with a cat, please."),)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,"}}
WITH_IMAGE = cast("Messages", (("user", ({"type": "text", "text": "What is it?"}, IMAGE)),))
CAT = completion("a cat")
NAMES = [shape.server for shape in SHAPES]


@pytest.fixture(autouse=True)
def _plain_connections(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(always(CAT)) as running:
        yield running


def client_of(url: str, **options: Any) -> ChatClient:
    async def no_sleep(seconds: float) -> None:
        pass

    return ChatClient(Server(url, "parrot-1", **options), sleep=no_sleep)


def ask(url: str, messages: Messages = QUESTION, client: ChatClient | None = None, times: int = 1) -> list[Answer]:
    """The answers of a client, one after the other."""
    client = client or client_of(url)

    async def job() -> list[Answer]:
        async with client.open() as http:
            return [await client.ask(http, messages) for _ in range(times)]

    return run_in_loop(job)


def failure(url: str, messages: Messages = QUESTION, client: ChatClient | None = None) -> LLMError:
    """The error of a request, which must be one line."""
    with pytest.raises(LLMError) as caught:
        ask(url, messages, client)
    assert str(caught.value).isprintable()
    return caught.value


def writer_of(url: str, folder: Path | None = None, *, budget: Budget | None = None, **options: Any) -> Writer:
    return Writer(client_of(url, **options), Answers(folder), budget=budget)


# -- faults ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_each_fault_is_known_in_each_shape_and_only_passing_ones_are_tried_again(
    server: ChatServer, shape: Shape
) -> None:
    server.behaviour = always(shape.reply)
    raised = failure(server.url, WITH_IMAGE if shape.with_image else QUESTION)
    assert server.count == (6 if shape.fault.passing else 1)
    assert isinstance(raised, RefusedRequestError) == (not shape.fault.for_all)
    if isinstance(raised, RefusedRequestError):
        assert raised.fault is shape.fault
        assert raised.reason.startswith(shape.fault.name)
    elif not shape.fault.passing:
        start = shape.fault.says.format(url=server.url, model="parrot-1", shown="\0", version="", vision="")
        assert str(raised).startswith(start.partition("\0")[0])


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.fault.passing], ids=lambda shape: shape.server)
def test_what_passes_is_an_answer_in_the_end(server: ChatServer, shape: Shape) -> None:
    server.behaviour = first(shape.reply, shape.reply, then=always(CAT))
    assert ask(server.url)[0].text == "a cat"
    assert server.count == 3


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.with_image], ids=lambda shape: shape.server)
def test_without_an_image_no_fault_is_about_images(server: ChatServer, shape: Shape) -> None:
    server.behaviour = always(shape.reply)
    assert "does not accept images" not in str(failure(server.url))


def test_the_shapes_cover_the_table() -> None:
    """Each fault that a response can stand for has a row, and each that is about a kind of text more than one."""
    shown = {shape.fault.name for shape in SHAPES}
    assert shown == {fault.name for fault in (*FAULTS, PAGE)}


def test_the_last_row_takes_what_is_left() -> None:
    assert FAULTS[-1] is REFUSED
    assert find_fault(418, Problem("I am a teapot")) is REFUSED


@given(
    status=st.integers(100, 999),
    message=st.text(),
    codes=st.lists(st.text(max_size=8)),
)
def test_every_response_is_some_fault(status: int, message: str, codes: list[str]) -> None:
    assert find_fault(status, Problem(message, tuple(codes))) in FAULTS


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from([200, 400, 500]),
    st.sampled_from(["application/json", "text/event-stream", ""]),
)
def test_no_body_is_a_crash(content: bytes, status: int, kind: str) -> None:
    body = read_body(status, kind, content)
    assert body.completion is None or body.problem is None


_FIELDS = st.sampled_from(
    ["error", "errors", "detail", "message", "msg", "code", "type", "status", "loc", "param", "choices", "delta"]
)


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_FIELDS, inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([200, 422]),
)
def test_no_error_is_a_crash(data: object, status: int) -> None:
    for content in (json.dumps(data), f"data: {json.dumps(data)}\n\ndata: [DONE]"):
        read_body(status, "", content.encode())


def test_a_hostile_error_is_read_in_no_time() -> None:
    nested: object = "x"
    for _ in range(300):
        nested = {"error": {"message": nested, "errors": [nested if isinstance(nested, str) else "y"]}}
    assert read_body(400, "", json.dumps(nested).encode()).problem is not None
    assert spoken("<think>" * 50_000 + "</think>" * 50_000) == ""
    assert caption_lines("**" * 50_000 + "(note " * 20_000)


def test_a_key_that_is_refused_says_which_variable_to_set(server: ChatServer) -> None:
    server.behaviour = always(error(401, "who are you"))
    assert "(401: who are you); set ZSPROMPT_LLM_KEY to a key that may use parrot-1" in str(failure(server.url))


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://api.openai.com/v1", "--llm openai:gpt-4o-mini"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1", "--llm qwen-cn:qwen3-vl-plus"),
        ("http://localhost:11434/v1", "--llm local:qwen2.5vl"),
        ("http://llm.test/v1", "--llm openai:gpt-4o-mini or --llm qwen:qwen3-vl-plus"),
    ],
)
def test_a_model_without_eyes_gets_the_hint_about_one_of_the_same_server(url: str, hint: str) -> None:
    reply = httpx.MockTransport(lambda request: httpx.Response(400, json={"error": "not a multimodal model"}))
    client = ChatClient(Server(url, "m"), transport=reply)
    assert str(failure(url, WITH_IMAGE, client)).endswith(f"choose a model that does, for example {hint}")


def test_a_page_from_a_server_that_has_answered_is_an_error_of_a_proxy(server: ChatServer) -> None:
    """Before the first answer, the URL is wrong or the network wants a login. Waiting would not help."""
    server.behaviour = first(CAT, page(200), then=always(CAT))
    assert [answer.text for answer in ask(server.url, times=2)] == ["a cat", "a cat"]
    assert server.count == 3


def test_another_address_is_named_and_not_followed(server: ChatServer) -> None:
    moved = {"Location": "https://llm.test/v1/chat/completions?key=1"}
    server.behaviour = always(Reply(b"", 301, moved))
    assert "redirects to another address (301: https://llm.test/v1); set that" in str(failure(server.url))


# -- an item that fails for itself -------------------------------------------------------------------------------

QUESTIONS = [(("user", f"question {number}"),) for number in range(30)]


def number_in(body: Body) -> int:
    return int(body["messages"][0]["content"].split()[1])


def refusing(reply: Reply, *numbers: int) -> Behaviour:
    """A server that refuses the questions of these numbers."""
    return lambda body, number: reply if number_in(body) in numbers else completion(f"answer {number_in(body)}")


ALONE = {shape.server: shape for shape in SHAPES if not shape.fault.for_all and not shape.with_image}
ONE_OF_EACH = {shape.fault.name: shape for shape in ALONE.values()}
ONE_OF_MANY = [
    *(pytest.param(shape, 14, 8, id=name) for name, shape in ALONE.items()),
    *(
        pytest.param(shape, where, concurrency, id=f"{name} {where} {concurrency}")
        for name, shape in ONE_OF_EACH.items()
        for where in (0, 29)
        for concurrency in (1, 8)
    ),
]


@pytest.mark.parametrize(("shape", "where", "concurrency"), ONE_OF_MANY)
def test_one_that_fails_for_itself_stops_no_other(
    server: ChatServer, shape: Shape, where: int, concurrency: int
) -> None:
    server.behaviour = refusing(shape.reply, where)
    replies = writer_of(server.url, concurrency=concurrency).answer(QUESTIONS)
    assert list(replies.refused) == [QUESTIONS[where]]
    assert replies.refused[QUESTIONS[where]].startswith(shape.fault.name)
    assert (len(replies.answers), replies.unasked) == (29, 0)
    assert server.count == 29 + (6 if shape.fault.passing else 1)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.with_image], ids=lambda shape: shape.server)
def test_a_fault_of_all_requests_stops_them(server: ChatServer, shape: Shape) -> None:
    """Except for a content filter, which may be about each."""
    server.behaviour = always(shape.reply)
    most, _ = shape.fault.stops
    if most is None:
        assert len(writer_of(server.url, concurrency=1).answer(QUESTIONS).refused) == 30
        return
    with pytest.raises(LLMError):
        writer_of(server.url, concurrency=1).answer(QUESTIONS)
    assert server.count == most * (6 if shape.fault.passing else 1)


def test_a_server_that_breaks_for_good_stops_the_rest(server: ChatServer) -> None:
    server.behaviour = lambda body, number: completion("x") if number <= 3 else error(500, "on fire")
    with pytest.raises(LLMError, match="failed 6 times"):
        writer_of(server.url, concurrency=1).answer(QUESTIONS)
    assert server.count == 3 + 5 * 6


def test_refusals_in_a_row_are_no_end_once_there_was_an_answer(server: ChatServer, tmp_path: Path) -> None:
    """Also if the answer is a stored one: a second run gets as far as the first."""
    server.behaviour = refusing(error(400, "odd"), *range(10, 20))
    for count in (30, 40):
        writer = writer_of(server.url, tmp_path / "a", concurrency=1)
        assert len(writer.answer(QUESTIONS).refused) == 10
        writer.answers.close()
        assert server.count == count


def refused_images(url: str, count: int) -> dict[int, str]:
    """Ask about images, one after the other: the reason by the number of each that is refused."""
    writer = writer_of(url, concurrency=1)
    refused: dict[int, str] = {}

    async def ask_one(http: httpx.AsyncClient, number: int) -> None:
        messages = cast("Messages", (("user", ({"type": "text", "text": f"question {number}"}, IMAGE)),))
        try:
            await writer.ask(http, messages)
        except RefusedRequestError as error:
            refused[number] = writer.refusal(error)

    writer.each(range(count), ask_one, "images")
    return refused


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.with_image], ids=lambda shape: shape.server)
def test_a_server_that_captioned_an_image_accepts_images(server: ChatServer, shape: Shape) -> None:
    """Before the first answer, a refusal of images is about all of them. Later it is about one."""
    server.behaviour = lambda body, number: shape.reply if number == 4 else CAT
    assert list(refused_images(server.url, 8)) == [3]
    assert server.count == 8
    server.requests.clear()
    server.behaviour = always(shape.reply)
    with pytest.raises(RefusedRequestError) as caught:
        refused_images(server.url, 8)
    assert (caught.value.fault, server.count) == (shape.fault, shape.fault.stops[0])


def test_refusals_of_different_kinds_are_counted_apart(server: ChatServer) -> None:
    """Content filters stop nothing, so they do not bring other refusals nearer to the end either."""
    kinds = [error(400, "x", code="content_filter")] * 4 + [error(400, "weird")] * 4 + [page(413)] * 4
    server.behaviour = lambda body, number: kinds[number - 1] if number <= len(kinds) else CAT
    replies = writer_of(server.url, concurrency=1).answer(QUESTIONS)
    assert (len(replies.refused), len(replies.answers), server.count) == (12, 18, 30)


def test_refusals_of_one_kind_are_counted_among_others(server: ChatServer) -> None:
    server.behaviour = lambda body, number: error(400, "weird") if number % 2 else error(400, "x", code="safety")
    with pytest.raises(RefusedRequestError, match="weird"):
        writer_of(server.url, concurrency=1).answer(QUESTIONS)
    assert server.count == 9


TOO_LONG = [shape for shape in SHAPES if shape.fault is LONG]


@pytest.mark.parametrize("shape", TOO_LONG, ids=lambda shape: shape.server)
def test_one_item_that_is_too_long_changes_no_later_request(server: ChatServer, shape: Shape) -> None:
    server.behaviour = refusing(shape.reply, 3)
    writer_of(server.url, concurrency=1).answer(QUESTIONS[:6])
    assert [body.get("max_tokens") for body in server.bodies] == [200] * 6


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_number_that_is_too_large_is_never_left_out(server: ChatServer, name: str) -> None:
    """The server knows the parameter. Without it, an answer could cost any number of tokens."""

    def behave(body: Body, number: int) -> Reply:
        if name not in body:
            return error(400, "Unsupported parameter: 'max_tokens'")
        return error(400, f"{name} is too large: 200. More than 100 completion tokens are not supported", param=name)

    server.behaviour = behave
    assert "too large" in str(failure(server.url))
    assert [key for body in server.bodies for key in body if key.startswith("max_")][-1] == name


MESSAGES = {
    "region": (error(403, "Country, region, or territory not supported"), "this country or region", "ZSPROMPT_LLM_KEY"),
    "data policy": (
        error(404, "No endpoints found matching your data policy"),
        "under your data policy",
        "URL is wrong",
    ),
    "memory": (error(500, "model requires more system memory (9 GiB) than is available"), "a smaller model", "6 times"),
    "proxy": (page(407), "the proxy refuses requests to", "key"),
}


@pytest.mark.parametrize(("reply", "said", "unsaid"), MESSAGES.values(), ids=MESSAGES)
def test_a_fault_names_its_own_cause(server: ChatServer, reply: Reply, said: str, unsaid: str) -> None:
    server.behaviour = always(reply)
    message = str(failure(server.url))
    assert (said in message, unsaid in message, server.count) == (True, False, 1)


def test_refusals_are_not_stored_and_cost_no_tokens(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = refusing(error(400, "x", code="content_filter"), 3)
    budget = Budget(calls=100, tokens=100_000)
    writer = writer_of(server.url, tmp_path / "a", budget=budget)
    writer.answer(QUESTIONS)
    writer.answers.close()
    assert (budget.calls_made, budget.tokens_used) == (30, 29 * 50)
    server.behaviour = refusing(CAT)
    server.requests.clear()
    again = writer_of(server.url, tmp_path / "a")
    assert len(again.answer(QUESTIONS).answers) == 30
    assert [number_in(body) for body in server.bodies] == [3]
    again.answers.close()


# -- parameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", REFUSED_PARAMETERS)
@pytest.mark.parametrize("name", ["max_tokens", "temperature"])
def test_a_refused_parameter_is_changed_once_in_each_shape(server: ChatServer, name: str, shape: str) -> None:
    refusal = REFUSED_PARAMETERS[shape]
    server.behaviour = lambda body, number: refusal(name) if name in body else CAT
    assert [answer.text for answer in ask(server.url, times=3)] == ["a cat"] * 3
    assert [name in body for body in server.bodies] == [True, False, False, False]


def test_the_right_name_of_a_parameter_is_sent(server: ChatServer) -> None:
    says = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    server.behaviour = lambda body, number: error(400, says) if "max_tokens" in body else CAT
    ask(server.url)
    assert server.bodies[-1]["max_completion_tokens"] == 200


def test_a_server_that_knows_neither_name_gets_none(server: ChatServer) -> None:
    def behave(body: Body, number: int) -> Reply:
        wrong = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
        return error(422, f"{wrong[0]} is unknown") if wrong else CAT

    server.behaviour = behave
    ask(server.url, times=2)
    assert [sorted(body) for body in server.bodies[-2:]] == [["messages", "model", "temperature"]] * 2
    assert server.count == 4


def test_thinking_is_switched_off_where_a_server_wants_that(server: ChatServer) -> None:
    """Some Qwen models think only in a stream."""
    says = "parameter.enable_thinking must be set to false for non-streaming calls"
    server.behaviour = lambda body, number: (
        CAT if body.get("enable_thinking") is False else error(400, says, code="invalid_parameter_error")
    )
    client = client_of(server.url)
    ask(server.url, client=client, times=2)
    assert [body.get("enable_thinking") for body in server.bodies] == [None, False, False]
    assert "enable_thinking" not in client.identity(QUESTION)


STREAM_ONLY = {
    "qwq": "This model only support stream mode, please enable the stream parameter to access the model. ",
    "modelscope": "enable thinking can not be support when `stream=False`.",
    "plain": "stream must be true",
}


@pytest.mark.parametrize("says", STREAM_ONLY.values(), ids=STREAM_ONLY)
@pytest.mark.parametrize("usage", [True, False])
def test_a_model_that_only_streams_is_asked_for_a_stream(server: ChatServer, says: str, usage: bool) -> None:
    def behave(body: Body, number: int) -> Reply:
        if not body.get("stream"):
            return error(400, says, code="invalid_parameter_error")
        if "stream_options" in body and not usage:
            return error(400, "Unknown parameter: stream_options")
        return streamed("a cat", reasoning="hm")

    server.behaviour = behave
    assert [(answer.text, answer.tokens) for answer in ask(server.url, times=2)] == [("a cat", 50)] * 2
    assert "enable_thinking" not in server.bodies[-1]
    assert server.count <= 5
    assert [body.get("stream") for body in server.bodies[-2:]] == [True, True]


def test_no_dialect_goes_round_in_circles(server: ChatServer) -> None:
    says = " ".join(name for change in CHANGES if (name := change.names))
    server.behaviour = always(error(400, f"{says}; enable_thinking must be set to false; only support stream mode"))
    failure(server.url)
    assert server.count <= len(CHANGES) + 1


def test_several_at_once_find_out_together(server: ChatServer) -> None:
    refusal = REFUSED_PARAMETERS["gigachat"]
    server.behaviour = late(0.05, lambda body, number: refusal("temperature") if "temperature" in body else CAT)
    assert len(writer_of(server.url, concurrency=4).answer(QUESTIONS[:4]).answers) == 4
    assert server.count == 8


# -- thinking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", THINKING)
def test_thinking_is_no_part_of_an_answer(server: ChatServer, shape: str) -> None:
    server.behaviour = always(THINKING[shape]("A cat on a mat."))
    (answer,) = ask(server.url)
    assert tidy(answer.spoken) == "A cat on a mat"
    assert not answer.cut


@pytest.mark.parametrize(
    "text", ["Okay, the user wants a cat.", "We need a cat", "Thinking Process:\n\n1. A cat", "x\n\ny"]
)
def test_thinking_that_stands_for_an_answer_is_none(text: str) -> None:
    assert misplaced_answer(text) == ""


@given(st.text())
def test_what_has_no_marks_is_said(text: str) -> None:
    if not set(text) & set("<[◁") and not text.startswith("analysis"):
        assert spoken(text) == text.strip()


def thinking(needs: int, text: str = "a cat", **message: object) -> Behaviour:
    """A model that thinks for a number of tokens before it answers."""

    def behave(body: Body, number: int) -> Reply:
        if body["max_tokens"] < needs:
            return completion("", finish="length", tokens=body["max_tokens"], message=message)
        return completion(text, tokens=needs)

    return behave


@pytest.mark.parametrize("content", ["", "<think>hm, a dog", None], ids=["empty", "in tags", "null"])
def test_thinking_that_takes_all_tokens_is_given_four_times_as_many_once(
    server: ChatServer, tmp_path: Path, content: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "zsprompt")
    server.behaviour = thinking(500, content=content, reasoning_content="hm")
    writer = writer_of(server.url, tmp_path / "a", concurrency=1)
    replies = writer.answer(QUESTIONS[:3])
    assert [answer.spoken for answer in replies.answers.values()] == ["a cat"] * 3
    assert [body["max_tokens"] for body in server.bodies] == [200, 800, 800, 800]
    assert (writer.budget.calls_made, writer.budget.tokens_used) == (4, 200 + 3 * 500)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "zsprompt"]
    assert "all 200 tokens of an answer (finish_reason length): asking again for up to 800" in line
    assert "answer_tokens=N" in line
    writer.answers.close()
    writer_of(server.url, tmp_path / "a").answer(QUESTIONS[:3])
    assert server.count == 4


def test_thinking_without_an_end_is_asked_about_twice_and_again_with_a_larger_number(
    server: ChatServer, tmp_path: Path
) -> None:
    server.behaviour = thinking(3000)
    for tokens, asked in ((None, [200, 800]), (None, []), (2500, [2500, 10_000]), (2500, [])):
        server.requests.clear()
        options = {} if tokens is None else {"answer_tokens": tokens}
        writer = writer_of(server.url, tmp_path / "a", **options)
        (answer,) = writer.answer(QUESTIONS[:1]).answers.values()
        assert (answer.spoken == "a cat") == (tokens is not None)
        assert [body["max_tokens"] for body in server.bodies] == asked
        writer.answers.close()


def test_offline_an_answer_that_broke_off_is_not_asked_for(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = thinking(3000)
    writer_of(server.url, tmp_path / "a").answer(QUESTIONS[:1])
    offline = Writer(client_of(server.url, answer_tokens=5000), Answers(tmp_path / "a"), offline=True)
    assert offline.answer(QUESTIONS[:1]).unasked == 1
    assert server.count == 2


def test_answers_that_were_stored_by_earlier_versions_are_read(tmp_path: Path, server: ChatServer) -> None:
    answers = Answers(tmp_path / "a")
    client = client_of(server.url)
    body = client.body(QUESTION)
    assert body == client.identity(QUESTION)
    answers._disk.put_many(
        {answers_key(server.url, body): b'{"text": "<think>x</think>a cat", "cut": false, "tokens": 9}'}
    )
    (answer,) = Writer(client, answers).answer([QUESTION]).answers.values()
    assert (answer.spoken, server.count) == ("a cat", 0)
    answers.close()


def answers_key(url: str, body: Body) -> bytes:
    from zsprompt.llm.answers import _key

    return _key(url, body)


def test_a_refusal_in_a_field_of_its_own_is_one_in_any_words(server: ChatServer) -> None:
    server.behaviour = always(completion(None, message={"refusal": "That is against the rules of the house"}))
    (answer,) = ask(server.url)
    assert answer.refused


# -- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", BODIES)
def test_a_good_answer_in_each_shape(server: ChatServer, shape: str) -> None:
    server.behaviour = always(BODIES[shape]("A cat, 猫 \u2028 and a dog."))
    (answer,) = ask(server.url)
    assert (answer.text, answer.cut, server.count) == ("A cat, 猫 \u2028 and a dog.", False, 1)


def test_a_stream_that_is_cut_is_cut(server: ChatServer) -> None:
    server.behaviour = always(streamed("A cat and", finish="length"))
    assert ask(server.url)[0].cut


def test_a_long_stream_is_read_and_a_huge_one_is_not(server: ChatServer) -> None:
    text = "cat " * 5000
    server.behaviour = always(streamed(text, pad="x" * 300))
    assert len(server.behaviour({}, 1).content) > 2**20
    assert ask(server.url)[0].text == text
    server.behaviour = always(replace(streamed("x"), content=b"data: " + b"x" * 2**25))
    assert "33,554,432 bytes" in str(failure(server.url))


def test_gzip_is_unpacked(server: ChatServer) -> None:
    import gzip

    server.behaviour = always(Reply(gzip.compress(CAT.content), headers={"Content-Encoding": "gzip"}))
    assert ask(server.url)[0].text == "a cat"


# -- captions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("habit", WRAPPINGS)
def test_a_caption_is_found_in_what_models_write_around_it(habit: str) -> None:
    assert tidy(WRAPPINGS[habit]("A dog and two cats")) == "A dog and two cats"


@pytest.mark.parametrize("habit", WRAPPINGS)
@pytest.mark.parametrize("shape", ["tags", "gpt-oss", "reasoning_content", "a stream"])
def test_habits_and_thinking_together(server: ChatServer, habit: str, shape: str) -> None:
    server.behaviour = always(THINKING[shape](WRAPPINGS[habit]("A dog and two cats")))
    assert tidy(ask(server.url)[0].spoken) == "A dog and two cats"


@pytest.mark.parametrize(
    "text",
    [
        "A note on a table beside a cat",
        "A text message: hello",
        "Sure-footed goats on a rock",
        "A sign with the word Caption",
        "2 dogs and 1.5 cats",
        "A 5 * 3 grid of cats",
        "A cat (and a dog)",
        "{a_label} in the snow",
        "[sic] a cat",
        "Okay signs made by a hand",
        "A cat_with_a_name",
        "Great Danes on a beach",
        "Here is a dog: brown and small",
        "Here are two cats: one black, one white",
    ],
)
def test_what_a_caption_says_itself_stays(text: str) -> None:
    assert tidy(text) == text


@pytest.mark.parametrize(
    "answer",
    [
        '{"caption": null}',
        '{"caption": null, "reason": "a cat"}',
        '{"caption": ""}',
        '```json\n{"text": null}\n```',
        "[]",
        "{}",
    ],
)
def test_json_without_a_caption_is_none(answer: str) -> None:
    assert caption_lines(answer) == []


def test_the_first_field_that_is_filled_is_the_caption() -> None:
    assert caption_lines('{"caption": null, "text": "a cat"}') == ["a cat"]


def test_two_captions_stay_two_lines() -> None:
    assert tidy("A sign that says:\nWelcome") == "A sign that says:\nWelcome"
    assert tidy("1. A cat.\n2. A dog.") == "A cat\nA dog"
    assert tidy('["A cat", "A dog"]') == "A cat\nA dog"


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["Here is a caption:", "\n", "```", "json", "{", "}", '"', "**", "1. ", "a cat", "(9 words)", "Note:"]
        )
    ).map("".join)
)
def test_lines_are_printable_and_not_blank(text: str) -> None:
    assert all(line and line.isprintable() for line in caption_lines(text))


# -- addresses, proxies, certificates ----------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["/v1", "/v1/", "/v1//", "/v1/chat/completions", "/v1/chat/completions/"])
def test_the_end_of_a_url_makes_no_difference(server: ChatServer, ending: str) -> None:
    found = find_server(base_url=server.url.removesuffix("/v1") + ending, model="org/model:7b@q4", environment={})
    assert found is not None
    assert found.base_url == server.url
    ask(server.url, client=ChatClient(found))
    assert (server.requests[0].path, server.bodies[0]["model"]) == ("/v1/chat/completions", "org/model:7b@q4")


def test_a_url_without_its_version_gets_a_hint(server: ChatServer) -> None:
    bare = server.url.removesuffix("/v1")
    assert "and its url=URL, which usually ends with /v1" in str(failure(bare))
    server.behaviour = always(error(404, "no such model"))
    assert str(failure(server.url)).endswith("its url=URL")


def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")

    class Six(HTTPServer):
        address_family = socket.AF_INET6

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CAT.content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        running = Six(("::1", 0), Handler)
    except OSError:
        pytest.skip("no IPv6 here")
    thread = Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    try:
        found = find_server(base_url=f"http://[::1]:{running.server_port}/v1", model="m", environment={})
        assert found is not None
        assert found.is_here
        assert ask("", client=ChatClient(found))[0].text == "a cat"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_a_server_on_this_machine(
    server: ChatServer, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer(always(page(403, "<html>the proxy of the office</html>"))) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        assert ask(server.url)[0].text == "a cat"
        assert (server.count, proxy.connections) == (1, 0)


def test_a_proxy_is_asked_for_any_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(always(CAT)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        failure("http://llm.test/v1")
        assert proxy.requests[0].headers["Host"] == "llm.test"


USELESS = {
    "socks": ("ALL_PROXY", "socks5://127.0.0.1:1080", "SOCKS proxy"),
    "unknown": ("HTTPS_PROXY", "gopher://127.0.0.1:1", "cannot be used"),
    "no certificates": ("SSL_CERT_FILE", "/no/such/file.pem", "certificates in SSL_CERT_FILE"),
}


@pytest.mark.parametrize(("variable", "value", "text"), USELESS.values(), ids=USELESS)
def test_an_environment_that_cannot_be_used_is_one_line(
    variable: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """For an LLM and for a download."""
    from zsprompt._utils.http_download import download
    from zsprompt._utils.progress import quiet

    monkeypatch.setenv(variable, value)
    assert text in str(failure("https://llm.test/v1"))
    with pytest.raises(DownloadError, match=text):
        download("https://llm.test/x", tmp_path / "x", sha256="0" * 64, progress=quiet)


@pytest.mark.skipif(which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ChatServer) -> None:
    """Refused without SSL_CERT_FILE, accepted with it, and the error names it."""
    pem = tmp_path / "own.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    )
    subprocess.run([*command.split(), "-keyout", pem, "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    certificate = (tmp_path / "cert.pem").read_text(encoding="ascii")
    pem.write_text(pem.read_text(encoding="ascii") + certificate, encoding="ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    message = str(failure(url))
    assert "no secure connection" in message
    assert "SSL_CERT_FILE" in message
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert ask(url)[0].text == "a cat"


def test_kinds_of_connection_faults() -> None:
    """That nobody listens is about the server; that a connection broke may be about one image."""
    assert UNREACHABLE.for_all
    assert not BROKEN.for_all
