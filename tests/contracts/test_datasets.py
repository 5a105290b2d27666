"""Data sets: one contract for every loader, then the rules of each file format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from trees import FLAGS, MAKERS, VOC_IMAGES, annotation, make_folder, make_voc, message, small, write

from zsprompt.data import DATASETS, Dataset, available_datasets, data_folder, load_dataset
from zsprompt.data.datasets import scenes
from zsprompt.data.datasets.voc import RAW_NAMES, label_names
from zsprompt.data.images import decode
from zsprompt.errors import DataError, UnknownName, UsageError
from zsprompt.metrics import DIFFICULT, resolve_targets
from zsprompt.testing import check_dataset

# VOC


def one_photo(root: Path, xml: str | bytes) -> Path:
    """A VOC2007 folder with one image and this annotation; returns the path of the annotation."""
    base = make_voc(root, photos={"000007": []})
    return write(base / "Annotations" / "000007.xml", xml)


def voc(root: Path, **options: str | None) -> Dataset:
    return load_dataset("voc", root=root, **options)


def row(dataset: Dataset, position: int = 0) -> dict[str, int]:
    """The labels of one image that are not simply absent."""
    return {
        label: int(value) for label, value in zip(dataset.labels, dataset.targets[position], strict=True) if value != 0
    }


# folder

NO_HEADER = "FILE, line 1: expected a header with a column 'image', found a blank line or nothing"
NAMES = "image,labels\na.png,cat|potted plant\nb.png,dog\nc.png,\n"


def folder(root: Path, content: str | bytes, **options: str | None) -> Dataset:
    write(root / "labels.csv", content)
    return load_dataset("folder", root=root, **options)


def refusal(root: Path, content: str | bytes, **options: str | None) -> str:
    """The message with FILE for the path, which it must contain."""
    text = message(DataError, lambda: folder(root, content, **options))
    assert str(root / "labels.csv") in text
    return text.replace(str(root / "labels.csv"), "FILE")


# The contract


@pytest.fixture(params=DATASETS)
def built(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path | None]:
    """Every data set of the table: its name and a folder with a small example, or None if it has no files."""
    assert request.param in MAKERS, "a new data set needs a small one here"
    if MAKERS[request.param](tmp_path / "small") is None:
        monkeypatch.setitem(scenes._SIZES, "test", 3)
        return request.param, None
    return request.param, tmp_path / "small"


@pytest.fixture
def built_on_disk(built: tuple[str, Path | None]) -> tuple[str, Path]:
    """The data sets that have files."""
    if built[1] is None:
        pytest.skip("has no files")
    return built


@pytest.mark.parametrize("names", ["readable", "raw"])
def test_contract(built: tuple[str, Path], names: str) -> None:
    name, root = built
    data = load_dataset(name, root=root, names=names)
    check_dataset(data)
    assert (data.split != "", data.names) == (True, names)


def test_contract_names_change_only_labels(built: tuple[str, Path]) -> None:
    name, root = built
    readable, raw = (load_dataset(name, root=root, names=names) for names in ("readable", "raw"))
    np.testing.assert_array_equal(readable.targets, raw.targets)
    assert list(readable.images) == list(raw.images)
    assert root is None or "potted plant" in readable.labels or {"flute", "airport", "person"} & set(readable.labels)


def test_contract_loading_twice_gives_the_same(built: tuple[str, Path]) -> None:
    name, root = built
    first, second = load_dataset(name, root=root), load_dataset(name, root=root and str(root))
    assert (first.labels, list(first.images)) == (second.labels, list(second.images))
    np.testing.assert_array_equal(first.targets, second.targets)


def test_contract_a_sample_is_some_of_its_images(built: tuple[str, Path]) -> None:
    name, root = built
    data = load_dataset(name, root=root)
    drawn = data.sample(2, 5)
    ids = [image.id for image in data.images]
    places = [ids.index(image.id) for image in drawn.images]
    assert (len(places), places) == (2, sorted(places))
    np.testing.assert_array_equal(drawn.targets, data.targets[places])
    assert (drawn.labels, drawn.split) == (data.labels, f"{data.split}[sample 2, seed 5]")


def test_contract_unknown_split(built: tuple[str, Path]) -> None:
    name, root = built
    with pytest.raises((UnknownName, DataError), match="nonsense"):
        load_dataset(name, root=root, split="nonsense")


def test_contract_unknown_kind_of_names(built: tuple[str, Path]) -> None:
    name, root = built
    assert "readable" in message(UnknownName, lambda: load_dataset(name, root=root, names="readible"))


@pytest.mark.parametrize("below", ["missing", "empty", "a_file/below", "n" * 300, "nul\0"])
def test_contract_missing_data(built_on_disk: tuple[str, Path], tmp_path: Path, below: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "a_file", "")
    assert str(tmp_path / below) in message(DataError, lambda: load_dataset(built_on_disk[0], root=tmp_path / below))


def test_contract_data_folder(built_on_disk: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a root, ZSPROMPT_DATA names the folder."""
    name, root = built_on_disk
    monkeypatch.setenv("ZSPROMPT_DATA", str(root))
    assert data_folder() == root
    assert len(load_dataset(name).images) == 3
    monkeypatch.setenv("ZSPROMPT_DATA", str(root / "gone"))
    text = message(DataError, lambda: load_dataset(name))
    assert str(root / "gone") in text
    assert "--root" in text


