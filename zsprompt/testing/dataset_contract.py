"""The contract of a data set."""

from __future__ import annotations

from collections import Counter

import numpy as np

from zsprompt.data import Dataset
from zsprompt.data.images import ImageRef, decode
from zsprompt.errors import ContractError, ImageError, LabelError
from zsprompt.prompts.labels import check_labels
from zsprompt.testing.contract import require, require_array


def check_dataset(dataset: Dataset, *, read: int = 16) -> None:
    """Check that a data set fulfils the contract of `zsprompt.Dataset`.

    The clauses:

    - The data set has a name.
    - Labels are distinct texts that fit in results.
    - Targets are [N, C] int8 with values 1, 0 or −1.
    - Image ids are distinct texts.
    - Images have the same order by index and in iteration.
    - Their bytes can be read twice and decoded.
    - Their identities are bytes or None, and constant.
    - Captions are N texts.
    - `select` keeps images, targets and captions together.

    Args:
        dataset: the data set to check.
        read: number of images to read and decode, spread over the data set.

    Raises:
        ContractError: a clause does not hold. The message says what was expected and what was found.
    """
    require(isinstance(dataset, Dataset), "data set", "a Dataset", type(dataset).__name__)
    _check_labels(dataset)
    _check_targets(dataset)
    _check_ids(dataset)
    _check_captions(dataset)
    _check_select(dataset)
    count = len(dataset.images)
    for position in sorted(set(np.linspace(0, count - 1, min(read, count)).astype(int).tolist())):
        _check_image(dataset.images[position])


def _check_labels(dataset: Dataset) -> None:
    require(isinstance(dataset.name, str) and dataset.name != "", "name", "a name", repr(dataset.name))
    require(dataset.names in ("readable", "raw"), "names", "names to be 'readable' or 'raw'", repr(dataset.names))
    require(isinstance(dataset.labels, tuple), "labels", "labels as a tuple", type(dataset.labels).__name__)
    others = [label for label in dataset.labels if not isinstance(label, str)]
    require(not others, "labels", "labels that are texts", others[:1])
    try:
        check_labels(dataset.labels)
    except LabelError as error:
        raise ContractError("labels", str(error)) from None


def _check_targets(dataset: Dataset) -> None:
    shape = len(dataset.images), len(dataset.labels)
    require_array(dataset.targets, "targets", "targets", shape, np.int8)
    lowest, highest = int(dataset.targets.min()), int(dataset.targets.max())
    require(lowest >= -1 and highest <= 1, "targets", "targets of 1, 0 or -1", f"{lowest} to {highest}")


def _check_ids(dataset: Dataset) -> None:
    ids = [image.id for image in dataset.images]
    require(len(ids) == len(dataset.images), "images", f"{len(dataset.images)} images in iteration", len(ids))
    others = [name for name in ids if not isinstance(name, str) or not name]
    require(not others, "ids", "ids that are texts", others[:1])
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    require(not repeated, "ids", "distinct ids", f"{len(repeated)} repeated, such as {repeated[:1]}")
    for position in {0, len(ids) // 2, len(ids) - 1}:
        name = dataset.images[position].id
        expected = f"image {position} to be {ids[position]!r}, as in iteration"
        require(name == ids[position], "images", expected, repr(name))


def _check_captions(dataset: Dataset) -> None:
    for column, texts in dataset.caption_columns.items():
        require(len(texts) == len(dataset.images), "captions", f"a caption ({column}) per image", len(texts))
        others = [text for text in texts if not isinstance(text, str)]
        require(not others, "captions", f"captions ({column}) that are texts", others[:1])


def _check_select(dataset: Dataset) -> None:
    rows = [len(dataset.images) - 1, 0]
    chosen = dataset.select(rows)
    kept = [image.id for image in chosen.images] == [dataset.images[row].id for row in rows]
    kept = kept and np.array_equal(chosen.targets, dataset.targets[rows])
    for column, texts in dataset.caption_columns.items():
        kept = kept and list(chosen.caption_columns[column]) == [texts[row] for row in rows]
    require(kept, "select", "select to keep images, targets and captions together", "different ones")


def _check_image(image: ImageRef) -> None:
    try:
        data = image.read()
        decode(data)
    except ImageError as error:
        raise ContractError(
            "readable", f"expected image {image.id!r} to be readable, found an error: {error}"
        ) from None
    require(isinstance(data, bytes), "readable", f"bytes from image {image.id!r}", type(data).__name__)
    require(image.read() == data, "readable", f"the same bytes from image {image.id!r} each time", "different ones")
    first, second = image.identity(), image.identity()
    constant = first == second and isinstance(first, bytes | None)
    expected = f"a constant identity of image {image.id!r}, bytes or None"
    require(constant, "identity", expected, f"{first!r}, then {second!r}")
