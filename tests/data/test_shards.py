"""Tar files: members read in place, one-line errors for damage, and the data set of shards."""

from __future__ import annotations

import json
import os
import random
import tarfile
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import make_shards, message, png, present, tar, write

from zsprompt.data import Dataset, load_dataset
from zsprompt.data.inputs import find_sources
from zsprompt.data.tars import read_members
from zsprompt.errors import DataError, ImageError, UnknownName

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def load(root: Path, split: str | None = None) -> Dataset:
    return load_dataset("shards", root=root, split=split)


# -- members


def hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


@given(
    members=st.lists(
        st.tuples(st.text("abé/ .", min_size=1, max_size=150), st.binary(max_size=1500)), min_size=1, max_size=8
    ),
    kind=st.sampled_from(FORMATS[1:]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_members_come_back_byte_for_byte(tmp_path: Path, members: list[tuple[str, bytes]], kind: int) -> None:
    members = [(f"x{n}{name}x", content) for n, (name, content) in enumerate(members)]
    members = [(name, content) for name, content in members if not hidden(name)]
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
        ([("a.json", b'{"labels": []}')], "found none: left out 1 sample without an image (.json 1): 0.tar: a"),
        ([("a.png", b"x")], "expected labels of sample 'a' in .json, .npy or .cls, found nothing"),
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


# -- order and damage


def flat(root: Path, order: list[int] | None = None) -> Dataset:
    """Three samples with image, labels, caption and a mask, their files in this order."""
    names = [["cat"], ["dog", "cat"], []]
    members = [
        member
        for n in range(3)
        for member in (
            (f"d/{n}.png", png(noise=n)),
            (f"d/{n}.json", json.dumps({"labels": names[n]}).encode()),
            (f"d/{n}.txt", f"caption {n}".encode()),
            (f"d/{n}.seg.png", b"mask"),
        )
    ]
    tar(root / "0.tar", [members[place] for place in order or range(12)])
    return load(root)


@given(order=st.permutations(range(12)))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_files_of_a_sample_need_not_be_adjacent(tmp_path: Path, order: list[int]) -> None:
    """Members in any order give the same samples; only their order follows the first member of each."""
    expected, found = flat(tmp_path / "sorted"), flat(tmp_path / "mixed", order)
    place = {image.id: n for n, image in enumerate(found.images)}
    rows = [place[image.id] for image in expected.images]
    assert (found.labels, len(found.images)) == (expected.labels, 3)
    np.testing.assert_array_equal(found.targets[rows], expected.targets)
    assert [found.captions[row] for row in rows] == list(expected.captions)
    assert [found.images[row].read() for row in rows] == [image.read() for image in expected.images]
    assert [(remark.kind, remark.count) for remark in found.remarks] == [("second-image", 3)]


@pytest.mark.slow
def test_memory_stays_small_for_many_members(tmp_path: Path) -> None:
    """Per image there remain its reference and a few numbers: less than a kilobyte, most of it its names."""
    count = 20_000
    every = [(f"{n:08}.jpg", b"x") for n in range(count)] + [(f"{n:08}.cls", b"%d" % (n % 7)) for n in range(count)]
    tar(tmp_path / "0.tar", every)
    tracemalloc.start()
    data = load(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(data.images), data.labels) == (count, tuple("0123456"))
    assert peak / count < 1000


HTML, LFS = b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        pytest.param(b"", "found an empty file (0 bytes); download or create it again", id="0 bytes"),
        pytest.param(bytes(1024), "found none: left out 1 shard without files: x.tar", id="zeros"),
        pytest.param(bytes(10240), "found none: left out 1 shard without files: x.tar", id="no members"),
        pytest.param(b"\x1f\x8b" + b"x" * 600, "found a gzip archive; unpack it first", id="gzip"),
        pytest.param(b"PK\x03\x04" + b"x" * 600, "found a zip archive; unpack it first", id="zip"),
        pytest.param(b"\x28\xb5\x2f\xfd" + b"x" * 600, "found a zstd archive; unpack it first", id="zstd"),
        pytest.param(b"\xfd7zXZ\0" + b"x" * 600, "found an xz archive; unpack it first", id="xz"),
        pytest.param(b"BZh9" + b"x" * 600, "found a bzip2 archive; unpack it first", id="bzip2"),
        pytest.param(HTML, "found an HTML page, perhaps an error message; download it again", id="HTML"),
        pytest.param(LFS, "found a Git LFS pointer; fetch the file itself with `git lfs pull`", id="LFS"),
        pytest.param(b"\xff\xd8\xff\xe0" + b"x" * 600, "found a JPEG image", id="JPEG"),
        pytest.param(b"some words", "found a damaged or different file", id="text"),
    ],
)
def test_each_empty_or_different_shard_has_a_line_of_its_own(tmp_path: Path, content: bytes, part: str) -> None:
    path = write(tmp_path / "x.tar", content)
    text = message(DataError, lambda: load(tmp_path))
    assert part in text
    assert str(path) in text
    assert "Error" not in text


