"""Unpacking: only files of the archive, and only into the folder."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import warnings
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from archives import add, make_tar, make_zip, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zsprompt._utils.progress import quiet
from zsprompt.data.download.unpack import unpack
from zsprompt.errors import DataError, DownloadError

FILES = {"keep/a.txt": b"one", "keep/b/c.jpg": b"two" * 1000, "keep/b/empty": b"", "other/d.txt": b"three"}


@contextmanager
def nothing_outside(home: Path) -> Iterator[Path]:
    """A folder "into" in `home`; nothing else may appear next to it and the archive."""
    before = set(home.iterdir())
    yield home / "into"
    assert set(home.iterdir()) - before <= {home / "into", home / "archive"}


def unpacked(home: Path, data: bytes, keeps: tuple[str, ...] = ("keep",)) -> dict[str, bytes]:
    (home / "archive").write_bytes(data)
    with nothing_outside(home) as into:
        unpack(home / "archive", into, keeps=keeps, progress=quiet)
        return tree(into)


def refusal(home: Path, data: bytes, keeps: tuple[str, ...] = ("keep",)) -> str:
    """The one-line error; nothing may have been written."""
    (home / "archive").write_bytes(data)
    with nothing_outside(home) as into, pytest.raises(DataError) as caught:
        unpack(home / "archive", into, keeps=keeps, progress=quiet)
    assert not into.exists() or not tree(into)
    text = str(caught.value)
    assert "\n" not in text
    assert str(home / "archive") in text
    return text


MAKERS = {
    "tar": make_tar,
    "tar.gz": lambda files, **o: make_tar(files, "w:gz", **o),
    "tar.bz2": lambda files, **o: make_tar(files, "w:bz2", **o),
    "tar.xz": lambda files, **o: make_tar(files, "w:xz", **o),
    "zip": make_zip,
    "zip stored": lambda files, **o: make_zip(files, zipfile.ZIP_STORED, **o),
}


@pytest.mark.parametrize("prefix", ["", "./", ".//"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_is_kept_and_nothing_else(tmp_path: Path, make: Callable[..., bytes], prefix: str) -> None:
    found = unpacked(tmp_path, make(FILES, prefix=prefix))
    assert found == {name: content for name, content in FILES.items() if name.startswith("keep/")}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_several_folders_are_kept(tmp_path: Path, make: Callable[..., bytes]) -> None:
    assert unpacked(tmp_path, make(FILES), ("keep/b", "other")) == {
        name: content for name, content in FILES.items() if name != "keep/a.txt"
    }


def test_names_that_only_begin_alike_are_not_kept(tmp_path: Path) -> None:
    files = {"keep/a": b"1", "keeper/b": b"2", "keep.txt": b"3", "in/keep/c": b"4"}
    assert unpacked(tmp_path, make_tar(files)) == {"keep/a": b"1"}


def test_modes_and_owners_stay_behind(tmp_path: Path) -> None:
    unpacked(tmp_path, make_tar(FILES))
    found = (tmp_path / "into" / "keep" / "a.txt").stat()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR | stat.S_IWOTH)
    assert found.st_uid == os.getuid()


def test_folders_that_stand_twice_are_fine(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("keep", "keep/", "keep/b", "keep"):
            add(archive, name, kind=tarfile.DIRTYPE)
        add(archive, "keep/b/c")
    assert unpacked(tmp_path, buffer.getvalue()) == {"keep/b/c": b"x"}


def hostile_tar(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """The first file is valid: all entries are checked before anything is written."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", errors="surrogateescape") as archive:
        add(archive, "keep/good")
        add(archive, name, kind=kind, link=link)
    return buffer.getvalue()


def hostile_zip(name: str, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("keep/good", b"x")
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        info.external_attr = mode << 16
        archive.writestr(info, b"evil")
    return buffer.getvalue()


WAYS_OUT = ["../evil", "keep/../../evil", "/tmp/zsprompt-evil", "keep/..", "//evil", "..", "keep/b/../../../evil"]
ODD_NAMES = ["keep/..\\..\\evil", "C:evil", "keep/a\nb", "keep/" + "n" * 256, "keep/\x1b[2J", "keep/con:x", "keep/a?"]


@pytest.mark.parametrize("make", [hostile_tar, hostile_zip])
@pytest.mark.parametrize("name", WAYS_OUT)
def test_names_that_lead_out_are_refused(tmp_path: Path, make: Callable[[str], bytes], name: str) -> None:
    text = refusal(tmp_path, make(name))
    assert "a path outside its folder; nothing was installed" in text
    assert not Path("/tmp/zsprompt-evil").exists()


@pytest.mark.parametrize("make", [hostile_tar, hostile_zip])
@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_are_none_on_every_system_are_refused(
    tmp_path: Path, make: Callable[[str], bytes], name: str
) -> None:
    assert "not valid on every system" in refusal(tmp_path, make(name))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    assert "not valid on every system" in refusal(tmp_path, hostile_tar("keep/caf\udce9"))


@pytest.mark.parametrize("where", ["keep", "elsewhere"])
@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc"),
        (tarfile.SYMTYPE, "good"),
        (tarfile.LNKTYPE, "keep/good"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, link: str, where: str) -> None:
    """Also outside the kept folders: an archive with such an entry is not the expected one."""
    assert "a link or device" in refusal(tmp_path, hostile_tar(f"{where}/x", kind, link))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, mode: int) -> None:
    assert "a link or device" in refusal(tmp_path, hostile_zip("keep/x", mode | 0o777))


