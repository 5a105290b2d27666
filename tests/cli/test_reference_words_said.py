"""Every output of predict and run says whether reference words took part in it, and which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Cli

import zsprompt as zs
from zsprompt.prompts import neutral_words

SCENES = ("--dataset", "scenes,limit=40", "--model", "tiny")
FEW = ("--labels", "house, dog, cat")
KINDS = "person, tree, car, house, dog, flower, chair, cat, bird, cup, boat, bicycle, ball, fish, bus, umbrella"
MANY = ("--labels", KINDS)
WORDS = [word for word in neutral_words() if word not in ("house", "dog", "cat")]
JOINED = f"compare each label with the other 2 labels and {len(WORDS)} reference words (vocabulary neutral)"
ALONE = "compare each label with the other 15 labels; no reference words"
NONE = "decisions use no reference words"
CASES = {
    "normalised:per-label, few": ("normalised:per-label", FEW, f"decisions {JOINED}", WORDS),
    "normalised:per-label, many": ("normalised:per-label", MANY, f"decisions {ALONE}", []),
    "per-label, few": ("per-label", FEW, f"decisions {JOINED}", WORDS),
    "per-label, many": ("per-label", MANY, f"decisions {ALONE}", []),
    "normalised:yes-or-no, few": ("normalised:yes-or-no", FEW, f"decisions {JOINED}", WORDS),
    "top-all, few": ("top-all", FEW, NONE, None),
    "yes-or-no, many": ("yes-or-no", MANY, NONE, None),
}
FAST = ("normalised:per-label, few", "normalised:per-label, many", "top-all, few")
cases = pytest.mark.parametrize(
    ("strategy", "labels", "sentence", "words"),
    [pytest.param(*case, id=name, marks=() if name in FAST else pytest.mark.slow) for name, case in CASES.items()],
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for n, ref in enumerate(zs.load_dataset("scenes").images[:3]):
        (folder / f"{n}.png").write_bytes(ref.read())
    return folder


def words_of(recipe: dict[str, Any]) -> list[str] | None:
    entry = recipe["reference_words"]
    assert entry is None or entry["vocabulary"] == ("neutral" if entry["words"] else None)
    return entry and entry["words"]


@cases
def test_predict_says_it(
    strategy: str, labels: tuple[str, ...], sentence: str, words: list[str] | None, photos: Path, cli: Cli
) -> None:
    command = ("predict", photos, "--strategy", strategy, "--model", "tiny", *labels)
    for output in ((), ("--out", "p.csv"), ("--json",), ("--json", "--out", "q.csv")):
        done = cli(*command, *output)
        assert done.returncode == 0, done.stderr
        assert sentence in done.stderr.splitlines()
    assert words_of(json.loads(done.stdout)["recipe"]) == words


@cases
def test_run_says_it(
    strategy: str, labels: tuple[str, ...], sentence: str, words: list[str] | None, cli: Cli, tmp_path: Path
) -> None:
    command = ("run", "--strategy", strategy, *SCENES, *labels)
    done = cli(*command, "--out", "result")
    assert done.returncode == 0, done.stderr
    assert sentence in done.stdout.splitlines()
    assert words_of(json.loads(cli(*command, "--json").stdout)["recipe"]) == words
    assert words_of(json.loads((tmp_path / "result/result.json").read_text("utf-8"))["recipe"]) == words
    loaded = zs.load_result(tmp_path / "result").reference_words
    assert (loaded and list(loaded.words)) == words
    assert cli("report", "result").returncode == 0
    page = (tmp_path / "result/report.html").read_text("utf-8")
    assert f"{sentence[0].upper()}{sentence[1:]}." in page
    assert not words or ", ".join(words) in page


@pytest.mark.parametrize(
    ("strategy", "sentence"), [("per-label", NONE), ("top-all", NONE), ("normalised:per-label", f"scores {JOINED}")]
)
def test_thresholds_decide_without_reference_words_but_scores_may_use_them(
    strategy: str, sentence: str, photos: Path, cli: Cli, tmp_path: Path
) -> None:
    options = ("--strategy", strategy, *FEW)
    made = cli("thresholds", *SCENES, "--dataset", "scenes,split=train:200", *options, "--out", "t.json")
    assert made.returncode == 0, made.stderr
    asked = words_of(json.loads((tmp_path / "t.json").read_text("utf-8"))["made_for"])
    assert asked == (None if strategy == "top-all" else WORDS)
    for command in (("predict", photos, "--model", "tiny"), ("run", *SCENES)):
        done = cli(*command, *options, "--thresholds", "t.json")
        assert done.returncode == 0, done.stderr
        assert sentence in (done.stdout + done.stderr).splitlines()


@cases
def test_python_says_it(
    strategy: str, labels: tuple[str, ...], sentence: str, words: list[str] | None, photos: Path
) -> None:
    names = labels[1].split(", ")
    with zs.EmbeddingStore(zs.load_encoder("tiny"), cache=None) as store:
        found = zs.predict(photos, names, store, strategy=zs.load_strategy(strategy)).reference_words
    assert (found and list(found.words)) == words


def test_results_of_an_older_version_say_nothing(cli: Cli, tmp_path: Path) -> None:
    cli("run", "--strategy", "per-label", *SCENES, *FEW, "--out", "result")
    path = tmp_path / "result/result.json"
    facts = json.loads(path.read_text("utf-8"))
    del facts["recipe"]["reference_words"]
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert zs.load_result(tmp_path / "result").reference_words is None
    assert "reference words" not in cli("report", "result", "--json").stdout


@pytest.mark.parametrize("entry", ["neutral", ["dog"], {"words": "dog"}, {"words": [1]}, {"vocabulary": 3}])
def test_a_damaged_entry_is_refused(entry: object, cli: Cli, tmp_path: Path) -> None:
    cli("run", "--strategy", "per-label", *SCENES, *FEW, "--out", "result")
    path = tmp_path / "result/result.json"
    facts = json.loads(path.read_text("utf-8"))
    facts["recipe"]["reference_words"] = entry
    path.write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(zs.ZspromptError, match=r"reference_words.*run it again"):
        zs.load_result(tmp_path / "result")


HINT = "`zsprompt thresholds IMAGES --expect N`"
LONG = [*KINDS.split(", "), *(f"word {n}" for n in range(90))]


@pytest.mark.parametrize(
    ("labels", "strategy", "hinted"),
    [
        (LONG, "normalised:per-label,threshold=0", True),
        (LONG, "per-label,threshold=0", True),
        (LONG, "normalised:per-label,threshold=9", False),
        (LONG, "top-all", False),
        (LONG[:40], "normalised:per-label,threshold=0", False),
    ],
)
def test_long_lists_point_to_thresholds_by_expectation(
    labels: list[str], strategy: str, hinted: bool, photos: Path, cli: Cli
) -> None:
    (photos / "labels.csv").write_text(f"image,labels\n0.png,{'|'.join(labels)}\n1.png,\n2.png,\n", encoding="utf-8")
    options = ("--model", "tiny", "--strategy", strategy, "--labels", ", ".join(labels))
    for command in (("predict", photos), ("run", "--dataset", "folder", "--root", photos)):
        done = cli(*command, *options)
        assert done.returncode == 0, done.stderr
        assert sum(HINT in line for line in done.stderr.splitlines()) == hinted
    if hinted:  # the advice works, and ends the hint
        assert cli("thresholds", photos, *options, "--expect", "1.5", "--out", "t.json").returncode == 0
        done = cli("predict", photos, *options, "--thresholds", "t.json")
        assert done.returncode == 0, done.stderr
        assert HINT not in done.stderr
