"""The \\ of Windows in every file that names images: the same images are found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from trees import make_nus_csv, save_image, write

from zsprompt.data import load_dataset
from zsprompt.data.datasets.image_captions import captions_for
from zsprompt.data.image_lists import LIST_SUFFIXES
from zsprompt.data.inputs import find_sources

NAMES = ("day\\1\\a.png", "day\\2\\b.png", "c.png")


def rows() -> list[dict[str, str]]:
    return [{"image": name, "labels": "cat" if n else "dog", "caption": f"number {n}"} for n, name in enumerate(NAMES)]


def separated(mark: str) -> Callable[[Path], object]:
    lines = [mark.join(rows()[0]), *(mark.join(row.values()) for row in rows())]
    return lambda path: write(path, "\n".join(lines))


WRITERS: dict[str, Callable[[Path], object]] = {
    ".csv": separated(","),
    ".tsv": separated("\t"),
    ".jsonl": lambda path: write(path, "".join(json.dumps(row) + "\n" for row in rows())),
    ".ndjson": lambda path: write(path, "".join(json.dumps(row) + "\n" for row in rows())),
    ".json": lambda path: write(path, json.dumps(rows())),
    ".parquet": lambda path: parquet.write_table(pa.Table.from_pylist(rows()), path),
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for n, name in enumerate(NAMES):
        save_image(tmp_path / name.replace("\\", "/"), noise=n)
    return tmp_path


def test_every_kind_of_list_is_here() -> None:
    assert WRITERS.keys() == set(LIST_SUFFIXES)


@pytest.mark.parametrize("suffix", WRITERS)
def test_lists_as_data_sets_as_inputs_and_as_captions(photos: Path, suffix: str) -> None:
    path = photos / f"x{suffix}"
    WRITERS[suffix](path)
    data = load_dataset("list", root=path)
    expected = [name.replace("\\", "/") for name in NAMES]
    assert [image.id for image in data.images] == expected
    assert [image.path for image in data.images] == [photos / name for name in expected]
    assert [image.id for image in find_sources([path])] == expected
    assert all(image.read() for image in find_sources([path]))
    assert captions_for(expected, path) == ("number 0", "number 1", "number 2")
    (remark,) = data.remarks
    assert remark.sentence == f"guessed where the images are: next to x{suffix}, with / for \\"


def test_a_file_whose_name_has_a_backslash_is_itself(tmp_path: Path) -> None:
    save_image(tmp_path / "a\\b.png")
    write(tmp_path / "labels.csv", "image,labels\na\\b.png,cat\n")
    data = load_dataset("folder", root=tmp_path)
    assert data.images[0].path == tmp_path / "a\\b.png"
    assert data.remarks == ()


def test_the_table_of_nus_wide(tmp_path: Path) -> None:
    make_nus_csv(tmp_path)
    before = load_dataset("nus-wide", root=tmp_path)
    path = tmp_path / "data.csv"
    write(path, path.read_text().replace("images/0", "images\\0"))
    assert list(load_dataset("nus-wide", root=tmp_path).images) == list(before.images)


def test_the_caption_csv(tmp_path: Path) -> None:
    save_image(tmp_path / "data" / "day" / "0.jpg")
    write(tmp_path / "train.csv", "ImageID,Labels,Caption\nday\\0.jpg,1,A woman.\n")
    assert load_dataset("captions-csv", root=tmp_path).images[0].read()