def test_a_link_and_a_file_through_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "keep/link", kind=tarfile.SYMTYPE, link=str(tmp_path / "outside"))
        add(archive, "keep/link/evil")
    assert "a link or device" in refusal(tmp_path, buffer.getvalue())
    assert not list((tmp_path / "outside").iterdir())


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(make_zip({"keep/a": b"secret"}))
    data[6] |= 1  # the flag in the entry, and in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(data))


@pytest.mark.parametrize("make", ["tar", "zip"])
@pytest.mark.parametrize("names", [("keep/a", "keep/a"), ("keep/a", "keep/./a"), ("keep/a", "keep/a/b")])
def test_names_that_stand_twice_or_below_a_file(tmp_path: Path, make: str, names: tuple[str, str]) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about this intended fault
        if make == "tar":
            with tarfile.open(fileobj=buffer, mode="w") as tar:
                for name in names:
                    add(tar, name)
        else:
            with zipfile.ZipFile(buffer, "w") as archive:
                for name in names:
                    archive.writestr(name, b"x")
    assert "occurs twice, or is below a file" in refusal(tmp_path, buffer.getvalue())


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_nothing_of_what_is_wanted(tmp_path: Path, make: Callable[..., bytes]) -> None:
    assert "expected absent in" in refusal(tmp_path, make(FILES), ("absent",))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04", b"\x1f\x8b\x08", b"<html>404</html>", b"\0" * 10, b"BZh9"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    assert "found damage" in refusal(tmp_path, data)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("length", [100, 511])
def test_a_tar_that_ends_or_breaks_in_an_entry_is_not_taken_for_a_short_one(
    tmp_path: Path, kind: str, length: int
) -> None:
    """tarfile accepts it silently."""
    whole = make_tar({"keep/a": b"1"}).rstrip(b"\0")
    first = whole + bytes(-len(whole) % 512)
    second = make_tar({"keep/b": b"2"})
    for data in (first + second[:length], first + b"x" + second[1:]):
        assert "found damage (no entry at byte 1,024)" in refusal(tmp_path, compress(data, kind))
    assert unpacked(tmp_path, compress(first, kind)) == {"keep/a": b"1"}


def compress(data: bytes, kind: str) -> bytes:
    return {"tar": lambda d: d, "tar.gz": gzip.compress, "tar.xz": lzma.compress}[kind](data)


def test_an_archive_of_zeros_holds_nothing(tmp_path: Path) -> None:
    """For tar, two blocks of zeros are an empty archive."""
    assert "found no file there" in refusal(tmp_path, b"\0" * 10_240)


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 100))
    (tmp_path / "archive").write_bytes(make_tar(FILES))
    with pytest.raises(
        DownloadError, match=r"expected 3 kB of free space in .* for the content of archive, found 100 bytes"
    ):
        unpack(tmp_path / "archive", tmp_path / "into", keeps=["keep"], progress=quiet)
    assert not tree(tmp_path / "into")


def test_a_bomb_is_seen_before_it_bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zip larger than the disk is refused by its directory, without reading its content."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 10**6))
    (tmp_path / "archive").write_bytes(make_zip({"keep/zeros": bytes(5_000_000)}))
    with pytest.raises(DownloadError, match="expected 5 MB of free space"):
        unpack(tmp_path / "archive", tmp_path / "into", keeps=["keep"], progress=quiet)


parts = st.text(st.characters(categories=["L", "N"], include_characters=" -_.()"), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..")
)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
trees = st.dictionaries(paths, st.binary(max_size=2000), min_size=1, max_size=8).filter(
    lambda files: not any(a != b and b.startswith(a + "/") for a in files for b in files)
)


@settings(max_examples=60, deadline=None)
@given(files=trees, kind=st.sampled_from(sorted(MAKERS)))
def test_any_tree_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], kind: str
) -> None:
    files = {f"keep/{name}": content for name, content in files.items()}
    assert unpacked(tmp_path_factory.mktemp("any"), MAKERS[kind](files)) == files


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(sorted(MAKERS)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
)
def test_damage_is_one_line_and_stays_inside(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    home = tmp_path_factory.mktemp("damaged")
    data = bytearray(MAKERS[kind](FILES))
    for where, change in flips:
        data[int(where * len(data))] ^= change
    (home / "archive").write_bytes(data[: int(cut * len(data))] if cut < 0.9 else data)
    with nothing_outside(home) as into, suppress(DataError):
        unpack(home / "archive", into, keeps=["keep"], progress=quiet)
        assert all(name.startswith("keep/") for name in tree(into))
