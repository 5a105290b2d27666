"""The writer of captions: each set is paid for once, checked, and within the budget. Also the checks themselves."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from chat_server import (
    Behaviour,
    ChatServer,
    Reply,
    again,
    always,
    asked_set,
    caption,
    completion,
    error,
    late,
    plain_connections,
)
from command_line import environment
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zsprompt.data.datasets.voc import label_names
from zsprompt.data.scenes.world import KINDS
from zsprompt.errors import LLMError
from zsprompt.llm import Answers, Budget, ChatClient, Server, Writer, Written, answers_folder
from zsprompt.llm.checks import complaint, is_refusal, shortened, tidy
from zsprompt.llm.writer import question, require_all

KEY = "sk-test-0123456789"
LABELS = ("cat", "dog", "person", "car", "carrot", "sofa", "tv monitor")
BOTH = frozenset(("cat", "dog"))
SETS = [frozenset(), BOTH, frozenset(("tv monitor",)), frozenset(("carrot", "person", "sofa")), frozenset(("car",))]


def any_length(texts: Sequence[str]) -> np.ndarray:
    return np.ones(len(texts), bool)


def at_most(marks: int) -> Callable[[Sequence[str]], np.ndarray]:
    return lambda texts: np.array([len(text) <= marks for text in texts], bool)


@contextmanager
def writing(url: str, folder: Path | None = None, **options: Any) -> Iterator[Writer]:
    """A new Writer as in a new process."""
    of_writer = {name: options.pop(name) for name in ("budget", "offline", "progress") if name in options}
    server = Server(url, options.pop("model", "parrot-1"), options.pop("key", KEY), **options)

    async def no_sleep(seconds: float) -> None:
        pass

    answers = Answers(folder)
    yield Writer(ChatClient(server, sleep=no_sleep), answers, **of_writer)
    answers.close()


def write(
    url: str,
    folder: Path | None = None,
    sets: Iterable[frozenset[str]] = SETS,
    fits: Callable[[Sequence[str]], np.ndarray] = any_length,
    **options: Any,
) -> Written:
    """The captions of a new Writer."""
    with writing(url, folder, **options) as writer:
        return writer.write(sets, LABELS, fits)


def texts(written: Written) -> dict[frozenset[str], str]:
    return {key: caption.caption for key, caption in written.captions.items()}


@pytest.fixture(autouse=True)
def _plain_connections(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


# -- captions ----------------------------------------------------------------------------------------------------


def test_every_set_gets_its_caption(server: ChatServer) -> None:
    written = write(server.url)
    assert texts(written) == {
        frozenset(): "an empty grey wall",
        BOTH: "A photo of cat and dog",
        SETS[2]: "A photo of tv monitor",
        SETS[3]: "A photo of carrot, person and sofa",
        SETS[4]: "A photo of car",
    }
    assert (written.shortened, written.failed, written.unasked) == (set(), {}, 0)
    assert server.sets == dict.fromkeys(SETS, 1)


def test_a_caption_names_its_model_and_prompt(server: ChatServer) -> None:
    written = write(server.url, sets=[BOTH]).captions[BOTH]
    ((turn,),) = [body["messages"] for body in server.bodies]
    assert (written.labels, written.model, written.prompt) == (("cat", "dog"), "parrot-1", turn["content"])
    assert written.time.count("-") == 2


def test_a_set_named_twice_is_asked_once(server: ChatServer) -> None:
    write(server.url, sets=[BOTH, frozenset(("dog", "cat")), BOTH])
    assert server.count == 1


def test_no_sets_ask_nothing(server: ChatServer) -> None:
    assert write(server.url, sets=[]).captions == {}
    assert server.connections == 0


def test_the_question_is_the_same_for_every_order_of_labels() -> None:
    assert question(frozenset(("dog", "cat")), LABELS) == question(frozenset(("cat", "dog")), LABELS[::-1])
    assert question(frozenset(), LABELS) == question(frozenset(), LABELS[::-1])
    assert "cat, dog and sofa." in question(frozenset(("dog", "sofa", "cat")), LABELS)[0][1]


def test_sets_are_requested_concurrently(server: ChatServer) -> None:
    server.latency = 0.1
    write(server.url, concurrency=3)
    assert server.most_at_once == 3


def test_within_a_running_loop(server: ChatServer) -> None:
    async def caller() -> Written:
        return write(server.url)

    assert len(asyncio.run(caller()).captions) == len(SETS)


def test_progress_counts_the_sets(server: ChatServer) -> None:
    events: list[object] = []

    @contextmanager
    def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        events.append((what, total, unit))
        yield events.append

    write(server.url, progress=progress)
    assert events == [("captions", 5, "captions"), 1, 1, 1, 1, 1]


# -- answers are kept --------------------------------------------------------------------------------------------


def test_a_second_writer_asks_nothing(server: ChatServer, tmp_path: Path) -> None:
    one = write(server.url, tmp_path / "a")
    two = write(server.url, tmp_path / "a")
    assert server.count == len(SETS)
    assert texts(one) == texts(two)


def test_answers_do_not_depend_on_key_or_limits(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    write(server.url, tmp_path / "a", key="another", timeout=9, concurrency=2, requests_per_minute=1)
    assert server.count == len(SETS)


def test_another_model_is_a_new_request(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    write(server.url, tmp_path / "a", model="parrot-2")
    assert server.sets == dict.fromkeys(SETS, 2)


def test_a_whole_answer_does_not_depend_on_its_maximum_length(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    for tokens in (99, 999):
        write(server.url, tmp_path / "a", answer_tokens=tokens)
    assert server.count == len(SETS)


def test_an_answer_that_broke_off_is_asked_for_again_where_it_may_be_longer(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = lambda body, number: completion(
        "A cat and a dog" + ", and so on" * 9, finish="length" if body["max_tokens"] < 500 else "stop"
    )
    cut = write(server.url, tmp_path / "a", [BOTH], at_most(20))
    assert (texts(cut), server.count) == ({BOTH: "A cat and a dog"}, 2)
    write(server.url, tmp_path / "a", [BOTH], answer_tokens=150)
    assert server.count == 2
    whole = write(server.url, tmp_path / "a", [BOTH], answer_tokens=500)
    assert (texts(whole), server.count) == ({BOTH: "A cat and a dog" + ", and so on" * 9}, 3)


def test_another_server_is_a_new_request(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    with ChatServer() as other:
        write(other.url, tmp_path / "a")
        assert (server.count, other.count) == (len(SETS), len(SETS))


def test_only_new_sets_are_requested(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a", SETS[:3])
    write(server.url, tmp_path / "a", SETS)
    assert server.sets == dict.fromkeys(SETS, 1)


def test_without_a_folder_answers_live_as_long_as_their_object(server: ChatServer) -> None:
    with writing(server.url) as writer:
        writer.write(SETS, LABELS, any_length)
        writer.write(SETS, LABELS, any_length)
    assert server.count == len(SETS)
    write(server.url)
    assert server.count == 2 * len(SETS)


def test_rejected_answers_are_kept_too(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = always(completion("a duck"))
    one = write(server.url, tmp_path / "a", [BOTH])
    two = write(server.url, tmp_path / "a", [BOTH])
    assert server.count == 2
    assert one.failed == two.failed != {}


def test_a_damaged_answer_is_asked_for_again(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    answers = Answers(tmp_path / "a")
    disk = answers._disk._disk
    key = next(iter(disk))
    disk.set(key, disk.get(key)[:-1] + b"?")
    answers.close()
    assert len(write(server.url, tmp_path / "a").captions) == len(SETS)
    assert server.count == len(SETS) + 1


def test_the_key_is_not_in_the_folder(server: ChatServer, tmp_path: Path) -> None:
    server.behaviour = lambda body, number: error(429, f"not so fast, {KEY}") if number == 1 else caption(body)
    write(server.url, tmp_path / "a")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(b"A photo of cat and dog" in path.read_bytes() for path in files)
    assert all(KEY.encode() not in path.read_bytes() for path in files)


def test_questions_without_an_answer(server: ChatServer, tmp_path: Path) -> None:
    asked = [question(key, LABELS) for key in SETS]
    with writing(server.url, tmp_path / "a") as writer:
        assert writer.unanswered(asked) == asked
        writer.write(SETS[:2], LABELS, any_length)
        assert writer.unanswered(asked) == asked[2:]


def test_the_folder_of_answers_is_next_to_that_of_embeddings(tmp_path: Path) -> None:
    assert answers_folder(tmp_path / "zsprompt") == tmp_path / "zsprompt-answers"


def test_questions_of_another_kind(server: ChatServer, tmp_path: Path) -> None:
    asked = [(("user", f"What is {thing}?"),) for thing in ("a cat", "a dog", "a cat")]
    server.behaviour = lambda body, number: completion(f"Not {body['messages'][0]['content']}")
    for _ in range(2):
        with writing(server.url, tmp_path / "a", concurrency=1) as writer:
            replies = writer.answer(asked)
        texts = [replies.answers[question].text for question in asked[:2]]
        assert texts == ["Not What is a cat?", "Not What is a dog?"]
        assert (len(replies.answers), replies.refused, replies.unasked, server.count) == (2, {}, 0, 2)
    with writing(server.url, tmp_path / "b", budget=Budget(calls=1), concurrency=1) as writer:
        replies = writer.answer(asked)
    assert (list(replies.answers), replies.unasked) == ([asked[0]], 1)


# -- budget ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("calls", [0, 1, 3, 5, 9])
def test_no_more_calls_than_allowed(server: ChatServer, tmp_path: Path, calls: int, concurrency: int) -> None:
    budget = Budget(calls=calls)
    written = write(server.url, tmp_path / "a", budget=budget, concurrency=concurrency)
    done = min(calls, len(SETS))
    assert (server.count, len(written.captions), written.unasked) == (done, done, len(SETS) - done)
    assert budget.calls_made == done
    write(server.url, tmp_path / "a")
    assert server.count == len(SETS)


def test_no_more_tokens_than_allowed(server: ChatServer, tmp_path: Path) -> None:
    """A question is sent if the budget covers its longest answer. Afterwards its actual cost counts."""
    with writing(server.url, tmp_path / "a", budget=Budget(tokens=400), concurrency=1) as writer:
        used = asked = 0
        for key in SETS:
            if used + writer.client.estimated_tokens(question(key, LABELS)) <= 400:
                used, asked = used + 50, asked + 1  # the server says 50 each time
        written = writer.write(SETS, LABELS, any_length)
    assert 2 <= asked < len(SETS)
    assert (server.count, len(written.captions), written.unasked) == (asked, asked, len(SETS) - asked)
    assert writer.budget.tokens_used == used


def test_tokens_are_not_overdrawn_by_many_at_once(server: ChatServer) -> None:
    server.behaviour = late(0.05, lambda body, number: replace(completion(f"a {number}", tokens=250)))
    budget = Budget(tokens=1100)
    written = write(server.url, budget=budget, concurrency=8)
    assert budget.tokens_used <= 1100
    assert written.unasked >= 1


def test_the_budget_goes_as_far_for_many_at_once(server: ChatServer) -> None:
    """The maximum cost of pending requests is not spent yet: other requests wait for their actual cost."""
    server.latency = 0.02
    sets = [frozenset(pair) for pair in itertools.combinations(LABELS, 2)]
    written = write(server.url, sets=sets, budget=Budget(tokens=50 * len(sets) + 300), concurrency=8)
    assert (written.unasked, server.count) == (0, len(sets))


def test_kept_answers_cost_nothing(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a")
    budget = Budget(calls=0, tokens=0)
    assert write(server.url, tmp_path / "a", budget=budget).unasked == 0
    assert (budget.calls_made, budget.tokens_used) == (0, 0)


def test_a_second_question_beyond_the_budget_leaves_the_set_unasked(server: ChatServer, tmp_path: Path) -> None:
    """The caption has not failed, and a larger budget continues with the second question."""
    server.behaviour = lambda body, number: caption(body) if again(body) else completion("a duck")
    written = write(server.url, tmp_path / "a", [BOTH], budget=Budget(calls=1))
    assert (written.unasked, written.failed, written.captions) == (1, {}, {})
    assert texts(write(server.url, tmp_path / "a", [BOTH])) == {BOTH: "A photo of cat and dog"}
    assert server.count == 2


def test_a_spent_budget_is_reported(server: ChatServer) -> None:
    written = write(server.url, budget=Budget(calls=2))
    with pytest.raises(LLMError, match=r"with 3 label sets left; .* larger max_calls"):
        require_all(written, "max_calls")
    require_all(write(server.url), "max_calls")


# -- rejected captions -------------------------------------------------------------------------------------------

BAD = {
    "missing": ("a photo of a dog", "it does not mention cat"),
    "other": ("a cat and a dog on a sofa", "it mentions sofa, which must not be in it"),
    "lines": ("A cat and a dog.\nA dog and a cat.", "it has more than one line"),
    "refusal": ("I'm sorry, but I can't caption a cat and a dog.", "it is a refusal and no caption"),
    "typographic": ("I’m sorry, but I can’t caption a cat and a dog.", "it is a refusal and no caption"),
    "empty": ("", "it is empty"),
    "blank": (" \n\x00\t ", "it is empty"),
}


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_a_bad_caption_is_asked_for_once_more(server: ChatServer, text: str, reason: str) -> None:
    server.behaviour = lambda body, number: caption(body) if again(body) else completion(text)
    written = write(server.url, sets=[BOTH])
    assert texts(written) == {BOTH: "A photo of cat and dog"}
    assert (written.failed, written.shortened) == ({}, set())
    one, two = server.bodies
    assert [turn["role"] for turn in two["messages"]] == ["user", "assistant", "user"]
    assert two["messages"][0] == one["messages"][0]
    assert f"That will not do: {reason}." in two["messages"][2]["content"]


@pytest.mark.parametrize(("text", "reason"), BAD.values(), ids=BAD)
def test_a_bad_caption_is_asked_for_no_third_time(server: ChatServer, text: str, reason: str) -> None:
    server.behaviour = lambda body, number: completion(text) if asked_set(body) == BOTH else caption(body)
    written = write(server.url)
    assert written.failed == {BOTH: reason}
    assert set(written.captions) == set(SETS) - {BOTH}
    assert server.sets == dict.fromkeys(SETS, 1) | {BOTH: 2}


def test_a_refusal_beside_the_content_is_a_refusal(server: ChatServer) -> None:
    server.behaviour = always(completion(None, message={"refusal": "I'm sorry, I cannot show a cat and a dog"}))
    assert write(server.url, sets=[BOTH]).failed == {BOTH: "it is a refusal and no caption"}


def test_a_caption_of_nothing_names_nothing(server: ChatServer) -> None:
    server.behaviour = lambda body, number: completion("an empty room" if again(body) else "a room without a dog")
    assert texts(write(server.url, sets=[frozenset()])) == {frozenset(): "an empty room"}
    assert "it mentions dog" in server.bodies[1]["messages"][2]["content"]


def second(one: Reply, two: str) -> Behaviour:
    return lambda body, number: completion(two) if again(body) else one


LONG = "A cat and a dog sit together in the shade, while a warm wind goes through the trees, and the day goes by"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (completion(LONG), "it is too long"),
        (completion("A cat and a dog and", finish="length"), "it broke off before its end"),
    ],
    ids=["long", "cut"],
)
def test_a_long_caption_is_asked_for_in_fewer_words(server: ChatServer, one: Reply, reason: str) -> None:
    server.behaviour = second(one, "A cat beside a dog")
    written = write(server.url, sets=[BOTH], fits=at_most(50))
    assert texts(written) == {BOTH: "A cat beside a dog"}
    assert written.shortened == set()
    last = server.bodies[1]["messages"][2]["content"]
    assert reason in last
    assert "at most 15 words" in last
    assert server.count == 2


def test_a_caption_that_stays_long_is_cut_at_the_end_of_a_clause(server: ChatServer) -> None:
    server.behaviour = always(completion(LONG))
    for marks, expected in (
        (95, "A cat and a dog sit together in the shade, while a warm wind goes through the trees"),
        (50, "A cat and a dog sit together in the shade"),
    ):
        written = write(server.url, sets=[BOTH], fits=at_most(marks))
        assert texts(written) == {BOTH: expected}
        assert written.shortened == {BOTH}
        assert written.failed == {}


def test_a_caption_that_breaks_off_twice_is_cut_at_the_end_of_a_clause(server: ChatServer) -> None:
    server.behaviour = always(completion("A cat and a dog, far away from the", finish="length"))
    written = write(server.url, sets=[BOTH])
    assert (texts(written), written.shortened) == ({BOTH: "A cat and a dog"}, {BOTH})


@pytest.mark.parametrize(
    "text", ["A cat beside a dog that runs and runs", "A cat, in a very large and green garden, beside a dog"]
)
def test_no_cut_leaves_a_label_out(server: ChatServer, text: str) -> None:
    server.behaviour = always(completion(text))
    written = write(server.url, sets=[BOTH], fits=at_most(15))
    assert (written.failed, written.captions) == ({BOTH: "it is too long"}, {})


def test_whether_a_caption_fits_is_not_kept(server: ChatServer, tmp_path: Path) -> None:
    """Another model may take longer texts: the answer is the same, what is made of it is not."""
    server.behaviour = always(completion(LONG))
    write(server.url, tmp_path / "a", [BOTH], at_most(50))
    assert texts(write(server.url, tmp_path / "a", [BOTH])) == {BOTH: LONG}
    assert server.count == 2


@settings(max_examples=40, deadline=None)
@given(st.text() | st.lists(st.sampled_from(["a", "cat", "dog", "sofa", "\n", ",", '"', "and", "\x1b"])).map(" ".join))
def test_whatever_is_answered_is_a_good_caption_or_a_failure(text: str) -> None:
    async def no_sleep(seconds: float) -> None:
        pass

    reply = {"choices": [{"message": {"content": text}}]}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=json.dumps(reply).encode()))
    client = ChatClient(Server("http://llm.test/v1", "m", concurrency=1), transport=transport, sleep=no_sleep)
    written = Writer(client, Answers(None)).write([BOTH], LABELS, at_most(40))
    assert {*written.captions} ^ {*written.failed} == {BOTH}
    for found in written.captions.values():
        assert found.caption.isprintable()
        assert complaint(found.caption, sorted(BOTH), LABELS) is None
        assert len(found.caption) <= 40


# -- a server that fails, or must not be asked -------------------------------------------------------------------


def test_offline_asks_nothing(server: ChatServer, tmp_path: Path) -> None:
    write(server.url, tmp_path / "a", SETS[:2])
    before = server.connections
    written = write(server.url, tmp_path / "a", offline=True)
    assert (set(written.captions), written.unasked) == (set(SETS[:2]), 3)
    assert (server.count, server.connections) == (2, before)


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("status", [401, 503])
def test_a_fatal_error_midway_keeps_earlier_answers(
    server: ChatServer, tmp_path: Path, status: int, concurrency: int
) -> None:
    sets = [frozenset(pair) for pair in itertools.combinations(LABELS, 2)]
    server.behaviour = lambda body, number: caption(body) if number <= 7 else error(status, "no more")
    with pytest.raises(LLMError, match="no more"):
        write(server.url, tmp_path / "a", sets, concurrency=concurrency)
    assert server.count <= 7 + 6 * concurrency
    with writing(server.url, tmp_path / "a") as writer:
        left = [key for key in sets if writer.unanswered([question(key, LABELS)])]
    assert len(sets) - 7 <= len(left) <= len(sets) - 7 + concurrency
    server.behaviour = caption
    server.sets.clear()
    assert set(write(server.url, tmp_path / "a", sets).captions) == set(sets)
    assert server.sets == dict.fromkeys(left, 1)


def test_a_fatal_error_stops_the_others_at_once(server: ChatServer) -> None:
    def behave(body: dict, number: int) -> Reply:
        return error(401, "who are you") if number == 2 else replace(caption(body), latency=20)

    server.behaviour = behave
    start = time.monotonic()
    with pytest.raises(LLMError, match="ZSPROMPT_LLM_KEY"):
        write(server.url, concurrency=4)
    assert time.monotonic() - start < 5
    assert server.count <= 4


def test_control_c_keeps_earlier_answers(server: ChatServer, tmp_path: Path) -> None:
    def behave(body: dict, number: int) -> Reply:
        if number < 4:
            return caption(body)
        os.kill(os.getpid(), signal.SIGINT)
        return replace(caption(body), latency=20)

    server.behaviour = behave
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(server.url, tmp_path / "a", concurrency=1)
    finally:
        signal.signal(signal.SIGINT, old)
    server.behaviour = caption
    assert len(write(server.url, tmp_path / "a").captions) == len(SETS)
    assert server.sets == dict.fromkeys(SETS, 1) | {SETS[3]: 2}


# -- SIGKILL -----------------------------------------------------------------------------------------------------

WORDS = ("ant", "bee", "cow", "doe", "eel", "fox", "gnu", "hen", "ibis", "jay", "koi")
MANY = [frozenset(some) for n in (1, 2) for some in itertools.combinations(WORDS, n)][:60]
AT_ONCE = 4
SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from zsprompt.llm import Answers, ChatClient, Server, Writer

url, folder, at_once, labels, sets = sys.argv[1:]
writer = Writer(ChatClient(Server(url, "parrot-1", concurrency=int(at_once))), Answers(Path(folder)))
fits = lambda texts: np.ones(len(texts), bool)
written = writer.write([frozenset(key) for key in json.loads(sets)], json.loads(labels), fits)
writer.answers.close()
print(json.dumps([[list(found.labels), found.caption] for found in written.captions.values()]))
"""


