"""Validation: generated values match their hints, mutated values do not, and a fault names the place."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zsprompt._utils.validate import Must, NonBlank, Section, first_fault, in_words


@dataclass(frozen=True)
class Size:
    width: int
    unit: Literal["cm", "inch"] = "cm"
    notes: tuple[str, ...] = ()
    area: float = field(init=False, default=0.0)


class Required(TypedDict):
    name: NonBlank
    size: Size


class Thing(Required, total=False):
    prices: dict[str, float | None]
    tags: str | list[str]
    point: tuple[float, float]
    even: Annotated[int, Must("an even number", lambda number: number % 2 == 0)]
    extra: Any


texts, blank = st.text(max_size=5), st.text(alphabet=" \n\t", max_size=3)
names = texts.filter(str.strip)
numbers = st.floats(allow_nan=True) | st.integers(-(2**53), 2**53)
sizes = st.fixed_dictionaries(
    {"width": st.integers()},
    optional={"unit": st.sampled_from(["cm", "inch"]), "notes": st.lists(texts, max_size=3)},
)
anything = st.recursive(st.none() | st.booleans() | numbers | texts, lambda inner: st.lists(inner, max_size=2))
things = st.fixed_dictionaries(
    {"name": names, "size": sizes},
    optional={
        "prices": st.dictionaries(texts, numbers | st.none(), max_size=3),
        "tags": texts | st.lists(texts, max_size=3),
        "point": st.tuples(numbers, numbers).map(list),
        "even": st.integers().map(lambda number: 2 * number),
        "extra": anything,
    },
)
odd_int = st.integers().map(lambda number: 2 * number + 1)
not_a_number = st.booleans() | texts | st.integers(min_value=2**53 + 1)
# a place in a Thing, and values that do not match there
WRONG: dict[tuple[str | int, ...], st.SearchStrategy[Any]] = {
    ("name",): blank | st.none() | st.integers(),
    ("size",): texts | st.lists(st.integers()) | st.none(),
    ("size", "width"): st.booleans() | st.floats() | texts | st.none(),
    ("size", "unit"): st.sampled_from(["", "CM", "m", True, None, 1]),
    ("size", "notes"): texts | st.none(),
    ("size", "notes", 0): st.integers() | st.none(),
    ("prices",): st.lists(numbers) | st.none(),
    ("prices", "it"): not_a_number,
    ("tags",): st.integers() | st.none() | st.dictionaries(texts, texts),
    ("tags", 0): st.integers() | st.none(),
    ("point",): st.lists(numbers).filter(lambda values: len(values) != 2) | st.none(),
    ("point", 1): not_a_number | st.none(),
    ("even",): odd_int | st.booleans() | st.floats() | st.none(),
}
FULL = {
    "name": "chair",
    "size": {"width": 1, "notes": ["a"]},
    "prices": {"it": 1},
    "tags": ["a"],
    "point": [1, 2.5],
    "even": 2,
}


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    whole = inside = copy.deepcopy(value)
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return whole


@given(things)
def test_generated_values_match(thing: Any) -> None:
    assert first_fault(thing, Thing) is None


@given(st.sampled_from(sorted(WRONG, key=str)).flatmap(lambda path: st.tuples(st.just(path), WRONG[path])))
def test_mutated_values_are_faults_at_their_place(change: tuple[tuple[Any, ...], Any]) -> None:
    path, new = change
    fault = first_fault(put(FULL, path, new), Thing)
    assert fault is not None
    assert fault.path == path
    assert fault.expected in str(fault)
    assert not fault.unknown


@given(things, st.sampled_from(["name", "size"]))
def test_a_missing_key_is_a_fault(thing: dict[str, Any], key: str) -> None:
    fault = first_fault({name: value for name, value in thing.items() if name != key}, Thing)
    assert fault is not None
    assert (fault.path, fault.found) == ((key,), "no such key")


@given(things, texts)
def test_an_unknown_key_is_a_fault_unless_allowed(thing: dict[str, Any], key: str) -> None:
    changed = put(thing, ("size", f"{key}?"), 1)
    fault = first_fault(changed, Thing)
    assert fault is not None
    assert fault.unknown
    assert fault.path == ("size", f"{key}?")
    assert fault.expected == "notes, unit, width"
    assert first_fault(changed, Thing, extra_keys=True) is None


@given(anything)
def test_any_value_is_checked_without_an_error(value: Any) -> None:
    assert first_fault(value, Any) is None
    assert first_fault(value, Thing) is not None
    assert first_fault({"name": value, "size": value, "tags": value, "point": value}, Thing) is not None


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (True, int, "expected a whole number, found True"),
        ("x", float | None, "expected a number or none, found 'x'"),
        ([1, "x"], list[int], "expected '[1]' to be a whole number, found 'x'"),
        (["x", 3], str | list[str], "expected '[1]' to be a text, found 3"),
        (3, str | list[str], "expected a text or a list of texts, found 3"),
        ({"a": {"b": [0]}}, dict[str, dict[str, list[bool]]], "expected 'a.b[0]' to be true or false, found 0"),
        ("m", Literal["cm", "inch"], "expected one of cm, inch, found 'm'"),
        ([1], Thing, "expected a section, found [1]"),
        ({}, Section({"a": int}, {"a"}), "expected 'a' to be a whole number, found no such key"),
        ({"b": 1}, Section({"a": int, "c": str}), "unknown key 'b'; expected one of a, c"),
        ([1], tuple[int, int], "expected a list of 2 whole numbers, found [1]"),
        (" ", Annotated[NonBlank, Must("a name")], "expected a name, found ' '"),
    ],
)
def test_the_message_names_place_expectation_and_value(value: object, hint: Any, message: str) -> None:
    assert str(first_fault(value, hint)) == message


def test_long_values_are_shortened() -> None:
    fault = first_fault({"a": "x" * 10_000, "b": [1] * 10_000}, int)
    assert fault is not None
    assert len(fault.found) < 200


def test_hints_in_words() -> None:
    assert in_words(list[NonBlank] | None) == "a list of texts or none"
    assert in_words(dict[str, int]) == in_words(Size) == in_words(Thing) == "a section"
    assert in_words(Any) == "a value"
