"""The cache folder: foreign, full, damaged, shared, and written by another version."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Cli, environment
from hypothesis import given, settings
from hypothesis import strategies as st

from zsprompt._utils.byte_cache import FORMAT, ByteCache, BytesOnlyDisk, clear_cache, temporary_cache
from zsprompt.errors import CacheError

KEYS = [bytes([i]) * 32 for i in range(50)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache folder with 50 entries."""
    cache = ByteCache(tmp_path / "cache")
    cache.put_many({key: key * 10 for key in KEYS})
    cache.close()
    return tmp_path / "cache"


def test_what_goes_in_comes_out_and_what_is_not_there_is_none(folder: Path) -> None:
    cache = ByteCache(folder)
    assert cache.get_many([KEYS[3], b"?" * 32, KEYS[0]]) == [KEYS[3] * 10, None, KEYS[0] * 10]
    cache.put_many({})
    assert cache.info().entries == 50
    assert cache.info().bytes > 50 * 320


@settings(max_examples=25, deadline=None)
@given(asked=st.lists(st.integers(0, 99), max_size=40))
def test_what_is_there_is_known_without_reading_it(tmp_path_factory: pytest.TempPathFactory, asked: list[int]) -> None:
    cache = ByteCache(tmp_path_factory.mktemp("c"))
    cache.put_many({bytes([i]) * 32: bytes(i) for i in range(0, 100, 3)})
    assert cache.has_many([bytes([i]) * 32 for i in asked]) == [i % 3 == 0 for i in asked]


def test_thousands_of_keys_are_asked_for_in_parts(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "c")
    keys = [i.to_bytes(32, "big") for i in range(2600)]
    cache.put_many(dict.fromkeys(keys[1::2], b"there"))
    assert cache.has_many(keys) == [False, True] * 1300
    assert cache.has_many([]) == []


def test_a_temporary_cache_deletes_its_folder_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "precious").mkdir()
    cache, stays = temporary_cache(), ByteCache(tmp_path / "stays")
    cache.put_many({KEYS[0]: b"value"})
    assert cache.get_many(KEYS[:1]) == [b"value"]
    assert cache.folder.parent == tmp_path
    for one in (cache, stays):
        assert not one.closed
        one.close()
        assert one.closed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "stays"]


def test_large_caches_are_never_evicted(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "c")
    settings = {name: cache._disk.reset(name) for name in ("eviction_policy", "cull_limit")}
    assert settings == {"eviction_policy": "none", "cull_limit": 0}


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(CacheError, match=r"found 'holiday\.jpg'"):
        ByteCache(tmp_path)
    with pytest.raises(CacheError, match=r"holiday\.jpg"):
        clear_cache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_looking_at_a_cache_that_is_not_there_makes_none(tmp_path: Path, cli: Cli) -> None:
    for arguments in (["info"], ["verify"], ["clear", "--yes"]):
        done = cli("cache", *arguments, "--cache", "typo")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: expected a zsprompt cache in typo, found none\n"
    assert not (tmp_path / "typo").exists()


