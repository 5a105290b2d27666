"""Small data sets in their official layouts, and helpers of their tests."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fakes import draw

from zsprompt.data import Dataset
from zsprompt.data.images import ImageFile

COCO_NAMES = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
).split(", ")
COCO_IDS = [n for n in range(1, 91) if n not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
"""The official category ids: ten of the first ninety were never used."""


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def save_image(path: Path, present: Sequence[str] = ("cat",), noise: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(present, noise=noise).save(path)
    return path


def message(error: type[Exception], call: Callable[[], object]) -> str:
    """The one-line message of the error that the call raises."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def present(dataset: Dataset, position: int = 0) -> list[str]:
    """The labels of one image."""
    return [label for label, value in zip(dataset.labels, dataset.targets[position], strict=True) if value == 1]


# -- COCO: (category id, crowd) of each object on each image

Objects = Sequence[tuple[int, int]]
COCO_IMAGES: dict[int, Objects] = {139: [(1, 0), (1, 1)], 42: [(18, 0), (64, 0)], 73: [], 9: [(90, 1)]}


def coco_json(images: dict[int, Objects], prefix: str = "") -> dict[str, list[dict[str, object]]]:
    """Content of an instances JSON, with its keys in the official order."""
    number = 0
    annotations = []
    for image, objects in images.items():
        for category, crowd in objects:
            number += 1
            outline = {"counts": [20, 3], "size": [4, 6]} if crowd else [[1.5, 2.0, 3.25, 2.0, 3.0, 4.0]]
            annotations.append(
                {
                    "segmentation": outline,
                    "area": 12.5,
                    "iscrowd": crowd,
                    "image_id": image,
                    "bbox": [1.5, 2.0, 2.0, 2.0],
                    "category_id": category,
                    "id": number,
                }
            )
    return {
        "info": {"description": 'COCO, "quoted" [1, 2] {and} brackets'},
        "images": [
            {"license": 3, "file_name": f"{prefix}{image:012d}.jpg", "height": 8, "width": 8, "id": image}
            for image in images
        ],
        "licenses": [{"url": "http://creativecommons.org/", "id": 1, "name": "A"}],
        "annotations": annotations,
        "categories": [
            {"supercategory": "thing", "id": n, "name": name} for n, name in zip(COCO_IDS, COCO_NAMES, strict=True)
        ],
    }


def make_coco(
    root: Path, year: str = "2014", split: str = "val", images: dict[int, Objects] | None = None, photos: bool = True
) -> Path:
    """annotations/ and a folder of images; returns the instances JSON."""
    images = COCO_IMAGES if images is None else images
    prefix = f"COCO_{split}2014_" if year == "2014" else ""
    content = coco_json(images, prefix)
    for image in content["images"] if photos else ():
        save_image(root / f"{split}{year}" / str(image["file_name"]))
    return write(root / "annotations" / f"instances_{split}{year}.json", json.dumps(content))


# -- NUS-WIDE: four concepts and six tags; two tags are also concepts

NUS_CONCEPTS = ("airport", "animal", "beach", "sky")
NUS_TAGS = ("nature", "sky", "blue", "beach", "bravo", "2007")
NUS_IMAGES: dict[str, tuple[str, str]] = {  # name -> list, concepts | tags
    "actor\\0001_2124494179.jpg": ("Train", "airport sky | nature sky"),
    "actor\\0002_174174086.jpg": ("Test", "beach | blue beach 2007"),
    "zoo\\0003_2966552760.jpg": ("Test", " | bravo"),
    "zoo\\0004_27507727.jpg": ("Train", " | "),
    "zoo\\0005_1.jpg": ("Test", "animal sky | "),
}


