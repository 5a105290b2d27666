"""Unlabelled images: a data set without targets, for what learns without them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zsprompt._utils.arguments import checked
from zsprompt.data.dataset import Dataset
from zsprompt.data.inputs import sources_of
from zsprompt.prompts.labels import check_labels

NAME = "unlabelled"


@checked
def unlabelled(paths: Iterable[Path | str] | Path | str, labels: Sequence[str]) -> Dataset:
    """The images at `paths` as a data set whose targets are all left out (−1).

    Args:
        paths: image files, folders (searched to any depth), .tar files, and lists of files, as for `predict`.
        labels: C names.

    Raises:
        DataError: a path is missing, a tar file or list is broken, or there is no image.
        LabelError: labels are blank or duplicate.
    """
    sources = sources_of(paths)
    images, names = list(sources), check_labels(labels)
    targets = np.full((len(images), len(names)), -1, dtype=np.int8)
    return Dataset(NAME, names, images, targets, split="all", remarks=sources.remarks)
