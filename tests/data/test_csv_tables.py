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
from trees import write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.datasets.image_list import NAMES_COLUMNS
from zsprompt.data.image_lists import IMAGE_COLUMNS
from zsprompt.data.image_lists.cells import flag, named_labels
from zsprompt.data.image_lists.columns import OTHER_COLUMNS
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
