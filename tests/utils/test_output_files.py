"""Outputs: they appear whole, replace only their own kind, and leave no empty folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from zsprompt._utils.file_kinds import PREDICTIONS
from zsprompt._utils.files import read_text
from zsprompt._utils.outputs import check_folder, check_output, remove, whole_text
from zsprompt.errors import OutputError


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


OLD = "image,labels,error,dog\n"
"""An earlier file of the kind that the tests write."""


def fill(path: Path, parts: list) -> None:
    with whole_text(path, PREDICTIONS) as file:
        for part in parts:
            file.write(part)


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with whole_text(path, PREDICTIONS) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
        file.write(" and half\r\n")
    assert path.read_bytes() == b"half and half\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text(OLD)
    with pytest.raises(TypeError):
        fill(path, ["new", 7])
    assert path.read_text() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(small_disk: Path) -> None:
    path = small_disk / "out.csv"
    path.write_text(OLD)
    with pytest.raises(OutputError, match=r"out\.csv \(No space left"):
        fill(path, ["x" * 10_000] * 300)
    assert path.read_text() == OLD
    assert [p.name for p in small_disk.iterdir()] == ["out.csv"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with whole_text(tmp_path / "ours", PREDICTIONS):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_places_that_cannot_be_written_are_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for refused in (tmp_path, tmp_path / "no" / "x.csv", tmp_path / "file" / "x.csv"):
        with pytest.raises(OutputError, match="--out"):
            check_output(refused, PREDICTIONS)
    with pytest.raises(OutputError, match="--out"):
        check_folder(tmp_path / "file" / "sub", {})
    check_output(tmp_path / "file", PREDICTIONS)
    check_output(tmp_path / "new.csv", PREDICTIONS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_removing(tmp_path: Path) -> None:
    remove(tmp_path / "not there", PREDICTIONS)
    with pytest.raises(OutputError, match="cannot replace"):
        remove(tmp_path, PREDICTIONS)


@pytest.mark.parametrize("content", [b"caf\xe9", b"x" * (2**24 + 1)], ids=["latin-1", "17 MB"])
def test_texts_that_are_not_small_utf8_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ValueError, match=r"utf-8|16 MB"):
        read_text(tmp_path / "t")
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbffine")
    assert read_text(tmp_path / "t") == "fine"
