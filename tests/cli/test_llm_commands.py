"""`zsprompt caption-labels`, `write-prompts` and `run --strategy llm` against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import Body, ChatServer, Reply, caption, completion
from command_line import Cli, asking
from fakes import draw_files

from zsprompt.llm import load_bank
from zsprompt.prompts import load_prompts

MODEL = ["--model", "fakes:PlantedEncoder"]
SETS = [("cat",), ("dog", "cat"), ("person", "sofa"), ()]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer() as found:
        yield found


@pytest.fixture
def llm(server: ChatServer) -> list[str]:
    return ["--llm", f"url={server.url},model=captioner"]


@pytest.fixture
def folder(tmp_path: Path) -> list[object]:
    """Options for a data set of four pictures."""
    root = tmp_path / "pictures"
    refs = draw_files(root, SETS)
    rows = [f"{ref.id},{'|'.join(labels)}" for ref, labels in zip(refs, SETS, strict=True)]
    (root / "labels.csv").write_text("image,labels\n" + "\n".join(rows), encoding="utf-8")
    return ["--dataset", "folder", "--root", root, *MODEL]


def test_fetched_once_then_a_run_asks_nothing_and_a_bank_runs_without_a_server(
    server: ChatServer, llm: list[str], folder: list[object], cli: Cli, tmp_path: Path
) -> None:
    dry = cli("caption-labels", *folder, *llm, "--dry-run", "--json")
    plan = json.loads(dry.stdout)
    assert (plan["banked"], plan["answered"], server.count) == (0, 0, 0), dry.stderr
    some = cli("caption-labels", *folder, *asking(llm, max_calls=2), "--json")
    assert json.loads(some.stdout)["unasked"] == plan["sets"] - 2
    assert "the same command continues from there" in some.stderr
    rest = cli("caption-labels", *folder, *llm, "--out", "mine.jsonl")
    assert rest.returncode == 0, rest.stderr
    assert server.count == plan["sets"] == len(load_bank(tmp_path / "mine.jsonl").captions)
    assert set(server.sets.values()) == {1}

    run = ["run", "--strategy", "llm", *folder, "--json"]
    with_server = json.loads(cli(*run, *llm).stdout)
    kept = json.loads(cli(*run, *asking(llm, offline="yes")).stdout)
    banked = json.loads(cli(*run, "--captions", "mine.jsonl").stdout)
    assert server.count == plan["sets"]
    assert with_server["captions"] == kept["captions"] == {"written": plan["sets"]}
    assert banked["captions"] == {"banked": plan["sets"]}
    assert with_server["ap"] == kept["ap"] == banked["ap"]
    assert "captioner at http://127.0.0.1" in with_server["recipe"]["strategy"]


def test_a_run_keeps_to_the_budget_and_what_came(
    server: ChatServer, llm: list[str], folder: list[object], cli: Cli
) -> None:
    run = ["run", "--strategy", "llm", *folder]
    done = cli(*run, *asking(llm, max_calls=1))
    assert done.returncode == 1
    assert "answers are kept, run again with larger max_calls or max_tokens" in done.stderr
    assert server.count == 1
    assert cli(*run, *llm).returncode == 0
    assert set(server.sets.values()) == {1}


def test_offline_counts_what_is_missing_and_says_how_to_fetch_it(
    server: ChatServer, llm: list[str], folder: list[object], cli: Cli
) -> None:
    done = cli("run", "--strategy", "llm", *folder, *asking(llm, offline="yes"))
    assert (done.returncode, server.count) == (1, 0)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: caption bank none has no caption for ")
    assert "`zsprompt caption-labels` with the same options requests them" in line


def test_sets_of_ones_own_words(server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path) -> None:
    done = cli("caption-labels", "--labels", "dog, cat, car", "--set-size", 2, *MODEL, *llm, "--out", "mine.jsonl")
    assert done.stdout == "7 captions, 7 requests now; written to mine.jsonl\n", done.stderr
    bank = load_bank(tmp_path / "mine.jsonl")
    assert {len(key) for key in bank.captions} == {0, 1, 2}
    found = bank.captions[frozenset(("dog", "cat"))]
    assert found.model == "captioner"
    assert found.prompt.startswith("Please caption an image that contains cat and dog.")


def test_what_will_not_do_falls_back_to_the_template_and_is_counted(
    server: ChatServer, llm: list[str], folder: list[object], cli: Cli
) -> None:
    server.behaviour = lambda body, number: completion("I'm sorry, I can't help with that.")
    result = json.loads(cli("run", "--strategy", "llm", *folder, *llm, "--json").stdout)
    assert set(result["captions"]) == {"template"}
    assert server.count == 2 * result["captions"]["template"]
    assert any("no usable caption and got the template" in text for text in result["warnings"])
    shown = cli("caption-labels", *folder, *llm)
    assert "two answers were rejected for the empty set: it is a refusal and no caption" in shown.stderr


def test_a_refused_key_is_one_line_without_the_key(server: ChatServer, llm: list[str], folder: list[object], cli: Cli):
    from chat_server import error

    server.behaviour = lambda body, number: error(401, "Incorrect API key provided: sk-secret-1234")
    done = cli("run", "--strategy", "llm", *folder, *llm, env={"ZSPROMPT_LLM_KEY": "sk-secret-1234"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {server.url} refused the key (401: ")
    assert "sk-secret" not in done.stderr + done.stdout


def lines(*texts: str):
    def answer(body: Body, number: int) -> Reply:
        return completion("\n".join(texts))

    return answer


def test_descriptions_become_a_prompt_file(server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path) -> None:
    server.behaviour = lines(
        "1. A dog with floppy ears.", "- a dog\x07 on grass", "a wet nose", "", "A dog with floppy ears"
    )
    options = ["--labels", "dog, owl", "--count", 4, "--out", "mine.toml"]
    done = cli("write-prompts", "descriptions", *options, *llm)
    assert done.stdout == "mine.toml: 2 texts for 2 labels\n", done.stderr
    assert "every sentence was rejected for owl; the template words them" in done.stderr
    found = load_prompts(tmp_path / "mine.toml").ensemble(["dog", "owl"])
    assert found == [["A dog with floppy ears", "a dog on grass"], ["a photo of an owl"]]
    assert cli("write-prompts", "descriptions", *options, *asking(llm, offline="yes")).returncode == 0
    assert server.count == 2


def test_paraphrases_become_a_prompt_file(server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path) -> None:
    server.behaviour = lines("* a picture of {a_label}", "a dog", "{a_label} and {a_label}", "{a_label} {label}")
    done = cli("write-prompts", "paraphrases", "--out", "mine.toml", *llm)
    assert done.stdout == "mine.toml: 2 templates\n", done.stderr
    assert load_prompts(tmp_path / "mine.toml").ensemble(["owl"]) == [["a photo of an owl", "a picture of an owl"]]
    server.behaviour = lines("nothing of use")
    refused = cli("write-prompts", "paraphrases", "--count", 3, "--out", "mine.toml", *llm)
    assert refused.stderr.startswith(f"error: {server.url} gave no wording with {{a_label}}")
    assert load_prompts(tmp_path / "mine.toml").ensemble(["owl"]) == [["a photo of an owl", "a picture of an owl"]]
    wrong = cli("write-prompts", "paraphrases", "--template", "a photo", "--out", "mine.toml", *llm)
    assert wrong.stderr.startswith("error: expected a template with {a_label} once, found 'a photo'")


def test_rewrites_keep_to_the_budget(server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path) -> None:
    server.behaviour = lines("a dog, a cat, an owl")
    options = ["--labels", "dog, owl, cat", "--out", "mine.toml"]
    done = cli("write-prompts", "descriptions", *options, *asking(llm, max_calls=2))
    assert done.stderr.startswith("error: the budget ended with 1 question left")
    assert (server.count, (tmp_path / "mine.toml").exists()) == (2, False)
    assert cli("write-prompts", "descriptions", *options, *llm).returncode == 0
    assert server.count == 3


def test_a_caption_is_data_wherever_it_is_shown(server: ChatServer, llm: list[str], cli: Cli, tmp_path: Path) -> None:
    def evil(body: Body, number: int) -> Reply:
        return completion(
            json.loads(caption(body, number).content)["choices"][0]["message"]["content"] + " \x1b[31m[red]{x}"
        )

    server.behaviour = evil
    assert (
        cli("caption-labels", "--labels", "dog", "--set-size", 1, *MODEL, *llm, "--out", "mine.jsonl").returncode == 0
    )
    found = load_bank(tmp_path / "mine.jsonl").get(("dog",))
    assert found is not None
    assert found.isprintable()
    assert found.endswith("[31m[red]{x}")
