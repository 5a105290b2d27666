"""NUS-WIDE in both layouts: lists, protocols, missing images and invalid files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import NUS_CSV, NUS_IMAGES, make_nus_csv, make_nus_wide, message, present, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets import nus_wide
from zsprompt.data.datasets.nus_wide import read_flags
from zsprompt.errors import DataError, UnknownName

SEEN = ("nature", "blue", "bravo", "2007")
CONCEPTS = ("airport", "animal", "beach", "sky")


def nus(root: Path, split: str | None = None) -> Dataset:
    return load_dataset("nus-wide", root=root, split=split)


def ids(data: Dataset) -> list[str]:
    return [image.id for image in data.images]


def on(data: Dataset) -> list[list[str]]:
    return [present(data, n) for n in range(len(data.images))]


def test_the_official_lists_and_what_they_leave_unlabelled(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    data = nus(tmp_path)
    assert (data.name, data.split, data.labels) == ("nus-wide", "test", CONCEPTS)
    assert ids(data) == ["actor/0002_174174086.jpg", "zoo/0003_2966552760.jpg", "zoo/0005_1.jpg"]
    assert on(data) == [["beach"], [], ["animal", "sky"]]
    assert data.notes == (
        "1 of the 3 images of list test have none of the 4 concepts: kept as negatives (test-labelled excludes them)",
    )
    assert data.images[0].path == tmp_path / "Flickr" / "actor" / "0002_174174086.jpg"
    assert on(nus(tmp_path, "train")) == [["airport", "sky"], []]
    assert len(nus(tmp_path, "all").images) == 5


def test_labelled_images_alone(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    data = nus(tmp_path, "test-labelled")
    assert (data.split, on(data)) == ("test-labelled", [["beach"], ["animal", "sky"]])
    assert data.notes[0].endswith("excluded")


@pytest.mark.parametrize("split", ["test:zsl", "test-labelled:zsl"])
def test_zero_shot_learning_is_measured_on_the_concepts(tmp_path: Path, split: str) -> None:
    data = nus(make_nus_wide(tmp_path), split)
    assert (data.split, data.labels) == (split, CONCEPTS)


def test_generalised_and_seen_labels(tmp_path: Path) -> None:
    """Tags that are also concepts are not seen labels; 75 of the official 1,000 are, which leaves 925."""
    make_nus_wide(tmp_path)
    both = nus(tmp_path, "test:gzsl")
    assert both.labels == SEEN + CONCEPTS
    assert on(both) == [["blue", "2007", "beach"], ["bravo"], ["animal", "sky"]]
    seen = nus(tmp_path, "train:seen")
    assert (seen.labels, on(seen)) == (SEEN, [["nature"], []])
    # in every protocol, concepts and not tags decide whether an image is labelled
    assert ids(nus(tmp_path, "test-labelled:gzsl")) == ids(nus(tmp_path, "test-labelled"))
    assert on(nus(tmp_path, "test-labelled:seen")) == [["blue", "2007"], []]


def test_a_test_list_of_ones_own_is_named(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    write(tmp_path / "ImageList" / "tai-dpt.txt", "zoo/0005_1.jpg\nactor\\0001_2124494179.jpg\n")
    data = nus(tmp_path, "tai-dpt")
    assert (data.split, on(data)) == ("tai-dpt", [["animal", "sky"], ["airport", "sky"]])
    assert len(nus(tmp_path, "TestImagelist").images) == 3
    text = message(UnknownName, lambda: nus(tmp_path, "tai-dtp"))
    assert "Did you mean 'tai-dpt'?" in text
    write(tmp_path / "ImageList" / "odd.txt", "zoo/9.jpg\nzoo/10.jpg\n")
    assert "found 'zoo/9.jpg' (2 such)" in message(DataError, lambda: nus(tmp_path, "odd"))


def test_missing_images_are_counted_and_can_be_left_out(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    (tmp_path / "Flickr" / "zoo" / "0003_2966552760.jpg").unlink()
    data = nus(tmp_path)
    assert len(data.images) == 3
    assert data.notes[1] == (
        f"1 of the 3 images of list test are not in {tmp_path / 'Flickr'}: split test-here excludes them"
    )
    here = nus(tmp_path, "test-here")
    assert (here.split, ids(here)) == ("test-here", ["actor/0002_174174086.jpg", "zoo/0005_1.jpg"])
    assert here.notes[1].endswith("excluded")
    assert len(nus(tmp_path, "test-labelled-here:gzsl").images) == 2
    (tmp_path / "Flickr").rename(tmp_path / "gone")
    (tmp_path / "Flickr").mkdir()
    assert "found none of 3" in message(DataError, lambda: nus(tmp_path, "test-here"))


def test_images_in_one_flat_folder(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    (tmp_path / "images").mkdir()
    for path in (tmp_path / "Flickr").rglob("*.jpg"):
        path.rename(tmp_path / "images" / path.name)
    for folder in ("actor", "zoo", ""):
        (tmp_path / "Flickr" / folder).rmdir()
    data = nus(tmp_path, "all")
    assert all(image.read() for image in data.images)
    assert not [note for note in data.notes if "are not in" in note]


@pytest.mark.parametrize("below", ["nus-wide", "NUS-WIDE", "nuswide"])
def test_where_it_may_lie(tmp_path: Path, below: str) -> None:
    make_nus_wide(tmp_path / below)
    assert len(nus(tmp_path).images) == 3


@pytest.mark.parametrize("split", ["test:gszl", "test:", ":zsl", "", "tset", "test-labeled"])
def test_a_misspelt_split(tmp_path: Path, split: str) -> None:
    make_nus_wide(tmp_path)
    if split == "":
        assert nus(tmp_path, split).split == "test"
        return
    text = message(UnknownName, lambda: nus(tmp_path, split))
    assert "test" in text or "gzsl" in text


def test_a_concept_of_another_name_with_the_same_flags_is_no_old_table(tmp_path: Path) -> None:
    make_nus_wide(tmp_path)
    assert nus(tmp_path).labels == CONCEPTS
    write(tmp_path / "ConceptsList" / "Concepts81.txt", "airport\nanimal\nshore\nsky\n")
    folder = tmp_path / "Groundtruth" / "AllLabels"
    (folder / "Labels_beach.txt").rename(folder / "Labels_shore.txt")
    assert nus(tmp_path).labels == ("airport", "animal", "shore", "sky")


CONCEPT_FILE = Path("Groundtruth/AllLabels/Labels_beach.txt")
TAGS_FILE = Path("NUS_WID_Tags/AllTags1k.txt")


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        (CONCEPT_FILE, "0\n1\n0\n0\n", "expected 5 lines, one per image of Imagelist.txt, found 4"),
        (CONCEPT_FILE, "0\n1\n0\n0\n1\n0\n", "expected 5 lines, one per image of Imagelist.txt, found more"),
        (CONCEPT_FILE, "0\n1\n2\n0\n0\n", "line 3: expected 0s and 1s separated by blanks, found '2'"),
        (CONCEPT_FILE, "0\n1\n0 1\n0\n0\n", "line 3: expected 1 cells of 0 or 1, found 2"),
        (CONCEPT_FILE, "0\n1\n01\n0\n0\n", "line 3: expected 0s and 1s separated by blanks, found '01'"),
        (CONCEPT_FILE, "", "found 0"),
        (CONCEPT_FILE, "<html>\n", "line 1: expected 0s and 1s separated by blanks, found '<html>'"),
        (CONCEPT_FILE, None, "expected"),
        (Path("ImageList/Imagelist.txt"), None, "expected ImageList/Imagelist.txt"),
        (Path("ImageList/Imagelist.txt"), "a.jpg\nb.jpg\na.jpg\n", "expected each image once"),
        (Path("ImageList/TestImagelist.txt"), "", "found an empty file"),
        (Path("ImageList/TestImagelist.txt"), b"caf\xe9.jpg\n", "expected UTF-8, found byte 0xe9"),
        (Path("ConceptsList/Concepts81.txt"), None, "the 81 concepts"),
        (Path("ConceptsList/Concepts81.txt"), "airport\nsubmarine\n", "Labels_submarine.txt"),
        (TAGS_FILE, "0 1\n", "line 1: expected 6 cells of 0 or 1, found 2"),
        (TAGS_FILE, None, "the tags of each image"),
        (Path("NUS_WID_Tags/TagList1k.txt"), None, "the 1,000 tags"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, file: Path, content: str | bytes | None, part: str) -> None:
    make_nus_wide(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        write(tmp_path / file, content)
    text = message(DataError, lambda: nus(tmp_path, "test:gzsl"))
    assert part in text
    assert str(tmp_path) in text


@given(
    seed=st.integers(0, 999),
    rows=st.integers(0, 30),
    columns=st.integers(1, 7),
    block=st.integers(1, 60),
    line_end=st.sampled_from(["\n", "\r\n", "\t\n", " \r\n", "\n\n"]),
    blank=st.sampled_from([" ", "\t", "  "]),
    last=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flags_come_back_wherever_blocks_end(
    tmp_path: Path, seed: int, rows: int, columns: int, block: int, line_end: str, blank: str, last: bool
) -> None:
    flags = np.random.default_rng(seed).integers(0, 2, (rows, columns)).astype(np.int8)
    text = "".join(blank.join(map(str, row)) + line_end for row in flags)
    path = write(tmp_path / "x.txt", text if last else text.removesuffix(line_end))
    taken = list(range(0, columns, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nus_wide, "_BLOCK", block)
        np.testing.assert_array_equal(read_flags(path, rows, columns), flags)
        np.testing.assert_array_equal(read_flags(path, rows, columns, taken), flags[:, taken])
        with pytest.raises(DataError, match="lines"):
            read_flags(path, rows + 1, columns)


def test_hashnets_table_of_15000_round_trips(test_data: Path, tmp_path: Path) -> None:
    """A published label table, written in the official format and read again."""
    table = pd.read_csv(test_data / "labels" / "nuswide81_hashnet_15000.csv.gz")
    concepts = (test_data / "labels" / "nuswide81_concepts.txt").read_text().split()
    assert list(table.columns[3:]) == concepts
    names = [f"all\\{name}.jpg" for name in table["file"]]
    lists = {"Imagelist": names}
    for split in set(table["split"]):
        lists[f"hashnet-{split}"] = [name for name, part in zip(names, table["split"], strict=True) if part == split]
    for name, inside in lists.items():
        write(tmp_path / "ImageList" / f"{name}.txt", "\n".join(inside))
    write(tmp_path / "ConceptsList" / "Concepts81.txt", "\n".join(concepts))
    for concept in concepts:
        write(tmp_path / f"Groundtruth/AllLabels/Labels_{concept}.txt", "\n".join(map(str, table[concept])))
    for name, inside in lists.items():
        data = nus(tmp_path, "all" if name == "Imagelist" else name)
        assert len(data.images) == len(inside)
        part = table if name == "Imagelist" else table[table["split"] == name.removeprefix("hashnet-")]
        np.testing.assert_array_equal(data.targets, part[concepts].to_numpy())
        assert data.labels == tuple(concepts)


# -- data.csv and benchmark_81_v0.json


def test_the_csv_layout_measures_on_the_test_classes(tmp_path: Path) -> None:
    data = nus(make_nus_csv(tmp_path), "val")
    assert (data.labels, ids(data)[0]) == (("airport", "beach"), "images/0002.jpg")
    assert on(data) == [["beach"], [], [], ["airport", "beach"]]
    assert on(nus(tmp_path, "test")) == on(data)
    assert all(image.read() for image in data.images)
    assert on(nus(tmp_path, "val-labelled")) == [["beach"], ["airport", "beach"]]


def test_the_csv_layouts_protocols(tmp_path: Path) -> None:
    make_nus_csv(tmp_path)
    assert nus(tmp_path, "val:gzsl").labels == ("airport", "beach", "blue", "nature")
    seen = nus(tmp_path, "train:seen")
    assert (seen.labels, on(seen)) == (("blue", "nature"), [["nature"]])
    assert len(nus(tmp_path, "all").images) == 5


@pytest.mark.parametrize(
    ("file", "content", "part"),
    [
        ("benchmark_81_v0.json", None, "names the unseen classes"),
        ("benchmark_81_v0.json", '{"test class": ["zebra"]}', "found no 'zebra'"),
        ("benchmark_81_v0.json", '{"train class": []}', "expected a list 'test class'"),
        ("benchmark_81_v0.json", "[1]", "expected a list 'test class'"),
        ("benchmark_81_v0.json", '{"test', "cannot read"),
        ("data.csv", NUS_CSV.replace(",train", ""), "line 2: expected an image, its labels and its split"),
        ("data.csv", NUS_CSV.replace("0002", "0001"), "found 5 rows with 4 names"),
        ("data.csv", "a,b,c\n", "found 0 rows"),
        ("data.csv", b"a,b,c\n\xff,1,2\n", "line 2: expected UTF-8"),
        ("data.csv", 'a,b,c\n"x,1,2\n', "cannot read"),
    ],
)
def test_a_broken_csv_layout_is_one_line(tmp_path: Path, file: str, content: str | bytes | None, part: str) -> None:
    make_nus_csv(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        write(tmp_path / file, content)
    text = message(DataError, lambda: nus(tmp_path, "val"))
    assert part in text
    assert file in text


def test_an_unknown_list_of_the_csv(tmp_path: Path) -> None:
    make_nus_csv(tmp_path)
    assert "Did you mean 'train'?" in message(UnknownName, lambda: nus(tmp_path, "trian"))


def test_missing_images_of_the_csv(tmp_path: Path) -> None:
    make_nus_csv(tmp_path)
    (tmp_path / "images" / "0003.jpg").unlink()
    assert len(nus(tmp_path, "val-here").images) == 3
    assert json.dumps(nus(tmp_path, "val").notes).count("are not in") == 1


def test_the_small_tree_is_what_the_contract_counts_on() -> None:
    assert sum(part == "Test" for part, _ in NUS_IMAGES.values()) == 3
