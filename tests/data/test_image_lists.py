"""Image lists: rows from CSV, JSON lines and Parquet, and the data set made of them."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from damage import damage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from trees import LIST_ROWS, make_list, message, present, save_image, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.image_lists import find_place, parquet_file, read_rows
from zsprompt.errors import DataError, UnknownName


def load(root: Path, split: str | None = None) -> Dataset:
    return load_dataset("list", root=root, split=split)


def as_parquet(path: Path, columns: dict[str, list]) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def columns(found: list[dict]) -> dict[str, list]:
    return {key: [row[key] for row in found] for key in found[0]}


LISTS = {
    "jsonl": "".join(json.dumps(row) + "\n" for row in LIST_ROWS),
    "csv": "image,labels,split\na.png,cat|potted plant,train\nsub/b.png,dog,test\nc.png,,test\n",
    "tsv": "image\tlabels\tsplit\na.png\tcat|potted plant\ttrain\nsub/b.png\tdog\ttest\nc.png\t\ttest\n",
    "flags.csv": "split;image;cat;dog;potted plant\ntrain;a.png;1;0;1\ntest;sub/b.png;0;1;0\ntest;c.png;0;0;0\n",
    "flags.jsonl": "".join(
        json.dumps(
            {"path": row["image"], "split": row["split"]}
            | {x: int(x in row["labels"]) for x in ("cat", "dog", "potted plant")}
        )
        + "\n"
        for row in LIST_ROWS
    ),
}


def written(folder: Path, kind: str) -> Path:
    if kind == "parquet":
        return as_parquet(folder / "x.parquet", columns(LIST_ROWS))
    if kind == "flags.parquet":
        flags = {x: [int(x in row["labels"]) for row in LIST_ROWS] for x in ("cat", "dog", "potted plant")}
        named = {"file_name": [row["image"] for row in LIST_ROWS], "split": [row["split"] for row in LIST_ROWS]}
        return as_parquet(folder / "x.parquet", named | flags)
    return write(folder / f"x.{kind.rpartition('.')[2]}", LISTS[kind])


@pytest.mark.parametrize("kind", [*LISTS, "parquet", "flags.parquet"])
def test_every_format_says_the_same(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    data = load(path)
    assert data.labels == ("cat", "dog", "potted plant")
    assert [image.id for image in data.images] == ["a.png", "sub/b.png", "c.png"]
    np.testing.assert_array_equal(data.targets, [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    test = load(path, "test")
    assert ([image.id for image in test.images], test.split, test.labels) == (
        ["sub/b.png", "c.png"],
        "test",
        data.labels,
    )
    assert "Did you mean 'test'?" in message(UnknownName, lambda: load(path, "tset"))


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_folder_is_searched_for_labels_dot_something(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    path.rename(tmp_path / f"labels.{kind}")
    assert len(load(tmp_path).images) == 3


def test_captions_and_left_out_cells(tmp_path: Path) -> None:
    rows_ = [{"image": "a", "cat": -1, "caption": "x"}, {"image": "b", "cat": 1, "caption": None}]
    path = write(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows_)))
    data = load(path)
    assert (data.captions, data.targets.tolist(), data.labels) == (("x", ""), [[-1], [1]], ("cat",))


def test_images_are_next_to_the_list_or_in_data_or_images(tmp_path: Path) -> None:
    path = make_list(tmp_path)
    assert all(image.read() for image in load(path).images)
    for where in ("data", "images"):
        make_list(tmp_path / where / "x")
        moved = write(tmp_path / where / "x" / "list.jsonl", path.read_bytes())
        (moved.parent / "photos").mkdir()
    save_image(tmp_path / "other" / "images" / "a.png")
    assert find_place(tmp_path / "other" / "x.csv", ["a.png"]).folder == tmp_path / "other" / "images"
    assert find_place(tmp_path / "other" / "x.csv", ["gone\0.png"]).folder == tmp_path / "other"


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("x.jsonl", '{"image": "a", "cat": 1}\n{"image": "b", "ca', "line 2: expected a JSON object"),
        ("x.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("x.jsonl", "[" * 100_000, "line 1: expected a JSON object"),
        ("x.jsonl", '{"cat": 1}\n', 'line 1: expected a file name under "image"'),
        ("x.jsonl", '{"image": 7}\n', 'line 1: expected a file name under "image"'),
        ("x.jsonl", '{"image": " ", "cat": 1}\n', "line 1: expected the file name of an image, found a blank"),
        ("x.jsonl", b'{"image": "\xff"}\n', "expected UTF-8, found byte 0xff"),
        ("x.jsonl", "", "expected rows"),
        ("x.jsonl", '{"image": "a", "cat": 2}\n', "line 1: expected 1, 0 or -1 (left out) for 'cat', found 2"),
        ("x.jsonl", '{"image": "a", "cat": [1]}\n', "for 'cat', found [1]"),
        ("x.jsonl", '{"image": "a", "cat": 1}\n{"image": "b"}\n', "line 2: expected 1, 0 or -1"),
        ("x.jsonl", '{"image": "a", "labels": {"cat": 1}}\n', "line 1: expected label names"),
        ("x.jsonl", '{"image": "a", "labels": [1]}\n', "line 1: expected label names"),
        ("x.jsonl", '{"image": "a", "labels": []}\n', "expected label names under 'labels'"),
        ("x.jsonl", '{"image": "a"}\n', "without labels, use `zsprompt predict`"),
        ("x.jsonl", '{"image": "a", "cat": 1}\n\n{"image": "a", "cat": 1}\n', "line 3: expected each image once"),
        ("x.csv", "image,cat\na,1\nb\n", "line 3: expected 2 columns, found 1"),
        ("x.csv", 'image,cat\n"a,1\n', "expected cells separated by ','"),
        ("x.csv", "a.jpg,1\nb.jpg,0\n", "expected a header with a column 'image', found an image: 'a.jpg'"),
        ("x.csv", "", "expected a header with a column 'image', found a blank line"),
        ("x.csv", "image,cat,cat\na,1,1\n", "expected each column once, found 'cat' again"),
        ("x.csv", "image,cat\n,1\n", "line 2: expected the file name of an image, found a blank"),
        ("x.csv", "image,Hündin\na,1\n".encode("latin-1"), "expected UTF-8, found byte 0xfc"),
        (
            "x.csv",
            "image,cat\na,1\n".encode("utf-16")[2:],
            "line 1: expected UTF-8, found a zero byte, as in UTF-16; save it as UTF-8",
        ),
        ("x.csv", b"PK\x03\x04", "found an Excel workbook; save it as CSV UTF-8"),
        ("x.csv", "image,cat\n", "expected rows"),
        ("x.parquet", "PAR1 cut short", "expected a Parquet file"),
        ("x.parquet", "", "expected a Parquet file"),
    ],
)
def test_a_broken_list_is_one_line(tmp_path: Path, name: str, content: str | bytes, part: str) -> None:
    path = write(tmp_path / name, content)
    text = message(DataError, lambda: load(path))
    assert part in text
    assert str(path) in text


def test_a_parquet_file_cut_or_damaged_anywhere_is_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet")
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        message(DataError, lambda: list(read_rows(path)))


def test_parquet_damaged_at_random_is_one_line_or_no_matter(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet")
    whole = path.read_bytes()
    draw = random.Random(0)
    refused = 0
    for _ in range(400):
        path.write_bytes(damage(whole, draw))
        try:
            list(read_rows(path))
        except DataError as error:
            reason = str(error)
        else:
            continue
        refused += 1
        assert "\n" not in reason
    assert refused > 200


@pytest.mark.parametrize("values", [{"image": [b"bytes"]}, {"image": [1]}, {"holiday": ["a"]}])
def test_parquet_needs_a_column_of_file_names(tmp_path: Path, values: dict[str, list]) -> None:
    path = as_parquet(tmp_path / "x.parquet", values)
    assert "expected a column 'image' of file names (string), found" in message(
        DataError, lambda: list(read_rows(path))
    )


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'zsprompt[parquet]'" in message(DataError, lambda: list(read_rows(path)))


def test_a_null_in_parquet_is_a_blank(tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "x.parquet", {"image": ["a", None]})
    assert "line 2: expected the file name of an image, found a blank" in message(
        DataError, lambda: list(read_rows(path))
    )


def test_missing_lists(tmp_path: Path) -> None:
    for name in ("x.csv", "x.jsonl", "x.parquet"):
        assert "found none" in message(DataError, lambda name=name: list(read_rows(tmp_path / name)))
    assert "labels.jsonl" in message(DataError, lambda: load(tmp_path))


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"]), min_size=1, max_size=8)


@given(found=st.lists(NAMES, min_size=1, max_size=30, unique=True), block=st.integers(1, 7))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_names_round_trip_through_every_format(tmp_path: Path, found: list[str], block: int) -> None:
    quoted = "".join('"' + name.replace('"', '""') + '",1\n' for name in found)
    paths = [
        write(tmp_path / "x.csv", "image,cat\n" + quoted),
        write(tmp_path / "x.jsonl", "".join(json.dumps({"image": name, "cat": 1}) + "\n" for name in found)),
        as_parquet(tmp_path / "x.parquet", {"image": found, "cat": [1] * len(found)}),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_file, "_ROWS", block)
        for path in paths:
            assert [row.image for row in read_rows(path, images_only=True)] == found, path
            assert {int(row.values["cat"]) for row in read_rows(path)} == {1}


def test_a_file_of_the_folder_loader_reads_alike(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", LISTS["csv"])
    one, other = load(path), load_dataset("folder", root=path)
    assert (one.labels, [i.path for i in one.images]) == (other.labels, [i.path for i in other.images])
    assert present(one) == present(other)