def start(server: ChatServer, folder: Path) -> subprocess.Popen[str]:
    """A new process that writes captions for MANY."""
    data = json.dumps(WORDS), json.dumps([sorted(key) for key in MANY])
    arguments = [sys.executable, "-c", SCRIPT, server.url, str(folder), str(AT_ONCE), *data]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment())


def kept(server: ChatServer, folder: Path) -> set[frozenset[str]]:
    with writing(server.url, folder) as writer:
        return {key for key in MANY if not writer.unanswered([question(key, WORDS)])}


@pytest.mark.slow
def test_killed_at_random_moments_no_answered_set_is_paid_for_twice(server: ChatServer, tmp_path: Path) -> None:
    chance = random.Random(3)
    folder = tmp_path / "a"
    server.latency = 0.05
    had: dict[frozenset[str], int] = {}
    kills = 6
    for _ in range(kills):
        victim = start(server, folder)
        enough = server.count + chance.randint(2, 9)
        deadline = time.monotonic() + 60
        while server.count < enough:
            assert victim.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.08))
        victim.kill()
        victim.communicate()
        assert victim.returncode == -signal.SIGKILL
        now = kept(server, folder)
        assert set(had) <= now
        had |= {key: server.sets[key] for key in now if key not in had}
    assert len(had) >= kills
    last = start(server, folder)
    out, _ = last.communicate(timeout=60)
    assert last.returncode == 0
    assert {frozenset(labels): text for labels, text in json.loads(out)} == {
        key: f"A photo of {' and '.join(sorted(key))}" for key in MANY
    }
    assert {key: server.sets[key] for key in had} == had
    assert server.count <= len(MANY) + kills * AT_ONCE


