"""Label folders in ImageNet's layout."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from trees import make_image_folders, message, present, save_image, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets.image_folders import _readable
from zsprompt.errors import DataError, UnknownName


def load(root: Path, split: str | None = None, names: str = "readable") -> Dataset:
    return load_dataset("image-folders", root=root, split=split, names=names)


def test_one_label_per_image(tmp_path: Path) -> None:
    make_image_folders(tmp_path / "birds")
    data = load(tmp_path / "birds")
    assert (data.name, data.split, data.labels) == ("birds", "val", ("cat", "potted plant"))
    assert [image.id for image in data.images] == ["cat/x.JPEG", "potted_plant/y.JPEG", "potted_plant/z.JPEG"]
    np.testing.assert_array_equal(data.targets, [[1, 0], [0, 1], [0, 1]])
    assert load(tmp_path / "birds", names="raw").labels == ("cat", "potted_plant")


def test_without_splits_the_root_holds_the_labels(tmp_path: Path) -> None:
    make_image_folders(tmp_path)
    data = load(tmp_path / "val")
    assert (data.split, len(data.images)) == ("all", 3)
    assert load(tmp_path / "val", "all").labels == data.labels


def test_splits_are_folders_and_hidden_ones_are_none(tmp_path: Path) -> None:
    make_image_folders(tmp_path)
    save_image(tmp_path / "train" / "dog" / "deep" / "a.jpg")
    save_image(tmp_path / ".cache" / "dog" / "a.jpg")
    train = load(tmp_path, "train")
    assert (train.labels, train.images[0].id) == (("dog",), "dog/deep/a.jpg")
    assert load(tmp_path).split == "val"
    text = message(UnknownName, lambda: load(tmp_path, "trian"))
    assert "Did you mean 'train'?" in text
    assert ".cache" not in text


def test_names_from_imagenets_file(tmp_path: Path) -> None:
    """The first of several names is used; folders with the same name get distinct ones."""
    reason = (
        "n01440764 tench, Tinca tinca\nn02012849 crane\nn02113186 Cardigan, Cardigan Welsh corgi\nn02963159 cardigan\n"
    )
    write(tmp_path / "LOC_synset_mapping.txt", reason + "n03126707 crane\n")
    for wnid in (line.split()[0] for line in (tmp_path / "LOC_synset_mapping.txt").read_text().splitlines()):
        save_image(tmp_path / "val" / wnid / f"{wnid}_1.JPEG")
    expected = ("tench", "crane bird", "Cardigan Welsh corgi", "cardigan", "construction crane")
    assert load(tmp_path).labels == expected
    assert load(tmp_path, names="raw").labels[0] == "n01440764"


def test_folders_of_one_name_in_words_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "sea_lion" / "a.jpg")
    save_image(tmp_path / "sea lion" / "a.jpg")
    text = message(DataError, lambda: load(tmp_path))
    assert "both 'sea lion'" in text
    assert ",names=raw" in text
    assert load(tmp_path, names="raw").labels == ("sea lion", "sea_lion")


def test_what_is_not_there(tmp_path: Path) -> None:
    assert "found nothing" in message(DataError, lambda: load(tmp_path))
    (tmp_path / "cat").mkdir()
    assert "found cat" in message(DataError, lambda: load(tmp_path))
    write(tmp_path / "classes.txt", b"\xff")
    save_image(tmp_path / "cat" / "a.jpg")
    assert "classes.txt, line 1: expected UTF-8" in message(DataError, lambda: load(tmp_path))


@pytest.mark.parametrize("line", ["", "cat", "  \n\ncat\n"])
def test_a_file_of_names_may_say_nothing_of_a_folder(tmp_path: Path, line: str) -> None:
    make_image_folders(tmp_path)
    write(tmp_path / "classes.txt", line)
    assert present(load(tmp_path), 2) == ["potted plant"]


def test_time_grows_with_the_labels_and_not_faster() -> None:
    def seconds(count: int) -> float:
        start = time.perf_counter()
        assert len(_readable([f"label_{n}" for n in range(count)], {})) == count
        return time.perf_counter() - start

    assert seconds(40_000) < 40 * seconds(4_000) + 0.5  # quadratic would take many seconds
