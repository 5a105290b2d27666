"""The caption CSV: all faults that make other readers lose rows, without losing any."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import make_captions_csv, message, present, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.caption_csv import CaptionRow, read_captions
from zsprompt.data.datasets.captions_csv import NAMES, NUMBERS
from zsprompt.errors import DataError, UnknownName

HEADER = "ImageID,Labels,Caption\n"


def load(root: Path, split: str | None = None, names: str = "readable") -> Dataset:
    return load_dataset("captions-csv", root=root, split=split, names=names)


def captions(folder: Path, content: str | bytes) -> list[str]:
    file = read_captions(write(folder / "x.csv", content))
    assert file.bad == ()
    return [row.caption for row in file.rows]


def test_labels_captions_and_images(tmp_path: Path) -> None:
    make_captions_csv(tmp_path)
    data = load(tmp_path)
    assert (data.name, data.split, data.labels, len(NAMES)) == ("captions-csv", "val", NAMES, 18)
    assert [present(data, n) for n in range(3)] == [["person"], ["person", "horse"], ["car"]]
    assert data.captions == (
        "Woman in swim suit holding parasol on sunny day.",
        'A man, who is "old", rides.',
        "A car.",
    )
    assert all(image.read() for image in data.images)
    assert load(tmp_path, names="raw").labels == tuple(map(str, NUMBERS))
    assert 12 not in NUMBERS
    assert load(tmp_path / "train.csv").captions == data.captions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a dog, a cat, and a ball", "a dog, a cat, and a ball", id="commas"),
        pytest.param('"a dog, a cat"', "a dog, a cat", id="quoted commas"),
        pytest.param('"a ""red"" dog"', 'a "red" dog', id="doubled quotes"),
        pytest.param('a "red" dog', 'a "red" dog', id="bare quotes"),
        pytest.param('"a "red" dog"', 'a "red" dog', id="bare quotes in quotes"),
        pytest.param('a 6" pipe', 'a 6" pipe', id="one quote inside"),
        pytest.param('"a sign', '"a sign', id="quote never closed"),
        pytest.param('a sign"', 'a sign"', id="quote never opened"),
        pytest.param('"a dog\nand a cat"', "a dog and a cat", id="line break in quotes"),
        pytest.param("a dog\nand a cat", "a dog and a cat", id="line break without quotes"),
        pytest.param("a dog\n\n\nand a cat", "a dog and a cat", id="blank lines inside"),
        pytest.param("a dog\r and a cat", "a dog and a cat", id="carriage return"),
        pytest.param("a dog\u2028and a cat", "a dog and a cat", id="line separator"),
        pytest.param("  a dog  ", "a dog", id="blanks"),
        pytest.param("1,000 people", "1,000 people", id="a number first"),
        pytest.param("a dog\n7, reason the man", "a dog 7, reason the man", id="a number after a line break"),
        pytest.param("a page of www.dogs.com, on a screen", "a page of www.dogs.com, on a screen", id="an address"),
        pytest.param("a page\nof dogs.com, on a screen", "a page of dogs.com, on a screen", id="an address below"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_fault_costs_neither_its_row_nor_the_next(tmp_path: Path, text: str, expected: str, line_end: str) -> None:
    content = f"{HEADER}0.jpg,1,first\n1.jpg,2 3,{text}\n2.jpg,1,last one\n".replace("\n", line_end)
    assert captions(tmp_path, content.encode()) == ["first", expected, "last one"]


def test_line_ends_may_change_within_the_file(tmp_path: Path) -> None:
    assert captions(tmp_path, f"{HEADER}0.jpg,1,a\r\n1.jpg,1,b\r2.jpg,1,c\n\n3.jpg,1,d") == ["a", "b", "c", "d"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark(tmp_path: Path, start: bytes) -> None:
    assert captions(tmp_path, start + HEADER.encode() + "0.jpg,1,café".encode()) == ["café"]


def test_ids_may_be_numbers_and_quoted(tmp_path: Path) -> None:
    file = read_captions(write(tmp_path / "x.csv", HEADER + '7,1 2,seven\n"8","1","eight"\n'))
    assert file.rows == (CaptionRow(2, "7", (1, 2), "seven"), CaptionRow(3, "8", (1,), "eight"))


def test_test_files_have_no_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", 'ImageID,Caption\n30000.jpg,a "small" dog, lying\n30001.jpg,1 cat\n')
    assert [(row.image, row.labels, row.caption) for row in read_captions(path).rows] == [
        ("30000.jpg", None, 'a "small" dog, lying'),
        ("30001.jpg", None, "1 cat"),
    ]
    assert "without labels, use `zsprompt predict`" in message(DataError, lambda: load(path, "all"))


def test_what_cannot_be_read_is_counted_and_named_and_costs_nothing_else(tmp_path: Path) -> None:
    rows = [
        "0.jpg,1,good",
        "1.jpg,one,bad number",
        "2.jpg,1,",
        "0.jpg,2,again",
        "3.jpg,,no label",
        "4.jpg",
        "5.jpg,2,ok",
    ]
    path = write(tmp_path / "train.csv", HEADER + "stray\n" + "\n".join(rows))
    file = read_captions(path)
    assert [row.image for row in file.rows] == ["0.jpg", "3.jpg", "5.jpg"]
    assert file.rows[1].caption == "no label 4.jpg"  # without a comma it is not a row, so it continues the previous one
    assert [line for line, _ in file.bad] == [2, 4, 5, 6]
    for part in (
        "id and a comma, found 'stray'",
        "after 1.jpg, found 'one",
        "caption for 2.jpg",
        "is already in line 3",
    ):
        assert any(part in reason for _, reason in file.bad), part
    (note,) = load(tmp_path, "all").notes
    assert note.startswith("4 rows of train.csv cannot be read and are excluded (line 2: expected an image id")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "line 1: expected ImageID,Labels,Caption"),
        (b"image,labels\na.jpg,cat\n", "line 1: expected ImageID,Labels,Caption"),
        (HEADER.encode(), "none that can be read"),
        (HEADER.encode() + b"stray\n", "none that can be read"),
        (HEADER.encode() + b"0.jpg,1,a\n1.jpg,1,caf\xe9\n", "line 3: expected UTF-8, found byte 0xe9"),
        (HEADER.encode("utf-16"), "line 1: expected UTF-8, found byte 0xff"),
        (HEADER.encode() + b"0.jpg,12,a\n", "line 2: expected a label from 1 to 19 except 12, found 12"),
        (HEADER.encode() + b"0.jpg,1 20,a\n", "found 20"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    path = write(tmp_path / "train.csv", content)
    text = message(DataError, lambda: load(tmp_path))
    assert part in text
    assert str(path) in text


def test_there_must_be_a_file(tmp_path: Path) -> None:
    assert "found none" in message(DataError, lambda: read_captions(tmp_path / "gone.csv"))
    assert "train.csv" in message(DataError, lambda: load(tmp_path))
    assert "Known: all, train, val" in message(UnknownName, lambda: load(tmp_path, "tst"))


def faulty(count: int) -> tuple[str, list[str]]:
    """A file of `count` rows with a fault in every seventh caption, and the expected captions."""
    faults = ['a "dog"', '6" pipe', '"open', "two\nlines", "a,b", 'end"', '"say ""x"""']
    meant = ['a "dog"', '6" pipe', '"open', "two lines", "a,b", 'end"', 'say "x"']
    texts = [faults[n // 7 % 7] if n % 7 == 0 else f"plain {n}" for n in range(count)]
    expected = [meant[n // 7 % 7] if n % 7 == 0 else f"plain {n}" for n in range(count)]
    return HEADER + "".join(f"{n}.jpg,{n % 11 + 1},{text}\n" for n, text in enumerate(texts)), expected


def test_thirty_thousand_rows_are_thirty_thousand(tmp_path: Path) -> None:
    """A CSV reader finds fewer: the source itself counted 29,996."""
    content, expected = faulty(30_000)
    path = write(tmp_path / "train.csv", content)
    naive = len(list(csv.reader(io.StringIO(content, newline=""))))
    assert naive < 30_000
    file = read_captions(path)
    assert len(file.rows) == 30_000
    assert [row.caption for row in file.rows] == expected
    assert file.bad == ()
    train, val = load(tmp_path, "train"), load(tmp_path)
    assert (len(train.images), len(val.images)) == (28_000, 2_000)
    assert (train.images[0].id, train.images[-1].id, val.images[0].id) == ("0.jpg", "27999.jpg", "28000.jpg")
    assert val.captions is not None
    assert val.captions[-1] == expected[-1]


def test_training_needs_more_rows_than_validation(tmp_path: Path) -> None:
    make_captions_csv(tmp_path)
    assert "expected more than 2,000 rows" in message(DataError, lambda: load(tmp_path, "train"))


WORDS = st.text(st.sampled_from("ab1 ,\".'é😀"), min_size=1, max_size=20).filter(
    lambda text: text.strip() and not text.strip().startswith('"')
)


@given(rows=st.lists(WORDS, min_size=1, max_size=12), line_end=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_properly_quoted_captions_come_back(tmp_path: Path, rows: list[str], line_end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["ImageID", "Labels", "Caption"])
    writer.writerows([[f"{n}.jpg", "1 19", text] for n, text in enumerate(rows)])
    assert captions(tmp_path, out.getvalue()) == [" ".join(text.split()) for text in rows]


def test_pandas_agrees_where_nothing_is_wrong(tmp_path: Path) -> None:
    path = make_captions_csv(tmp_path)
    table = pd.read_csv(path)
    data = load(tmp_path)
    assert list(table["Caption"]) == list(data.captions or ())
    wanted = [[str(n) in cell.split() for n in NUMBERS] for cell in table["Labels"].astype(str)]
    np.testing.assert_array_equal(data.targets, wanted)
