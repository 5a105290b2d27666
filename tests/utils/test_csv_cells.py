"""Cells and files of CSV for spreadsheets: no formulas, exact names, few digits, accents."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted import planted_result

from zsprompt._utils.csv_cells import DIGITS, cell, decided, exact, protected, restored
from zsprompt._utils.file_kinds import KINDS, CsvKind
from zsprompt._utils.outputs import whole_csv
from zsprompt.data.datasets.image_captions import read_image_captions, save_image_captions
from zsprompt.data.image_lists import read_rows
from zsprompt.evaluation.predict import Predictions
from zsprompt.evaluation.result_files import load_result, save_predictions, save_result
from zsprompt.strategies import Prediction

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "''=1", "=cmd|' /C calc'!A0"]
PLAIN = ["dog", "", "'", "'dog", "a=b", "d'", "é", "dog-cart", "' =1"]
MARKS = set("=+-@\t\r\n＝＋－＠")
# texts of a CSV file: no lone surrogates except those of file names that are not UTF-8, and no NUL
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    [*FORMULAS, *PLAIN]
)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_evaluate_gets_an_apostrophe(text: str) -> None:
    assert protected(text) == f"'{text}"
    assert restored(f"'{text}") == text


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_stay(text: str) -> None:
    assert protected(text) == text == restored(text)


@given(texts)
def test_no_cell_is_a_formula_and_each_is_restored_exactly(text: str) -> None:
    assert protected(text)[:1] not in MARKS or not protected(text)
    assert restored(protected(text)) == text


@given(floats, floats)
def test_a_threshold_decides_the_same_on_the_written_score(score: float, threshold: float) -> None:
    assert (float(decided(score, score > threshold)) > threshold) == (score > threshold)
    assert (float(decided(score, score >= threshold)) >= threshold) == (score >= threshold)


@given(floats)
def test_scores_have_few_digits_and_exact_ones_are_exact(score: float) -> None:
    written = decided(score, present=True)
    assert "e" not in written.lower()
    assert len(written.strip("-0.").replace(".", "").rstrip("0")) <= DIGITS
    assert float(written) == pytest.approx(score, rel=1e-5)
    assert np.float32(exact(np.float32(score))) == np.float32(score)


def test_numbers_and_nothing() -> None:
    values = [0.5, 1 / 3, -2.5, np.float32(0.1), np.float64("nan"), None, 3, np.int64(7), True, "", "-x"]
    assert [cell(value) for value in values] == [
        *("0.5", "0.333333", "-2.5", "0.1", "", "", "3", "7", "True", "", "'-x")
    ]


# -- files -------------------------------------------------------------------------------------------------------


def names(count: int) -> st.SearchStrategy[list[str]]:
    return st.lists(
        texts.filter(lambda text: "|" not in text and text.strip()), min_size=count, max_size=count, unique_by=str.strip
    )


@given(labels=names(3), images=names(4), scores=st.lists(floats, min_size=12, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_result_reads_back_bit_for_bit(
    labels: list[str], images: list[str], scores: list[float], tmp_path: Path
) -> None:
    from dataclasses import replace

    values = np.array(scores, np.float32).reshape(4, 3)
    likely = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
    prediction = Prediction(values, values > 0, 0, {}, likely)
    targets = np.array([[1, 0, -1], [0, 1, 1], [1, 1, 0], [0, 0, 0]], np.int8)
    result = replace(
        planted_result(), labels=tuple(labels), images=tuple(images), prediction=prediction, targets=targets, skipped=()
    )
    save_result(result, tmp_path)
    again = load_result(tmp_path)
    assert (again.labels, again.images) == (result.labels, result.images)
    for name in ("scores", "decisions", "probabilities"):
        assert np.array_equal(getattr(again.prediction, name), getattr(prediction, name))
    assert np.array_equal(again.targets, targets)


@given(labels=names(2), images=names(3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_predictions_are_a_list_of_the_same_images(labels: list[str], images: list[str], tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.csv", images, labels)
    assert [row.image for row in read_rows(tmp_path / "p.csv")] == [image.strip() for image in images]


@given(images=names(3), captions=st.lists(texts.filter(str.strip), min_size=3, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_image_captions_read_back(images: list[str], captions: list[str], tmp_path: Path) -> None:
    given = {image.strip(): caption for image, caption in zip(images, captions, strict=True)}
    save_image_captions(given, tmp_path / "c.csv")
    expected = {image.strip(): " ".join(caption.split()) for image, caption in given.items()}
    assert read_image_captions(tmp_path / "c.csv") == expected


def test_a_list_of_others_keeps_its_apostrophes(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("image,'=name\n'=a.png,'-b\n")
    (row,) = read_rows(tmp_path / "list.csv")
    assert (row.image, dict(row.values)) == ("'=a.png", {"'=name": "'-b"})


def write_predictions(path: Path, images: Sequence[str], labels: Sequence[str]) -> None:
    scores = np.arange(len(images) * len(labels), dtype=np.float32).reshape(len(images), -1) / 7 - 1
    save_predictions([Predictions(tuple(images), tuple(labels), scores, scores > 0)], labels, path)


@pytest.mark.parametrize(
    ("images", "labels"), [(["a.png"], ["dog"]), (["é.png"], ["dog"]), (["a.png"], ["café"]), (["\udcff.png"], ["dog"])]
)
def test_a_file_has_a_byte_order_mark_only_where_it_is_not_ascii(
    images: list[str], labels: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "p.csv"
    write_predictions(path, images, labels)
    plain = all(name.isascii() for name in images + labels)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf") != plain
    assert [file.name for file in tmp_path.iterdir()] == ["p.csv"]
    write_predictions(path, images, labels)  # it is recognised with the mark, too
    if images[0].isprintable():
        table = pd.read_csv(path)  # pandas knows the mark
        assert list(table.columns) == ["image", "labels", "error", *labels]
        assert list(table["image"]) == images


@pytest.mark.parametrize("kind", [kind for kind in KINDS if isinstance(kind, CsvKind)], ids=lambda kind: kind.what)
@pytest.mark.parametrize("name", ["dog", "café", "=1+1", 'a "dog", or two', "a\rb\nc"])
def test_every_csv_file_is_written_in_this_form(kind: CsvKind, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    columns = [*kind.columns, *([] if kind.more is None else [kind.more + name])]
    for _ in range(2):
        with whole_csv(path, kind) as file:
            file.header(columns)
            file.row([name] * len(columns))
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") != content.isascii()
    assert kind.recognises(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    assert rows == [[*map(protected, columns)], [protected(name)] * len(columns)]
    assert b"\r\n" not in content


def test_a_pipe_gets_no_byte_order_mark(tmp_path: Path) -> None:
    import os
    import threading

    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_predictions(tmp_path / "pipe", ["é.png"], ["dog"])
    reader.join()
    assert read[0].startswith(b"image,labels,error,dog\n")
