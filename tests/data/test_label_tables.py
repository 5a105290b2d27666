"""Parsed tables on disk: exact, by content, and never trusted when damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import message, write

from zsprompt.data.datasets import label_tables as tables
from zsprompt.data.datasets.label_tables import Table, cached, tables_folder
from zsprompt.errors import DataError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


def table(value: int = 1, width: int = 3) -> Table:
    targets = np.array([[value, 0, -1][:width], [0, 0, 1][:width]], dtype=np.int8)
    return Table(("a", "b"), ("a.jpg", "b/\n\0.jpg"), ("x", "y", "ü")[:width], targets, {"n": 3}, ("s", "t"))


def equal(one: Table, other: Table) -> bool:
    same = (one.ids, one.files, one.labels, dict(one.counts), one.texts)
    return same == (other.ids, other.files, other.labels, dict(other.counts), other.texts) and np.array_equal(
        one.targets, other.targets
    )


@given(
    rows=st.lists(st.tuples(NAMES, NAMES), max_size=20),
    labels=st.lists(NAMES, max_size=20),
    seed=st.integers(0, 99),
    lowest=st.sampled_from([-1, 0]),
)
@settings(max_examples=80, deadline=None)
def test_a_table_comes_back_as_it_was(rows: list[tuple[str, str]], labels: list[str], seed: int, lowest: int) -> None:
    random = np.random.default_rng(seed)
    targets = random.integers(lowest, 2, (len(rows), len(labels))).astype(np.int8)
    one = Table(tuple(a for a, _ in rows), tuple(b for _, b in rows), tuple(labels), targets, {"k": seed})
    back = tables._unpacked(tables._packed(one))
    assert equal(one, back)
    assert back.targets.dtype == np.int8


def test_the_second_call_does_not_parse(tmp_path: Path) -> None:
    source = write(tmp_path / "x", "content")
    assert equal(cached("k", [source], table), table())
    assert equal(cached("k", [source], lambda: table(0)), table())
    copy = write(tmp_path / "elsewhere", "content")
    assert equal(cached("k", [copy], lambda: table(0)), table()), "the content is the key, not the place"


def test_another_content_parser_or_format_is_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "x", "content")
    cached("k", [source], table)
    assert equal(cached("other", [source], lambda: table(0)), table(0))
    assert equal(cached("k", [source, source], lambda: table(0)), table(0))
    write(source, "contenu")
    assert equal(cached("k", [source], lambda: table(0)), table(0))
    write(source, "content")
    monkeypatch.setattr(tables, "FORMAT", tables.FORMAT + 1)
    assert equal(cached("k", [source], lambda: table(0)), table(0))


def test_a_damaged_table_is_parsed_and_written_again(tmp_path: Path) -> None:
    source = write(tmp_path / "x", "content")
    cached("k", [source], table)
    (path,) = tables_folder().iterdir()
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        assert equal(cached("k", [source], lambda: table(0)), table(0))
        path.write_bytes(whole)
    random = np.random.default_rng(0)
    for at in random.integers(0, len(whole), 100):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << random.integers(8))]) + whole[at + 1 :])
        assert equal(cached("k", [source], table), table())
    assert path.read_bytes() == whole


def test_no_pickle_is_ever_read(tmp_path: Path) -> None:
    source = write(tmp_path / "x", "content")
    cached("k", [source], table)
    (path,) = tables_folder().iterdir()
    evil = np.lib.format.magic(1, 0) + b"v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(120) + b"\n"
    evil += b"cposix\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    import hashlib

    path.write_bytes(b'{"format": 1, "sha256": "' + hashlib.sha256(evil).hexdigest().encode() + b'"}\n' + evil)
    assert equal(cached("k", [source], table), table())
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("failing", ["mkstemp", "fsync", "replace"])
def test_a_full_or_closed_disk_is_no_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = write(tmp_path / "x", "content")
    with monkeypatch.context() as patch:
        where = {"mkstemp": tables.tempfile, "fsync": os, "replace": Path}[failing]
        patch.setattr(where, failing, full)
        assert equal(cached("k", [source], table), table())
    assert not tables_folder().exists() or not list(tables_folder().iterdir())
    assert equal(cached("k", [source], table), table())


def test_a_file_that_changes_while_it_is_parsed_is_not_kept(tmp_path: Path) -> None:
    source = write(tmp_path / "x", "content")

    def parse() -> Table:
        write(source, "something else")
        return table(0)

    cached("k", [source], parse)
    write(source, "content")
    assert equal(cached("k", [source], table), table())


def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    assert str(tmp_path / "gone") in message(DataError, lambda: cached("k", [tmp_path / "gone"], table))
    assert "Is a directory" in message(DataError, lambda: cached("k", [tmp_path], table))


def test_tables_are_next_to_the_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSPROMPT_CACHE", "/some/where")
    assert tables_folder() == Path("/some/where-tables")