@pytest.mark.parametrize("what", ["folders", "hidden", "truncated"])
def test_a_shard_without_samples_among_others(tmp_path: Path, what: str) -> None:
    flat(tmp_path)
    with tarfile.open(tmp_path / "1.tar", "w") as file:
        info = tarfile.TarInfo("folder" if what == "folders" else "a/.DS_Store")
        info.type = tarfile.DIRTYPE if what == "folders" else tarfile.REGTYPE
        file.addfile(info)
    if what == "truncated":
        os.truncate(tmp_path / "1.tar", 512)
        assert "1.tar: cut short after 512 bytes" in message(DataError, lambda: load(tmp_path))
        return
    data = load(tmp_path)
    assert len(data.images) == 3
    assert "left out 1 shard without files: 1.tar" in data.caveats
    assert ("left out 1 hidden file: " in " ".join(data.caveats)) == (what == "hidden")


# -- what is left out or guessed is named


def test_samples_without_image_or_labels_are_counted_and_named(tmp_path: Path) -> None:
    inside = [
        ("a.png", png()),
        ("a.cls", b"cat"),
        ("b.cls", b"cat"),
        ("c.png", png()),
        ("d.png", png()),
        ("d.cls", b""),
    ]
    tar(tmp_path / "0.tar", [*inside, ("a.mp3", b"x"), ("README", b"x"), ("meta.json", b"{}"), (".DS_Store", b"x")])
    data = load(tmp_path)
    assert [image.id for image in data.images] == ["a"]
    assert data.caveats == (
        "left out 1 hidden file: " + str(tmp_path / "0.tar/.DS_Store"),
        "left out 3 samples without an image (.cls 1, .json 1, no ending 1): 0.tar: b, 0.tar: README, 0.tar: meta",
        "left out 2 samples without labels: 0.tar: c, 0.tar: d",
        "left out 1 file that is neither image, labels nor caption (.mp3 1): a.mp3",
    )