# -- tidy --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("a cat", "a cat"),
        ("A cat and a dog.", "A cat and a dog"),
        ('"A cat and a dog."', "A cat and a dog"),
        ("“A cat and a dog”.", "A cat and a dog"),
        ("**A cat**", "A cat"),
        ("Caption: A cat.", "A cat"),
        ('caption : "A cat"', "A cat"),
        ("Image caption: A cat", "A cat"),
        ("Caption:\nA cat", "A cat"),
        ("```\nA cat\n```", "A cat"),
        ("\n\n  A   cat\ton\u00a0a mat \r\n", "A cat on a mat"),
        ("A\x00cat\x1b[31m", "A cat [31m"),
        ("A cat\n\nA dog", "A cat\nA dog"),
        ("A cat's dog", "A cat's dog"),
        ("", ""),
        ('"."', ""),
    ],
)
def test_tidy(answer: str, expected: str) -> None:
    assert tidy(answer) == expected


@given(
    st.text()
    | st.lists(st.sampled_from(["a", "cat", "\n", "\r", "\x85", '"', "“", ".", " ", "\x07", "caption:"])).map("".join)
)
def test_tidy_leaves_printable_lines(answer: str) -> None:
    found = tidy(answer)
    assert all(line.isprintable() for line in found.split("\n"))
    assert found == found.strip()
    assert "\n\n" not in found


