"""Downloading data sets from a local server: installed atomically, and resumed after interruptions."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import textwrap
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from archives import make_tar, make_zip, tree
from command_line import ROOT, SUPPORT, environment
from file_server import FileServer, Reply, quick_connections
from voc_archives import TARS, TEST, TRAINVAL, archive, voc_entry

from zsprompt.data import load_dataset
from zsprompt.data.download.catalogue import CATALOGUE, CatalogueEntry
from zsprompt.data.download.check import check
from zsprompt.data.download.fetch import fetch
from zsprompt.errors import DataError, DownloadError, UnknownName, ZspromptError

STAGE = ".zsprompt-fetch-voc"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    quick_connections(monkeypatch, tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer(dict(TARS)) as found:
        yield found


def refusal(error: type[ZspromptError], *args: object, **options: object) -> str:
    with pytest.raises(error) as caught:
        fetch(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def test_fetched_loaded_checked(server: FileServer, tmp_path: Path) -> None:
    root = tmp_path / "new" / "data"
    voc = voc_entry(server)
    assert [done.file for done in fetch(voc, root)] == ["test.tar", "trainval.tar"]
    assert tree(root) == TEST | TRAINVAL
    assert [path.name for path in root.iterdir()] == ["VOCdevkit"]
    assert voc.is_at(root)
    assert voc.unpacked_splits(root) == ("test", "trainval")
    lists = [load_dataset("voc", root=root, split=split, names="raw") for split in ("test", "trainval")]
    assert check(lists, root=root, entry=voc).faults == []


def test_installed_archives_are_not_downloaded_again(server: FileServer, tmp_path: Path) -> None:
    fetch(voc_entry(server), tmp_path)
    asked = len(server.asked)
    assert fetch(voc_entry(server), tmp_path) == []
    assert len(server.asked) == asked == 2


def test_one_split_then_the_others(server: FileServer, tmp_path: Path) -> None:
    """The second archive goes into a folder that also has a file of the user."""
    assert [done.file for done in fetch(voc_entry(server), tmp_path, split="test")] == ["test.tar"]
    mine = tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main" / "mine.txt"
    mine.write_text("000001\n")
    assert [done.file for done in fetch(voc_entry(server), tmp_path)] == ["trainval.tar"]
    assert mine.read_text() == "000001\n"
    assert len(tree(tmp_path)) == len(TEST | TRAINVAL) + 1


def test_again_repairs_damaged_files(server: FileServer, tmp_path: Path) -> None:
    fetch(voc_entry(server), tmp_path)
    damaged = tmp_path / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000001.jpg"
    damaged.write_bytes(b"oops")
    assert len(fetch(voc_entry(server), tmp_path, again=True)) == 2
    assert tree(tmp_path) == TEST | TRAINVAL


def test_files_of_others_are_not_replaced(server: FileServer, tmp_path: Path) -> None:
    entry = voc_entry(server)
    fetch(entry, tmp_path)
    image = next((tmp_path / entry.top).rglob("*.jpg"))
    official = image.read_bytes()
    for part in entry.archives:
        (tmp_path / part.sign).unlink()
    image.write_bytes(b"my own image")
    with pytest.raises(DataError, match=f"found another {image.name}; move it away, or pass --again"):
        fetch(entry, tmp_path)
    assert image.read_bytes() == b"my own image"
    fetch(entry, tmp_path, again=True)
    assert image.read_bytes() == official


def test_a_zip_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """As for COCO: the folders of the archive go below "coco"."""
    data = make_zip({"val2014/a.jpg": b"1", "annotations/x.json": b"{}"})
    with FileServer({"val.zip": data}) as server:
        made = replace(
            archive(server, "test", data), file="val.zip", urls=(f"{server.url}/val.zip",), keeps=("val2014",)
        )
        fetch(voc_entry(server, replace(made, below="coco", sign="coco/val2014")), tmp_path)
    assert tree(tmp_path) == {"coco/val2014/a.jpg": b"1"}


def test_a_stopped_download_stays_hidden_and_is_resumed(server: FileServer, tmp_path: Path) -> None:
    server.replies += [Reply(cut=5_000), *[Reply(cut=0)] * 4]
    text = refusal(DownloadError, voc_entry(server), tmp_path)
    assert "are kept; run the same command again to resume" in text
    assert visible(tmp_path) == []
    fetch(voc_entry(server), tmp_path)
    assert server.ranges[5] == "bytes=5000-"
    assert tree(tmp_path) == TEST | TRAINVAL


def test_a_server_that_stalls(server: FileServer, tmp_path: Path) -> None:
    server.replies += [Reply(stall=3_000)]
    fetch(voc_entry(server), tmp_path, timeout=0.3)
    assert server.ranges == [None, "bytes=3000-", None]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(body=b"<!DOCTYPE html><title>Moved</title>"), "found a web page 'Moved'"),
        (Reply(status=404), "answered 404 Not Found"),
        (Reply(body=b"another file"), "found 12: this is another file"),
        (Reply(length=7), "found 7: this is another file"),
        (
            Reply(status=302, headers={"Location": "http://example.test/test.tar"}),
            "unencrypted downloads are not allowed",
        ),
    ],
)
def test_what_is_not_the_archive_leaves_nothing(server: FileServer, tmp_path: Path, reply: Reply, reason: str) -> None:
    server.replies += [reply]
    text = refusal(DownloadError, voc_entry(server), tmp_path / "root")
    assert reason in text
    assert text.endswith("Or download test.tar yourself and pass its folder with --from")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_changed_under_its_name(server: FileServer, tmp_path: Path) -> None:
    server.files["test.tar"] = bytes(len(TARS["test.tar"]))
    assert "to have sha256" in refusal(DownloadError, voc_entry(server), tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_the_second_address_does_where_the_first_does_not(server: FileServer, tmp_path: Path) -> None:
    made = archive(server, "test")
    both = replace(made, urls=(f"{server.url}/gone/nothing.tar", *made.urls))
    fetch(voc_entry(server, both), tmp_path)
    assert tree(tmp_path) == TEST


HOSTILE = {
    "out": make_tar(TEST | {"VOCdevkit/VOC2007/../../../evil": b"x"}),
    "absolute": make_tar(TEST | {"/tmp/zsprompt-evil": b"x"}),
    "cut": TARS["test.tar"][:5_000],
    "empty": make_tar({"elsewhere/a": b"x"}),
    "zip": make_zip(TEST | {"../evil": b"x"}),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_or_damaged_archive_puts_nothing_in_place(tmp_path: Path, data: bytes) -> None:
    root = tmp_path / "root"
    with FileServer({"test.tar": data}) as server:
        text = refusal(DataError, voc_entry(server, archive(server, "test", data)), root)
    assert "test.tar" in text
    assert visible(root) == []
    assert [path.name for path in (root / STAGE).iterdir()] == ["test.tar"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]
    assert not Path("/tmp/zsprompt-evil").exists()


def test_archives_from_a_folder(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name, data in TARS.items():
        (tmp_path / "mine" / name).write_bytes(data)
    fetch(voc_entry(server), tmp_path / "root", source=str(tmp_path / "mine"))
    assert tree(tmp_path / "root") == TEST | TRAINVAL
    assert tree(tmp_path / "mine") == TARS
    assert server.asked == []


def test_a_folder_that_lacks_them_or_holds_others(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    options = {"source": str(tmp_path / "mine")}
    assert "expected test.tar (" in refusal(DataError, voc_entry(server), tmp_path / "root", **options)
    (tmp_path / "mine" / "test.tar").write_bytes(b"other")
    assert "found another file (5 bytes)" in refusal(DataError, voc_entry(server), tmp_path / "root", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_archives_from_another_address(server: FileServer, tmp_path: Path) -> None:
    elsewhere = [replace(made, urls=("https://official.test/x.tar",)) for made in voc_entry(server).archives]
    fetch(voc_entry(server, *elsewhere), tmp_path, source=f"{server.url}/copy/")
    assert [path for path, _ in server.asked] == ["/copy/test.tar", "/copy/trainval.tar"]


@pytest.mark.parametrize("name", ["nus-wide", "kaggle10"])
def test_what_must_be_fetched_by_hand(tmp_path: Path, name: str) -> None:
    text = refusal(DataError, CATALOGUE[name], tmp_path / "root")
    assert CATALOGUE[name].home in text
    assert "expected a data set that can be downloaded automatically" in text
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_list(server: FileServer, tmp_path: Path) -> None:
    assert "Did you mean 'test'?" in refusal(UnknownName, voc_entry(server), tmp_path, split="tset")


@pytest.mark.parametrize("here", [True, False])
def test_the_root_may_be_the_devkit_itself(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    """As in `run --root VOCdevkit`, without creating VOCdevkit/VOCdevkit."""
    (tmp_path / "VOCdevkit").mkdir()
    root = tmp_path / "VOCdevkit"
    if here:
        monkeypatch.chdir(root)
        root = Path()
    fetch(voc_entry(server), root)
    assert tree(tmp_path) == TEST | TRAINVAL
    assert voc_entry(server).unpacked_splits(root) == ("test", "trainval")
    assert len(load_dataset("voc", root=root).images) == 2


@pytest.mark.parametrize("place", ["VOC2007/ImageSets", "ImageSets"])
def test_another_copy_that_would_be_used_instead(server: FileServer, tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    text = refusal(DataError, voc_entry(server), tmp_path)
    assert f"found {tmp_path / place}, which would be used instead" in text
    assert server.asked == []


# -- disk space


Usage = namedtuple("Usage", "total used free")


def test_no_room_for_archive_and_content(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, len(TARS["test.tar"]) + 10))
    assert "of free space in" in refusal(DownloadError, voc_entry(server), tmp_path / "root")
    assert server.asked == []
    assert list(tmp_path.iterdir()) == []


class Failing:
    """A Progress that raises at step n of a task whose name begins with `what`."""

    def __init__(self, what: str, step: int, error: BaseException) -> None:
        self.what, self.step, self.error = what, step, error

    def __call__(self, what: str, total: int, unit: str) -> Failing:
        self.now = what
        return self

    def __enter__(self) -> object:
        return self._advance

    def __exit__(self, *error: object) -> None: ...

    def _advance(self, n: int) -> None:
        if self.now.startswith(self.what):
            self.step -= 1
            if self.step < 0:
                raise self.error


@pytest.mark.parametrize("what", ["download", "check", "unpack"])
def test_a_disk_that_is_full_in_the_middle(server: FileServer, tmp_path: Path, what: str) -> None:
    full = Failing(what, 2 if what == "unpack" else 0, OSError(28, "No space left on device"))
    text = refusal(ZspromptError, voc_entry(server), tmp_path, progress=full)
    assert "No space left on device" in text
    assert visible(tmp_path) == []
    fetch(voc_entry(server), tmp_path)
    assert tree(tmp_path) == TEST | TRAINVAL


@pytest.mark.parametrize("what", ["download", "check", "unpack"])
def test_an_interruption_leaves_nothing_half_in_place(server: FileServer, tmp_path: Path, what: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(voc_entry(server), tmp_path, progress=Failing(what, 0, KeyboardInterrupt()))
    assert visible(tmp_path) == []
    fetch(voc_entry(server), tmp_path)
    assert tree(tmp_path) == TEST | TRAINVAL
    assert visible(tmp_path) == ["VOCdevkit"]


# -- kills, other processes, odd folders


KILLED = """
    import os, sys
    from pathlib import Path
    from voc_archives import voc_entry
    from zsprompt.data.download.fetch import fetch
    where, url, root = sys.argv[1:]
    class Server: pass
    Server.url = url
    calls = 0
    def last_words(real):
        def die(*args):
            global calls
            calls += 1
            if calls == 3: os._exit(9)
            return real(*args)
        return die
    if where == "move":
        Path.replace = last_words(Path.replace)
        fetch(voc_entry(Server), Path(root), split="trainval")
    class Dying:
        def __call__(self, what, total, unit):
            self.what = what
            return self
        def __enter__(self): return lambda n: os._exit(9) if self.what.startswith(where) else None
        def __exit__(self, *error): pass
    fetch(voc_entry(Server), Path(root), split="test", progress=Dying())
