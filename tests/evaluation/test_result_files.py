"""Result folders: what is read equals what was written, and each fault has its own error."""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import planted_result, windows_of

from zsprompt.errors import ResultError
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import load_result, save_result
from zsprompt.strategies import Prediction

# not allowed in a label: line breaks, "|" and bytes that are not text
_TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r|\0"), min_size=1, max_size=12)


def same(first: Result, second: Result) -> None:
    assert (first.labels, first.images, first.notes) == (second.labels, second.images, second.notes)
    assert first.to_dict() == second.to_dict()
    for mine, other in (
        (first.prediction.scores, second.prediction.scores),
        (first.prediction.decisions, second.prediction.decisions),
        (first.targets, second.targets),
    ):
        assert mine.dtype == other.dtype
        np.testing.assert_array_equal(mine, other)


def test_a_result_is_read_back_to_the_bit(tmp_path: Path) -> None:
    counts = {"texts_encoded": 3, "texts_cached": 0, "texts_not_kept": 0, "images_encoded": 60, "images_cached": 1}
    result = planted_result(notes=("mind the gap",), counts=counts, seconds=1.25, skipped=(("x.png", "empty file"),))
    save_result(result, tmp_path)
    found = load_result(tmp_path)
    same(result, found)
    assert found.mAP == result.mAP
    assert found.prediction.probabilities is None


def test_probabilities_are_read_back_and_removed_by_the_next_result(tmp_path: Path) -> None:
    plain = planted_result()
    likely = (1 / (1 + np.exp(-plain.prediction.scores))).astype(np.float32)
    result = replace(plain, prediction=replace(plain.prediction, probabilities=likely))
    save_result(result, tmp_path)
    np.testing.assert_array_equal(load_result(tmp_path).prediction.probabilities, likely)
    assert 0 < json.loads((tmp_path / "result.json").read_text())["calibration_error"] < 1
    save_result(plain, tmp_path)
    assert load_result(tmp_path).prediction.probabilities is None


def with_windows(result: Result) -> Result:
    return replace(result, prediction=replace(result.prediction, windows=windows_of(result)))


def test_windows_are_read_back_and_removed_by_the_next_result(tmp_path: Path) -> None:
    plain = planted_result(labels=("cat", "=dog", 'an "owl"'))
    result = with_windows(plain)
    save_result(result, tmp_path)
    expected, found = result.prediction.windows, load_result(tmp_path).prediction.windows
    assert expected is not None
    assert found is not None
    np.testing.assert_array_equal(found.grids, expected.grids)
    np.testing.assert_array_equal(found.best, expected.best)
    assert found.box(7, 1) == expected.box(7, 1)
    save_result(plain, tmp_path)
    assert not (tmp_path / "windows.csv").exists()
    assert load_result(tmp_path).prediction.windows is None


WINDOW_FAULTS = {
    "a window that the grid lacks": (lambda cells: [*cells[:5], "999", *cells[6:]], "expected windows of the grid"),
    "a negative window": (lambda cells: [*cells[:5], "-1", *cells[6:]], "expected whole numbers"),
    "half a window": (lambda cells: [*cells[:5], "0.5", *cells[6:]], "expected whole numbers"),
    "an empty grid": (lambda cells: [cells[0], "0", *cells[2:]], "expected whole numbers"),
    "no number": (lambda cells: [*cells[:5], "x", *cells[6:]], "expected numbers"),
    "another image": (lambda cells: ["other.png", *cells[1:]], "expected the images of scores.csv"),
    "a cell too few": (lambda cells: cells[:-1], "expected 60 rows of 8 cells"),
}


@pytest.mark.parametrize("fault", WINDOW_FAULTS)
def test_damaged_windows_are_one_error(fault: str, tmp_path: Path) -> None:
    save_result(with_windows(planted_result()), tmp_path)
    path = tmp_path / "windows.csv"
    damage, message = WINDOW_FAULTS[fault]
    first, second, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, ",".join(damage(second.split(","))), *rest]) + "\n")
    with pytest.raises(ResultError, match=message) as caught:
        load_result(tmp_path)
    assert "windows.csv" in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(_TEXT.filter(str.strip), min_size=1, max_size=4, unique=True),
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4),
    st.integers(0, 3),
)
def test_any_names_and_numbers_are_kept(labels: list[str], numbers: list[float], seed: int) -> None:
    images = ('a "b",c', "ünï\n<b>.png", "\u202egnp.x", "=1+1", "🦉")
    scores = np.array(np.random.default_rng(seed).choice(numbers, (5, len(labels))), dtype=np.float32)
    prediction = Prediction(scores, scores > 0)
    result = planted_result(5, labels, images=images, prediction=prediction, resamples=10)
    with tempfile.TemporaryDirectory() as folder:
        save_result(result, Path(folder))
        same(result, load_result(folder))


