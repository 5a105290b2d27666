"""Label files at full size: seconds and peak memory of every loader, parsed and read back.

    python benchmarks/full_size.py --out benchmarks/results/FILE.csv

Files are generated in the official layouts, with the official numbers of images, objects, labels and characters:
COCO train2014 (82,783 images, 604,907 objects with outlines), NUS-WIDE (269,648 images with 81 concepts and 1,000 tags,
empty image files), data.csv of CLIP-Decoder (216,546 rows with 1,006 labels), the caption CSV (30,000 rows), and the
validation folders of ImageNet (50,000 images). Each row is a separate process. `parsed` starts with an empty folder of
tables, `read back` with a filled one. --scale 0.01 makes everything smaller. The speed of the disk hardly matters,
because the files have just been written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments, save

MEASURE = """
import json, sys, time
from pathlib import Path
import zsprompt.data as d
def peak():  # VmHWM, because a process inherits ru_maxrss from its parent
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
before = peak()
start = time.perf_counter()
data = d.load_dataset(sys.argv[1], root=sys.argv[2], split=sys.argv[3] or None)
print(json.dumps({"pictures": len(data.images), "labels": len(data.labels), "positives": int((data.targets == 1).sum()),
    "seconds": time.perf_counter() - start, "peak_mb": peak(), "before_mb": before}))