# load_dataset and Dataset


@pytest.mark.parametrize(
    ("wrong", "right"), [("vok", "voc"), ("VOC", "voc"), ("voc2021", "voc2012"), ("foldr", "folder")]
)
def test_a_misspelt_name_gets_a_suggestion(wrong: str, right: str) -> None:
    assert f"Did you mean '{right}'?" in message(UnknownName, lambda: load_dataset(wrong))


def test_available_datasets_has_a_line_for_each() -> None:
    lines = available_datasets()
    assert lines.keys() >= DATASETS.keys()
    assert all(lines.values())


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    write(folder / f"{name}.py", f"from trees import small\n{code}\n")
    monkeypatch.syspath_prepend(folder)


def test_objects_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "READY = small()\ndef load(root, *, split, names):\n    return small().first(int(split))"
    module(tmp_path, monkeypatch, "own_data", code)
    assert load_dataset("own_data:READY").images[1].id == "1.png"
    assert len(load_dataset("own_data:load", root=tmp_path, split="1").images) == 1


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("own_wrong:GONE", "expected 'GONE' in module 'own_wrong'"),
        ("no_such_module_here:load", "cannot import"),
        ("own_wrong:NUMBER", "expected a Dataset or a loader of one at 'own_wrong:NUMBER', found int"),
        ("own_wrong:nothing", "expected a Dataset from the loader 'own_wrong:nothing', found NoneType"),
    ],
)
def test_objects_of_another_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, part: str) -> None:
    module(tmp_path, monkeypatch, "own_wrong", "NUMBER = 3\ndef nothing(root, *, split, names):\n    return None")
    assert part in message(UsageError, lambda: load_dataset(path, root=tmp_path))


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: small(np.zeros((2, 3), dtype=np.int8)), "expected targets of shape (2, 2)"),
        (lambda: small(np.full((2, 2), 2, dtype=np.int8)), "expected targets of 1, 0 or -1"),
        (lambda: small(np.zeros((0, 2), dtype=np.int8), images=0), "found none"),
    ],
)
def test_a_dataset_checks_itself(make: Callable[[], Dataset], part: str) -> None:
    assert part in message(DataError, make)


def test_select_and_first() -> None:
    data = small()
    assert [image.id for image in data.select([1, 0]).images] == ["1.png", "0.png"]
    np.testing.assert_array_equal(data.select(np.array([1])).targets, [[0, 1]])
    assert len(data.first(1).images) == 1
    assert len(data.first(99).images) == 2
    assert "at least 1" in message(UsageError, lambda: data.first(0))


# VOC: its files


def test_voc_targets(tmp_path: Path) -> None:
    make_voc(tmp_path)
    data = voc(tmp_path)
    assert (data.name, data.split, data.labels) == ("voc2007", "test", label_names("readable"))
    assert [image.id for image in data.images] == list(VOC_IMAGES)
    assert [row(data, n) for n in range(3)] == [{"cat": 1, "person": -1}, {"person": 1, "potted plant": 1}, {}]


