"""The files that a run reads, so that no output replaces one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from zsprompt._utils.outputs import Reads, reads_file, reads_folder
from zsprompt.adapters.adapter_file import FILE
from zsprompt.data import Dataset, data_folder, takes_root
from zsprompt.data.inputs import reads_images
from zsprompt.experiments.spec import RunSpec
from zsprompt.prompts.label_text import FILE_MARK

_MARK = re.compile(r"[:,=]")
_MOST_MARKS = 30


def inputs_of(spec: RunSpec, dataset: Dataset | None = None) -> list[Reads]:
    """What a run reads: the files that its fields name, the folder of its data set, and images elsewhere.

    Any text field may name a file, so a new field needs nothing here.

    Args:
        spec: the run.
        dataset: its data set, where it is loaded.
    """
    files = [reads_file(path) for part in fields(spec) for path in _paths(part.name, getattr(spec, part.name))]
    if isinstance(spec.dataset, str) and takes_root(spec.dataset):
        files.append(reads_folder(Path(spec.root) if spec.root else data_folder()))
    return files if dataset is None else [*files, reads_images(dataset.images)]


def _paths(name: str, value: object) -> Iterator[Path]:
    """The paths that a field may name: any run of its parts, because a path may hold separators itself."""
    if not isinstance(value, str):
        return
    if name in ("labels", "without"):  # "dog, cat" names labels; a file has a mark
        if value.startswith(FILE_MARK):
            yield Path(value.removeprefix(FILE_MARK))
        return
    marks = [match.start() for match in _MARK.finditer(value)][:_MOST_MARKS]
    for start in (0, *(mark + 1 for mark in marks)):
        for end in (*marks, len(value)):
            if start < end:
                yield Path(value[start:end])
                if name == "strategy":
                    yield Path(value[start:end], FILE)  # of an adapter's folder
