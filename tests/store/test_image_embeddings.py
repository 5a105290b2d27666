"""Images: rows are read in the requested order, with their tokens and captions."""

from __future__ import annotations

import numpy as np
import pytest

import zsprompt as zs
from zsprompt.store.image_embeddings import Images, TokenArray


def random_images(count: int = 7) -> Images:
    random = np.random.default_rng(0)
    tokens = TokenArray(random.normal(size=(count, 3, 5)).astype(np.float16))
    captions = random.normal(size=(count, 2, 4)).astype(np.float32)
    return Images(random.normal(size=(count, 4)).astype(np.float32), tokens, captions)


@pytest.mark.parametrize("rows", [[3, 0, 3], [], range(7), np.array([6, 1])], ids=str)
def test_rows_are_read_in_their_order(rows: list[int]) -> None:
    images = random_images()
    found = images.read(rows)
    places = np.asarray(rows, dtype=int)
    assert len(found) == len(rows)
    assert np.array_equal(found.vectors, images.vectors[places])
    assert isinstance(found.tokens, TokenArray)
    assert found.tokens.shape == (len(rows), 3, 5)
    assert np.array_equal(found.tokens.values, images.tokens.values[places])  # type: ignore[union-attr]
    assert np.array_equal(found.captions, images.captions[places])  # type: ignore[index,arg-type]


def test_reading_leaves_the_images_as_they_are() -> None:
    images = random_images()
    images.read([0]).vectors[:] = 0
    assert images.vectors[0].any()


def test_vectors_alone_are_images() -> None:
    found = zs.Images(np.eye(3, dtype=np.float32)).read([2])
    assert (len(found), found.tokens, found.captions) == (1, None, None)
