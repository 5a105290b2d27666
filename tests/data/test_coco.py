"""COCO's instances files: their content, invalid files, and the official val2014 table."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import COCO_IDS, COCO_NAMES, coco_json, make_coco, message, present, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets import json_stream
from zsprompt.data.datasets.coco import read_instances
from zsprompt.data.datasets.json_stream import read_arrays
from zsprompt.data.datasets.label_tables import tables_folder
from zsprompt.errors import DataError, UnknownName


def coco(root: Path, split: str | None = None, name: str = "coco") -> Dataset:
    return load_dataset(name, root=root, split=split)


def test_targets_in_the_files_order_with_official_columns(tmp_path: Path) -> None:
    make_coco(tmp_path)
    data = coco(tmp_path, "val")
    assert (data.name, data.split, data.labels) == ("coco2014", "val", tuple(COCO_NAMES))
    assert [image.id for image in data.images] == ["000000000139", "000000000042", "000000000073", "000000000009"]
    assert [present(data, n) for n in range(4)] == [["person"], ["dog", "potted plant"], [], ["toothbrush"]]
    assert data.images[0].path == tmp_path / "val2014" / "COCO_val2014_000000000139.jpg"


def test_by_default_images_with_an_object_and_both_counts_are_said(tmp_path: Path) -> None:
    make_coco(tmp_path)
    data = coco(tmp_path)
    assert data.split == "val-labelled"
    assert [image.id[-3:] for image in data.images] == ["139", "042", "009"]
    assert "3 of the 4 images in instances_val2014.json have an object" in data.notes[0]
    assert "only these are used" in data.notes[0]
    assert "all are used; val-labelled has only these" in coco(tmp_path, "val").notes[0]


def test_a_crowd_is_present_and_counted_where_nothing_else_is(tmp_path: Path) -> None:
    make_coco(tmp_path)
    assert coco(tmp_path).notes[1].startswith("a label of instances_val2014.json is on an image only as a crowd once")
    make_coco(tmp_path / "plain", images={1: [(1, 0)]})
    assert len(coco(tmp_path / "plain").notes) == 1


def test_2017_and_further_lists(tmp_path: Path) -> None:
    make_coco(tmp_path, "2017", "train")
    make_coco(tmp_path, "2014", "val")
    data = coco(tmp_path, "train-labelled", "coco2017")
    assert (data.name, len(data.images)) == ("coco2017", 3)
    assert data.images[0].path == tmp_path / "train2017" / "000000000139.jpg"
    assert message(UnknownName, lambda: coco(tmp_path, "val", "coco2017")).count("train") >= 2
    # a user's split of official images, whose names contain the folder
    content = (tmp_path / "annotations" / "instances_val2014.json").read_bytes()
    write(tmp_path / "annotations" / "instances_minival2014.json", content)
    assert coco(tmp_path, "minival").images[0].path.parent == tmp_path / "val2014"


@pytest.mark.parametrize("below", ["", "coco", "COCO", "coco2014"])
def test_where_it_may_lie(tmp_path: Path, below: str) -> None:
    make_coco(tmp_path / below)
    assert len(coco(tmp_path).images) == 3
    (tmp_path / below / "val2014").rename(tmp_path / below / "moved")
    (tmp_path / below / "images").mkdir()
    (tmp_path / below / "moved").rename(tmp_path / below / "images" / "val2014")
    assert coco(tmp_path).images[0].read()


def spoilt(root: Path, **changes: object) -> Path:
    """An instances JSON with some of its lists replaced."""
    content = coco_json({7: [(1, 0)], 8: []}) | changes
    return write(root / "annotations" / "instances_val2014.json", json.dumps(content))


IMAGE = {"id": 7, "file_name": "7.jpg"}


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"annotations": [{"image_id": 99, "category_id": 1}]}, "found one of image 99 (1 such)"),
        ({"annotations": [{"image_id": 7, "category_id": 12}] * 2}, "found one of category 12 (2 such)"),
        ({"annotations": [{"image_id": 7}]}, "'category_id'"),
        ({"annotations": [{"image_id": "7", "category_id": 1}]}, "expected COCO's fields under 'annotations'"),
        ({"annotations": [{"image_id": 2**70, "category_id": 1}]}, "expected COCO's fields under 'annotations'"),
        ({"annotations": [7]}, "expected COCO's fields under 'annotations'"),
        ({"annotations": {"7": 1}}, "expected a list under 'annotations'"),
        ({"images": [IMAGE, {"id": 8, "file_name": "8.jpg"}, IMAGE]}, "expected each image id once, found 7 again"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "expected each category id once, found 1"),
        ({"images": [IMAGE | {"id": True}]}, "an id must be a whole number"),
        ({"images": [IMAGE | {"file_name": " "}]}, "a name a text"),
        ({"images": []}, "expected 'images' and 'categories'"),
        ({"categories": []}, "expected 'images' and 'categories'"),
    ],
)
def test_broken_content_is_one_line_that_names_the_file(tmp_path: Path, changes: dict[str, object], part: str) -> None:
    path = spoilt(tmp_path, **changes)
    text = message(DataError, lambda: coco(tmp_path))
    assert part in text
    assert str(path) in text


def test_labels_that_stand_twice_and_images_without_a_single_object_are_refused(tmp_path: Path) -> None:
    spoilt(tmp_path, annotations=[])
    assert "found none" in message(DataError, lambda: coco(tmp_path))
    assert len(coco(tmp_path, "val").images) == 2


def test_a_captions_file_is_none_of_instances(tmp_path: Path) -> None:
    write(tmp_path / "annotations" / "instances_val2014.json", '{"info": {}, "type": "captions"}')
    assert "found nothing" in message(DataError, lambda: coco(tmp_path))


@pytest.mark.parametrize("chunk", [1, 7, 64, json_stream._CHUNK])
def test_a_file_cut_anywhere_is_refused_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    whole = make_coco(tmp_path / "whole", images={5: [(1, 0)]}, photos=False).read_bytes()
    assert len(read_instances(write(tmp_path / "again.json", whole + b"\n")).ids) == 1
    for end in range(0, len(whole), 211):
        path = write(tmp_path / "cut.json", whole[:end])
        text = message(DataError, lambda path=path: read_instances(path))
        assert "cut short after" in text, (end, text)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "cut short after 0 characters"),
        (b"<!DOCTYPE html><html>", "character 1: expected '{', found '<!DOCTYPE html>"),
        (b"[1, 2]", "expected '{'"),
        (b'{"images": [1 2]}', "character 15: expected ','"),
        (b'{"images": [nope]}', "Expecting value"),
        (b'{"images": ["\xff"]}', "expected UTF-8, found byte 0xff"),
        ('{"images": []}'.encode("utf-16"), "expected UTF-8, found byte 0xff"),
        (b'{"images": [' + b"[" * 200_000, "recursion"),
        (b'{"images": [' + b"9" * 5000 + b"]}", "digits"),
        (b'{"images" [1]}', "expected ':'"),
        (b'{"images": [1,, 2]}', "Expecting value"),
    ],
)
def test_what_is_no_json_is_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    path = write(tmp_path / "x.json", content)
    text = message(DataError, lambda: list(read_arrays(path, ["images"])))
    assert part.lower() in text.lower()
    assert str(path) in text


def test_lists_of_no_use_may_be_large_but_items_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_LARGEST_ITEM", 2000)
    monkeypatch.setattr(json_stream, "_CHUNK", 100)
    content = {"segments": [{"n": n} for n in range(1000)], "images": [1, 2]}
    assert list(read_arrays(write(tmp_path / "x.json", json.dumps(content)), ["images"])) == [
        ("images", 1),
        ("images", 2),
    ]
    path = write(tmp_path / "y.json", json.dumps({"images": ["a" * 5000]}))
    text = message(DataError, lambda: list(read_arrays(path, ["images"])))
    assert "character 13: expected items of at most 2,000 characters" in text


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    assert "found none" in message(DataError, lambda: list(read_arrays(tmp_path / "gone.json", [])))
    assert "Is a directory" in message(DataError, lambda: list(read_arrays(tmp_path, [])))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    content=st.dictionaries(st.sampled_from(["images", "a", "b", "info"]), st.lists(VALUES, max_size=4)),
    other=VALUES,
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_streaming_reads_what_json_reads(
    tmp_path: Path, content: dict[str, list], other: object, chunk: int, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps({"other": other} | content, indent=indent, ensure_ascii=ascii_only)
    path = write(tmp_path / "x.json", text.encode("utf-8", "surrogatepass") if ascii_only else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        found = list(read_arrays(path, list(content)))
    assert found == [(name, item) for name, items in json.loads(text).items() if name in content for item in items]


def test_val2014_table_is_reproduced_from_an_instances_file_of_its_size(test_data: Path, tmp_path: Path) -> None:
    """The 40,137 official rows survive as objects in random order among 40,504 images."""
    with gzip.open(test_data / "labels" / "coco_val2014.csv.gz", "rt") as file:
        table = pd.read_csv(file, dtype={"id": str}).set_index("id")
    assert list(table.columns) == COCO_NAMES
    random = np.random.default_rng(0)
    taken = {int(number) for number in table.index}
    without = [n for n in range(1, 581_930) if n not in taken][:367]
    rows, columns = np.nonzero(table.to_numpy())
    ids = table.index.to_numpy().astype(int)
    images: dict[int, list[tuple[int, int]]] = {int(n): [] for n in random.permutation([*ids, *without])}
    for n in random.permutation(len(rows)):
        objects = [(COCO_IDS[columns[n]], int(random.random() < 0.02))] * random.integers(1, 4)
        images[int(ids[rows[n]])] += objects
    make_coco(tmp_path, images=images, photos=False)
    every, labelled = coco(tmp_path, "val"), coco(tmp_path)
    assert (len(every.images), len(labelled.images)) == (40_504, 40_137)
    assert "40,137 of the 40,504 images" in every.notes[0]
    found = pd.DataFrame(labelled.targets, index=[image.id for image in labelled.images], columns=labelled.labels)
    pd.testing.assert_frame_equal(found.sort_index(), table.astype(np.int8), check_names=False)
    assert every.targets.sum() == labelled.targets.sum() == table.to_numpy().sum()


def test_the_parsed_table_is_read_back_and_a_changed_file_is_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_coco(tmp_path)
    first = coco(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("zsprompt.data.datasets.coco.read_instances", None)  # would fail if it were called
        again = coco(tmp_path)
    np.testing.assert_array_equal(first.targets, again.targets)
    assert (first.labels, list(first.images), first.notes) == (again.labels, list(again.images), again.notes)
    write(path, path.read_text().replace('"category_id": 18', '"category_id": 17'))
    assert present(coco(tmp_path), 1) == ["cat", "potted plant"]
    assert len(list(tables_folder().iterdir())) == 2
