"""What a loader leaves out or guesses: one plant of every kind, which `data check` and `run` count and name."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import Cli
from trees import MAKERS, annotation, png, save_image, tar, write

from zsprompt.data import load_dataset
from zsprompt.data.inputs import find_sources
from zsprompt.data.remarks import REMARKS


@dataclass(frozen=True)
class Plant:
    """One thing that a loader leaves out or guesses.

    Attributes:
        kind: key of REMARKS.
        dataset: the data set that it is planted in; "" for images that are given to `predict`.
        make: plants it in a folder, and returns what to load: the folder, or a file in it.
        named: a part of its name.
    """

    kind: str
    dataset: str
    make: Callable[[Path], Path]
    named: str


def in_set(name: str, path: str, content: str | bytes = b"x") -> Callable[[Path], Path]:
    """A file more in the small data set of that name."""

    def make(root: Path) -> Path:
        MAKERS[name](root)
        write(root / path, content)
        return root

    return make


def shard(*members: tuple[str, bytes]) -> Callable[[Path], Path]:
    """A shard of one good sample and these members."""
    return lambda root: tar(root / "0.tar", [("a.png", png()), ("a.cls", b"cat"), *members]).parent


def linked_folder(root: Path) -> Path:
    save_image(root / "out" / "a.jpg")
    save_image(root / "set" / "cat" / "b.jpg")
    (root / "set" / "cat" / "more").symlink_to(root / "out")
    return root / "set"


def special_member(root: Path) -> Path:
    shard()(root)
    with tarfile.open(root / "0.tar", "a") as file:
        info = tarfile.TarInfo("link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "a.png"
        file.addfile(info)
    return root


def empty_shard(root: Path) -> Path:
    tar(root / "1.tar", [])
    return shard()(root)


def second_split(root: Path) -> Path:
    for split in ("test", "train"):
        tar(root / split / "0.tar", [("a.png", png()), ("a.cls", b"cat")])
    return root


def second_folder(root: Path) -> Path:
    MAKERS["kaggle10"](root)
    MAKERS["kaggle10"](root / "kaggle10")
    return root


def second_name(root: Path) -> Path:
    tar(root / "train-0.tar", [("b.png", png(noise=1)), ("b.cls", b"cat")])
    return shard()(root)


def given_twice(root: Path) -> Path:
    save_image(root / "a.jpg")
    return root


def listed_csv(content: str, name: str = "labels.csv") -> Callable[[Path], Path]:
    """A list of a.png and b.png with this content."""

    def make(root: Path) -> Path:
        save_image(root / "a.png")
        save_image(root / "b.png", noise=1)
        write(root / name, content)
        return root

    return make


def task(number: int, image: str, results: list[list[dict[str, object]]]) -> dict[str, object]:
    return {"id": number, "data": {"image": image}, "annotations": [{"result": result} for result in results]}


def choice(label: str) -> list[dict[str, object]]:
    return [{"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": [label]}}]


def coco(**changes: object) -> Callable[[Path], Path]:
    """A COCO file with a cat on a.png and nothing on b.png."""
    content: dict[str, object] = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}],
    }
    return listed_csv(json.dumps(content | changes), "annotations.json")


def voc_xml(*, list_of: str = "a\nb\n", more: tuple[str, str] | None = None) -> Callable[[Path], Path]:
    """VOC annotations of a.png and b.png."""

    def make(root: Path) -> Path:
        for n, name in enumerate("ab"):
            save_image(root / "JPEGImages" / f"{name}.png", noise=n)
            write(root / "Annotations" / f"{name}.xml", annotation(("cat", False)))
        write(root / "ImageSets" / "Main" / "train.txt", list_of)
        if more:
            write(root / more[0], more[1])
        return root

    return make


COCO_ORPHAN = [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 4, 4]} for n in (1, 2, 99)]
COCO_ROOT = [{"id": 0, "name": "things", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "things"}]
UNANNOTATED = json.dumps([task(1, "a.png", [choice("cat")]), task(2, "b.png", [])])
TWICE = json.dumps([task(1, "a.png", [choice("cat"), choice("dog")]), task(2, "b.png", [choice("cat")])])

BOXES = "image,labels,xmin,ymin,xmax,ymax\n" + 2 * "a.png,cat,0,0,3,3\n"

PLANTS = (
    Plant("hidden", "shards", shard((".DS_Store", b"x")), ".DS_Store"),
    Plant("hidden", "image-folders", in_set("image-folders", "val/cat/._x.JPEG"), "._x.JPEG"),
    Plant("linked-folder", "image-folders", linked_folder, "more"),
    Plant("unread-format", "image-folders", in_set("image-folders", "val/cat/a.psd"), "a.psd"),
    Plant("archive", "image-folders", in_set("image-folders", "val/cat/a.zip"), "a.zip"),
    Plant("other-file", "image-folders", in_set("image-folders", "val/cat/notes.txt"), "notes.txt"),
    Plant("other-file", "image-folders", in_set("image-folders", "README"), "README"),
    Plant("outside-labels", "image-folders", in_set("image-folders", "val/stray.png", png()), "stray.png"),
    Plant("empty-folder", "image-folders", in_set("image-folders", "val/owl/notes.txt"), "owl"),
    Plant("deep-folder", "image-folders", in_set("image-folders", "val/cat/old/a.png", png(noise=7)), "cat (old)"),
    Plant("folder-label", "image-folders", in_set("image-folders", "README"), "cat, potted_plant"),
    Plant(
        "untranslated-folder", "image-folders", in_set("image-folders", "classes.txt", "cat kitten\n"), "potted_plant"
    ),
    Plant("line-without-name", "image-folders", in_set("image-folders", "classes.txt", "cat kitten\nowl\n"), "owl"),
    Plant("default-split", "image-folders", in_set("image-folders", "README"), "val"),
    Plant("default-split", "shards", second_split, "test (of test, train)"),
    Plant("given-twice", "", given_twice, "a.jpg"),
    Plant("special-member", "shards", special_member, "link.png"),
    Plant("packed-shard", "shards", in_set("shards", "1.tar.gz"), "1.tar.gz"),
    Plant("empty-shard", "shards", empty_shard, "1.tar"),
    Plant("no-image", "shards", shard(("b.cls", b"cat")), "0.tar: b"),
    Plant("no-labels", "shards", shard(("b.png", png(noise=1))), "0.tar: b"),
    Plant("second-image", "shards", shard(("a.seg.png", b"x")), "a.seg.png"),
    Plant("sample-file", "shards", shard(("a.mp3", b"x")), "a.mp3"),
    Plant("no-caption", "shards", shard(("b.png", png(noise=1)), ("b.cls", b"cat"), ("b.txt", b"a cat")), "a"),
    Plant("shard-split", "shards", second_name, "train"),
    Plant("row-numbers", "list", listed_csv(",image,labels\n0,a.png,cat\n1,b.png,dog\n"), "column 1 of labels.csv"),
    Plant("ignored-column", "list", listed_csv("image,labels,width\na.png,cat,8\nb.png,dog,9\n"), "'width'"),
    Plant("blank-row", "list", listed_csv("image,labels\na.png,cat\n,\nb.png,dog\n"), "labels.csv, line 3"),
    Plant("unannotated", "list", listed_csv(UNANNOTATED, "labels.json"), "item 2"),
    Plant("further-annotation", "list", listed_csv(TWICE, "labels.json"), "item 1"),
    Plant("data-folder", "coco", in_set("coco", "coco/annotations/instances_val2014.json", "{}"), "not coco"),
    Plant("data-folder", "kaggle10", second_folder, "kaggle10"),
    Plant("list-file", "list", in_set("list", "labels.csv", "image,labels\nx.png,cat\n"), "labels.csv"),
    Plant("image-column", "list", listed_csv("labels,shot\ncat,a.png\ndog,b.png\n"), "'shot' (column 2"),
    Plant("labels-column", "list", listed_csv("image,animal\na.png,cat\nb.png,dog\n"), "'animal'"),
    Plant("separator", "list", listed_csv("image;labels\na.png;cat\nb.png;dog\n"), "';' in labels.csv"),
    Plant("name-separator", "list", listed_csv("image,labels\na.png,cat;dog\nb.png,dog\n"), "';' under 'labels'"),
    Plant("blank-flag", "list", listed_csv("image,cat,dog\na.png,1,\nb.png,,1\n"), "labels.csv, line 2"),
    Plant(
        "joined-rows", "list", listed_csv("image,labels,xmin,ymin,xmax,ymax\n" + 2 * "a.png,cat,0,0,3,3\n"), "line 3"
    ),
    Plant("image-place", "list", listed_csv("image,labels\nx/y/a.png,cat\nx/y/b.png,dog\n"), ""),
    Plant("unused-label", "voc-xml", voc_xml(more=("ImageSets/Main/owl_train.txt", "a -1\nb -1\n")), "owl"),
    Plant("other-annotations", "voc-xml", voc_xml(more=("Annotations/c.xml", "<other/>")), "c.xml (<other>)"),
    Plant("no-annotation-file", "voc-xml", voc_xml(list_of="a\nb\nc\n"), "c"),
    Plant("unlisted-image", "voc-xml", voc_xml(more=("JPEGImages/z.png", "x")), "z.png"),
    Plant("unlisted-image", "coco-json", in_set("coco-json", "images/z.png", png(noise=8)), "z.png"),
    Plant("no-annotation", "coco-json", coco(), "b.png"),
    Plant("no-positive", "coco-json", coco(), "'dog'"),
    Plant("orphan", "coco-json", coco(annotations=COCO_ORPHAN), "image 99"),
    Plant("root-category", "coco-json", coco(categories=COCO_ROOT), "'things'"),
)


def test_every_kind_has_a_plant() -> None:
    assert {plant.kind for plant in PLANTS} == REMARKS.keys()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: f"{plant.dataset or 'predict'}-{plant.kind}")
def test_it_is_counted_and_named(plant: Plant, tmp_path: Path, cli: Cli) -> None:
    root = plant.make(tmp_path / "data")
    if not plant.dataset:
        found = find_sources([root, *root.iterdir()]).remarks
        shown = cli("predict", root, *root.iterdir(), "--labels", "cat, dog", "--model", "fakes:PlantedEncoder").stderr
    else:
        found = load_dataset(plant.dataset, root=root).remarks
        shown = cli("data", "check", plant.dataset, "--root", root, "--quick").stdout
    (remark,) = (one for one in found if one.kind == plant.kind)
    assert (remark.count, plant.named in ", ".join(remark.names)) == (len(remark.names), True)
    assert remark.sentence in shown


def test_a_run_repeats_them_in_its_warnings(tmp_path: Path, cli: Cli) -> None:
    root = shard((".DS_Store", b"x"), ("b.png", png(noise=1)))(tmp_path / "data")
    options = ("--strategy", "per-label", "--model", "fakes:PlantedEncoder")
    done = cli("run", *options, "--dataset", "shards", "--root", root, "--json", "--out", "out")
    sentences = load_dataset("shards", root=root).caveats
    assert len(sentences) == 2
    for sentence in sentences:
        assert sentence in done.stderr
        assert sentence in json.loads(done.stdout)["warnings"]
        assert sentence in json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["warnings"]