def test_metadata_in_json_does_not_hide_other_labels(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", [("a.png", png()), ("a.json", b'{"width": 3}'), ("a.cls", b"cat")])
    assert load(tmp_path).labels == ("cat",)


def test_images_without_a_caption_among_others(tmp_path: Path) -> None:
    one, two = [("a.png", png()), ("a.cls", b"cat")], [("b.png", png()), ("b.cls", b"cat"), ("b.txt", b"a cat")]
    tar(tmp_path / "0.tar", one + two)
    assert (load(tmp_path).captions, load(tmp_path).caveats) == (("", "a cat"), ("found 1 image without a caption: a",))


def test_compressed_and_hidden_shards_are_named(tmp_path: Path) -> None:
    write(tmp_path / "1.tar.gz", "x")
    write(tmp_path / "._0.tar", "x")
    assert "left out 1 compressed shard: 1.tar.gz; unpack them to .tar" in message(DataError, lambda: load(tmp_path))
    flat(tmp_path)
    assert [(remark.kind, remark.names) for remark in load(tmp_path).remarks][:2] == [
        ("hidden", ("._0.tar",)),
        ("packed-shard", ("1.tar.gz",)),
    ]


def test_a_split_guessed_from_names_is_said(tmp_path: Path) -> None:
    make_shards(tmp_path)
    assert load(tmp_path).remarks == ()
    assert "guessed 1 split from the names of shards: val" in load(tmp_path, "val").caveats


# -- CLIP_benchmark's layout

CLASSES = ("cat", "dog", "potted plant")


def make_clip_benchmark(root: Path, *, multilabel: bool = False) -> Path:
    """train/ and test/ with shards numbered from 0, and keys that start anew in each; returns the folder."""
    rows = {"train": [0, 0], "test": [2, 0, 2]}
    for split, numbers in rows.items():
        samples = []
        for n, number in enumerate(numbers):
            flags = npy(np.eye(3, dtype=np.int64)[number] | [0, 1, 0])
            label = (f"s{n:07}.npy", flags) if multilabel else (f"s{n:07}.cls", b"%d" % number)
            samples.append([label, (f"s{n:07}.png", png(noise=n))])
        tar(root / split / "0.tar", [*samples[0], *samples[1]])
        if samples[2:]:
            tar(root / split / "1.tar", samples[2])
        write(root / split / "nshards.txt", f"{1 + bool(samples[2:])}\n")
    write(root / "classnames.txt", "\n".join(CLASSES) + "\n")
    write(root / "zeroshot_classification_templates.txt", "a photo of a {c}.\n")
    if multilabel:
        write(root / "dataset_type.txt", "multilabel\n")
    return root


def npy(values: object) -> bytes:
    out = BytesIO()
    np.save(out, np.asarray(values), allow_pickle=True)
    return out.getvalue()


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("below", ["", "test", "test/0.tar"])
def test_clip_benchmark_layout(tmp_path: Path, below: str, *, multilabel: bool) -> None:
    make_clip_benchmark(tmp_path / "wds_mine", multilabel=multilabel)
    data = load(tmp_path / "wds_mine" / below)
    expected = [["potted plant"], ["cat"], ["potted plant"]]
    rows = [sorted({*row, "dog"}) if multilabel else row for row in expected]
    count = 2 if below.endswith("tar") else 3
    assert data.labels == CLASSES, "all classes, in the order of the file, also those without positives"
    assert [present(data, n) for n in range(count)] == rows[:count]
    assert (len(data.images), data.split) == (count, "all" if below else "test")
    assert "zeroshot_classification_templates.txt is not used; --prompts chooses the templates" in data.caveats
    assert ("guessed 1 split from the names of folders: test (of test, train); --split chooses" in data.caveats) == (
        not below
    )
    assert len(load(tmp_path / "wds_mine", "train").images) == 2


def test_shards_that_are_missing_are_noticed(tmp_path: Path) -> None:
    make_clip_benchmark(tmp_path)
    (tmp_path / "test" / "1.tar").unlink()
    assert any("nshards.txt says 2 shards, found 1; are some missing?" in note for note in load(tmp_path).notes)


def test_arrays_without_names_are_numbered(tmp_path: Path) -> None:
    (make_clip_benchmark(tmp_path, multilabel=True) / "classnames.txt").unlink()
    assert load(tmp_path).labels == ("0", "1", "2")


def test_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", [m for n in (10, 9, 100) for m in ((f"{n}.png", png()), (f"{n}.cls", b"%d" % n))])
    assert load(tmp_path).labels == ("9", "10", "100")


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([1, 0, -1], [1, 0, -1]),
        ([True, False, True], [1, 0, 1]),
        ([0.0, 1.0, 0.0], [0, 1, 0]),
        ([[0, 0, 0]], [0, 0, 0]),
        (np.array([[1], [1], [0]], dtype=np.uint8), [1, 1, 0]),
    ],
)
def test_arrays_of_every_kind(tmp_path: Path, values: object, row: list[int]) -> None:
    tar(tmp_path / "0.tar", [("a.png", png()), ("a.npy", npy(values))])
    np.testing.assert_array_equal(load(tmp_path).targets, [row])