def make_nus_wide(root: Path, images: dict[str, tuple[str, str]] | None = None, photos: bool = True) -> Path:
    """The official list files, with their Windows line ends and trailing blanks; returns the folder."""
    images = NUS_IMAGES if images is None else images
    lists = {
        "Imagelist": list(images),
        "TrainImagelist": [name for name, (part, _) in images.items() if part == "Train"],
        "TestImagelist": [name for name, (part, _) in images.items() if part == "Test"],
    }
    for name, names in lists.items():
        write(root / "ImageList" / f"{name}.txt", "".join(f"{image}\r\n" for image in names))
    write(root / "ConceptsList" / "Concepts81.txt", "".join(f"{name}\n" for name in NUS_CONCEPTS))
    write(root / "NUS_WID_Tags" / "TagList1k.txt", "".join(f"{name} \n" for name in NUS_TAGS))
    labels = [[half.split() for half in text.split("|")] for _, text in images.values()]
    for concept in NUS_CONCEPTS:
        flags = "".join(f"{int(concept in concepts)}\n" for concepts, _ in labels)
        write(root / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt", flags)
    rows = ("\t".join(str(int(tag in tags)) for tag in NUS_TAGS) + "\t\r\n" for _, tags in labels)
    write(root / "NUS_WID_Tags" / "AllTags1k.txt", "".join(rows))
    for n, name in enumerate(images if photos else ()):
        save_image(root / "Flickr" / name.replace("\\", "/"), noise=n)
    return root


NUS_CSV = """filepath,label,split_name
images/0001.jpg,"['airport', 'nature']",train
images/0002.jpg,"[beach, blue]",val
images/0003.jpg,"['blue']",val
images/0004.jpg,[],val
images/0005.jpg,"['beach', 'airport', 'blue']",val
"""


def make_nus_csv(root: Path, benchmark: object = None, photos: bool = True) -> Path:
    """The layout of ML-Decoder and CLIP-Decoder; returns the folder."""
    write(root / "data.csv", NUS_CSV)
    write(
        root / "benchmark_81_v0.json",
        json.dumps({"test class": ["airport", "beach"]} if benchmark is None else benchmark),
    )
    for n in range(1, 6) if photos else ():
        save_image(root / "images" / f"{n:04}.jpg", noise=n)
    return root


# -- Kaggle's ten classes

KAGGLE_CSV = """Image_Name,Classes,motorcycle,truck,boat,bus,cycle,sitar,ektara,flutes,tabla,harmonium
image1.jpg,bus,0,0,0,1,0,0,0,0,0,0
image2.jpg,sitar flutes,0,0,0,0,0,1,0,1,0,0
image3.jpg,cycle,0,0,0,0,1,0,0,0,0,0
"""


def make_kaggle(root: Path) -> Path:
    """The CSV and its images; returns the CSV."""
    for n in (1, 2, 3):
        save_image(root / "images" / f"image{n}.jpg", noise=n)
    write(root / "other.csv", "a,b\n1,2\n")
    return write(root / "multilabel_classification.csv", KAGGLE_CSV)


# -- the caption CSV

CAPTIONS_CSV = (
    "ImageID,Labels,Caption\n"
    "0.jpg,1,Woman in swim suit holding parasol on sunny day.\n"
    '1.jpg,1 19,"A man, who is ""old"", rides."\n'
    "2.jpg,3,A car.\n"
)


def make_captions_csv(root: Path, content: str | bytes = CAPTIONS_CSV) -> Path:
    """train.csv and its images in data/; returns the CSV."""
    for n in range(3):
        save_image(root / "data" / f"{n}.jpg", noise=n)
    return write(root / "train.csv", content)


# -- lists, label folders, shards

LIST_ROWS: list[dict[str, object]] = [
    {"image": "a.png", "labels": ["cat", "potted plant"], "split": "train"},
    {"image": "sub/b.png", "labels": ["dog"], "split": "test"},
    {"image": "c.png", "labels": [], "split": "test"},
]


def make_list(root: Path, rows: Sequence[dict[str, object]] = LIST_ROWS) -> Path:
    """labels.jsonl and its images; returns the list."""
    for n, row in enumerate(rows):
        save_image(root / str(row["image"]), noise=n)
    return write(root / "labels.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def make_image_folders(root: Path) -> Path:
    """val/<label>/<image>; returns the folder."""
    for n, name in enumerate(("cat/x.JPEG", "potted_plant/y.JPEG", "potted_plant/z.JPEG")):
        save_image(root / "val" / name, noise=n)
    write(root / "val" / "cat" / "notes.txt", "no image")
    return root


def tar(path: Path, members: Sequence[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> Path:
    """A tar file with these regular files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, BytesIO(content))
    return path


def png(present: Sequence[str] = ("cat",), noise: int = 0) -> bytes:
    """A drawn image's bytes."""
    out = BytesIO()
    draw(present, noise=noise).save(out, format="PNG")
    return out.getvalue()


def make_shards(root: Path) -> Path:
    """Two shards of three samples with labels and captions; returns the folder."""
    label_sets = [["cat", "potted plant"], ["dog"], []]
    samples = [
        [(f"{n:06}.png", png(noise=n)), (f"{n:06}.json", json.dumps({"labels": names}).encode()), (f"{n:06}.txt", b"x")]
        for n, names in enumerate(label_sets)
    ]
    tar(root / "val-000000.tar", [*samples[0], *samples[1]])
    tar(root / "val-000001.tar", samples[2])
    return root


# -- VOC, a folder, and one maker per data set

VocObject = tuple[str, bool]  # label, difficult


def annotation(*objects: VocObject, inside: str = "") -> str:
    items = "".join(
        f"<object><name>{name}</name><difficult>{int(difficult)}</difficult>{inside}</object>"
        for name, difficult in objects
    )
    return f"<annotation>\n<folder>VOC2007</folder>\n{items}</annotation>\n"


VOC_IMAGES: dict[str, Sequence[VocObject]] = {
    "000001": [("cat", False), ("person", True)],
    "000002": [("person", True), ("person", False), ("pottedplant", False)],
    "000003": [],
}


def make_voc(
    root: Path, year: str = "2007", split: str = "test", photos: dict[str, Sequence[VocObject]] | None = None
) -> Path:
    """A VOCdevkit in `root`; returns its VOC<year>."""
    base = root / "VOCdevkit" / f"VOC{year}"
    photos = VOC_IMAGES if photos is None else photos
    write(base / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{image}\n" for image in photos))
    for image, objects in photos.items():
        write(base / "Annotations" / f"{image}.xml", annotation(*objects))
        save_image(base / "JPEGImages" / f"{image}.jpg")
    return base


def make_voc_xml(root: Path) -> Path:
    """CVAT's layout with PNG images: Annotations/, and one list; returns the folder."""
    write(root / "ImageSets" / "Main" / "default.txt", "".join(f"{image}\n" for image in VOC_IMAGES))
    for n, (image, objects) in enumerate(VOC_IMAGES.items()):
        write(root / "Annotations" / f"{image}.xml", annotation(*objects))
        save_image(root / "JPEGImages" / f"{image}.png", noise=n)
    return root


def make_coco_json(root: Path) -> Path:
    """Roboflow's layout: valid/ with images and _annotations.coco.json, whose first category only groups."""
    content = coco_json({139: [(1, 0), (1, 1)], 42: [(18, 0), (64, 0)], 73: []})
    groups = [{"id": 0, "name": "things", "supercategory": "none"}]
    content["categories"] = [*groups, *({**one, "supercategory": "things"} for one in content["categories"])]
    for n, image in enumerate(content["images"]):
        save_image(root / "valid" / str(image["file_name"]), noise=n)
    return write(root / "valid" / "_annotations.coco.json", json.dumps(content))


FLAGS = "image,cat,dog,potted plant\na.png,1,0,-1\nsub/b.png,0,1,0\nc.png,0,0,0\n"


def make_folder(root: Path) -> Path:
    for name in ("a.png", "sub/b.png", "c.png"):
        save_image(root / name)
    write(root / "labels.csv", FLAGS)
    return root


MAKERS: dict[str, Callable[[Path], object]] = {
    "scenes": lambda root: None,
    "voc": make_voc,
    "voc2012": lambda root: make_voc(root, "2012", "val"),
    "coco": make_coco,
    "coco2017": lambda root: make_coco(root, "2017"),
    "nus-wide": make_nus_wide,
    "kaggle10": make_kaggle,
    "captions-csv": make_captions_csv,
    "folder": make_folder,
    "list": make_list,
    "voc-xml": make_voc_xml,
    "coco-json": make_coco_json,
    "image-folders": make_image_folders,
    "shards": make_shards,
}


def small(targets: np.ndarray | None = None, images: int = 2) -> Dataset:
    refs = [ImageFile(f"{i}.png", Path(f"{i}.png")) for i in range(images)]
    return Dataset("small", ("cat", "dog"), refs, np.eye(2, dtype=np.int8) if targets is None else targets)
