"""Images inside Parquet files, as Hugging Face datasets writes them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from trees import message, png, present

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.images import decode
from zsprompt.data.inputs import find_sources
from zsprompt.errors import DataError, ImageError

NAMES = ["cat", "potted plant"]
IMAGES = [png(noise=n) for n in range(5)]


def features(**kinds: object) -> dict[bytes, bytes]:
    """The description that Hugging Face datasets writes into the file."""
    return {b"huggingface": json.dumps({"info": {"features": kinds}}).encode()}


CLASS = {"_type": "ClassLabel", "names": NAMES}


def written(
    path: Path,
    labels: list[object],
    kind: object = CLASS,
    paths: list[str | None] | None = None,
    **columns: list[object],
) -> Path:
    """A file of five images in row groups of two."""
    values = [{"bytes": data, "path": name} for data, name in zip(IMAGES, paths or [None] * 5, strict=True)]
    table = pa.table({"image": values, "label": labels} | columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata(features(label=kind)), path, row_group_size=2)
    return path


def load(path: Path, split: str | None = None) -> Dataset:
    return load_dataset("list", root=path, split=split)


@pytest.mark.parametrize(
    ("labels", "kind", "expected"),
    [
        ([0, 1, 0, -1, 1], CLASS, [["cat"], ["potted plant"], ["cat"], [], ["potted plant"]]),
        ([[0], [1, 0], [], [0], [1]], {"_type": "Sequence", "feature": CLASS}, None),
        ([[0], [1, 0], [], [0], [1]], {"_type": "List", "feature": CLASS}, None),
        ([[0], [1, 0], [], [0], [1]], [CLASS], None),
        ([["cat"], NAMES, [], ["cat"], ["potted plant"]], None, None),
    ],
)
def test_images_and_labels_in_any_row_group(
    tmp_path: Path, labels: list[object], kind: object, expected: list[list[str]] | None
) -> None:
    data = load(written(tmp_path / "x.parquet", labels, kind))
    expected = expected or [["cat"], ["cat", "potted plant"], [], ["cat"], ["potted plant"]]
    assert [present(data, n) for n in range(5)] == expected
    assert [image.id for image in data.images] == [f"x-{n:06}" for n in range(1, 6)]
    assert [image.read() for image in reversed(data.images)] == IMAGES[::-1]
    assert all(decode(image.read()).size for image in data.images)
    assert len({image.identity() for image in data.images}) == 5


def test_class_numbers_without_names_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", [0, 1, 0, 1, 1], {"_type": "Value"})
    assert "line 1: expected label names, found '0'" in message(DataError, lambda: load(path))


def test_a_class_number_beyond_the_names_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", [0, 1, 2, 1, 1])
    assert "line 3: expected label names, found '[2]'" in message(DataError, lambda: load(path))


def test_one_file_per_split_as_on_a_hub(tmp_path: Path) -> None:
    for n in range(2):
        written(tmp_path / "data" / f"train-{n:05}-of-00002.parquet", [0] * 5)
    written(tmp_path / "data" / "test-00000-of-00001.parquet", [1] * 5)
    assert len(load(tmp_path).images) == 15
    test = load(tmp_path, "test")
    assert (test.labels, len(test.images), present(test)) == (("cat", "potted plant"), 5, ["potted plant"])
    assert len(load(tmp_path, "train").images) == 10


def test_equal_names_become_distinct_and_other_structs_are_named(tmp_path: Path) -> None:
    objects = [{"bbox": [1.0], "area": 1}] * 5
    path = written(tmp_path / "x.parquet", [0] * 5, paths=["a.png", "b.png", "a.png", None, "c.png"], objects=objects)
    data = load(path)
    assert [image.id for image in data.images] == ["a.png", "b.png", "a.png (x.parquet, line 3)", "x-000004", "c.png"]
    assert data.images[2].read() == IMAGES[2]
    assert "left out 1 column that is not a label: 'objects' of x.parquet" in data.caveats


def test_predict_reads_the_same_images(tmp_path: Path) -> None:
    path = written(tmp_path / "x.parquet", [0] * 5)
    assert [image.read() for image in find_sources([path])] == IMAGES


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"image": [{"bytes": None, "path": "a.png"}], "labels": [["cat"]]}), path)
    (image,) = load(path).images
    assert "embed the images" in message(ImageError, image.read)
    before = image.identity()
    written(path, [0] * 5)
    os.utime(path, (1, 1))
    assert image.identity() != before
    assert image.read() == IMAGES[0]
    path.write_bytes(path.read_bytes()[:100] + b"\0" * 5_000)
    assert "x.parquet" in message(ImageError, image.read)
    path.unlink()
    assert message(ImageError, image.read) == "x.parquet: no such file"
    assert image.identity() is None