@pytest.mark.parametrize("order", [(True, False), (False, True), (True, False, True)])
def test_an_object_that_is_not_difficult_makes_the_label_present(tmp_path: Path, order: tuple[bool, ...]) -> None:
    make_voc(tmp_path, photos={"000001": [("dog", difficult) for difficult in order]})
    assert row(voc(tmp_path)) == {"dog": 1}


def test_parts_of_objects_are_ignored(tmp_path: Path) -> None:
    """VOC2012 nests heads, hands and feet inside a person."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><part><name>hand</name></part>"
    base = make_voc(tmp_path, "2012", "val", {"2008_000001": []})
    write(base / "Annotations" / "2008_000001.xml", annotation(("person", False), inside=part))
    data = load_dataset("voc2012", root=tmp_path)
    assert (data.name, data.split, row(data)) == ("voc2012", "val", {"person": 1})


def test_an_object_without_the_difficult_field_counts(tmp_path: Path) -> None:
    one_photo(tmp_path, "<annotation><object><name> cow </name></object></annotation>")
    assert row(voc(tmp_path)) == {"cow": 1}


def test_names() -> None:
    readable, raw = label_names("readable"), label_names("raw")
    assert raw == RAW_NAMES
    assert {r: n for r, n in zip(raw, readable, strict=True) if r != n} == {
        "diningtable": "dining table",
        "pottedplant": "potted plant",
        "tvmonitor": "tv monitor",
    }


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("000003 -1\n000001  1\n", id="two columns"),
        pytest.param("000003\r\n000001\r\n", id="CRLF"),
        pytest.param("\n000003\n\n000001", id="blank lines"),
    ],
)
def test_any_list_is_a_split(tmp_path: Path, content: str) -> None:
    base = make_voc(tmp_path)
    write(base / "ImageSets" / "Main" / "cat_mine.txt", content)
    data = voc(tmp_path, split="cat_mine")
    assert [image.id for image in data.images] == ["000003", "000001"]
    assert data.split == "cat_mine"


def test_a_missing_list_is_refused_with_similar_names(tmp_path: Path) -> None:
    base = make_voc(tmp_path)
    write(base / "ImageSets" / "Main" / "trainval.txt", "000001\n")
    text = message(UnknownName, lambda: voc(tmp_path, split="tset"))
    assert "Did you mean 'test'?" in text
    assert "trainval" in text
    assert str(base / "ImageSets" / "Main") in text


def test_no_lists_at_all(tmp_path: Path) -> None:
    base = make_voc(tmp_path)
    (base / "ImageSets" / "Main" / "test.txt").unlink()
    assert str(base / "ImageSets" / "Main") in message(DataError, lambda: voc(tmp_path))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "found an empty list"),
        (" \n\n", "found an empty list"),
        ("000001\n000002\n000001\n", "expected each image once"),
        (b"caf\xe9\n", "cannot read image list"),
    ],
)
def test_broken_lists(tmp_path: Path, content: str | bytes, part: str) -> None:
    path = write(make_voc(tmp_path) / "ImageSets" / "Main" / "test.txt", content)
    text = message(DataError, lambda: voc(tmp_path))
    assert part in text
    assert str(path) in text


@pytest.mark.parametrize(
    ("xml", "part"),
    [
        pytest.param(annotation(("dog", False))[:60], "line 3", id="cut"),
        pytest.param("", "no element found", id="empty"),
        pytest.param("not xml", "syntax error", id="text"),
        pytest.param("<html><body>404</body></html>", "expected <annotation>", id="HTML"),
        pytest.param(b"<annotation>\xe9</annotation>", "invalid token", id="latin-1"),
        pytest.param('<?xml version="1.0" encoding="klingon"?><annotation/>', "klingon", id="unknown encoding"),
        pytest.param('<?xml version="1.0" encoding="shift_jis"?><annotation/>', "multi-byte", id="Shift JIS"),
        pytest.param(annotation(("zebra", False)), "found 'zebra'", id="unknown label"),
        pytest.param("<annotation><object/></annotation>", "found ''", id="no label"),
    ],
)
def test_broken_annotations_are_named(tmp_path: Path, xml: str | bytes, part: str) -> None:
    path = one_photo(tmp_path, xml)
    text = message(DataError, lambda: voc(tmp_path))
    assert part in text
    assert str(path) in text


def test_missing_annotation_is_named(tmp_path: Path) -> None:
    path = make_voc(tmp_path) / "Annotations" / "000002.xml"
    path.unlink()
    assert message(DataError, lambda: voc(tmp_path)) == f"expected annotation {path}, found none"


@pytest.mark.parametrize("root", [".", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_voc_root_can_be_any_of_three_folders(tmp_path: Path, root: str) -> None:
    base = make_voc(tmp_path)
    assert voc(tmp_path / root).images[0].path == base / "JPEGImages" / "000001.jpg"


def test_voc_root_can_have_another_name(tmp_path: Path) -> None:
    make_voc(tmp_path).rename(tmp_path / "mine")
    assert len(voc(tmp_path / "mine").images) == 3


def test_each_year_reads_its_own_folder(tmp_path: Path) -> None:
    make_voc(tmp_path)
    make_voc(tmp_path, "2012", "val", {"2008_000001": [("bus", False)]})
    assert voc(tmp_path).name == "voc2007"
    assert row(load_dataset("voc2012", root=tmp_path)) == {"bus": 1}


@pytest.mark.parametrize("root", [".", "VOCdevkit", "VOCdevkit/VOC{}"])
@pytest.mark.parametrize(("asked", "year", "other"), [("voc", "2012", "voc2012"), ("voc2012", "2007", "voc")])
def test_only_the_other_year_exists(tmp_path: Path, root: str, asked: str, year: str, other: str) -> None:
    make_voc(tmp_path, year)
    text = message(DataError, lambda: load_dataset(asked, root=tmp_path / root.format(year), split="test"))
    assert f"for VOC{year} use --dataset {other}" in text


def test_voc_root_is_a_file(tmp_path: Path) -> None:
    assert "found a file" in message(DataError, lambda: voc(write(tmp_path / "VOCtest.tar", "x")))


# folder: its files


def test_folder_flags(tmp_path: Path) -> None:
    data = folder(tmp_path, FLAGS)
    assert (data.name, data.split, data.labels) == (tmp_path.name, "all", ("cat", "dog", "potted plant"))
    assert [(image.id, image.path) for image in data.images][1] == ("sub/b.png", tmp_path / "sub" / "b.png")
    np.testing.assert_array_equal(data.targets, [[1, 0, -1], [0, 1, 0], [0, 0, 0]])


def test_folder_one_flag_column(tmp_path: Path) -> None:
    data = folder(tmp_path, "image,cat\na.png,1\nb.png,0\nc.png,-1\n")
    assert data.labels == ("cat",)
    assert data.targets.tolist() == [[1], [0], [-1]]


@pytest.mark.parametrize("value", ["2", "maybe", "", "1.5", "o"])
def test_one_flag_column_with_another_value_is_not_a_column_of_names(tmp_path: Path, value: str) -> None:
    text = refusal(tmp_path, f"image,cat\na.png,1\nb.png,{value}\nc.png,0\n")
    assert text == f"FILE, line 3: expected 1, 0 or -1 (left out) for 'cat', found {value!r}"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["cat|potted plant", "dog", ""], [["cat", "potted plant"], ["dog"], []]),
        (["cat;dog", "dog", "cat"], [["cat", "dog"], ["dog"], ["cat"]]),
        (['"cat,dog"', "dog", "cat"], [["cat", "dog"], ["dog"], ["cat"]]),
        (["cat", "dog", ""], [["cat"], ["dog"], []]),
        ([" cat | dog |", "|dog", "cat|cat"], [["cat", "dog"], ["dog"], ["cat"]]),
        (['"dog, small|cat"', '"dog, small"', "cat"], [["cat", "dog, small"], ["dog, small"], ["cat"]]),
    ],
)
def test_folder_names_column(tmp_path: Path, cells: list[str], expected: list[list[str]]) -> None:
    lines = [f"{n}.png,{cell}" for n, cell in enumerate(cells)]
    data = folder(tmp_path, "\n".join(["image,labels", *lines]))
    assert data.labels == tuple(sorted({name for names in expected for name in names}))
    assert [list(row(data, n)) for n in range(3)] == expected


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbf" + FLAGS.encode(), id="byte order mark"),
        pytest.param(FLAGS.replace("\n", "\r\n"), id="CRLF"),
        pytest.param(FLAGS.replace("\n", "\r"), id="CR"),
        pytest.param(FLAGS.replace(",", " , "), id="spaces"),
        pytest.param(FLAGS.replace("\n", "\n\n"), id="blank lines"),
        pytest.param(FLAGS.rstrip(), id="no last line end"),
        pytest.param(FLAGS.replace("potted plant", '"potted plant"'), id="quotes"),
    ],
)
def test_folder_variants_of_the_same_csv(tmp_path: Path, content: str | bytes) -> None:
    data = folder(tmp_path, content)
    assert data.labels == ("cat", "dog", "potted plant")
    assert data.images[0].id == "a.png"
    assert data.targets.tolist() == [[1, 0, -1], [0, 1, 0], [0, 0, 0]]


def test_quoted_commas_and_quotes(tmp_path: Path) -> None:
    data = folder(tmp_path, 'image,"cat, big","a ""dog"""\n"x, y.png",1,0\n')
    assert data.labels == ("cat, big", 'a "dog"')
    assert data.images[0].id == "x, y.png"