@given(st.text())
def test_a_caption_without_complaint_is_printable(answer: str) -> None:
    text = tidy(answer)
    if complaint(text, [], []) is None:
        assert text
        assert text.isprintable()


# -- complaints --------------------------------------------------------------------------------------------------

REAL = sorted({*label_names("readable"), *KINDS})
OTHERS = ["hot dog", "teddy bear", "bear", "knife", "mouse", "sheep", "wine glass", "table", "table lamp", "lamp"]


@given(st.lists(st.sampled_from(REAL), min_size=2, max_size=2, unique=True))
def test_a_photo_of_just_these_is_a_good_caption(wanted: list[str]) -> None:
    one, two = wanted
    assert complaint(f"a photo of {one} and {two}", wanted, REAL) is None
    assert complaint(f"A PHOTO OF {two} AND {one}".upper(), wanted, REAL) is None
    assert complaint(f"a photo of {one}{'es' if one.endswith(('s', 'sh')) else 's'} and {two}", wanted, REAL) is None


@given(st.lists(st.sampled_from(REAL), min_size=2, max_size=2, unique=True))
def test_a_label_too_many_or_too_few_is_a_complaint(labels: list[str]) -> None:
    one, two = labels
    assume(complaint(one, [two], [two]) and complaint(two, [one], [one]))  # none is another word for the other
    few = complaint(f"a photo of {one}", [one, two], labels)
    many = complaint(f"a photo of {one} and {two}", [one], labels)
    assert few is not None
    assert many is not None
    assert two in few.reason
    assert two in many.reason