"""


@pytest.mark.parametrize("where", ["download", "check", "unpack", "move"])
def test_after_a_kill_at_any_point_the_next_call_completes(server: FileServer, tmp_path: Path, where: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), where, server.url, str(tmp_path)]
    env = environment() | {"PYTHONPATH": f"{SUPPORT}{os.pathsep}{ROOT}"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 9, done.stderr
    assert "test" not in voc_entry(server).unpacked_splits(tmp_path)
    fetch(voc_entry(server), tmp_path)
    assert tree(tmp_path) == TEST | TRAINVAL
    assert [path.name for path in tmp_path.iterdir()] == ["VOCdevkit"]


def test_two_at_once(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / STAGE).mkdir()
    other = os.open(tmp_path / STAGE, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        assert "found another download in progress; wait for it" in refusal(DataError, voc_entry(server), tmp_path)
    finally:
        os.close(other)
    assert server.asked == []
    fetch(voc_entry(server), tmp_path)


def test_a_file_system_without_locks(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    fetch(voc_entry(server), tmp_path)
    assert tree(tmp_path) == TEST | TRAINVAL


def test_a_devkit_that_is_a_link_to_another_disk(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files cannot be renamed across disks, and the small disk may be full."""
    (tmp_path / "large" / "VOCdevkit").mkdir(parents=True)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "VOCdevkit").symlink_to(tmp_path / "large" / "VOCdevkit")
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.resolve().is_relative_to(tmp_path / "small"):
            raise OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    fetch(voc_entry(server), tmp_path / "small")
    assert tree(tmp_path / "large") == TEST | TRAINVAL
    assert [path.name for path in (tmp_path / "large" / "VOCdevkit").iterdir()] == ["VOC2007"]
    assert [path.name for path in (tmp_path / "small").iterdir()] == ["VOCdevkit"]


