"""Any label file of any data set, damaged at random, loads or gives a one-line error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trees
from damage import damage
from trees import MAKERS

from zsprompt.data import DATASETS
from zsprompt.data.images import SUFFIXES
from zsprompt.errors import ZspromptError

ROUNDS = 250
SPLITS = {"nus-wide": "test:gzsl", "coco": "val", "captions-csv": "all"}
WITH_FILES = [name for name, entry in DATASETS.items() if entry.has_files]


def load(name: str, root: Path, split: str | None) -> str | None:
    """None if it loads, else the error. load_dataset is not used: it would turn a bug into a DataError."""
    try:
        data = DATASETS[name].load(root, split=split, names="readable")
    except ZspromptError as error:
        reason = str(error)
    else:
        assert data.targets.shape == (len(data.images), len(data.labels))
        return None
    assert "\n" not in reason
    assert len(reason) < 1500
    return reason


@pytest.mark.parametrize("name", [*WITH_FILES, "nus-wide csv"])
def test_damage_is_one_line_or_no_matter(name: str, tmp_path: Path) -> None:
    loader = name.removesuffix(" csv")
    (trees.make_nus_csv if name == "nus-wide csv" else MAKERS[name])(tmp_path / "whole")
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file() and path.suffix.lower() not in SUFFIXES]
    files = [path for path in files if path.name != "notes.txt"]
    if not files:
        pytest.skip("has no label files")
    draw = random.Random(name)
    refused = 0
    for _ in range(ROUNDS):
        path = draw.choice(files)
        before = path.read_bytes()
        path.write_bytes(damage(before, draw))
        reason = load(loader, tmp_path / "whole", SPLITS.get(name))
        refused += reason is not None
        path.write_bytes(before)
    assert refused, "some of this damage must matter"
    assert load(loader, tmp_path / "whole", SPLITS.get(name)) is None


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_label_file_that_is_a_folder_or_closed_to_us_is_one_line(name: str, tmp_path: Path) -> None:
    MAKERS[name](tmp_path)
    files = [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".csv", ".txt", ".xml", ".jsonl", ".tar")]
    files = [path for path in files if path.name not in ("notes.txt", "other.csv")]
    for path in files:
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        load(name, tmp_path, SPLITS.get(name))
        path.rmdir()
        path.write_bytes(content)