@given(
    st.text("sofaSOFAbicylekK ſİıßẞΣςσ", max_size=12), st.sampled_from(["sofa", "bicycle", "kiosk", "İstanbul", "Σ"])
)
def test_letters_with_odd_capitals_are_no_crash(text: str, label: str) -> None:
    """A case-insensitive match of a label may differ from it in lower case."""
    for caption_text in (
        text,
        label.upper(),
        label.lower().replace("s", "ſ").replace("i", "İ"),
        f"{text} {label.title()}",
    ):
        complaint(caption_text, [label], ["cat", label])
        complaint(caption_text, [], ["cat", label])
    assert complaint(f"a cat in {label}", ["cat", label], ["cat", label]) is None


_names = st.lists(st.sampled_from(["qua", "zum", "vik", "yor"]), min_size=1, max_size=3).map(" ".join)


@given(st.lists(_names, min_size=2, max_size=8, unique=True))
def test_names_within_names_do_not_mislead(labels: list[str]) -> None:
    """Labels may contain words of others. A caption that names exactly the set is accepted; one more is rejected."""
    one, two, *others = labels
    assert complaint(f"a photo of {one} and {two}", [one, two], labels) is None
    for other in others:
        found = complaint(f"a photo of {one}, {two} and {other}", [one, two], labels)
        assert found is not None
        assert other in found.reason
    found = complaint(f"a photo of {one}", [one, two], labels)
    assert found is not None
    assert two in found.reason


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("two dogs", "dog"),
        ("Dogs!", "dog"),
        ("DOG", "dog"),
        ("a dog's life", "dog"),
        ("a tv on a shelf", "tv monitor"),
        ("a TV", "tv monitor"),
        ("televisions", "tv monitor"),
        ("an airplane", "aeroplane"),
        ("some people", "person"),
        ("three men", "person"),
        ("two buses", "bus"),
        ("two puppies", "dog"),
        ("a table", "dining table"),
        ("wine glasses", "wine glass"),
        ("two knives", "knife"),
        ("two mice", "mouse"),
        ("one flute", "flutes"),
        ("black-and-white cat", "cat"),
        ("a c++ (book)", "c++ (book)"),
    ],
)
def test_other_words_and_plurals_mention_a_label(text: str, label: str) -> None:
    assert complaint(text, [label], [label]) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("a carrot", "car"),
        ("a scar", "car"),
        ("carpet", "car"),
        ("a category", "cat"),
        ("hotdog", "dog"),
        ("dog_house", "dog"),
        ("a", "a.c"),
        ("abc", "a.c"),
        ("", "car"),
    ],
)
def test_parts_of_words_mention_nothing(text: str, label: str) -> None:
    assert complaint(text, [label], [label]) is not None
    assert not text or complaint(text, [], [label]) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a carrot", ["carrot"]),
        ("a dining table", ["dining table"]),
        ("a table lamp", ["table lamp"]),
        ("a table with a table lamp", ["table", "table lamp"]),
        ("a table lamp on a table", ["table", "table lamp"]),
        ("a hot dog", ["hot dog"]),
        ("hot dogs", ["hot dog"]),
        ("a dog with a hot dog", ["dog", "hot dog"]),
        ("a teddy bear beside a bear", ["bear", "teddy bear"]),
        ("a couch", ["sofa"]),
        ("a tv", ["tv monitor"]),
    ],
)
def test_a_label_within_a_wanted_one_is_no_other_label(text: str, wanted: list[str]) -> None:
    labels = ["car", "carrot", "dog", "dining table", "sofa", "couch", "tv", "tv monitor", *OTHERS]
    assert complaint(text, wanted, labels) is None


