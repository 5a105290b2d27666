"""Verifying a data set: every planted fault is found, and nothing else."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import make_coco, write

from zsprompt._utils.progress import quiet
from zsprompt.data import Dataset, load_dataset
from zsprompt.data.download.catalogue import CATALOGUE, CatalogueEntry, Counts
from zsprompt.data.download.check import Report, check
from zsprompt.data.images import ImageFile

LABELS = ("cat", "dog")


def save(path: Path, seed: int) -> Path:
    """A unique image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(["cat"], noise=seed).save(path)
    return path


def folder(
    root: Path, rows: Sequence[str], header: str = "image,cat,dog", files: Sequence[str] | None = None
) -> Dataset:
    """A data set of a labels.csv and its images, or `files` instead of them."""
    names = [row.split(",")[0] for row in rows] if files is None else files
    for seed, name in enumerate(names):
        save(root / name, seed + 1)
    write(root / "labels.csv", "\n".join([header, *rows, ""]))
    return load_dataset("folder", root=root, names="raw")


ROWS = ["a.png,1,0", "b.png,0,1", "sub/c.png,0,0"]


def verified(root: Path, *datasets: Dataset, published: dict[str, Counts] | None = None, **options: bool) -> Report:
    entry = CatalogueEntry("mine", "Mine", "", "", "", splits=published) if published else None
    return check(datasets, root=root, entry=entry, **options)


def test_nothing_is_wrong(tmp_path: Path) -> None:
    report = verified(tmp_path, folder(tmp_path, ROWS))
    assert report.faults == []
    assert (report.images, report.read) == (3, True)
    assert (report.missing, report.unreadable, report.duplicates, report.unlisted) == ((), (), (), ())
    (found,) = report.splits
    assert (found.images, found.published, found.unlabelled) == (3, None, 1)
    assert found.positives == {"cat": 1, "dog": 1}


def test_missing_images_and_files_with_similar_names(tmp_path: Path) -> None:
    """The most likely reason is a name that differs in case, suffix or folder."""
    there = ["A.PNG", "b.jpg", "other/c.png"]
    report = verified(tmp_path, folder(tmp_path, [*ROWS, "gone.png,1,1"], files=there))
    assert dict(report.missing) == {
        "a.png": str(tmp_path / "A.PNG"),
        "b.png": str(tmp_path / "b.jpg"),
        "sub/c.png": str(tmp_path / "other" / "c.png"),
        "gone.png": "",
    }
    assert sorted(report.unlisted) == [str(tmp_path / name) for name in there]
    assert report.faults == ["4 images missing"]
    assert report.unreadable == ()


def test_unreadable_images_have_their_reason(tmp_path: Path) -> None:
    data = folder(tmp_path, [*ROWS, "d.png,1,0", "e.png,1,0"])
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[:-30])
    (tmp_path / "b.png").write_bytes(b"<html>not found</html>")
    (tmp_path / "d.png").write_bytes(b"")
    (tmp_path / "e.png").unlink()
    (tmp_path / "e.png").mkdir()
    report = verified(tmp_path, data)
    reasons = dict(report.unreadable)
    assert "damaged image" in reasons.pop("a.png")
    assert reasons == {
        "b.png": "an HTML page, perhaps an error message: download it again",
        "d.png": "empty file",
        "e.png": "not a regular file",
    }
    assert report.faults == ["4 images unreadable"]


def test_quick_reads_nothing(tmp_path: Path) -> None:
    data = folder(tmp_path, ROWS)
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").unlink()
    report = verified(tmp_path, data, read=False)
    assert not report.read
    assert report.faults == ["1 image missing"]


def test_the_same_content_twice(tmp_path: Path) -> None:
    """Duplicates are reported; they are a fault if their labels differ."""
    data = folder(tmp_path, [*ROWS, "d.png,1,0", "e.png,0,1"])
    shutil.copy(tmp_path / "a.png", tmp_path / "d.png")
    assert verified(tmp_path, data).duplicates == ((("a.png", "d.png"), False),)
    assert verified(tmp_path, data).faults == []
    shutil.copy(tmp_path / "a.png", tmp_path / "e.png")
    report = verified(tmp_path, data)
    assert report.duplicates == ((("a.png", "d.png", "e.png"), True),)
    assert report.faults == ["1 image duplicated with different labels"]


def test_images_in_no_split(tmp_path: Path) -> None:
    data = folder(tmp_path, ROWS)
    save(tmp_path / "new.png", 50)
    save(tmp_path / "sub" / "deep" / "new.JPG", 51)
    save(tmp_path / ".hidden" / "x.png", 52)
    write(tmp_path / "notes.txt", "no image")
    report = verified(tmp_path, data)
    assert report.unlisted == (str(tmp_path / "new.png"), str(tmp_path / "sub" / "deep" / "new.JPG"))
    assert report.faults == []