def test_names_in_any_script(tmp_path: Path) -> None:
    data = folder(tmp_path, "bild,Hündin,猫\nфото.png,1,0\n")
    assert (data.labels, data.images[0].id) == (("Hündin", "猫"), "фото.png")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("image,cat,dog\na.png,1,0\nb.png,1\n", "FILE, line 3: expected 3 columns, found 2"),
        ("image,cat,dog\na.png,1,0,1\n", "FILE, line 2: expected 3 columns, found 4"),
        ('image,cat,dog\n"a\nb.png",1,0\n\nc.png,1\n', "FILE, line 5: expected 3 columns, found 2"),
        ("image,cat\n ,1\n", "FILE, line 2: expected the file name of an image, found a blank"),
        (
            "image,cat\na,1\nb,1\na,0\n",
            "FILE, line 4: expected each image once, found 'a' again (line 2); write all its labels in one row",
        ),
        ("image,cat,dog\na,1,0\nb,1,o\n", "FILE, line 3: expected 1, 0 or -1 (left out) for 'dog', found 'o'"),
        ("image,cat,dog,cat\na,1,0,1\n", "FILE, line 1: expected each column once, found 'cat' again"),
        ("image,labels\na,\nb,\n", "expected label names under 'labels' in FILE, found none"),
        ("image,cat\n", "expected rows in FILE, found none"),
        ("", NO_HEADER),
        ("\n\n", NO_HEADER),
    ],
)
def test_folder_refuses(tmp_path: Path, content: str, expected: str) -> None:
    assert refusal(tmp_path, content) == expected


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("image,cat,,dog\na,1,0,1\n", "FILE, line 1: expected a label above each column, found a blank"),
        ("image,split\na,test\n", "expected a column 'labels' or one column per label in FILE, found none"),
        ("image,Hündin\n".encode("latin-1"), "FILE, line 1: expected UTF-8, found byte 0xfc"),
        ("image,cat\na,1\ncafé,0\n".encode("latin-1"), "FILE, line 3: expected UTF-8, found byte 0xe9"),
        (FLAGS.encode("utf-16")[2:], "FILE, line 1: expected UTF-8, found a zero byte, as in UTF-16"),
        ('image,cat\na,1\n"b,1\n', "FILE, line 3: expected cells separated by ','"),
        ('image,cat\n"a"b,1\nc,1\n', "FILE, line 2: expected cells separated by ','"),
    ],
)
def test_folder_refuses_with_the_line(tmp_path: Path, content: str | bytes, part: str) -> None:
    assert refusal(tmp_path, content).startswith(part)


