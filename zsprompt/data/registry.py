"""The table of data sets, and what their names stand for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from zsprompt._utils.registry import find, import_object, installed
from zsprompt.data.dataset import Dataset, Origin
from zsprompt.data.download.catalogue import CATALOGUE
from zsprompt.errors import DataError, UnknownName, UsageError, ZspromptError


@dataclass(frozen=True)
class DatasetEntry:
    """A line of the table.

    Attributes:
        name: the data set's name.
        path: module:function below `zsprompt.data.datasets`, a loader with the arguments (root, *, split, names). It is
            imported when a data set is loaded, and the first line of its documentation is what people read about it.
        training: the split that adapters learn from unless told; None for a data set of the user's own.
        has_files: whether it lies in a folder.
    """

    name: str
    path: str
    training: str | None = None
    has_files: bool = True

    @property
    def load(self) -> Callable[..., Dataset]:
        """The loader."""
        loader: Callable[..., Dataset] = import_object(f"zsprompt.data.datasets.{self.path}")
        return loader

    @property
    def about(self) -> str:
        """A line for people."""
        return (self.load.__doc__ or "").split("\n")[0]


DATASETS = {
    entry.name: entry
    for entry in (
        DatasetEntry("scenes", "scenes:load", training="train", has_files=False),
        DatasetEntry("voc", "voc:load_2007", training="trainval"),
        DatasetEntry("voc2012", "voc:load_2012", training="train"),
        DatasetEntry("coco", "coco:load_2014", training="train-labelled"),
        DatasetEntry("coco2017", "coco:load_2017", training="train-labelled"),
        DatasetEntry("nus-wide", "nus_wide:load", training="train"),
        DatasetEntry("kaggle10", "kaggle10:load", training="train-70"),
        DatasetEntry("captions-csv", "captions_csv:load", training="train"),
        DatasetEntry("folder", "image_list:load_folder"),
        DatasetEntry("list", "image_list:load"),
        DatasetEntry("image-folders", "image_folders:load"),
        DatasetEntry("shards", "shards:load"),
    )
}
"""Built-in data sets. A data set is its module and one line here; the contract tests run over this table."""

TRAINING = {name: entry.training for name, entry in DATASETS.items() if entry.training}
"""The split of each data set that adapters learn from unless told."""

_GROUP = "zsprompt.data"


def available_datasets() -> dict[str, str]:
    """Data set names that `load_dataset` knows, each with the first line of its loader's documentation."""
    built_in = {name: entry.about for name, entry in DATASETS.items()}
    return built_in | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def data_folder() -> Path:
    """ZSPROMPT_DATA, else the user's data directory: where a data set without a root is looked for."""
    return Path(os.environ.get("ZSPROMPT_DATA") or platformdirs.user_data_path("zsprompt", appauthor=False))


def takes_root(name: str) -> bool:
    """Whether a data set lies in a folder; scenes are drawn."""
    return name not in DATASETS or DATASETS[name].has_files


def load_dataset(
    name: str, *, root: Path | str | None = None, split: str | None = None, names: str = "readable"
) -> Dataset:
    """The data set a name stands for.

    Args:
        name: a name of the table, or package.module:Object, a loader with these arguments or a Dataset.
        root: its folder; by default looked for in `data_folder()`. "scenes" is drawn and has none.
        split: a list of the data set ("test"); each has a default.
        names: "readable" ("potted plant") or "raw" ("pottedplant").

    Raises:
        UnknownName: no such data set, split or kind of names.
        UsageError: package.module:Object is neither a Dataset nor a loader of one.
        DataError: it is not there, or is broken.
    """
    if names not in ("readable", "raw"):
        raise UnknownName("kind of names", names, ["readable", "raw"])
    entry = DATASETS.get(name)
    loader: Any = entry.load if entry else find("data set", name, DATASETS, _GROUP)
    if isinstance(loader, Dataset):
        return loader
    if not callable(loader):
        raise UsageError(f"expected a Dataset or a loader of one at {name!r}, found {type(loader).__name__}")
    try:
        where = _root(name, root)
        loaded = loader(where, split=split, names=names)
    except ZspromptError as error:
        if root is None and (hint := _how_to_get(name, split, error)):
            error.args = (f"{error}; {hint}",)  # the same error, and what to do about it
        raise
    except Exception as error:  # a stranger's loader may raise anything
        raise DataError(f"cannot load data set {name!r} ({type(error).__name__}: {error})") from error
    if not isinstance(loaded, Dataset):
        raise UsageError(f"expected a Dataset from the loader {name!r}, found {type(loaded).__name__}")
    return replace(loaded, origin=Origin(name, str(where.absolute()) if where else None, split))


def _how_to_get(name: str, split: str | None, error: ZspromptError) -> str:
    """What to do about a known data set of which nothing, or not this list, is in the data folder; else ""."""
    known, where = CATALOGUE.get(name), data_folder()
    if known is None or not isinstance(error, DataError | UnknownName):
        return ""
    if not known.is_at(where):
        return known.how_to_get
    lacks = isinstance(error, UnknownName) and split in known.lists() and split not in known.here(where)
    return f"`zsprompt data fetch {name} --split {split}` fetches it" if lacks else ""


def _root(name: str, given: Path | str | None) -> Path | None:
    if given is not None:
        return Path(given)
    if not takes_root(name):
        return None
    root = data_folder()
    if not root.is_dir():
        raise DataError(f"expected data set {name!r} in {root}, found no such folder; say where it is with --root DIR")
    return root
