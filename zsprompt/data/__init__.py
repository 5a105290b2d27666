"""Data sets: images, label names, and the labels of each image."""

from __future__ import annotations

from zsprompt.data.dataset import Dataset, Origin
from zsprompt.data.registry import DATASETS, TRAINING, available_datasets, data_folder, load_dataset, takes_root
from zsprompt.data.unlabelled_images import unlabelled

__all__ = [
    "DATASETS",
    "TRAINING",
    "Dataset",
    "Origin",
    "available_datasets",
    "data_folder",
    "load_dataset",
    "takes_root",
    "unlabelled",
]
