"""zsprompt.show: annotated images of predictions in Python."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import LABELS, Windowed, draw_files
from PIL import Image

import zsprompt as zs
from zsprompt.errors import OutputError, UsageError
from zsprompt.testing import planted_world

SETS = [("cat",), ("dog", "cat"), ()]


@pytest.fixture
def predictions(tmp_path: Path, store: zs.EmbeddingStore) -> zs.Predictions:
    draw_files(tmp_path / "photos", SETS)
    return zs.predict(tmp_path / "photos", ["cat", "dog"], store, strategy=Windowed())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_predictions_are_shown_in_a_folder(predictions: zs.Predictions, tmp_path: Path) -> None:
    zs.show(predictions, str(tmp_path / "shown"))
    assert names(tmp_path / "shown") == ["1-0000.jpg", "2-0001.jpg", "3-0002.jpg", "index.csv"]
    first = {path.name: path.read_bytes() for path in (tmp_path / "shown").iterdir()}
    zs.show(predictions, tmp_path / "shown")
    assert {path.name: path.read_bytes() for path in (tmp_path / "shown").iterdir()} == first


def test_a_few_of_the_images_can_be_shown(predictions: zs.Predictions, tmp_path: Path) -> None:
    """Rows that are chosen by hand."""
    some = replace(
        predictions,
        images=predictions.images[:1],
        refs=predictions.refs[:1],
        scores=predictions.scores[:1],
        decisions=predictions.decisions[:1],
        windows=None,
    )
    zs.show(some, tmp_path / "shown")
    assert names(tmp_path / "shown") == ["1-0000.jpg", "index.csv"]


def test_probabilities_are_shown_in_percent(predictions: zs.Predictions, tmp_path: Path) -> None:
    zs.show(replace(predictions, probabilities=np.full((3, 2), 0.5, dtype=np.float32)), tmp_path / "a")
    zs.show(replace(predictions, probabilities=np.full((3, 2), 0.9, dtype=np.float32)), tmp_path / "b")
    assert (tmp_path / "a/1-0000.jpg").read_bytes() != (tmp_path / "b/1-0000.jpg").read_bytes()
    assert (tmp_path / "a/3-0002.jpg").read_bytes() == (tmp_path / "b/3-0002.jpg").read_bytes()


def test_predictions_without_their_images_are_refused(predictions: zs.Predictions, tmp_path: Path) -> None:
    made = zs.Predictions(predictions.images, predictions.labels, predictions.scores, predictions.decisions)
    with pytest.raises(UsageError, match="expected predictions with their images"):
        zs.show(made, tmp_path / "shown")
    assert not (tmp_path / "shown").exists()


def test_images_of_a_data_set_in_memory_can_be_shown(tmp_path: Path) -> None:
    data, encoder = planted_world()
    store = zs.EmbeddingStore(encoder, cache=None)
    result = zs.run("per-label", data, store, resamples=2)
    prediction, refs = result.prediction, tuple(data.images)
    zs.show(
        zs.Predictions(result.images, LABELS, prediction.scores, prediction.decisions, refs=refs), tmp_path / "shown"
    )
    assert len(names(tmp_path / "shown")) == len(refs) + 1


def test_a_file_of_others_is_refused_and_force_replaces_it(predictions: zs.Predictions, tmp_path: Path) -> None:
    other = tmp_path / "shown/2-0001.jpg"
    other.parent.mkdir()
    Image.new("RGB", (9, 9)).save(other)
    before = other.read_bytes()
    with pytest.raises(
        OutputError, match=r"or an annotated image written by zsprompt, found .*another --show, or pass"
    ):
        zs.show(predictions, tmp_path / "shown")
    assert names(tmp_path / "shown") == ["2-0001.jpg"]
    assert other.read_bytes() == before
    zs.show(predictions, tmp_path / "shown", force=True)
    assert len(names(tmp_path / "shown")) == 4


def test_an_image_that_is_gone_is_left_out_with_a_warning(
    predictions: zs.Predictions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "photos/0001.png").unlink()
    zs.show(predictions, tmp_path / "shown")
    assert names(tmp_path / "shown") == ["1-0000.jpg", "3-0002.jpg", "index.csv"]
    assert f"cannot annotate {tmp_path}/photos/0001.png: No such file or directory" in caplog.text