def test_file_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b"latin-\xe9.png")
    result = planted_result(2, ("cat",), images=(name, "b"), resamples=10)
    save_result(result, tmp_path)
    assert load_result(tmp_path).images == (name, "b")


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("value", [-1, 0, 1])
def test_degenerate_results_are_results(images: int, value: int, tmp_path: Path) -> None:
    """One image, one label; all left out, all absent, all present."""
    result = planted_result(images, ("cat",), targets=np.full((images, 1), value, dtype=np.int8), resamples=10)
    save_result(result, tmp_path)
    found = load_result(tmp_path)
    same(result, found)
    likely = replace(result.prediction, probabilities=np.full((images, 1), 0.5, dtype=np.float32))
    save_result(replace(result, prediction=likely), tmp_path / "with probabilities")
    error = json.loads((tmp_path / "with probabilities/result.json").read_text())["calibration_error"]
    assert error == (None if value == -1 else 0.5)
    assert (found.to_dict()["mAP"] is None) == (value != 1)
    assert found.to_dict()["mAP_interval"] == ([1.0, 1.0] if value == 1 else [None, None])


def edit_json(folder: Path, **changes: object) -> None:
    path = folder / "result.json"
    facts = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in facts.items() if value != "gone"}))


def edit_scores(folder: Path, row: int, column: int, cell: str) -> None:
    path = folder / "scores.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[row][column] = cell
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


FAULTS = {
    "no folder": (lambda f: [p.unlink() for p in f.iterdir()] and f.rmdir(), "found no such folder"),
    "no result.json": (lambda f: (f / "result.json").unlink(), "found no result.json in it"),
    "no scores.csv": (lambda f: (f / "scores.csv").unlink(), "cannot read"),
    "empty result.json": (lambda f: (f / "result.json").write_text(""), "cannot read"),
    "half a result.json": (lambda f: (f / "result.json").write_bytes((f / "result.json").read_bytes()[:99]), "cannot"),
    "a list": (lambda f: (f / "result.json").write_text("[]"), "expected a section, found []"),
    "no recipe": (lambda f: edit_json(f, recipe="gone"), "expected 'recipe' to be a section, found no such key"),
    "no model": (
        lambda f: edit_json(f, recipe={"strategy": "x"}),
        "expected 'recipe.prompts' to be a list of values, found no such key",
    ),
    "half of scores.csv": (lambda f: (f / "scores.csv").write_bytes((f / "scores.csv").read_bytes()[:999]), "expected"),
    "empty scores.csv": (lambda f: (f / "scores.csv").write_text(""), "expected the columns image, labels"),
    "another column": (lambda f: edit_scores(f, 0, 5, "wolf"), "found image, labels, true, left_out, cat, wolf"),
    "NaN": (lambda f: edit_scores(f, 7, 5, "nan"), "row 7: expected finite scores, found nan"),
    "infinity": (lambda f: edit_scores(f, 1, 4, "-inf"), "row 1: expected finite scores, found -inf"),
    "a word": (lambda f: edit_scores(f, 3, 4, "high"), "row 3: expected numbers"),
    "a blank": (lambda f: edit_scores(f, 3, 4, ""), "row 3: expected numbers"),
    "an unknown label": (
        lambda f: edit_scores(f, 2, 2, "cat|wolf"),
        "row 2: expected labels of the header",
    ),
    "another score": (lambda f: edit_scores(f, 1, 4, "77"), "to belong together"),
    "a row less": (lambda f: edit_json(f, images=61), "expected 61 rows of 7 cells"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damage_is_named_in_one_line(fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    save_result(planted_result(strength=1, seed=3), folder)
    damage, reason = FAULTS[fault]
    damage(folder)
    with pytest.raises(ResultError, match=re.escape(reason)) as caught:
        load_result(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        *(pytest.param(value, id=repr(value)) for value in (None, -1, "text", [])),
        *(pytest.param(value, id=repr(value), marks=pytest.mark.slow) for value in (3, 0.5, [1], {}, {"a": 1}, True)),
    ],
)
@pytest.mark.parametrize("key", [*json.loads(json.dumps(planted_result(4, resamples=2).to_dict()))])
def test_any_value_under_any_key_is_read_or_refused(key: str, value: object, tmp_path: Path) -> None:
    save_result(planted_result(4, resamples=2), tmp_path)
    edit_json(tmp_path, **{key: value})
    with suppress(ResultError):
        load_result(tmp_path).to_dict()


def test_half_written_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that dies before the last file leaves a folder that is no result."""
    save_result(planted_result(seed=1), tmp_path)
    monkeypatch.setattr("zsprompt.evaluation.result_files.write_json", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_result(planted_result(seed=2), tmp_path)
    with pytest.raises(ResultError, match=r"no result\.json"):
        load_result(tmp_path)