SPLITS = "image,split,labels\na,train,cat|dog\nb,test,dog\nc,test,fox\n"


def test_folder_split_column(tmp_path: Path) -> None:
    """A split keeps its rows and the labels of the whole file, so that splits can be compared."""
    kept = folder(tmp_path, SPLITS, split="test")
    assert ([image.id for image in kept.images], kept.split) == (["b", "c"], "test")
    assert kept.labels == ("cat", "dog", "fox")
    assert kept.targets.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert len(folder(tmp_path, SPLITS).images) == 3


def test_folder_split_column_can_be_anywhere(tmp_path: Path) -> None:
    data = folder(tmp_path, "split,cat,split\na,1,train\nb,0,test\n", split="test")
    assert ([image.id for image in data.images], data.labels, data.targets.tolist()) == (["b"], ("cat",), [[0]])


def test_folder_unknown_split(tmp_path: Path) -> None:
    assert "Did you mean 'test'?" in message(UnknownName, lambda: folder(tmp_path, SPLITS, split="tset"))
    assert refusal(tmp_path, FLAGS, split="test").startswith("expected a column 'split' in FILE for --split test")


def test_folder_root_can_be_a_csv_of_any_name(tmp_path: Path) -> None:
    make_folder(tmp_path)
    path = (tmp_path / "labels.csv").rename(tmp_path / "mine.CSV")
    data = load_dataset("folder", root=path)
    assert all(decode(image.read()).mode == "RGB" for image in data.images)


