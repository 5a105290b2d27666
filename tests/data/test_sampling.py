"""Stratified samples: the right number, every label's share, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import message

from zsprompt.data import Dataset
from zsprompt.data.images import ImageFile
from zsprompt.data.sampling import stratified
from zsprompt.errors import UsageError


def dataset(targets: np.ndarray) -> Dataset:
    refs = [ImageFile(str(n), Path(f"{n}.png")) for n in range(len(targets))]
    labels = tuple(f"label {c}" for c in range(targets.shape[1]))
    return Dataset("drawn", labels, refs, targets.astype(np.int8), split="test", notes=("a fact",))


def rare(count: int = 1000, seed: int = 0) -> np.ndarray:
    """Labels with frequencies from 1/2 to 1/200; some of them co-occur."""
    random = np.random.default_rng(seed)
    targets = (random.random((count, 12)) < np.geomspace(0.5, 0.005, 12)).astype(np.int8)
    targets[:, 3] |= targets[:, 2] & (random.random(count) < 0.7)
    return targets


@given(
    rows=st.integers(1, 60),
    labels=st.integers(1, 6),
    share=st.floats(0.01, 1),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_exactly_so_many_ascending_and_the_same_again(
    rows: int, labels: int, share: float, density: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    targets = np.where(random.random((rows, labels)) < density, 1, random.integers(-1, 1, (rows, labels)))
    count = max(1, int(share * rows))
    found = stratified(targets, count, seed)
    assert len(found) == count
    assert (np.diff(found) > 0).all()
    np.testing.assert_array_equal(found, stratified(targets, count, seed))


@pytest.mark.parametrize("count", [50, 100, 333, 900])
def test_every_label_keeps_its_share_to_one_image_and_a_rest(count: int) -> None:
    targets = rare()
    positives = targets.sum(axis=0)
    for seed in range(5):
        found = targets[stratified(targets, count, seed)].sum(axis=0)
        assert np.abs(found - positives * count / len(targets)).max() < 2, (seed, found)


def test_it_does_better_than_chance_where_labels_are_rare() -> None:
    targets = rare()
    wanted = targets.sum(axis=0) / 10
    stratified_off = [np.abs(targets[stratified(targets, 100, s)].sum(axis=0) - wanted).sum() for s in range(20)]
    random_off = [
        np.abs(targets[np.random.default_rng(s).permutation(1000)[:100]].sum(axis=0) - wanted).sum() for s in range(20)
    ]
    assert max(stratified_off) < np.mean(random_off) / 2


def test_another_seed_is_another_sample_and_this_one_is_pinned() -> None:
    targets = rare(40)
    assert list(stratified(targets, 8, 0)) != list(stratified(targets, 8, 1))
    assert list(stratified(targets, 8, 0)) == [1, 3, 10, 16, 22, 25, 26, 32]


def test_the_sample_of_a_data_set_says_so() -> None:
    data = dataset(rare(200))
    drawn = data.sample(50, 7)
    assert (len(drawn.images), drawn.split, drawn.notes) == (50, "test[sample 50, seed 7]", ("a fact",))
    rows = [int(image.id) for image in drawn.images]
    np.testing.assert_array_equal(drawn.targets, data.targets[rows])
    assert data.sample(200, 7) is data
    assert [image.id for image in data.first(50).images] != [image.id for image in drawn.images]


def test_what_cannot_be_drawn() -> None:
    data = dataset(rare(10))
    assert "at least 1" in message(UsageError, lambda: data.sample(0, 0))
    assert "a seed of 0 to" in message(UsageError, lambda: data.sample(1, -1))
    assert "a seed of 0 to" in message(UsageError, lambda: data.sample(1, 2**32))


def test_a_tenth_of_coco_keeps_its_eighty_shares(test_data: Path) -> None:
    table = pd.read_csv(test_data / "labels" / "coco_val2014.csv.gz", index_col="id").to_numpy(dtype=np.int8)
    found = table[stratified(table, 4000, 0)].sum(axis=0)
    wanted = table.sum(axis=0) * 4000 / len(table)
    assert np.abs(found - wanted).max() < 2
