"""Remarks: what a loader leaves out or guesses is counted and named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trees import small

from zsprompt.data.remarks import REMARKS, Remark, Remarks


def test_things_are_counted_and_the_first_named() -> None:
    remarks = Remarks()
    for n in range(250):
        remarks.add("other-file", f"{n}.txt", group=".txt" if n % 5 else ".psd")
    remarks.add("hidden", ".DS_Store")
    hidden, others = remarks.found()
    assert hidden.sentence == "left out 1 hidden file: .DS_Store"
    assert (others.count, len(others.names), others.groups) == (250, 100, ((".txt", 200), (".psd", 50)))
    assert others.sentence.endswith("(.txt 200, .psd 50): 0.txt, 1.txt, 2.txt and 247 more")


def test_remarks_of_parts_add_up() -> None:
    one, whole = Remarks(), Remarks()
    one.add("other-file", "a.txt", group=".txt")
    one.add("hidden", ".a")
    whole.add_all(one.found())
    whole.add_all(one.found())
    assert [(remark.count, remark.names) for remark in whole.found()] == [(2, (".a", ".a")), (2, ("a.txt", "a.txt"))]
    assert whole.found()[1].groups == ((".txt", 2),)


def test_many_things_at_once_are_counted_and_only_kept_names_are_read() -> None:
    one_by_one, at_once = Remarks(), Remarks()
    for n in range(250):
        one_by_one.add("blank-flag", f"line {n}")
    names = iter(f"line {n}" for n in range(250))
    at_once.add_many("blank-flag", 250, names)
    assert at_once.found() == one_by_one.found()
    assert next(names) == "line 100"


@pytest.mark.parametrize(
    ("remark", "sentence"),
    [
        (Remark("blank-flag", 5, ("a",)), "counted 5 blank cells as absent: a and 2 more; write 0 to be explicit"),
        (
            Remark("no-annotation-file", 1, ("a",)),
            "counted 1 image without an annotation file as having no labels: a",
        ),
        (
            Remark("image-place", 1, ("next to x.csv, with .jpg added to each name",)),
            "guessed where the images are: next to x.csv, with .jpg added to each name",
        ),
    ],
)
def test_what_the_files_do_not_say_is_guessed_and_said(remark: Remark, sentence: str) -> None:
    assert remark.guessed
    assert remark.sentence == sentence


@pytest.mark.parametrize("kind", REMARKS)
def test_every_kind_says_count_and_name(kind: str) -> None:
    for count in (1, 2000):
        sentence = Remark(kind, count, ("this one",)).sentence
        number = f" {count:,}" if REMARKS[kind].numbered else ""
        noun = REMARKS[kind].one if count == 1 else REMARKS[kind].many
        assert sentence.startswith(f"{REMARKS[kind].verb}{number} {noun}: ")
        assert "this one" in sentence


def test_a_data_set_says_them_as_caveats() -> None:
    data = replace(small(), notes=("a note",), remarks=(Remark("hidden", 1, (".a",)),))
    assert data.caveats == ("a note", "left out 1 hidden file: .a")
    assert data.first(1).caveats == data.caveats
    assert data.identity() == replace(data, remarks=()).identity()
