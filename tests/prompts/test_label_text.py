"""Label lists as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zsprompt.errors import LabelError, UsageError
from zsprompt.prompts.label_text import choose_labels, read_labels

KNOWN = ("cat", "dog", "traffic light", "person")
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=","), min_size=1, max_size=12)
LABELS = st.lists(NAMES.map(str.strip).filter(bool), min_size=1, max_size=6)


@given(labels=LABELS.filter(lambda labels: not labels[0].startswith("@")))
@settings(max_examples=100, deadline=None)
def test_a_list_comes_back(labels: list[str]) -> None:
    assert read_labels(", ".join(labels)) == read_labels(",".join(labels)) == tuple(labels)


@given(labels=LABELS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_comes_back(labels: list[str], tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(labels) + "\n\n", encoding="utf-8")
    assert read_labels(f"@{tmp_path / 'words.txt'}") == tuple(labels)


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n", ("cat", "dog")),
        (b"cat\n\ndog\n", ("cat", "", "dog")),
        (b"ice cream, vanilla\ncat", ("ice cream, vanilla", "cat")),
        (b"  cat \n", ("cat",)),
    ],
)
def test_lines_of_a_file_are_labels(content: bytes, labels: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    assert read_labels(f"@{tmp_path / 'words.txt'}") == labels


@pytest.mark.parametrize("end", ["", ",", ", ", " ,, ", ",\t"])
def test_a_comma_at_the_end_is_forgiven(end: str) -> None:
    assert read_labels(f"dog, cat{end}") == ("dog", "cat")


@pytest.mark.parametrize(
    ("text", "labels"), [("cat,,dog", ("cat", "", "dog")), (", cat", ("", "cat")), (" cat ", ("cat",))]
)
def test_blank_labels_elsewhere_stay_to_be_refused_with_their_place(text: str, labels: tuple[str, ...]) -> None:
    assert read_labels(text) == labels


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_labels_are_not_all_labels(text: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(text.replace(",", "\n"), encoding="utf-8")
    for option in (text, f"@{tmp_path / 'words.txt'}"):
        with pytest.raises(LabelError, match="expected labels such as"):
            read_labels(option)


@pytest.mark.parametrize("content", [None, b"caf\xe9\n"])
def test_a_file_that_cannot_be_read_is_one_line(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelError) as caught:
        read_labels(f"@{path}")
    expected = "expected a labels file at" if content is None else "cannot read labels file"
    assert str(caught.value).startswith(f"{expected} {path}")
    assert "\n" not in str(caught.value)


def test_labels_are_chosen_in_the_order_asked_for_or_left_out() -> None:
    assert choose_labels(KNOWN, None) == KNOWN
    assert choose_labels(KNOWN, ("dog", "cat")) == ("dog", "cat")
    assert choose_labels(KNOWN, None, ("dog",)) == ("cat", "traffic light", "person")


@pytest.mark.parametrize(
    ("labels", "without", "text"),
    [
        (("dog",), ("cat",), "expected either labels or without, found both"),
        (None, ("dog", "zebra"), "expected labels of the data set in without, found 'zebra'"),
    ],
)
def test_choices_that_exclude_each_other_are_refused(
    labels: tuple[str, ...] | None, without: tuple[str, ...], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        choose_labels(KNOWN, labels, without)
