"""Small data sets in their official layouts, as tests write them, and what their tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fakes import draw

from zsprompt.datasets import Dataset

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


def picture(path: Path, present: Sequence[str] = ("cat",), noise: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(present, noise=noise).save(path)
    return path


def message(error: type[Exception], call: Callable[[], object]) -> str:
    """What the call raises, which must be one line."""
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def present(dataset: Dataset, position: int = 0) -> list[str]:
    """The labels of one picture."""
    return [label for label, value in zip(dataset.labels, dataset.targets[position], strict=True) if value == 1]


# -- COCO: (category id, crowd) of each object on each picture

Objects = Sequence[tuple[int, int]]
COCO_PICTURES: dict[int, Objects] = {139: [(1, 0), (1, 1)], 42: [(18, 0), (64, 0)], 73: [], 9: [(90, 1)]}


def coco_json(pictures: dict[int, Objects], prefix: str = "") -> dict[str, list[dict[str, object]]]:
    """What an instances JSON holds, its keys in the official order."""
    number = 0
    annotations = []
    for image, objects in pictures.items():
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
            for image in pictures
        ],
        "licenses": [{"url": "http://creativecommons.org/", "id": 1, "name": "A"}],
        "annotations": annotations,
        "categories": [
            {"supercategory": "thing", "id": n, "name": name} for n, name in zip(COCO_IDS, COCO_NAMES, strict=True)
        ],
    }


def make_coco(
    root: Path, year: str = "2014", split: str = "val", pictures: dict[int, Objects] | None = None, photos: bool = True
) -> Path:
    """annotations/ and a folder of pictures; returns the instances JSON."""
    pictures = COCO_PICTURES if pictures is None else pictures
    prefix = f"COCO_{split}2014_" if year == "2014" else ""
    content = coco_json(pictures, prefix)
    for image in content["images"] if photos else ():
        picture(root / f"{split}{year}" / str(image["file_name"]))
    return write(root / "annotations" / f"instances_{split}{year}.json", json.dumps(content))