def test_what_an_earlier_version_left_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / STAGE).mkdir()
    (tmp_path / STAGE / "test.tar").write_bytes(b"\0" * len(TARS["test.tar"]))
    (tmp_path / STAGE / "test.tar.half").mkdir()
    (tmp_path / STAGE / "test.tar.half" / "old").write_bytes(b"x")
    fetch(voc_entry(server), tmp_path)
    assert tree(tmp_path) == TEST | TRAINVAL


def test_a_root_that_is_a_file(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot install voc in" in refusal(DataError, voc_entry(server), root)


def test_a_file_in_the_way(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "VOCdevkit").write_text("mine")
    assert "cannot install voc in" in refusal(DataError, voc_entry(server), tmp_path)
    assert (tmp_path / "VOCdevkit").read_text() == "mine"


# -- the catalogue


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_the_catalogue_is_sound(entry: CatalogueEntry) -> None:
    assert bool(entry.archives) != bool(entry.manual)
    assert set(entry.whole) <= set(entry.splits)
    assert entry.licence
    assert entry.home.startswith("http")
    for made in entry.archives:
        assert all(url.startswith("https://") and url.endswith(f"/{made.file}") for url in made.urls)
        assert len(made.sha256) == 64
        assert int(made.sha256, 16)
        assert made.size > 10**8
        assert set(made.splits) <= set(entry.splits)
    for counts in entry.splits.values():
        assert all(0 < n <= counts.images for n in counts.positives.values())


def test_trainval_is_train_and_val() -> None:
    for name in ("voc", "voc2012"):
        splits = CATALOGUE[name].splits
        assert splits["train"].images + splits["val"].images == splits["trainval"].images


@pytest.mark.parametrize(
    ("name", "split", "table", "rows"),
    [
        ("voc", "test", "voc2007_test_ternary.csv.gz", {"split": "test"}),
        ("coco", "val-labelled", "coco_val2014.csv.gz", {}),
        ("kaggle10", "all", "kaggle10_all.csv.gz", {}),
    ],
)
def test_published_counts_are_those_of_the_label_files(
    test_data: Path, name: str, split: str, table: str, rows: dict[str, str]
) -> None:
    import pandas as pd

    labels = pd.read_csv(test_data / "labels" / table)
    for column, value in rows.items():
        labels = labels[labels[column] == value]
    counts = CATALOGUE[name].splits[split]
    assert len(labels) == counts.images
    assert {label: int((labels[label] == 1).sum()) for label in counts.positives} == dict(counts.positives)
    assert len(counts.positives) == {"voc": 20, "coco": 80, "kaggle10": 10}[name]