@pytest.mark.parametrize(
    ("text", "wanted", "missing"),
    [
        ("a hot dog", ["dog"], "dog"),
        ("a teddy bear", ["bear"], "bear"),
        ("a hot dog", ["dog", "hot dog"], "dog"),
        ("a dog with a hot dog", ["dog"], "hot dog"),
        ("a lamp and a table", ["table lamp"], "table lamp"),
        ("a dog beside hot dogs", ["dog"], "hot dog"),
        ("a bear with a table lamp", ["bear"], "table lamp"),
    ],
)
def test_a_wanted_label_within_another_is_not_mentioned(text: str, wanted: list[str], missing: str) -> None:
    found = complaint(text, wanted, ["dog", *OTHERS])
    assert found is not None
    assert missing in found.reason
    assert not found.too_long


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't",
        "I’m sorry, but I can’t help with a cat",
        "I am sorry",
        "Sorry, I cannot do that",
        "I cannot caption a cat",
        "I can not caption a cat",
        "I can't see a cat",
        "I can’t see a cat",
        "I'm unable to make a caption of a cat",
        "I am not able to see a cat",
        "I could not find a cat",
        "I don't see a cat",
        "I do not see a cat",
        "I won't write about a cat",
        "I’m afraid I cannot",
        "Unfortunately, a cat is not allowed",
        "As an AI language model, I have no cat",
        "As a language model, I have no cat",
        "My apologies, no cat",
        "Unable to caption a cat",
        "\"I'm sorry, but I can't\"",
        "*Sorry*",
    ],
)
def test_refusals(text: str) -> None:
    assert is_refusal(text)
    found = complaint(text, ["cat"], ["cat"])
    assert found is not None
    assert "refusal" in found.reason


@pytest.mark.parametrize(
    "text",
    [
        "I love my cat",
        "A sign that says I love my cat",
        "A cat that says sorry, I cannot",
        "Icy road with a cat",
        "Cat: I can see you",
        "I can has cheezburger, says the cat",
        "A cannon and a cat",
        "As aide to a cat",
        "A cat unable to climb down",
        "Idle cat",
    ],
)
def test_captions_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)
    assert complaint(text, ["cat"], ["cat"]) is None


@given(st.text(min_size=1).map(tidy).filter(bool))
def test_shortened_are_ever_shorter_beginnings(text: str) -> None:
    found = list(shortened(text))
    assert all(text.startswith(short) and short == short.strip() for short in found)
    assert [len(short) for short in found] == sorted((len(short) for short in found), reverse=True)


def test_a_cut_is_at_the_end_of_a_clause() -> None:
    text = "A cat with a hat; a dog: big, and a car while it rains"
    assert list(shortened(text)) == [
        "A cat with a hat; a dog: big, and a car",
        "A cat with a hat; a dog: big",
        "A cat with a hat; a dog",
        "A cat with a hat",
        "A cat",
    ]


def test_a_mark_at_the_front_stays() -> None:
    assert list(shortened(":0: a cat")) == [":0"]
