"""Sentence banks: which sentences of a file become the texts of a label."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Cli

from zsprompt.errors import PromptError
from zsprompt.llm.sentences import about_labels, load_sentences
from zsprompt.prompts import load_prompts

BANK = """A dog sleeps on the porch.

Two dogs chase a ball
A dog and a cat share a basket
A man eats a hot dog at the fair
three kittens in a box
A cat sits on the mat.
A dog sleeps on the porch.
"""


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.txt"
    path.write_text(BANK, encoding="utf-8")
    return path


def test_a_sentence_belongs_to_the_one_label_that_it_mentions(bank: Path) -> None:
    """By whole words and plurals, never by part of a longer name; each sentence once."""
    texts = about_labels(load_sentences(bank), ["dog", "cat", "hot dog", "horse"], 9)
    assert texts["dog"] == ["A dog sleeps on the porch.", "Two dogs chase a ball"]
    assert "A cat sits on the mat." in texts["cat"]
    assert texts["hot dog"] == ["A man eats a hot dog at the fair"]
    assert texts["horse"] == []
    assert "A dog and a cat share a basket" not in [text for chosen in texts.values() for text in chosen]


def test_more_sentences_than_the_count_are_spread_over_the_bank() -> None:
    sentences = [f"dog number {n}" for n in range(100)]
    assert about_labels(sentences, ["dog"], 4)["dog"] == [f"dog number {n}" for n in (0, 25, 50, 75)]
    assert about_labels(sentences, ["dog"], 100)["dog"] == sentences


def test_long_sentences_are_left_out() -> None:
    long, short = "dog " + "very " * 40, "dog " + "very " * 39
    assert about_labels([long, short], ["dog"], 9)["dog"] == [short]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "expected a text file with a sentence per line at .*, found none"), (b"caf\xe9\n", "expected UTF-8")],
    ids=["missing", "Latin-1"],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "bank.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PromptError, match=message):
        list(load_sentences(path))


def test_the_command_writes_a_prompt_file(bank: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    options = ("--labels", "dog, cat, horse", "--sentences", bank, "--out", out)
    done = cli("write-prompts", "sentences", *options, "--count", 1)
    assert done.returncode == 0, done.stderr
    assert "2 texts for 2 labels" in done.stdout
    assert "found no sentence for horse; the template words labels without one" in " ".join(done.stderr.split())
    ensemble = load_prompts(out).ensemble(["dog", "horse"])
    assert ensemble == [["A dog sleeps on the porch."], ["a photo of a horse"]]


def test_the_command_refuses_what_it_cannot_use(bank: Path, cli: Cli, tmp_path: Path) -> None:
    made = ("--out", tmp_path / "mine.toml")
    for options, message in (
        (("--labels", "dog"), "expected --sentences FILE"),
        (("--sentences", bank), "expected --labels"),
        (("--labels", "horse", "--sentences", bank), "that mention one label each, found none"),
    ):
        done = cli("write-prompts", "sentences", *options, *made)
        assert done.returncode != 0
        assert message in " ".join(done.stderr.split())
        assert not (tmp_path / "mine.toml").exists()