def test_images_elsewhere_are_searched_in_their_own_folders_only(tmp_path: Path) -> None:
    """A CSV with absolute paths must not start a search of the whole disk."""
    for place in ("x", "y"):
        save(tmp_path / place / "a.png", ord(place))
    save(tmp_path / "x" / "b.png", 1)
    save(tmp_path / "z" / "far.png", 2)
    data = folder(tmp_path / "csv", [f"{tmp_path}/x/a.png,1,0", f"{tmp_path}/y/a.png,0,1"], files=[])
    assert verified(tmp_path / "csv", data).unlisted == (str(tmp_path / "x" / "b.png"),)


def test_a_root_that_is_the_csv(tmp_path: Path) -> None:
    folder(tmp_path, ROWS)
    save(tmp_path / "new.png", 50)
    data = load_dataset("folder", root=tmp_path / "labels.csv", names="raw")
    assert verified(tmp_path / "labels.csv", data).unlisted == (str(tmp_path / "new.png"),)


def test_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = folder(Path("in"), ROWS)
    save(Path("in/new.png"), 9)
    assert [Path(path).name for path in verified(Path("in"), data).unlisted] == ["new.png"]
    assert verified(Path("in/../in"), data).missing == ()


@pytest.mark.parametrize("cells", [["Dog", "dog"], ["traffic light", "traffic_light"], ["t-shirt", "TShirt"]])
def test_labels_that_look_alike(tmp_path: Path, cells: list[str]) -> None:
    rows = [f"{n}.png,{cell}" for n, cell in enumerate([*cells, "cat"])]
    report = verified(tmp_path, folder(tmp_path, rows, header="image,labels"))
    assert report.similar_labels == (tuple(sorted(cells)),)
    assert report.faults == [f"labels that look alike: {', '.join(map(repr, sorted(cells)))}"]


# -- against published counts


def test_counts_as_published(tmp_path: Path) -> None:
    published = {"all": Counts(3, {"cat": 1, "dog": 1})}
    report = verified(tmp_path, folder(tmp_path, ROWS), published=published)
    assert report.faults == []
    assert report.splits[0].wrong == {}
    assert report.splits[0].published == 3


def test_other_counts(tmp_path: Path) -> None:
    data = folder(tmp_path, ROWS)
    fewer = verified(tmp_path, data, published={"all": Counts(4, {"cat": 2})})
    assert fewer.faults == ["all has 3 images, but 4 are published"]
    other = verified(tmp_path, data, published={"all": Counts(3, {"cat": 2, "dog": 5, "fox": 0})})
    assert other.faults == ["all has 'cat' on 1 image, but 2 are published, and 1 more label with wrong counts"]
    assert other.splits[0].wrong == {"cat": (1, 2), "dog": (1, 5)}
    unknown = verified(tmp_path, data, published={"another": Counts(9)})
    assert unknown.faults == []


def test_left_out_cells_are_no_positives(tmp_path: Path) -> None:
    report = verified(tmp_path, folder(tmp_path, ["a.png,1,-1", "b.png,0,-1"]))
    (found,) = report.splits
    assert (found.positives, found.left_out) == ({"cat": 1, "dog": 0}, {"dog": 2})


def test_several_splits(tmp_path: Path) -> None:
    make_coco(tmp_path)
    make_coco(tmp_path, split="train", images={500: [(1, 0)], 42: []})
    lists = [load_dataset("coco", root=tmp_path, split=split, names="raw") for split in ("val", "train")]
    entry = CATALOGUE["coco"]
    report = check(lists, root=tmp_path, entry=entry)
    assert report.shared == ("000000000042",)
    assert report.images == len({image.id for data in lists for image in data.images})
    assert [found.published for found in report.splits] == [40_504, 82_783]
    assert any("image in more than one split" in fault for fault in report.faults)


def test_voc_images_of_another_split_are_not_unlisted_when_both_are_checked(tmp_path: Path) -> None:
    base = tmp_path / "VOCdevkit" / "VOC2007"
    for seed, (split, image) in enumerate([("test", "000001"), ("trainval", "000005")]):
        write(base / "ImageSets" / "Main" / f"{split}.txt", f"{image}\n")
        write(base / "Annotations" / f"{image}.xml", "<annotation/>")
        save(base / "JPEGImages" / f"{image}.jpg", seed + 1)
    lists = {split: load_dataset("voc", root=tmp_path, split=split) for split in ("test", "trainval")}
    assert verified(tmp_path, lists["test"]).unlisted == (str(base / "JPEGImages" / "000005.jpg"),)
    assert verified(tmp_path, *lists.values()).unlisted == ()


