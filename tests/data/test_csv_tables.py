"""CSV tables of labels in every form that pandas and csv write: the same targets, or one line that refuses them."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from trees import save_image, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets.image_list import _BOX_COLUMNS, _FURTHER_NAMES, NAMES_COLUMNS
from zsprompt.data.image_lists import IMAGE_COLUMNS
from zsprompt.data.image_lists.cells import flag, named_labels
from zsprompt.data.image_lists.columns import OTHER_COLUMNS
from zsprompt.data.inputs import find_sources
from zsprompt.errors import DataError

RESERVED = {*IMAGE_COLUMNS, *NAMES_COLUMNS, *OTHER_COLUMNS, "split", "caption"}
"""Columns that a table of labels cannot have as labels."""

PRESENT: dict[str, tuple[Callable[[int], object], tuple[int, ...]]] = {
    "1": (int, (1, 0, -1)),
    "1.0": (float, (1, 0, -1)),
    "1,0": (lambda state: f"{state},0", (1, 0, -1)),
    "True": (bool, (1, 0)),
    "true": (lambda state: str(bool(state)).lower(), (1, 0)),
    "yes": (lambda state: "yes" if state else "no", (1, 0)),
    "x": (lambda state: "x" if state else "", (1, 0)),
    "WAHR": (lambda state: "WAHR" if state else "FALSCH", (1, 0)),
}
"""Spelling of a flag -> how a state is written, and the states that it can write."""

SEPARATORS = st.sampled_from([",", ";", "\t"])
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
LABEL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=8) | (
    st.sampled_from(['dog, "big"', "a;b", "C:\\x", " cat ", "['a']", "1", "x", "no", "Unnamed: 0", "sep=;", "b.png"])
)
ONCE = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@st.composite
def tables(draw: st.DrawFn, states: Sequence[int]) -> tuple[list[str], np.ndarray]:
    """Labels, and the states of 1 to 4 images."""
    labels = draw(st.lists(LABEL, min_size=1, max_size=4, unique_by=str.strip))
    rows = draw(st.integers(1, 4))
    cells = st.sampled_from(list(states))
    targets = draw(st.lists(st.lists(cells, min_size=len(labels), max_size=len(labels)), min_size=rows, max_size=rows))
    return labels, np.array(targets)


def loaded(path: Path) -> Dataset | str:
    """The data set, or the line that refuses it."""
    try:
        return load_dataset("list", root=path)
    except DataError as error:
        line = str(error)
    assert "\n" not in line
    return line


def states_of(data: Dataset, labels: Sequence[str]) -> np.ndarray:
    """The targets in the order of `labels`; a label that no image has has no column in a list of names."""
    columns = {label: c for c, label in enumerate(data.labels)}
    blank = np.zeros(len(data.images), dtype=np.int8)
    return np.stack([data.targets[:, columns[n]] if (n := name.strip()) in columns else blank for name in labels], 1)


@given(
    data=st.data(),
    spelling=st.sampled_from(list(PRESENT)),
    separator=SEPARATORS,
    encoding=ENCODINGS,
    index=st.booleans(),
    by_pandas=st.booleans(),
)
@ONCE
def test_flags_in_every_spelling(
    tmp_path: Path, data: st.DataObject, spelling: str, separator: str, encoding: str, index: bool, by_pandas: bool
) -> None:
    cell, states = PRESENT[spelling]
    labels, targets = data.draw(tables(states))
    assume(not RESERVED & {label.strip().lower() for label in labels})
    rows = [
        {"image": f"{n}.png"} | {label: cell(state) for label, state in zip(labels, row, strict=True)}
        for n, row in enumerate(targets.tolist())
    ]
    path = tmp_path / "table.csv"
    if by_pandas:
        pd.DataFrame(rows).to_csv(path, sep=separator, encoding=encoding, index=index)
    else:
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
    found = loaded(path)
    if isinstance(found, str):
        assert any(not label.strip() for label in labels), found  # a label without a name is refused
        return
    assert [image.id for image in found.images] == [f"{n}.png" for n in range(len(rows))]
    np.testing.assert_array_equal(states_of(found, labels), targets)


@given(data=st.data(), separator=SEPARATORS, encoding=ENCODINGS, index=st.booleans(), lists=st.sampled_from("jpn"))
@ONCE
def test_lists_of_names_as_json_python_and_numpy_write_them(
    tmp_path: Path, data: st.DataObject, separator: str, encoding: str, index: bool, lists: str
) -> None:
    labels, targets = data.draw(tables((1, 0)))
    assume(all(label.strip() for label in labels) and targets.any())
    written = {"j": json.dumps, "p": str, "n": lambda names: str(np.array(names, dtype=object))}[lists]
    rows = [
        {"image": f"{n}.png", "labels": written([label for label, state in zip(labels, row, strict=True) if state])}
        for n, row in enumerate(targets.tolist())
    ]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows).to_csv(path, sep=separator, encoding=encoding, index=index)
    found = loaded(path)
    assert not isinstance(found, str), found
    np.testing.assert_array_equal(states_of(found, labels), targets)


@given(data=st.data(), mark=st.sampled_from(["|", ";", ", "]), separator=SEPARATORS, index=st.booleans())
@ONCE
def test_names_in_one_cell_are_read_right_refused_or_their_separator_is_named(
    tmp_path: Path, data: st.DataObject, mark: str, separator: str, index: bool
) -> None:
    labels, targets = data.draw(tables((1, 0)))
    assume(all(label.strip() for label in labels) and targets.any())
    assume(not any(named_labels(label.strip()) is not None for label in labels))  # a list inside a name
    rows = [
        {"image": f"{n}.png", "labels": mark.join(label for label, state in zip(labels, row, strict=True) if state)}
        for n, row in enumerate(targets.tolist())
    ]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows).to_csv(path, sep=separator, index=index)
    found = loaded(path)
    if isinstance(found, str):
        return
    plain = not any(one in label for label in labels for one in "|;,[](){}")
    kinds = {remark.kind for remark in found.remarks}
    if plain or not kinds & {"name-separator"}:
        assume(plain or "|" not in "".join(labels))  # the documented separator needs no remark
        np.testing.assert_array_equal(states_of(found, labels), targets)


@given(value=st.one_of(st.none(), st.text(max_size=5), st.integers(), st.floats(), st.lists(st.integers())))
def test_a_flag_is_one_of_three_or_none(value: object) -> None:
    assert flag(value) in (1, 0, -1, None)


@given(text=st.text("[](){}'\"\\, ab\n", max_size=12))
def test_any_text_is_a_list_of_names_or_none(text: str) -> None:
    found = named_labels(text)
    assert found is None or all(isinstance(name, str) for name in found)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("image;cat;dog\na.png;1;0\nb.png;1\n", "line 3: expected 3 columns, found 2"),
        ("sep=;\nimage;cat\na.png;1\nb.png;2\n", "line 4: expected 1, 0 or -1 (left out) for 'cat', found '2'"),
        (",image,cat\n0,a.png,1\n1,b.png,maybe\n", "line 3: expected 1, 0 or -1 (left out) for 'cat', found 'maybe'"),
        ("image,cat,\na.png,1,\nb.png,1,x\n", "line 1: expected a label above each column, found a blank"),
        ("image,a,b\nx.png,one,two\ny.png,one,two\n", "found texts under a, b; call the column of labels 'labels'"),
        ("image,labels\nhttps://host/a.png,cat\n", "found the address 'https://host/a.png'; download the images"),
    ],
)
def test_a_table_that_cannot_be_read_names_its_line(tmp_path: Path, content: str, line: str) -> None:
    found = loaded(write(tmp_path / "table.csv", content))
    assert isinstance(found, str)
    assert line in found


def test_a_cell_under_a_blank_header_far_below_is_refused(tmp_path: Path) -> None:
    """The first rows decide that a column is blank; a later cell is not dropped."""
    rows = "".join(f"{n:06}.png,1,\n" for n in range(9_000))
    found = loaded(write(tmp_path / "table.csv", f"image,cat,\n{rows}z.png,1,x\n"))
    assert isinstance(found, str)
    assert "line 9002: expected a blank cell under a blank header, found 'x'" in found


def test_blank_rows_and_columns_are_left_out_and_named(tmp_path: Path) -> None:
    """As Excel writes a sheet with a cell that was once filled."""
    found = loaded(write(tmp_path / "table.csv", "image,cat,,\na.png,1,,\n,,,\nb.png,0,,\n"))
    assert isinstance(found, Dataset)
    assert (found.labels, found.targets.tolist()) == (("cat",), [[1], [0]])
    assert [remark.sentence for remark in found.remarks] == ["left out 1 row without content: table.csv, line 3"]


def test_what_a_table_guesses_and_leaves_out_is_named(tmp_path: Path) -> None:
    rows = [",photo,cat,note,created_at", "0,a.png,1,fine,2024-05-01", "1,b.png,0,dark,2024-05-02"]
    found = loaded(write(tmp_path / "table.csv", "\n".join(rows).replace(",", ";").replace("photo", "shot")))
    assert isinstance(found, Dataset)
    assert [remark.sentence for remark in found.remarks] == [
        "left out 1 column of row numbers: column 1 of table.csv",
        "left out 2 columns that are not labels: 'note' of table.csv, 'created_at' of table.csv",
        "guessed 1 image column: 'shot' (column 2 of table.csv); call it 'image'",
        "guessed 1 separator of cells: ';' in table.csv",
    ]


def test_time_grows_with_the_rows_and_not_faster(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        rows = "".join(f"{n:06}.png,1,0,cat|dog\n" for n in range(count))
        path = write(tmp_path / f"{count}.csv", f"image,fox,owl,labels\n{rows}")
        start = time.perf_counter()
        assert not isinstance(loaded(path), str)
        return time.perf_counter() - start

    assert seconds(20_000) < 40 * seconds(2_000) + 1  # quadratic would be 100 times


# -- which column is what


@pytest.mark.parametrize("numbers", [("000001", "000002", "000003"), ("1", "2", "3"), ("1", "0", "2")])
@pytest.mark.parametrize("name", [*sorted(OTHER_COLUMNS), "ID", "Id", "image_id", "ImageId", "img_id", "key"])
@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("dog,cat", ("1,0", "0,1", "1,1")),
        ("label", ("dog", "cat", "cat|dog")),
        ("class,created_at", ("dog,1", "cat,1", "cat|dog,1")),
    ],
)
def test_a_first_column_of_ids_names_the_images(
    tmp_path: Path, name: str, header: str, cells: Sequence[str], numbers: Sequence[str]
) -> None:
    """As Kaggle writes its lists: file names without the suffix."""
    for n, number in enumerate(numbers):
        save_image(tmp_path / f"{number}.jpg", noise=n)
    rows = "".join(f"{number},{cell}\n" for number, cell in zip(numbers, cells, strict=True))
    path = write(tmp_path / "table.csv", f"{name},{header}\n{rows}")
    found = loaded(path)
    assert isinstance(found, Dataset), found
    assert [image.id for image in found.images] == list(numbers)
    assert states_of(found, ["dog", "cat"]).tolist() == [[1, 0], [0, 1], [1, 1]]
    assert [image.id for image in find_sources([path])] == list(numbers)
    assert all(image.read() for image in find_sources([path]))


def test_a_column_of_images_comes_before_one_of_ids(tmp_path: Path) -> None:
    found = loaded(write(tmp_path / "table.csv", "id,shot,cat\n000001,a.png,1\n000002,b.png,0\n"))
    assert isinstance(found, Dataset)
    assert (found.labels, [image.id for image in found.images]) == (("cat",), ["a.png", "b.png"])


@pytest.mark.parametrize("name", _FURTHER_NAMES)
def test_a_category_next_to_flags_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    rows = "a.png,indoor,1,0\nb.png,outdoor,0,1\n"
    found = loaded(write(tmp_path / "table.csv", f"image,{name},dog,cat\n{rows}"))
    assert isinstance(found, Dataset)
    assert (found.labels, found.targets.tolist()) == (("dog", "cat"), [[1, 0], [0, 1]])
    assert [remark.sentence for remark in found.remarks] == [
        f"left out 1 column that is not a label: {name!r} of table.csv"
    ]


@pytest.mark.parametrize("box", sorted(_BOX_COLUMNS))
@pytest.mark.parametrize("name", _FURTHER_NAMES)
def test_flags_of_boxes_are_no_labels(tmp_path: Path, name: str, box: str) -> None:
    rows = "a.png,dog,7,1\na.png,cat,9,0\nb.png,t,5,0\n"
    found = loaded(write(tmp_path / "table.csv", f"image,{name},{box},truncated\n{rows}"))
    assert isinstance(found, Dataset)
    assert (found.labels, found.targets.tolist()) == (("cat", "dog", "t"), [[1, 1, 0], [0, 0, 1]])


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "x", "t", "no", "1", "2019", "Infinity", "NaN"])
@pytest.mark.parametrize("name", [*NAMES_COLUMNS, *_FURTHER_NAMES])
def test_one_odd_name_is_a_label(tmp_path: Path, name: str, odd: str) -> None:
    found = loaded(write(tmp_path / "table.csv", f"image,{name}\na.png,{odd}\nb.png,dog\nc.png,\n"))
    assert isinstance(found, Dataset)
    assert states_of(found, [odd, "dog"]).tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("cells", "end"),
    [
        (("2019", "2020"), "'2019'; remove the column, or name the column of labels 'labels'"),
        (("0.5", ""), "'0.5'; remove the column, or name the column of labels 'labels'"),
        (("1", "maybe"), "'maybe'"),
        (("1", "nan"), "'nan'"),
    ],
)
def test_a_column_without_flags_says_what_to_do(tmp_path: Path, cells: Sequence[str], end: str) -> None:
    rows = "".join(f"{n}.png,1,{cell}\n" for n, cell in enumerate(cells))
    found = loaded(write(tmp_path / "table.csv", f"image,dog,year\n{rows}"))
    assert isinstance(found, str)
    assert found.endswith(f"for 'year', found {end}")


# -- time


@pytest.mark.parametrize("mark", ["x,,", "1,0,1"])
def test_time_of_flags_grows_with_the_cells_and_not_faster(tmp_path: Path, mark: str) -> None:
    def seconds(columns: int) -> float:
        header = ",".join(f"label {n}" for n in range(3 * columns))
        rows = "".join(f"{n}.png,{','.join([mark] * columns)}\n" for n in range(20))
        path = write(tmp_path / f"{columns}.csv", f"image,{header}\n{rows}")
        start = time.perf_counter()
        assert not isinstance(loaded(path), str)
        return time.perf_counter() - start

    seconds(10)  # imports
    assert seconds(4_000) < 30 * seconds(400) + 1


def test_blank_cells_are_counted_and_the_first_named(tmp_path: Path) -> None:
    rows = "".join(f"{n}.png,x,\n" for n in range(150))
    found = loaded(write(tmp_path / "table.csv", f"image,dog,cat\n{rows}"))
    assert isinstance(found, Dataset)
    (remark,) = found.remarks
    assert (remark.kind, remark.count, len(remark.names)) == ("blank-flag", 150, 100)
    assert remark.names[0] == "table.csv, line 2, 'cat'"
    assert found.targets.tolist() == [[1, 0]] * 150