def test_folder_images_that_are_not_there_are_found_when_read(tmp_path: Path) -> None:
    """Loading is quick and reads no image."""
    data = folder(tmp_path, "image,cat\ngone.png,1\n/abs/x.png,0\n")
    assert "No such file" in message(DataError, data.images[0].read)
    assert data.images[1].path == Path("/abs/x.png")


# Real photos


@pytest.fixture(scope="module")
def photos(test_data: Path) -> Dataset:
    return load_dataset("voc", root=test_data)


@pytest.fixture(scope="module")
def official(test_data: Path, photos: Dataset) -> np.ndarray:
    """[500, 20] of the official table, in the order of the data set: 1 present, 0 difficult only, −1 absent."""
    table = pd.read_csv(test_data / "labels" / "voc2007_test_ternary.csv.gz")
    table = table[table["split"] == "test"].set_index("file")
    rows = [f"JPEGImages/{image.id}.jpg" for image in photos.images]
    return table.loc[rows, list(RAW_NAMES)].to_numpy()


def test_real_labels_equal_the_official_table(photos: Dataset, official: np.ndarray) -> None:
    assert photos.targets.shape == (500, 20)
    np.testing.assert_array_equal(photos.targets, np.select([official == 1, official == 0], [1, -1], 0))


@pytest.mark.parametrize(("convention", "difficult"), DIFFICULT.items())
def test_real_labels_under_each_convention(
    photos: Dataset, official: np.ndarray, convention: str, difficult: int
) -> None:
    expected = np.select([official == 1, official == 0], [1, difficult], 0)
    np.testing.assert_array_equal(resolve_targets(photos.targets, convention), expected)


def test_real_images_open(photos: Dataset) -> None:
    sizes = [decode(image.read()).size for image in photos.first(50).images]
    assert max(max(size) for size in sizes) == 500


@pytest.mark.parametrize("label", ["cat", "pottedplant", "person"])
def test_real_lists_of_one_label_agree_with_its_annotations(test_data: Path, photos: Dataset, label: str) -> None:
    """VOC's own <label>_test.txt: 1 present, 0 difficult only, -1 absent."""
    folder = test_data / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    values = dict(line.split() for line in (folder / f"{label}_test.txt").read_text().splitlines())
    column = dict(zip((i.id for i in photos.images), photos.targets[:, RAW_NAMES.index(label)], strict=True))
    assert {image: {"1": 1, "0": -1, "-1": 0}[flag] for image, flag in values.items()} == column
    assert len(voc(test_data, split=f"{label}_test").images) == 500
