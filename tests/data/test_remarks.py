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


@pytest.mark.parametrize("kind", REMARKS)
def test_every_kind_says_count_and_name(kind: str) -> None:
    for count in (1, 2000):
        sentence = Remark(kind, count, ("this one",)).sentence
        assert sentence.startswith(f"{REMARKS[kind].verb} {count:,} ")
        assert "this one" in sentence


def test_a_data_set_says_them_as_caveats() -> None:
    data = replace(small(), notes=("a note",), remarks=(Remark("hidden", 1, (".a",)),))
    assert data.caveats == ("a note", "left out 1 hidden file: .a")
    assert data.first(1).caveats == data.caveats
    assert data.identity() == replace(data, remarks=()).identity()