# -- images in memory, threads, interruptions


class Memory:
    """An image without a file of its own, as in shards."""

    def __init__(self, name: str, data: bytes) -> None:
        self.id, self.data = name, data

    def read(self) -> bytes:
        return self.data

    def identity(self, *, settled: bool = False) -> bytes | None:
        return None


def test_images_without_files(tmp_path: Path) -> None:
    data = save(tmp_path / "a.png", 1).read_bytes()
    refs = [Memory("one", data), Memory("two", data), Memory("three", data[:40])]
    found = check([Dataset("memory", LABELS, refs, np.zeros((3, 2), dtype=np.int8))], root=tmp_path)
    assert found.duplicates == ((("one", "two"), False),)
    assert [name for name, _ in found.unreadable] == ["three"]
    assert found.unlisted == ()


def test_progress_and_threads(tmp_path: Path) -> None:
    data = folder(tmp_path, [f"{n}.png,1,0" for n in range(600)], files=[])
    steps, threads = [], set()

    class Watch(ImageFile):
        def read(self) -> bytes:
            threads.add(threading.get_ident())
            return b"no image"

    class Progress:
        def __call__(self, what: str, total: int, unit: str) -> Progress:
            steps.append((what, total, unit))
            return self

        def __enter__(self) -> object:
            return steps.append

        def __exit__(self, *error: object) -> None: ...

    save(tmp_path / "x.png", 1)
    refs = [Watch(image.id, tmp_path / "x.png") for image in data.images]
    report = check([Dataset("watch", LABELS, refs, data.targets)], progress=Progress(), threads=4)
    assert steps == [("check images", 600, "images"), *[1] * 600]
    assert len(report.unreadable) == 600
    assert threading.get_ident() not in threads


def test_an_interruption_does_not_wait_for_all_the_rest(tmp_path: Path) -> None:
    read = []

    class Slow(Memory):
        def read(self) -> bytes:
            read.append(self.id)
            if len(read) == 3:
                raise KeyboardInterrupt
            return b""

    refs = [Slow(str(n), b"") for n in range(5_000)]
    data = Dataset("slow", LABELS, refs, np.zeros((5_000, 2), dtype=np.int8))
    with pytest.raises(KeyboardInterrupt):
        check([data], progress=quiet, threads=1)
    assert len(read) <= 256


names = st.text("abcXYZ", min_size=1, max_size=3).map(lambda stem: f"{stem}.png")


@settings(max_examples=40, deadline=None)
@given(
    listed=st.lists(names, min_size=1, max_size=6, unique_by=str.lower),
    gone=st.sets(st.integers(0, 5)),
    broken=st.sets(st.integers(0, 5)),
    more=st.sets(names, max_size=3),
)
def test_whatever_is_planted_is_found(
    tmp_path_factory: pytest.TempPathFactory, listed: list[str], gone: set[int], broken: set[int], more: set[str]
) -> None:
    root = tmp_path_factory.mktemp("planted")
    data = folder(root, [f"{name},1,0" for name in listed])
    for n in broken & set(range(len(listed))):
        (root / listed[n]).write_bytes(b"broken %d" % n)
    for n in gone & set(range(len(listed))):
        (root / listed[n]).unlink()
    extra = {name for name in more if name not in listed}
    for seed, name in enumerate(sorted(extra)):
        save(root / name, 100 + seed)
    report = verified(root, data)
    missing = [name for n, name in enumerate(listed) if n in gone]
    assert [name for name, _ in report.missing] == missing
    assert [name for name, _ in report.unreadable] == [listed[n] for n in sorted(broken - gone) if n < len(listed)]
    assert {Path(path).name for path in report.unlisted} == extra
    meant = {name for name, path in report.missing if path}
    assert meant == {name for name in missing if name.lower() in {more.lower() for more in extra}}


# -- real photographs


def test_the_real_photos_are_complete_and_their_counts_are_reported(test_data: Path) -> None:
    data = load_dataset("voc", root=test_data, names="raw")
    report = check([data], root=test_data, entry=CATALOGUE["voc"])
    assert (report.missing, report.unreadable, report.duplicates, report.unlisted) == ((), (), (), ())
    assert report.faults == ["test has 500 images, but 4,952 are published"]
    assert sum(report.splits[0].left_out.values()) == int((data.targets == -1).sum())
