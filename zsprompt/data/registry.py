"""The table of data sets, and loading them by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from zsprompt._utils.arguments import checked
from zsprompt._utils.modules import error_text, import_object
from zsprompt._utils.registry import find, installed
from zsprompt.data.dataset import Dataset, Origin
from zsprompt.data.download.catalogue import CATALOGUE
from zsprompt.errors import DataError, UnknownName, UsageError, ZspromptError


@dataclass(frozen=True)
class DatasetEntry:
    """One entry of the table.

    Attributes:
        name: name of the data set.
        path: loader as module:function below `zsprompt.data.datasets`, with the arguments (root, *, split, names). It
            is imported on first use, and the first line of its docstring describes the data set.
        training: default split for training adapters; None for a user's own data.
        has_files: whether the data set is stored in a folder.
    """

    name: str
    path: str
    training: str | None = None
    has_files: bool = True

    @property
    def load(self) -> Callable[..., Dataset]:
        """The loader function."""
        loader: Callable[..., Dataset] = import_object(f"zsprompt.data.datasets.{self.path}")
        return loader

    @property
    def about(self) -> str:
        """One-line description."""
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
        DatasetEntry("voc-xml", "voc_xml:load"),
        DatasetEntry("coco-json", "coco_json:load"),
        DatasetEntry("image-folders", "image_folders:load"),
        DatasetEntry("shards", "shards:load"),
    )
}
"""Built-in data sets. To add one, write its module and add a line here; the contract tests cover the table."""

TRAINING = {name: entry.training for name, entry in DATASETS.items() if entry.training}
"""Default split of each data set for training adapters."""

_GROUP = "zsprompt.datasets"


def available_datasets() -> dict[str, str]:
    """Names that `load_dataset` accepts, each with the first line of its loader's docstring."""
    built_in = {name: entry.about for name, entry in DATASETS.items()}
    return built_in | {name: f"installed: {path}" for name, path in installed(_GROUP).items()}


def data_folder() -> Path:
    """Default folder of data sets: ZSPROMPT_DATA if set, else the user's data directory."""
    return Path(os.environ.get("ZSPROMPT_DATA") or platformdirs.user_data_path("zsprompt", appauthor=False))


def takes_root(name: str) -> bool:
    """Whether a data set is stored in a folder; scenes are drawn."""
    return name not in DATASETS or DATASETS[name].has_files


@checked
def load_dataset(
    name: str, *, root: Path | str | None = None, split: str | None = None, names: str = "readable"
) -> Dataset:
    """Load a data set by name.

    Args:
        name: a name of the table, or package.module:Object, which is a Dataset or a loader with these arguments.
        root: folder of the data set; defaults to `data_folder()`. "scenes" is drawn and has no folder.
        split: name of a split ("test"); each data set has a default.
        names: "readable" ("potted plant") or "raw" ("pottedplant").

    Raises:
        UnknownName: there is no such data set, split or kind of names.
        UsageError: package.module:Object is neither a Dataset nor a loader of one.
        DataError: the data set is missing or broken.
    """
    if names not in ("readable", "raw"):
        raise UnknownName("kind of names", names, ["readable", "raw"])
    entry = DATASETS.get(name)
    loader: Any = entry.load if entry else find("data set", name, DATASETS, _GROUP)
    if isinstance(loader, Dataset):
        given = {"root": root is not None, "split": split is not None, "names": names != "readable"}
        if unused := [option for option, is_given in given.items() if is_given]:
            raise UsageError(f"{name} is a Dataset, which is loaded: it does not use {unused[0]}; leave it out")
        return loader
    if not callable(loader):
        raise UsageError(f"expected a Dataset or a loader of one at {name!r}, found {type(loader).__name__}")
    try:
        where = _root(name, root)
        loaded = loader(where, split=split, names=names)
    except ZspromptError as error:
        if root is None and (hint := _how_to_get(name, split, error)):
            error.args = (f"{error}; {hint}",)  # the same error, with advice
        raise
    except Exception as error:  # a user's loader may raise anything
        raise DataError(f"cannot load data set {name!r} ({error_text(error)})") from error
    if not isinstance(loaded, Dataset):
        raise UsageError(f"expected a Dataset from the loader {name!r}, found {type(loaded).__name__}")
    return replace(loaded, origin=Origin(name, str(where.absolute()) if where else None, split))


def _how_to_get(name: str, split: str | None, error: ZspromptError) -> str:
    """Advice if an official data set, or this split of it, is not in the data folder; else ""."""
    entry, where = CATALOGUE.get(name), data_folder()
    if entry is None or not isinstance(error, DataError | UnknownName):
        return ""
    if not entry.is_at(where):
        return entry.how_to_get
    missing = (
        isinstance(error, UnknownName)
        and split in entry.fetchable_splits()
        and split not in entry.unpacked_splits(where)
    )
    return f"`zsprompt data fetch {name} --split {split}` downloads it" if missing else ""


def _root(name: str, given: Path | str | None) -> Path | None:
    if given is not None:
        return Path(given)
    if not takes_root(name):
        return None
    root = data_folder()
    if not root.is_dir():
        raise DataError(f"expected data set {name!r} in {root}, found no such folder; pass its folder with --root DIR")
    return root
