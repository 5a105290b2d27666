"""Every command that asks an LLM, against servers as they are: refusals, faults, thinking, streams, odd captions."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from chat_server import (
    Behaviour,
    Body,
    ChatServer,
    Reply,
    again,
    always,
    asked_set,
    caption,
    completion,
    error,
    first,
    halves,
    plain_connections,
    question,
    seen,
    sent_picture,
)
from command_line import Cli, asking, command, environment, one_line
from fakes import draw_files
from server_shapes import BODIES, REFUSED_PARAMETERS, SHAPES, THINKING, WRAPPINGS, Shape, streamed

from zsprompt.llm import load_bank
from zsprompt.prompts import load_prompts

LABELS = ["dog", "cat", "owl", "person"]
MODEL = ["--model", "fakes:PlantedEncoder"]


@dataclass(frozen=True)
class Asking:
    """A command that asks an LLM about some things.

    Attributes:
        arguments: without --llm and --out.
        out: file that it writes.
        things: number of things.
        noun: what they are.
        odd: name of one of them.
        is_odd: whether a request is about it.
        answer: the text of a good answer.
        written: names of the things in the file.
    """

    arguments: tuple[object, ...]
    out: str
    things: int
    noun: str
    odd: str
    is_odd: Callable[[Body], bool]
    answer: Callable[[Body], str]
    written: Callable[[Path], set[str]]

    def refusing(self, reply: Reply) -> Behaviour:
        """A server that gives this reply about the odd one, and good answers about the others."""
        return lambda body, number: reply if self.is_odd(body) else completion(self.answer(body))

    def run(self, cli: Cli, server: ChatServer, **fields: object) -> subprocess.CompletedProcess[str]:
        llm = asking(["--llm", f"url={server.url},model=captioner"], **fields)
        return cli(*self.arguments, *llm, "--out", self.out)


def _names_of_sets(path: Path) -> set[str]:
    return {"+".join(sorted(key)) for key in load_bank(path).captions}


def _caption(body: Body) -> str:
    return json.loads(caption(body).content)["choices"][0]["message"]["content"]


def _described(body: Body) -> str:
    (label,) = re.findall(r'naming "(\w+)"', question(body))
    return f"a {label} on grass\na {label} in the rain"


def _names_of_images(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["image"] for row in csv.DictReader(file)}


def _names_of_prompts(path: Path) -> set[str]:
    found = dict(zip(LABELS, load_prompts(path).ensemble(LABELS), strict=True))
    return {
        label for label, texts in found.items() if texts != [f"a photo of {'an' if label == 'owl' else 'a'} {label}"]
    }


COMMANDS = {
    "caption-labels": Asking(
        ("caption-labels", "--labels", ", ".join(LABELS), "--set-size", 1, *MODEL),
        "made.jsonl",
        5,
        "label set",
        "cat",
        lambda body: asked_set(body) == {"cat"},
        _caption,
        _names_of_sets,
    ),
    "caption-images": Asking(
        ("caption-images", "photos"),
        "made.csv",
        5,
        "image",
        "photos/2.png",
        lambda body: seen(sent_picture(body)) == "a wall that is 2 on the left and 9 on the right",
        lambda body: seen(sent_picture(body)),
        _names_of_images,
    ),
    "write-prompts": Asking(
        ("write-prompts", "descriptions", "--labels", ", ".join(LABELS)),
        "made.toml",
        4,
        "label",
        "cat",
        lambda body: '"cat"' in question(body),
        _described,
        _names_of_prompts,
    ),
}


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """No proxies, no waits between attempts, and a folder of images."""
    plain_connections(monkeypatch, tmp_path_factory.getbasetemp())
    monkeypatch.setattr("zsprompt.llm.client._FIRST_WAIT", 0.001)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        halves(number, 9).save(tmp_path / "photos" / f"{number}.png")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as running:
        yield running


@pytest.fixture(params=COMMANDS)
def asks(request: pytest.FixtureRequest) -> Asking:
    return COMMANDS[request.param]


def good(asks: Asking) -> Behaviour:
    return lambda body, number: completion(asks.answer(body))


FAULTS = {shape.fault.name: shape for shape in reversed(SHAPES)}
"""The first shape of each fault; tests/llm has all."""

FILTERS = [shape for shape in SHAPES if shape.fault.name == "content filter"]


def fours(names: Iterable[str]) -> list[list[str]]:
    """The names in groups of four: one for each request of a command."""
    listed = list(names)
    return [listed[i : i + 4] for i in range(0, len(listed), 4)]


# -- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        *(shape for shape in FAULTS.values() if not shape.fault.for_all and not shape.with_image),
        *(pytest.param(shape, marks=pytest.mark.slow) for shape in FILTERS[1:]),
    ],
    ids=lambda shape: shape.server,
)
def test_one_that_is_refused_is_named_and_the_rest_is_written(
    server: ChatServer, asks: Asking, shape: Shape, cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = asks.refusing(shape.reply)
    done = asks.run(cli, server)
    lines = done.stderr.splitlines()
    assert done.returncode == 1, done.stderr
    assert sum(line.startswith(f"no answer about {asks.odd}: {shape.fault.name}") for line in lines) == 1
    assert lines[-1] == (
        f"error: expected answers about {asks.things} {asks.noun}s, found none about 1; "
        "the same command asks again about it only"
    )
    assert sum(line.startswith("error") for line in lines) == 1
    names = asks.written(tmp_path / asks.out)
    assert (len(names), asks.odd in names) == (asks.things - 1, False)
    assert server.count == asks.things - 1 + (6 if shape.fault.passing else 1)


def test_the_same_command_asks_again_about_the_refused_ones_only(
    server: ChatServer, asks: Asking, cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = asks.refusing(error(400, "no", code="data_inspection_failed"))
    asks.run(cli, server)
    before = (tmp_path / asks.out).read_bytes()
    assert asks.run(cli, server).returncode == 1
    assert (server.count, (tmp_path / asks.out).read_bytes()) == (asks.things + 1, before)
    server.behaviour = good(asks)
    done = asks.run(cli, server)
    assert (done.returncode, server.count) == (0, asks.things + 2), done.stderr
    names = asks.written(tmp_path / asks.out)
    assert (len(names), asks.odd in names) == (asks.things, True)


EARLIER = {
    ".csv": 'image,caption\n"old.png","an old caption"\n',
    ".toml": "# Written by zsprompt write-prompts.\nlabel = 'an old {label}'\n",
    ".jsonl": json.dumps({"labels": ["old"], "caption": "old", "model": "m", "prompt": "v", "time": "2026-01-01"})
    + "\n",
}
"""Files that the commands wrote before."""


@pytest.mark.parametrize("status", [200, 400])
def test_if_all_are_refused_nothing_is_written(
    server: ChatServer, asks: Asking, cli: Cli, tmp_path: Path, status: int
) -> None:
    server.behaviour = always(error(400, "x", code="content_filter") if status == 400 else completion("I'm sorry"))
    earlier = EARLIER[Path(asks.out).suffix]
    (tmp_path / asks.out).write_text(earlier, encoding="utf-8")
    done = asks.run(cli, server)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"error: expected answers about {asks.things} {asks.noun}s, found none"
    )
    assert (tmp_path / asks.out).read_text(encoding="utf-8") == earlier


def test_the_json_names_refused_ones(server: ChatServer, cli: Cli) -> None:
    for name in ("caption-labels", "caption-images"):
        asks = COMMANDS[name]
        server.behaviour = asks.refusing(error(400, "x", code="content_filter"))
        done = cli(*asks.arguments, "--llm", f"url={server.url},model=m", "--out", asks.out, "--json")
        assert json.loads(done.stdout)["refused"] == {asks.odd: "content filter (400: x)"}


def test_many_refused_ones_are_counted_and_the_first_ones_named(server: ChatServer, cli: Cli) -> None:
    server.behaviour = lambda body, number: (
        caption(body) if not asked_set(body) else error(400, "x", code="content_filter")
    )
    labels = ", ".join(f"thing{n}" for n in range(30))
    llm = ["--llm", f"url={server.url},model=m"]
    done = cli("caption-labels", "--labels", labels, "--set-size", 1, *MODEL, *llm, "--out", "made.jsonl")
    assert done.stderr.count("no answer about thing") == 10
    assert "found none about 30; the same command asks again about these only" in done.stderr


def test_a_refused_paraphrase_is_one_line(server: ChatServer, cli: Cli, tmp_path: Path) -> None:
    server.behaviour = always(error(400, "x", code="content_filter"))
    llm = ["--llm", f"url={server.url},model=m"]
    done = cli("write-prompts", "paraphrases", *llm, "--out", "made.toml")
    assert one_line(done.stderr).endswith("gives no answer: content filter (400: x)\n")
    assert (done.returncode, (tmp_path / "made.toml").exists()) == (1, False)


# -- faults of all -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [shape for shape in FAULTS.values() if shape.fault.stops[0] == 1 and not shape.fault.passing],
    ids=lambda s: s.server,
)
def test_the_first_fault_that_cannot_change_ends_the_command(
    server: ChatServer, asks: Asking, shape: Shape, cli: Cli, tmp_path: Path
) -> None:
    if shape.with_image and asks.noun != "image":
        pytest.skip("no image is sent")
    server.behaviour = always(shape.reply)
    done = asks.run(cli, server, concurrency=1)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert (done.returncode, server.count, len(errors)) == (1, 1, 1)
    assert not (tmp_path / asks.out).exists()


@pytest.mark.parametrize("shape", [shape for shape in FAULTS.values() if shape.fault.passing], ids=lambda s: s.server)
def test_what_passes_leaves_no_trace(server: ChatServer, asks: Asking, shape: Shape, cli: Cli, tmp_path: Path) -> None:
    server.behaviour = first(shape.reply, shape.reply, then=good(asks))
    done = asks.run(cli, server)
    assert (done.returncode, len(asks.written(tmp_path / asks.out))) == (0, asks.things), done.stderr
    assert server.count == asks.things + 2


# -- shapes of answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", fours([*THINKING, *BODIES]), ids=", ".join)
def test_thinking_and_odd_bodies_change_no_file(
    server: ChatServer, asks: Asking, shapes: list[str], cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = good(asks)
    asks.run(cli, server)
    expected = (tmp_path / asks.out).read_bytes()
    made = THINKING | BODIES
    server.behaviour = lambda body, number: made[shapes[number % len(shapes)]](asks.answer(body))
    done = cli(*asks.arguments, "--llm", f"url={server.url},model=captioner", "--out", asks.out, "--cache", "other")
    assert (done.returncode, server.count) == (0, 2 * asks.things), done.stderr
    assert (tmp_path / asks.out).read_bytes() == expected


@pytest.mark.parametrize("habits", fours(WRAPPINGS), ids=", ".join)
@pytest.mark.parametrize("name", ["caption-labels", "caption-images"])
def test_what_models_write_around_a_caption_is_left_out(
    server: ChatServer, name: str, habits: list[str], cli: Cli, tmp_path: Path
) -> None:
    asks = COMMANDS[name]
    server.behaviour = good(asks)
    asks.run(cli, server)
    expected = (tmp_path / asks.out).read_bytes()
    server.behaviour = lambda body, number: completion(
        WRAPPINGS[habits[number % len(habits)]](asks.answer(body).removesuffix("."))
    )
    done = cli(*asks.arguments, "--llm", f"url={server.url},model=captioner", "--out", asks.out, "--cache", "other")
    assert (done.returncode, server.count) == (0, 2 * asks.things), done.stderr
    assert (tmp_path / asks.out).read_bytes() == expected


LISTS = {
    "numbered": "Here are two sentences:\n\n1. {}\n2. {}",
    "bold and bullets": "Sure!\n- **{}**\n- **{}**\n\nLet me know if you need more.",
    "json": '```json\n["{}", "{}"]\n```',
    "json with a field": '{{"sentences": ["{}", "{}"]}}',
}


@pytest.mark.parametrize("form", LISTS.values(), ids=LISTS)
def test_descriptions_are_found_in_lists_of_any_form(server: ChatServer, form: str, cli: Cli, tmp_path: Path) -> None:
    asks = COMMANDS["write-prompts"]
    server.behaviour = lambda body, number: completion(form.format(*asks.answer(body).split("\n")))
    assert asks.run(cli, server).returncode == 0
    found = load_prompts(tmp_path / "made.toml").ensemble(["dog", "owl"])
    assert found == [["a dog on grass", "a dog in the rain"], ["a owl on grass", "a owl in the rain"]]


@pytest.mark.parametrize("shape", ["fastapi", "vllm", "gigachat"])
def test_a_refused_parameter_costs_one_request(server: ChatServer, asks: Asking, shape: str, cli: Cli) -> None:
    refusal = REFUSED_PARAMETERS[shape]
    server.behaviour = lambda body, number: (
        refusal("temperature") if "temperature" in body else completion(asks.answer(body))
    )
    done = asks.run(cli, server, concurrency=1)
    assert (done.returncode, server.count) == (0, asks.things + 1), done.stderr


QWEN = {
    "thinking": ("parameter.enable_thinking must be set to false for non-streaming calls", "enable_thinking", False),
    "streams": ("This model only support stream mode, please enable the stream parameter", "stream", True),
}


@pytest.mark.parametrize(("says", "name", "value"), QWEN.values(), ids=QWEN)
def test_what_qwen_wants_is_sent(
    server: ChatServer, asks: Asking, says: str, name: str, value: bool, cli: Cli, tmp_path: Path
) -> None:
    def behave(body: Body, number: int) -> Reply:
        if body.get(name) is not value:
            return error(400, says, code="invalid_parameter_error", type="invalid_request_error")
        text = asks.answer(body)
        return streamed(text) if body.get("stream") else completion(text)

    server.behaviour = behave
    done = asks.run(cli, server, concurrency=1)
    assert (done.returncode, server.count) == (0, asks.things + 1), done.stderr
    assert len(asks.written(tmp_path / asks.out)) == asks.things


# -- thinking that takes all tokens ------------------------------------------------------------------------------


def thinking(asks: Asking, needs: int) -> Behaviour:
    def behave(body: Body, number: int) -> Reply:
        if body["max_tokens"] >= needs:
            return completion(asks.answer(body))
        return completion(None, finish="length", message={"reasoning_content": "Okay, "})

    return behave


def test_an_answer_gets_more_tokens_once_and_says_so(
    server: ChatServer, asks: Asking, cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = thinking(asks, 800)
    done = asks.run(cli, server, concurrency=1)
    assert (done.returncode, server.count) == (0, asks.things + 1), done.stderr
    assert "used all 200 tokens of an answer (finish_reason length): asking again for up to 800" in done.stderr
    assert len(asks.written(tmp_path / asks.out)) == asks.things


def test_no_answer_in_four_times_as_many_tokens_is_exit_1_and_the_number_can_be_set(
    server: ChatServer, asks: Asking, cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = thinking(asks, 5000)
    done = asks.run(cli, server, concurrency=1)
    assert (done.returncode, server.count) == (1, asks.things + 1)
    assert done.stderr.splitlines()[-1].endswith("found none to use; the reasons are above")
    assert "finish_reason length" in done.stderr
    assert not (tmp_path / asks.out).exists()
    done = asks.run(cli, server, answer_tokens=5000)
    assert (done.returncode, server.count) == (0, 2 * asks.things + 1), done.stderr


def test_a_list_that_broke_off_lacks_its_last_line_and_is_named(server: ChatServer, cli: Cli, tmp_path: Path) -> None:
    asks = COMMANDS["write-prompts"]
    server.behaviour = lambda body, number: completion(asks.answer(body)[:-5], finish="length")
    done = asks.run(cli, server)
    assert (done.returncode, server.count) == (0, asks.things)
    assert "the answer broke off for dog, cat, owl, person (finish_reason length); set a larger" in done.stderr
    assert load_prompts(tmp_path / "made.toml").ensemble(["dog"]) == [["a dog on grass"]]


# -- kill and resume ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_amid_refusals_answers_are_kept(server: ChatServer, asks: Asking, cli: Cli, tmp_path: Path) -> None:
    server.behaviour = asks.refusing(error(400, "x", code="content_filter"))
    server.latency = 0.3
    llm = ["--llm", f"url={server.url},model=captioner,concurrency=1"]
    cache = {"ZSPROMPT_CACHE": str(tmp_path / "cache" / "zsprompt")}
    process = subprocess.Popen(
        command(*asks.arguments, *llm, "--out", asks.out),
        cwd=tmp_path,
        env=environment() | cache,
        stderr=subprocess.PIPE,
    )
    while server.count < 3:
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    server.latency = 0
    before = server.count
    done = cli(*asks.arguments, *llm, "--out", asks.out, env=cache)
    assert done.returncode == 1
    assert len(asks.written(tmp_path / asks.out)) == asks.things - 1
    assert server.count <= before + asks.things - 1


# -- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> list[object]:
    """Options for a data set of four images."""
    sets = [("cat",), ("dog", "cat"), ("person", "sofa"), ()]
    refs = draw_files(tmp_path / "pictures", sets)
    rows = [f"{ref.id},{'|'.join(labels)}" for ref, labels in zip(refs, sets, strict=True)]
    (tmp_path / "pictures" / "labels.csv").write_text("image,labels\n" + "\n".join(rows), encoding="utf-8")
    return ["--dataset", "folder", "--root", tmp_path / "pictures", *MODEL]


def test_a_run_words_a_refused_set_by_the_template_and_says_so(
    server: ChatServer, folder: list[object], cli: Cli
) -> None:
    asks = COMMANDS["caption-labels"]
    server.behaviour = asks.refusing(error(400, "x", code="content_filter"))
    done = cli("run", "--strategy", "llm", *folder, "--llm", f"url={server.url},model=m", "--json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["captions"]["template"]) == (0, 1), done.stderr
    assert "no caption for cat: content filter (400: x)" in done.stderr
    assert any("no usable caption and got the template" in text for text in result["warnings"])


def test_a_bank_without_a_refused_set_is_composed_from_its_parts(
    server: ChatServer, folder: list[object], cli: Cli
) -> None:
    server.behaviour = lambda body, number: (
        error(400, "x", code="content_filter") if asked_set(body) == {"cat", "dog"} else caption(body)
    )
    llm = ["--llm", f"url={server.url},model=m"]
    words = ["--labels", "cat, dog, person, sofa", "--set-size", 2]
    done = cli("caption-labels", *words, *MODEL, *llm, "--out", "mine.jsonl")
    assert done.returncode == 1
    assert "a run with --captions the captions of their parts" in done.stderr
    run = ["run", "--strategy", "llm,base=list-all,max_labels=2", *folder, "--json"]
    result = json.loads(cli(*run, "--captions", "mine.jsonl").stdout)
    assert result["captions"] == {"banked": 10, "composed": 1}


def test_an_ablation_with_a_refused_set_measures_all_rows(
    server: ChatServer, folder: list[object], cli: Cli, tmp_path: Path
) -> None:
    server.behaviour = COMMANDS["caption-labels"].refusing(error(400, "x", code="content_filter"))
    llm = ["--llm", f"url={server.url},model=m"]
    done = cli("ablate", "--strategy", "llm", "--strategy", "top-all", *folder, *llm, "--out", "ablation")
    assert done.returncode == 0, done.stderr
    assert "no caption for cat" in done.stderr


def test_images_that_were_refused_are_named_when_an_adapter_needs_them(
    server: ChatServer, folder: list[object], cli: Cli
) -> None:
    count = 0

    def behave(body: Body, number: int) -> Reply:
        return error(400, "x", code="content_filter") if number == 2 and not again(body) else completion("a wall")

    server.behaviour = behave
    llm = ["--llm", f"url={server.url},model=m,concurrency=1"]
    root = folder[2:4]
    done = cli("caption-images", "--dataset", "folder", *root, *llm, "--out", "captions.csv")
    assert done.returncode == 1
    trained = cli("train", "--adapter", "fusion,hidden=8", *folder, "--image-captions", "captions.csv", "--out", "a")
    assert count == 0
    assert "found none for 1 (" in one_line(trained.stderr)


def test_a_good_reply_after_an_error_field_is_a_good_reply(server: ChatServer, asks: Asking, cli: Cli) -> None:
    server.behaviour = lambda body, number: replace(
        completion(asks.answer(body)), content=completion(asks.answer(body)).content[:-1] + b', "error": ""}'
    )
    assert asks.run(cli, server).returncode == 0
