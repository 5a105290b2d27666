"""Odd values on the command line: each is refused in one line, or a line says what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Cli = Callable[..., "CompletedProcess[str]"]
RUN = ("run", "--strategy", "llm", "--dataset", "scenes,limit=3")
UNLABELLED = ("thresholds", "photos", "--labels", "dog, cat", "--model", "tiny", "--out", "t.json")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """An empty folder of images; no value below gets as far as to read it."""
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((*RUN, "--model", ""), "expected a value for --model, found an empty text"),
        ((*RUN, "--out", " "), "expected a value for --out, found an empty text"),
        ((*RUN, "--split", ""), "expected a value for --split, found an empty text"),
        (("predict", "", "--labels", "dog"), "expected a value for IMAGE|FOLDER|TAR|LIST, found an empty text"),
        (("cache", "info", "--cache", ""), "expected a value for --cache, found an empty text"),
        ((*RUN, "--dataset", "scenes,split="), "expected a value for split, found an empty text"),
        ((*RUN, "--dataset", "scenes,skip_bad=none"), "expected skip bad to be True or False, found None"),
        ((*RUN, "--device", "cpu,precision=none"), "expected precision to be one of auto, bfloat16, int8, found None"),
        ((*RUN, "--llm", "http://localhost:8000/v1"), "or url=URL,model=MODEL for the LLM"),
        ((*RUN, "--llm", ":m"), "or url=URL,model=MODEL for the LLM"),
        ((*RUN, "--llm", "url=,model=m"), "expected a value for url of the LLM"),
        ((*UNLABELLED, "--rule", "per-label"), "thresholds of unlabelled images does not use --rule"),
        ((*UNLABELLED, "--skip-bad"), "expected a data set with skip bad"),
        ((*UNLABELLED, "--difficult", "negative"), "expected a data set with difficult"),
        (
            ("thresholds", "--dataset", "scenes,limit=9", "--expect", "none", "--out", "t.json"),
            "expected labels per image, or share=S, for --expect, found 'none'",
        ),
        (
            ("ablate", "--strategy", "top-all", "--dataset", "scenes", "--root", "here", "--out", "t"),
            "no run uses root: data set scenes is drawn and has no files",
        ),
        (
            (
                *("predict", "photos", "--labels", "dog", "--threshold", "1", "--strategy"),
                "normalised:per-label,normalised.threshold=2",
            ),
            "expected one threshold",
        ),
        (
            ("caption-labels", "--labels", "dog", "--price", "in=nan"),
            "expected in of --price to be a number of at least 0",
        ),
        (("caption-labels", "--labels", "dog", "--price", "into=1"), "unknown field of --price 'into'"),
        (("caption-labels", "--labels", "dog", "--out", "c.jsonl"), "expected an LLM, found none"),
    ],
)
def test_a_value_that_would_be_ignored_is_refused(words: tuple[str, ...], text: str, cli: Cli, photos: Path) -> None:
    done = cli(*words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert done.returncode == 1
    assert len(lines) == 1
    assert text in lines[0]


def test_an_option_that_is_given_twice_is_named(cli: Cli) -> None:
    done = cli("run", "--strategy", "top-all", "--strategy", "nope", "--dataset", "scenes", "--json", "--json")
    assert done.stderr.splitlines()[0] == "note: --strategy is given 2 times; only the last one counts"
    assert "unknown strategy 'nope'" in done.stderr
    assert "--json" not in done.stderr


def test_counting_captions_of_labels_needs_no_model(cli: Cli, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.pt")
    done = cli("caption-labels", "--labels", "dog, cat", "--llm", "local:m", "--dry-run", "--model", missing)
    assert (done.returncode, done.stdout) == (0, "4\n")
