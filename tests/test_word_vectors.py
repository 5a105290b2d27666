"""CLIP-Decoder's word vectors: read as tensors, never run as a pickle."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from trees import make_nus_csv, message, write

from zsprompt.datasets import load_dataset
from zsprompt.encoders.word_vectors import read_word_vectors
from zsprompt.errors import DataError


def test_rows_are_the_labels_of_data_csv(tmp_path: Path) -> None:
    labels = load_dataset("nus-wide", root=make_nus_csv(tmp_path), split="all:gzsl").labels
    stored = torch.arange(300 * len(labels), dtype=torch.float64).reshape(300, len(labels))
    torch.save(stored, tmp_path / "wordvec_array.pth")
    vectors = read_word_vectors(tmp_path / "wordvec_array.pth", len(labels))
    assert (vectors.shape, vectors.dtype) == ((len(labels), 300), np.float32)
    np.testing.assert_array_equal(vectors[:, 7], stored[7].numpy())


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(Evil(tmp_path / "owned"), tmp_path / "x.pth")
    assert "cannot read" in message(DataError, lambda: read_word_vectors(tmp_path / "x.pth", 1))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (torch.zeros(3, 4), "expected a tensor of shape [D, 5]"),
        (torch.zeros(5), "found [5]"),
        ({"a": 1}, "found dict"),
        (torch.full((3, 5), float("nan")), "expected finite"),
    ],
)
def test_another_content(tmp_path: Path, value: object, part: str) -> None:
    torch.save(value, tmp_path / "x.pth")
    assert part in message(DataError, lambda: read_word_vectors(tmp_path / "x.pth", 5))


def test_a_file_cut_anywhere_or_none_at_all(tmp_path: Path) -> None:
    torch.save(torch.zeros(3, 5), tmp_path / "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    for end in range(0, len(whole), 97):
        path = write(tmp_path / "cut.pth", whole[:end])
        assert str(path) in message(DataError, lambda path=path: read_word_vectors(path, 5))
    assert "found none" in message(DataError, lambda: read_word_vectors(tmp_path / "gone.pth", 5))
