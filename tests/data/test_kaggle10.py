"""Kaggle's ten classes: names, splits, and the published table."""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trees import KAGGLE_CSV, make_kaggle, message, present, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets.kaggle10 import RAW_NAMES, SHARES
from zsprompt.errors import DataError, UnknownName


def kaggle(root: Path, split: str | None = None, names: str = "readable") -> Dataset:
    return load_dataset("kaggle10", root=root, split=split, names=names)


def test_names_and_targets(tmp_path: Path) -> None:
    make_kaggle(tmp_path)
    data = kaggle(tmp_path)
    assert (data.name, data.split) == ("kaggle10", "all")
    assert [present(data, n) for n in range(3)] == [["bus"], ["sitar", "flute"], ["bicycle"]]
    assert kaggle(tmp_path, names="raw").labels == RAW_NAMES
    assert all(image.read() for image in data.images)


@pytest.mark.parametrize("below", ["", "multilabel_modified", "kaggle10"])
def test_accepted_folders_and_images_next_to_the_table(tmp_path: Path, below: str) -> None:
    path = make_kaggle(tmp_path / below)
    for image in (path.parent / "images").iterdir():
        image.rename(path.parent / image.name)
    (path.parent / "images").rmdir()
    assert all(image.read() for image in kaggle(tmp_path).images)


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    path = make_kaggle(tmp_path)
    table = pd.read_csv(path)
    table[["Image_Name", *reversed(table.columns[1:])]].to_csv(path, index=False)
    assert present(kaggle(tmp_path), 1) == ["sitar", "flute"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (KAGGLE_CSV.replace("harmonium", "harmonica"), "expected one CSV with the columns motorcycle, truck"),
        (KAGGLE_CSV.replace("Image_Name", "Bild"), "line 1: expected the columns Image_Name"),
        (KAGGLE_CSV.replace("bus,0,", "bus,2,", 1), "line 2: expected 1, 0 or -1 (left out) for 'motorcycle'"),
        (KAGGLE_CSV.replace("image3", "image1").replace("image2", "image3"), "found 'image1.jpg' in rows 1 and 3"),
        (KAGGLE_CSV[:-5], "expected 12 columns"),
        (KAGGLE_CSV.splitlines()[0], "found none"),
        (KAGGLE_CSV.replace(",", ";"), "expected one CSV with the columns"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path: Path, content: str, part: str) -> None:
    write(make_kaggle(tmp_path), content)
    assert part in message(DataError, lambda: kaggle(tmp_path))


def test_two_tables_are_not_guessed_between(tmp_path: Path) -> None:
    make_kaggle(tmp_path)
    write(tmp_path / "copy.csv", KAGGLE_CSV)
    assert "found 2 (copy.csv, multilabel_classification.csv)" in message(DataError, lambda: kaggle(tmp_path))


@pytest.mark.parametrize("split", ["train-71", "train-30", "test", "test-70", "train-", "al"])
def test_a_share_that_the_paper_does_not_have(tmp_path: Path, split: str) -> None:
    make_kaggle(tmp_path)
    assert "train-70" in message(UnknownName, lambda: kaggle(tmp_path, split))


@pytest.fixture(scope="module")
def published(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """The published table as a data set, and the table with its two wrong names corrected."""
    content = gzip.decompress((test_data / "labels" / "kaggle10_all.csv.gz").read_bytes())
    root = tmp_path_factory.mktemp("kaggle")
    table = pd.read_csv(write(root / "labels.csv", content))
    assert list(table["Image_Name"][7821:7823]) == ["image7722.jpg", "image7723.jpg"]
    table["Image_Name"] = [f"image{n + 1}.jpg" for n in range(len(table))]
    return root, table.set_index("Image_Name")


def test_the_published_table_round_trips(published: tuple[Path, pd.DataFrame]) -> None:
    root, table = published
    data = kaggle(root)
    assert len(data.images) == 7843
    assert [image.id for image in data.images] == list(table.index)
    np.testing.assert_array_equal(data.targets, table[list(RAW_NAMES)].to_numpy())
    assert data.notes[0] == (
        "row 7822 of labels.csv repeats image7722.jpg; it is read as image7822.jpg, which no row names"
    )
    assert len(data.notes) == 2


@pytest.mark.parametrize("share", SHARES)
def test_splits_share_out_all_images_and_stay_the_same(published: tuple[Path, pd.DataFrame], share: int) -> None:
    root, table = published
    train, test = kaggle(root, f"train-{share}"), kaggle(root, f"test-{100 - share}")
    assert len(train.images) == round(7843 * share / 100)
    names = [{image.id for image in data.images} for data in (train, test)]
    assert names[0] | names[1] == set(table.index)
    assert not names[0] & names[1]
    for data in (train, test):
        np.testing.assert_array_equal(data.targets, table.loc[[image.id for image in data.images]].to_numpy())
    positives = train.targets.mean(axis=0) - table.to_numpy().mean(axis=0)
    assert np.abs(positives).max() < 0.05 if share >= 10 else np.abs(positives).max() < 0.1


def test_small_shares_lie_in_larger_ones_and_are_pinned(published: tuple[Path, pd.DataFrame]) -> None:
    root, _ = published
    inside = [{image.id for image in kaggle(root, f"train-{share}").images} for share in sorted(SHARES)]
    assert all(small < large for small, large in pairwise(inside))
    assert sorted(inside[0])[:4] == ["image1001.jpg", "image1013.jpg", "image1042.jpg", "image1111.jpg"]


def test_the_order_of_the_table_changes_no_split(published: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    root, table = published
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "shuffled.csv")
    shuffled = {image.id for image in kaggle(tmp_path, "train-5").images}
    assert shuffled == {image.id for image in kaggle(root, "train-5").images}