def test_a_clear_that_was_killed_midway_can_be_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlinked, unlink = [], Path.unlink

    def killed(path: Path) -> None:
        unlinked.append(path.name)
        unlink(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        clear_cache(folder)
    monkeypatch.undo()
    assert unlinked != ["zsprompt-cache.json"]
    assert clear_cache(folder) > 0
    assert list(folder.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with pytest.raises(CacheError, match="use another one"):
        ByteCache(tmp_path / "c")


def test_another_format_is_refused_with_both_numbers(folder: Path) -> None:
    (folder / "zsprompt-cache.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(CacheError, match=f"expected cache format {FORMAT} .* found 99"):
        ByteCache(folder)


@pytest.mark.parametrize("marker", ["", "{", "[]", '{"other": 1}', "\x00"])
def test_an_unreadable_marker_is_refused(folder: Path, marker: str) -> None:
    (folder / "zsprompt-cache.json").write_text(marker)
    with pytest.raises(CacheError, match="damaged"):
        ByteCache(folder)


def test_no_pickle_goes_in_or_out(folder: Path) -> None:
    """An entry in diskcache's pickle mode counts as missing, and our class cannot create one."""
    database = sqlite3.connect(folder / "cache.db")
    bomb = pickle.dumps(ValueError("loaded"))
    database.execute("UPDATE Cache SET mode = 4, value = ? WHERE key = ?", (bomb, KEYS[7]))
    database.commit()
    database.close()
    assert ByteCache(folder).get_many([KEYS[7], KEYS[8]]) == [None, KEYS[8] * 10]
    disk = BytesOnlyDisk(str(folder))
    for wrong in ("text", 1, None, ["list"]):
        with pytest.raises(TypeError):
            disk.store(wrong, read=False)
        with pytest.raises(TypeError):
            disk.put(wrong)


def test_a_flipped_bit_anywhere_is_never_believed(folder: Path) -> None:
    """Whatever byte of the database is damaged: the right value, None or a one-line error, never a wrong value."""
    database = folder / "cache.db"
    whole = database.read_bytes()
    for at in range(0, len(whole), 397):
        database.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            cache = ByteCache(folder)
            values = cache.get_many(KEYS)
            cache.close()
        except CacheError:
            continue
        assert all(value in (None, key * 10) for key, value in zip(KEYS, values, strict=True))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_database_is_one_line_and_clear_repairs_it(folder: Path, share: float) -> None:
    database = folder / "cache.db"
    whole = database.read_bytes()
    database.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CacheError, match=r"damaged .* zsprompt cache clear"):
        ByteCache(folder).get_many(KEYS)
    assert clear_cache(folder) > 0
    assert ByteCache(folder).get_many(KEYS) == [None] * 50


def test_verify_deletes_damaged_entries_and_no_others(folder: Path) -> None:
    cache = ByteCache(folder)
    cache._disk.set(KEYS[1], cache._disk.get(KEYS[2]))  # an intact value under another key
    cache._disk.set(KEYS[5], b"short")
    assert cache.verify() == (50, 2)
    assert cache.verify() == (48, 0)
    assert cache.get_many(KEYS[:7]) == [KEYS[0] * 10, None, *(k * 10 for k in KEYS[2:5]), None, KEYS[6] * 10]


def test_a_transaction_is_whole_or_not_there(folder: Path) -> None:
    cache = ByteCache(folder)
    with pytest.raises(TypeError):
        cache.put_many({b"a" * 32: b"fine", b"b" * 32: 7})
    assert cache.get_many([b"a" * 32]) == [None]


WRITER = """
import sys
from pathlib import Path
from zsprompt._utils.byte_cache import ByteCache
cache = ByteCache(Path(sys.argv[1]))
for i in range(60):
    cache.put_many({bytes([int(sys.argv[2]), i, j]) * 8: bytes([i, j]) * 100 for j in range(20)})
cache.close()
"""


def test_several_processes_share_a_cache_from_its_first_moment(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "cache"
    command = [sys.executable, "-c", WRITER, str(folder)]
    writers = [
        subprocess.Popen([*command, str(n)], env=environment(), stderr=subprocess.PIPE, text=True) for n in range(4)
    ]
    assert [(writer.communicate(timeout=120)[1], writer.returncode) for writer in writers] == [("", 0)] * 4
    assert ByteCache(folder).verify() == (4 * 60 * 20, 0)


FILLER = """
import os, sys
from pathlib import Path
from zsprompt._utils.byte_cache import ByteCache
from zsprompt.errors import CacheError
cache, done = ByteCache(Path(sys.argv[1])), 0
try:
    for i in range(10_000):
        cache.put_many({b"%032d" % (100 * i + j): os.urandom(2048) for j in range(20)})
        done += 20
except CacheError as error:
    print(done, error)
"""


def test_a_full_disk_is_one_line_and_nothing_finished_is_lost(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        (small / "ballast").write_bytes(bytes(5 * 2**20))
        filled = subprocess.run(
            [sys.executable, "-c", FILLER, str(small / "c")], capture_output=True, text=True, check=True, timeout=120
        )
        count, _, message = filled.stdout.partition(" ")
        assert message.startswith("no space left for the cache in")
        assert message.count("\n") == 1
        (small / "ballast").unlink()  # some space is freed, as the message asks
        cache = ByteCache(small / "c")
        assert int(count) > 100
        assert cache.verify() == (int(count), 0)
        cache.close()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="SQLite's result codes are new in Python 3.11")
def test_a_full_database_and_missing_tables_are_recognised_by_sqlites_code(tmp_path: Path) -> None:
    cache = ByteCache(tmp_path / "full")
    cache._disk._sql("PRAGMA max_page_count = 30")  # as a full disk does, it ends in SQLITE_FULL
    with pytest.raises(CacheError, match="no space left for the cache in"):
        cache.put_many({b"%032d" % n: os.urandom(2048) for n in range(1000)})
    cache._disk._sql("DROP TABLE Cache")
    with pytest.raises(CacheError, match=r"is damaged \(no such table"):
        cache.has_many([bytes(32)])
    cache.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CacheError, match="use another one"):
        ByteCache(tmp_path / "c")


def test_the_commands(folder: Path, cli: Cli) -> None:
    info = json.loads(cli("cache", "info", "--cache", folder, "--json").stdout)
    assert (info["entries"], info["folder"]) == (50, str(folder))
    assert cli("cache", "verify", "--cache", folder).stdout == "50 entries checked, 0 damaged and deleted\n"
    refused = cli("cache", "clear", "--cache", folder)
    assert refused.returncode == 1
    assert "--yes" in refused.stderr
    assert cli("cache", "clear", "--cache", folder, "--yes").returncode == 0
    assert list(folder.iterdir()) == []