@pytest.mark.parametrize(
    ("content", "part"),
    [
        pytest.param(npy([1, 0]), "expected 3 values in a.npy, found 2; ", id="too short"),
        pytest.param(npy([0.2, 0.5, 0.3]), "expected 1, 0 or -1 per class in a.npy, found float64 [3]", id="scores"),
        pytest.param(npy([0, 1, 7]), "expected 1, 0 or -1 per class in a.npy, found int64 [3]", id="numbers"),
        pytest.param(npy(2), "expected 1, 0 or -1 per class in a.npy, found int64 []", id="one number"),
        pytest.param(npy(np.array([{}], dtype=object)), "expected a NumPy array in a.npy, found none", id="pickle"),
        pytest.param(b"\x93NUMPY", "expected a NumPy array in a.npy, found none", id="cut"),
        pytest.param(b"", "expected a NumPy array in a.npy, found none", id="empty"),
        pytest.param(b"x" * 99, "expected a NumPy array in a.npy, found none", id="text"),
    ],
)
def test_broken_arrays_are_one_line(tmp_path: Path, content: bytes, part: str) -> None:
    path = tar(tmp_path / "0.tar", [("a.png", png()), ("a.npy", content)])
    write(tmp_path / "classnames.txt", "cat\ndog\nowl\n")
    text = message(DataError, lambda: load(tmp_path))
    assert part in text
    assert str(path) in text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("cat\n\ndog\n", "line 2: expected the name of class 1, found a blank line"),
        ("crane\ncat\nCrane\n", "line 3: expected each name once, found 'Crane' again (line 1)"),
        (b"caf\xe9\n", "line 1: expected UTF-8"),
    ],
)
def test_broken_names_of_classes(tmp_path: Path, content: str | bytes, part: str) -> None:
    tar(tmp_path / "0.tar", [("a.png", png()), ("a.cls", b"0")])
    path = write(tmp_path / "classnames.txt", content)
    text = message(DataError, lambda: load(tmp_path))
    assert part in text
    assert str(path) in text


# -- written by the tools that people use


def test_shards_of_the_webdataset_package(tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="webdataset is not installed")
    pattern = str(tmp_path / "train-%04d.tar")
    with wds.ShardWriter(pattern, maxcount=2, verbose=0) as sink:
        for n, flags in enumerate(([1, 0, 0], [0, 1, 1], [0, 0, 0])):
            sink.write({"__key__": f"{n:06}", "png": png(noise=n), "npy": np.array(flags), "txt": f"image {n}"})
    write(tmp_path / "classnames.txt", "\n".join(CLASSES))
    data = load(tmp_path, "train")
    assert [present(data, n) for n in range(3)] == [["cat"], ["dog", "potted plant"], []]
    assert data.captions == ("image 0", "image 1", "image 2")
    write(tmp_path / "one" / "classes.txt", "\n".join(CLASSES))
    with wds.TarWriter(str(tmp_path / "one" / "x.tar")) as sink:
        sink.write({"__key__": "a", "png": png(), "cls": 2, "json": {"width": 8}})
        sink.write({"__key__": "b", "png": png(), "json": {"labels": ["dog"]}})
    assert [present(load(tmp_path / "one"), n) for n in range(2)] == [["potted plant"], ["dog"]]


def test_shards_of_img2dataset_have_no_labels(tmp_path: Path) -> None:
    """jpg, txt and json per image; the JSON is metadata. `predict` reads them, `run` says so."""
    meta = {"caption": "a cat", "url": "https://host/1.jpg", "key": "000000000", "status": "success", "width": 8}
    members = [("000000000.jpg", png()), ("000000000.json", json.dumps(meta).encode()), ("000000000.txt", b"a cat")]
    tar(tmp_path / "00000.tar", members)
    write(tmp_path / "00000_stats.json", "{}")
    text = message(DataError, lambda: load(tmp_path))
    assert "found 'caption', 'url', 'key', 'status', 'width'; for shards without labels, use `zsprompt predict`" in text
    assert find_sources([tmp_path / "00000.tar"]).count == 1
