"""Protocols: which images and labels are for training, and which for testing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt.data import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.errors import DataError, UsageError
from zsprompt.experiments import protocols

LABELS = ("cat", "dog", "owl", "fish", "ant")
Sets = Sequence[frozenset[str]]


def dataset(sets: Sets, labels: Sequence[str] = LABELS, *, name: str = "zoo", split: str = "train") -> Dataset:
    """One image per label set; its id names split and position, its caption names its labels."""
    targets = np.array([[int(label in present) for label in labels] for present in sets], dtype=np.int8)
    images = [ImageFile(f"{split}-{n}", Path(f"{split}-{n}.png")) for n in range(len(sets))]
    captions = tuple(" ".join(sorted(present)) for present in sets)
    return Dataset(name, tuple(labels), images, targets.reshape(len(sets), len(labels)), split=split, captions=captions)


def ids(data: Dataset) -> list[str]:
    return [image.id for image in data.images]


def truth(data: Dataset) -> dict[str, set[str]]:
    """The labels of each image by its targets."""
    return {
        image.id: {label for label, value in zip(data.labels, row, strict=True) if value == 1}
        for image, row in zip(data.images, data.targets, strict=True)
    }


some_sets = st.lists(st.frozensets(st.sampled_from(LABELS)), min_size=2, max_size=30)
some_unseen = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True)


def test_conventional_keeps_both_and_puts_the_labels_in_one_order() -> None:
    sets = [frozenset({"cat"}), frozenset({"dog", "ant"})]
    train, test = dataset(sets), dataset(sets, tuple(reversed(LABELS)), split="test")
    found = protocols.conventional(train, test)
    assert found.learn is train
    assert found.test.labels == LABELS
    assert truth(found.test) == {"test-0": {"cat"}, "test-1": {"dog", "ant"}}


def test_conventional_refuses_other_labels_by_name() -> None:
    train, test = dataset([frozenset()]), dataset([frozenset()], (*LABELS[:4], "bee"), split="test")
    with pytest.raises(DataError, match="found ant, bee in one of them only"):
        protocols.conventional(train, test)


@pytest.mark.parametrize("protocol", ["conventional", "zero_shot", "zsl", "gzsl", "single_to_multi", "few_shot"])
def test_no_protocol_tests_on_a_training_image(protocol: str) -> None:
    train = dataset([frozenset({"cat"}), frozenset({"dog"})])
    test = replace(train, split="test")
    work: dict[str, Callable[[], object]] = {
        "few_shot": lambda: protocols.few_shot(train, 0.5, 0, test),
        "zsl": lambda: protocols.zsl(train, test, ["owl"]),
        "gzsl": lambda: protocols.gzsl(train, test, ["owl"]),
    }
    usual = partial(getattr(protocols, protocol), train, test)
    with pytest.raises(DataError, match="found 2 images in both train and test: train-0, train-1"):
        work.get(protocol, usual)()


def test_images_of_one_name_in_two_data_sets_are_two_images() -> None:
    train = dataset([frozenset({"cat"})])
    found = protocols.zero_shot(train, dataset([frozenset()], ("cat", "bee"), name="farm"))
    assert ids(found.learn) == ids(found.test)


@settings(max_examples=60, deadline=None)
@given(sets=some_sets, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
def test_few_shot_splits_the_images_in_two(sets: Sets, fraction: float, seed: int) -> None:
    data = dataset(sets)
    count = round(fraction * len(sets))
    if count in (0, len(sets)):
        with pytest.raises(DataError, match="expected training and test images"):
            protocols.few_shot(data, fraction, seed)
        return
    found = protocols.few_shot(data, fraction, seed)
    assert len(found.learn.images) == count
    assert sorted(ids(found.learn) + ids(found.test)) == sorted(ids(data))
    assert truth(found.learn) | truth(found.test) == truth(data)
    assert [" ".join(sorted(present)) for present in truth(found.test).values()] == list(found.test.captions or ())
    again = protocols.few_shot(data, fraction, seed)
    assert ids(again.learn) == ids(found.learn)


def test_few_shot_with_a_given_test_list_ignores_the_rest() -> None:
    data, test = dataset([frozenset({"cat"})] * 10), dataset([frozenset({"dog"})] * 4, split="test")
    found = protocols.few_shot(data, 0.2, 0, test)
    assert len(found.learn.images) == 2
    assert ids(found.test) == ids(test)


def test_few_shot_keeps_each_labels_share() -> None:
    data = dataset([frozenset({LABELS[n % 5]}) for n in range(100)])
    found = protocols.few_shot(data, 0.2, 3)
    assert (found.learn.targets == 1).sum(axis=0).tolist() == [4] * 5


def test_seeds_of_few_shot_draw_other_images() -> None:
    data = dataset([frozenset({LABELS[n % 5]}) for n in range(100)])
    draws = {tuple(ids(protocols.few_shot(data, 0.2, seed).learn)) for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_few_shot_refuses_fractions_out_of_range(fraction: float) -> None:
    with pytest.raises(UsageError, match="above 0 and below 1"):
        protocols.few_shot(dataset([frozenset()] * 4), fraction, 0)


def test_zero_shot_notes_shared_labels() -> None:
    train, test = dataset([frozenset({"cat"})]), dataset([frozenset({"bee"})], ("bee", "cat", "dog"), name="farm")
    found = protocols.zero_shot(train, test)
    assert found.test.labels == ("bee", "cat", "dog")
    assert found.test.notes == ("2 of the 3 labels are training labels of zoo too",)
    apart = protocols.zero_shot(train, test, overlapping=False)
    assert apart.learn.labels == ("owl", "fish", "ant")
    assert (apart.test.labels, apart.test.notes) == (("bee",), ())


def test_zero_shot_without_overlapping_labels_refuses_data_sets_of_the_same_labels() -> None:
    with pytest.raises(DataError, match="the other lacks, found 0 and 0"):
        protocols.zero_shot(dataset([frozenset()]), dataset([frozenset()], name="farm"), overlapping=False)


@settings(max_examples=60, deadline=None)
@given(sets=some_sets, tested=some_sets, unseen=some_unseen)
def test_zsl_and_gzsl_against_their_definition(sets: Sets, tested: Sets, unseen: list[str]) -> None:
    train, test = dataset(sets), dataset(tested, split="test")
    seen = [label for label in LABELS if label not in unseen]
    zsl, gzsl = protocols.zsl(train, test, unseen), protocols.gzsl(train, test, unseen)
    assert truth(zsl.learn) == {f"train-{n}": set(present) - set(unseen) for n, present in enumerate(sets)}
    assert truth(gzsl.learn) == truth(zsl.learn)
    assert list(zsl.learn.labels) == seen
    assert truth(zsl.test) == {f"test-{n}": set(present) & set(unseen) for n, present in enumerate(tested)}
    assert list(zsl.test.labels) == unseen
    assert truth(gzsl.test) == truth(test)
    assert list(gzsl.test.labels) == [*seen, *unseen]


def test_images_of_unseen_labels_alone_stay_as_negatives() -> None:
    train, test = dataset([frozenset({"owl"}), frozenset({"cat"})]), dataset([frozenset()], split="test")
    found = protocols.zsl(train, test, ["owl"])
    assert ids(found.learn) == ["train-0", "train-1"]
    assert found.learn.targets.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


def test_seen_labels_can_be_fewer_than_all_others() -> None:
    train, test = dataset([frozenset({"cat"})]), dataset([frozenset({"owl"})], split="test")
    assert protocols.zsl(train, test, ["owl"], ["dog", "cat"]).learn.labels == ("dog", "cat")
    assert protocols.gzsl(train, test, ["owl"], ["dog", "cat"]).test.labels == ("dog", "cat", "owl")


@pytest.mark.parametrize(
    ("unseen", "seen", "reason"),
    [
        ([], None, "at least one unseen label"),
        (["bee"], None, "found 'bee'"),
        (list(LABELS), None, "found all 5 unseen"),
        (["owl"], ["cat", "owl"], "found owl in both"),
        (["owl"], ["bee"], "found 'bee'"),
    ],
)
def test_labels_that_cannot_be_held_out_are_refused(unseen: list[str], seen: list[str] | None, reason: str) -> None:
    train, test = dataset([frozenset({"cat"})]), dataset([frozenset({"owl"})], split="test")
    for protocol in (protocols.zsl, protocols.gzsl, protocols.single_to_multi):
        if protocol is protocols.single_to_multi and not unseen:
            continue  # without unseen labels it is another protocol
        with pytest.raises((DataError, UsageError), match=reason) as refused:
            protocol(train, test, unseen, seen)
        assert "\n" not in str(refused.value)


@settings(max_examples=60, deadline=None)
@given(sets=some_sets, unseen=st.lists(st.sampled_from(LABELS), max_size=4, unique=True))
def test_single_to_multi_against_its_definition(sets: Sets, unseen: list[str]) -> None:
    train, test = dataset(sets), dataset(sets, split="test")
    wanted = {f"train-{n}": set(present) for n, present in enumerate(sets) if len(present) == 1}
    wanted = {name: present for name, present in wanted.items() if not present & set(unseen)}
    if not wanted:
        with pytest.raises(DataError, match="exactly one label, found none"):
            protocols.single_to_multi(train, test, unseen)
        return
    found = protocols.single_to_multi(train, test, unseen)
    assert truth(found.learn) == wanted
    assert len(found.test.images) == len(sets)
    assert set(found.test.labels) == (set(unseen) or set(LABELS))
    assert not set(found.learn.labels) & set(unseen)


def test_an_image_with_a_left_out_target_may_have_another_label() -> None:
    train, test = dataset([frozenset({"cat"}), frozenset({"cat"})]), dataset([frozenset()], split="test")
    train.targets[0, 3] = -1
    assert ids(protocols.single_to_multi(train, test).learn) == ["train-1"]


def test_single_to_multi_across_data_sets_keeps_the_labels_of_each() -> None:
    train, test = dataset([frozenset({"cat"}), frozenset({"owl"})]), dataset([frozenset()], ("bee", "cat"), name="farm")
    assert protocols.single_to_multi(train, test).test.labels == ("bee", "cat")
    apart = protocols.single_to_multi(train, test, overlapping=False)
    assert (apart.test.labels, truth(apart.learn)) == (("bee",), {"train-1": {"owl"}})


@given(count=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_held_out_labels_are_a_draw_in_their_order(count: int, seed: int) -> None:
    found = protocols.held_out(LABELS, count, seed)
    assert len(found) == count
    assert list(found) == [label for label in LABELS if label in found]
    assert found == protocols.held_out(LABELS, count, seed)


def test_seeds_hold_out_all_labels_equally() -> None:
    drawn = [protocols.held_out(LABELS, 2, seed) for seed in range(500)]
    counts = [sum(label in found for found in drawn) for label in LABELS]
    assert all(abs(count - 200) < 50 for count in counts)  # 4.5 standard deviations


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (5, 0), (-1, 0), (2, -1), (2, 2**32)])
def test_held_out_refuses_numbers_out_of_range(count: int, seed: int) -> None:
    with pytest.raises(UsageError):
        protocols.held_out(LABELS, count, seed)
