"""Tar files: members read in place, one-line errors for damage, and the data set of shards."""

from __future__ import annotations

import json
import os
import random
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import make_shards, message, png, present, tar, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.tars import read_members
from zsprompt.errors import DataError, ImageError, UnknownName

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def load(root: Path, split: str | None = None) -> Dataset:
    return load_dataset("shards", root=root, split=split)


# -- members


@given(
    members=st.lists(
        st.tuples(st.text("abé/ .", min_size=1, max_size=150), st.binary(max_size=1500)), min_size=1, max_size=8
    ),
    kind=st.sampled_from(FORMATS[1:]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_members_come_back_byte_for_byte(tmp_path: Path, members: list[tuple[str, bytes]], kind: int) -> None:
    members = [(f"x{n}{name}x", content) for n, (name, content) in enumerate(members)]
    members = [(name, content) for name, content in members if not name.rsplit("/", 1)[-1].startswith(".")]
    found = list(read_members(tar(tmp_path / "x.tar", members, kind)))
    assert [member.name for member in found] == [name for name, _ in members]
    for member, (_, content) in zip(found, members, strict=True):
        if content:
            assert member.read() == content
        else:
            assert "empty file" in message(ImageError, member.read)


def test_links_devices_folders_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.jpg", "secret")
    with tarfile.open(tmp_path / "x.tar", "w") as file:
        for kind, name, target in [
            (tarfile.SYMTYPE, "link.jpg", str(secret)),
            (tarfile.LNKTYPE, "hard.jpg", "../secret.jpg"),
            (tarfile.CHRTYPE, "device.jpg", ""),
            (tarfile.FIFOTYPE, "pipe.jpg", ""),
            (tarfile.DIRTYPE, "folder.jpg", ""),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            file.addfile(info)
        for name in ("a/._b.jpg", ".hidden.jpg", "../../outside.jpg", "/etc/absolute.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 2
            file.addfile(info, BytesIO(b"ok"))
    found = list(read_members(tmp_path / "x.tar"))
    assert [member.name for member in found] == ["../../outside.jpg", "/etc/absolute.jpg"]
    assert {member.read() for member in found} == {b"ok"}, "a name leads nowhere: bytes are those inside the tar"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.jpg", "x.tar"], "nothing is unpacked"


def test_a_tar_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    whole = tar(tmp_path / "whole.tar", [(f"{n}.jpg", bytes([n + 1]) * 700) for n in range(3)]).read_bytes()
    content_end = 3 * (512 + 1024)
    for end in [0, 1, 511, 512, 600, *range(1024, content_end + 1, 256)]:
        path = write(tmp_path / "cut.tar", whole[:end])
        text = message(DataError, lambda path=path: list(read_members(path)))
        assert str(path) in text
    assert len(list(read_members(write(tmp_path / "cut.tar", whole[: content_end + 512])))) == 3


def test_a_tar_damaged_in_a_header_is_one_line(tmp_path: Path) -> None:
    whole = bytearray(tar(tmp_path / "x.tar", [(f"{n}.jpg", b"x" * 700) for n in range(3)]).read_bytes())
    whole[1536 + 148] ^= 0x55  # the second header's checksum
    path = write(tmp_path / "x.tar", bytes(whole))
    assert "damaged after 1,536 bytes" in message(DataError, lambda: list(read_members(path)))


@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"\x1f\x8b" + b"x" * 600, random.Random(0).randbytes(2048)]
)
def test_what_is_no_tar_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "x.tar", content)
    assert str(path) in message(DataError, lambda: list(read_members(path)))


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.TAR.XZ", "x.tar.zst"])
def test_a_compressed_tar_says_what_to_do(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "x")
    assert "unpack it to .tar first" in message(DataError, lambda: list(read_members(path)))


def test_a_tar_that_shrinks_or_goes_makes_its_images_bad(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", [("a.jpg", b"x" * 5000)])
    (member,) = read_members(path)
    os.truncate(path, 2000)
    assert "x.tar is cut short" in message(ImageError, member.read)
    path.unlink()
    assert "No such file" in message(ImageError, member.read)
    assert member.identity() is None


def test_identity_is_of_the_file_and_the_place_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.data.images._SETTLED_SECONDS", 0.0)
    path = tar(tmp_path / "x.tar", [("a.jpg", b"x"), ("b.jpg", b"x")])
    first = [member.identity() for member in read_members(path)]
    assert len(set(first)) == 2
    assert [member.identity(settled=True) for member in read_members(path)] == first
    os.utime(path, ns=(1, 1))
    assert not set(first) & {member.identity() for member in read_members(path)}
    monkeypatch.setattr("zsprompt.data.images._SETTLED_SECONDS", 1e9)
    assert {member.identity(settled=True) for member in read_members(path)} == {None}


# -- the data set


def test_samples_labels_and_captions(tmp_path: Path) -> None:
    make_shards(tmp_path / "mine")
    data = load(tmp_path / "mine")
    assert (data.name, data.split, data.labels) == ("mine", "all", ("cat", "dog", "potted plant"))
    assert [present(data, n) for n in range(3)] == [["cat", "potted plant"], ["dog"], []]
    assert [image.id for image in data.images] == ["000000", "000001", "000002"]
    assert (data.captions, data.images[2].read()) == (("x", "x", "x"), png(noise=2))
    assert len(load(tmp_path / "mine" / "val-000001.tar").images) == 1


def test_splits_by_name_or_folder(tmp_path: Path) -> None:
    make_shards(tmp_path)
    one = [("9.png", png()), ("9.cls", b"owl")]
    tar(tmp_path / "train_0001.tar", one)
    tar(tmp_path / "extra" / "0.tar", [("8.png", png()), ("8.cls", b"owl")])
    assert len(load(tmp_path, "val").images) == 3
    assert load(tmp_path, "train").labels == ("owl",)
    assert load(tmp_path, "extra").images[0].id == "8"
    assert len(load(tmp_path).images) == 5
    assert "Did you mean 'train'?" in message(UnknownName, lambda: load(tmp_path, "trian"))
    assert load(tmp_path / "val-000000.tar", "val").split == "val"
    assert "Known: val" in message(UnknownName, lambda: load(tmp_path / "val-000000.tar", "test"))


def test_classes_by_number(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", [("a.png", png()), ("a.cls", b"1\n"), ("b.png", png()), ("b.cls", b"0")])
    assert load(tmp_path).labels == ("0", "1")
    write(tmp_path / "classes.txt", "cat\npotted plant\n")
    data = load(tmp_path)
    assert [present(data, n) for n in range(2)] == [["potted plant"], ["cat"]]


def test_the_plain_image_is_the_samples(tmp_path: Path) -> None:
    inside = [("d/7.seg.png", b"mask"), ("d/7.png", png()), ("d/7.JSON", b'{"labels": ["cat"]}'), ("d/8.jpg", b"x")]
    tar(tmp_path / "0.tar", [*inside, ("d/8.cls", b"dog")])
    data = load(tmp_path)
    assert [(image.id, image.name) for image in data.images] == [("d/7", "d/7.png"), ("d/8", "d/8.jpg")]


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ([("a.json", b'{"labels": []}')], "expected an image in sample 'a', found .json"),
        ([("a.png", b"x")], "expected labels of sample 'a' in .json or .cls, found nothing"),
        ([("a.png", b"x"), ("a.txt", b"x")], "for shards without labels, use `zsprompt predict`"),
        ([("a.png", b"x"), ("a.json", b'{"labels": [1]}')], "expected label names in a.json"),
        ([("a.png", b"x"), ("a.json", b'{"labels": "cat"}')], "expected label names in a.json"),
        ([("a.png", b"x"), ("a.json", b'{"tags": []}')], 'expected a.json to hold {"labels": […]}'),
        ([("a.png", b"x"), ("a.json", b'{"lab')], 'expected a.json to hold {"labels": […]}'),
        ([("a.png", b"x"), ("a.json", b"[]")], 'expected a.json to hold {"labels": […]}'),
        ([("a.png", b"x"), ("a.json", b"\xff")], "cannot read a.json as UTF-8 text"),
        ([("a.png", b"x"), ("a.cls", b"7")], "expected a class below 1 in a.cls, found 7"),
        (
            [("a.png", b"x"), ("a.cls", b"0"), ("b.png", b"x"), ("b.cls", b"0"), ("a.png", b"x"), ("a.cls", b"0")],
            "once",
        ),
    ],
)
def test_broken_samples_are_one_line(tmp_path: Path, members: list[tuple[str, bytes]], part: str) -> None:
    path = tar(tmp_path / "0.tar", members)
    write(tmp_path / "classes.txt", "owl\n")
    text = message(DataError, lambda: load(tmp_path))
    assert part in text
    assert str(path) in text


def test_a_text_of_any_size_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.data.datasets.shards._LARGEST_TEXT", 10)
    tar(tmp_path / "0.tar", [("a.png", b"x"), ("a.json", json.dumps({"labels": ["cat"] * 9}).encode())])
    assert "expected at most 10 bytes in a.json" in message(DataError, lambda: load(tmp_path))


def test_no_shards(tmp_path: Path) -> None:
    assert "expected tar files (shards)" in message(DataError, lambda: load(tmp_path))


def test_targets_are_those_of_the_list_loader(tmp_path: Path) -> None:
    from trees import make_list

    make_shards(tmp_path / "tars")
    make_list(tmp_path / "list")
    np.testing.assert_array_equal(load(tmp_path / "tars").targets, load_dataset("list", root=tmp_path / "list").targets)
