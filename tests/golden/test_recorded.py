"""The comparison with recorded answers: what it accepts, and what it reports."""

from __future__ import annotations

import pytest
from recorded import differences, settle


def test_equal_up_to_the_tolerance_and_to_new_keys() -> None:
    old = {"mAP": 0.5, "ap": [1.0, None], "images": 3}
    assert not list(differences(old, {"mAP": 0.500005, "ap": [1, None], "images": 3, "new": 1}, 1e-5))


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ({"mAP": 0.50002, "ap": [1.0]}, "$.mAP: expected 0.5, found 0.50002"),
        ({"ap": [1.0]}, "$.mAP: expected 0.5, found no such key"),
        ({"mAP": 0.5, "ap": [None]}, "$.ap[0]: expected 1.0, found None"),
        ({"mAP": 0.5, "ap": [1.0, 1.0]}, "$.ap: expected [1.0], found [1.0, 1.0]"),
        ({"mAP": True, "ap": [1.0]}, "$.mAP: expected 0.5, found True"),
    ],
)
def test_a_difference_shows_where_it_is(found: object, shown: str) -> None:
    assert list(differences({"mAP": 0.5, "ap": [1.0]}, found, 1e-5)) == [shown]


def test_words_for_people_are_counted_and_not_compared() -> None:
    answer = {"warnings": ["few positives"], "seconds": 1.2, "texts_encoded": 3, "texts_cached": 4}
    assert settle(answer) == {"warnings": ["(words)"], "texts_encoded + texts_cached": 7}
    assert settle({"recipe": {"strategy": "PerLabel()"}, "strategy": "per-label"}) == {
        "recipe": {"strategy": "(words)"},
        "strategy": "per-label",
    }
