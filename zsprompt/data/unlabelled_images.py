"""Unlabelled images: a data set without targets, for what learns without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zsprompt.data.dataset import Dataset
from zsprompt.data.inputs import Paths, Sources, sources_of

NAME = "unlabelled"


def unlabelled(paths: Paths | Sources, labels: Sequence[str]) -> Dataset:
    """The images at `paths` as a data set whose targets are all left out (−1).

    Args:
        paths: image files, folders (searched to any depth), .tar files, and lists of files, as for `predict`.
        labels: C names.

    Raises:
        DataError: a path is missing, a tar file or list is broken, or there is no image.
    """
    sources = paths if isinstance(paths, Sources) else sources_of(paths)
    images = list(sources)
    targets = np.full((len(images), len(labels)), -1, dtype=np.int8)
    return Dataset(NAME, tuple(labels), images, targets, split="all", remarks=sources.remarks)