"""


def main() -> None:
    options = arguments(__doc__, scale=1.0)
    rows = []
    jobs: list[tuple[str, str, Callable[[Path, float], None]]] = [
        ("coco", "train-labelled", make_coco),
        ("nus-wide", "all", make_nus_wide),
        ("nus-wide", "test:gzsl", make_nus_wide),
        ("nus-wide", "val:gzsl", make_nus_csv),
        ("captions-csv", "all", make_captions),
        ("image-folders", "", make_folders),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name, split, make in jobs:
            root = Path(folder) / make.__name__
            if not root.exists():
                make(root, options.scale)
            size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) / 1e6
            for how in ("parsed", "read back"):
                row = measure(name, split, root, Path(folder) / f"cache-{make.__name__}-{len(rows) // 2}")
                rows.append({"data set": name, "split": split or "val", "mb": size, "how": how} | row)
                print(rows[-1], flush=True)
    save(rows, options.out)


def measure(name: str, split: str, root: Path, cache: Path) -> dict[str, Any]:
    env = os.environ | {"ZSPROMPT_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, name, str(root), split], check=True, capture_output=True, text=True, env=env
    )
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def make_coco(root: Path, scale: float) -> None:
    random = np.random.default_rng(0)
    images, objects = int(82_783 * scale), int(604_907 * scale)
    ids = random.permutation(581_929)[:images] + 1
    outlines = [
        "[[" + ", ".join(f"{x:.2f}" for x in random.uniform(0, 640, 2 * random.integers(10, 70))) + "]]"
        for _ in range(500)
    ]
    (root / "annotations").mkdir(parents=True)
    with (root / "annotations" / "instances_train2014.json").open("w") as file:
        file.write('{"info": {"description": "COCO 2014 Dataset"}, "images": [')
        file.write(
            ", ".join(
                f'{{"license": 5, "file_name": "COCO_train2014_{n:012d}.jpg", "coco_url": "http://images.cocodataset.org'
                f'/train2014/COCO_train2014_{n:012d}.jpg", "height": 480, "width": 640, "date_captured": '
                f'"2013-11-14 16:28:13", "flickr_url": "http://farm4.staticflickr.com/3153/{n}_164f0c.jpg", "id": {n}}}'
                for n in ids
            )
        )
        file.write('], "licenses": [{"url": "http://creativecommons.org/", "id": 1, "name": "A"}], "annotations": [')
        for n in range(objects):
            file.write(
                f'{", " if n else ""}{{"segmentation": {outlines[random.integers(500)]}, "area": 2765.1486, "iscrowd": '
                f'{int(random.random() < 0.01)}, "image_id": {ids[random.integers(images)]}, "bbox": [199.84, 200.4, '
                f'77.71, 70.88], "category_id": {random.integers(80) + 1}, "id": {n + 1}}}'
            )
        kinds = ", ".join(f'{{"supercategory": "thing", "id": {c + 1}, "name": "name {c}"}}' for c in range(80))
        file.write(f'], "categories": [{kinds}]}}')


def make_nus_wide(root: Path, scale: float) -> None:
    random = np.random.default_rng(0)
    count = int(269_648 * scale)
    names = [f"folder{n % 704:03}\\{n:04}_{n * 7919 % 10**10}.jpg" for n in range(count)]
    for folder in ("ImageList", "ConceptsList", "Groundtruth/AllLabels", "NUS_WID_Tags", "Flickr"):
        (root / folder).mkdir(parents=True)
    test = int(107_859 * scale)
    for name, part in (("Imagelist", names), ("TestImagelist", names[:test]), ("TrainImagelist", names[test:])):
        (root / "ImageList" / f"{name}.txt").write_text("".join(f"{n}\r\n" for n in part), newline="")
    for n in range(704):
        (root / "Flickr" / f"folder{n:03}").mkdir()
    for name in names:
        (root / "Flickr" / name.replace("\\", "/")).touch()
    concepts = [f"concept{c}" for c in range(81)]
    (root / "ConceptsList" / "Concepts81.txt").write_text("\n".join(concepts))
    for concept in concepts:
        flags = (random.random(count) < 0.023).astype(np.uint8) + 48
        lines = np.column_stack([flags, np.full(count, 10, np.uint8)])
        (root / "Groundtruth" / "AllLabels" / f"Labels_{concept}.txt").write_bytes(lines.tobytes())
    tags = [*(f"tag{c}" for c in range(925)), *concepts[:75]]
    (root / "NUS_WID_Tags" / "TagList1k.txt").write_text("\n".join(tags))
    with (root / "NUS_WID_Tags" / "AllTags1k.txt").open("wb") as file:
        for start in range(0, count, 4096):
            rows = min(4096, count - start)
            cells = np.full((rows, 2002), 9, np.uint8)  # a tab after each cell, then the end of the line
            cells[:, 0:2000:2] = (random.random((rows, 1000)) < 0.006) + 48
            cells[:, 2000:] = (13, 10)
            file.write(cells.tobytes())


def make_nus_csv(root: Path, scale: float) -> None:
    random = np.random.default_rng(0)
    names = [f"label{c}" for c in range(1006)]
    root.mkdir(parents=True)
    (root / "benchmark_81_v0.json").write_text(json.dumps({"test class": names[:81]}))
    with (root / "data.csv").open("w") as file:
        file.write("filepath,label,split_name\n")
        for n in range(int(216_546 * scale)):
            labels = ", ".join(f"'{names[c]}'" for c in random.integers(0, 1006, random.integers(0, 12)))
            file.write(f'images/{n:08}.jpg,"[{labels}]",{"val" if n % 3 == 0 else "train"}\n')


def make_captions(root: Path, scale: float) -> None:
    root.mkdir(parents=True)
    caption = 'A man, who is "old",\nrides a horse 6" from a fence'
    with (root / "train.csv").open("w") as file:
        file.write("ImageID,Labels,Caption\n")
        file.writelines(
            f"{n}.jpg,{n % 11 + 1} 19,{caption if n % 5 == 0 else 'A dog.'}\n" for n in range(int(30_000 * scale))
        )


def make_folders(root: Path, scale: float) -> None:
    for c in range(1000):
        folder = root / "val" / f"n{c:08}"
        folder.mkdir(parents=True)
        for n in range(max(1, int(50 * scale))):
            (folder / f"ILSVRC2012_val_{c * 50 + n:08}.JPEG").touch()


if __name__ == "__main__":
    main()
