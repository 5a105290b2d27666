"""How often the window that a label's score comes from lies on an object of the label.

    python benchmarks/windows.py --root VOCdevkit --out benchmarks/results/windows-voc2007-conse.csv

For each label that is present on a photograph: whether the centre of its best window lies in the box of an object with
that label. Next to it the same of the mean window, which stands for a random one, and of the centre of the photograph.
Objects that are marked difficult count as objects. The interval is a bootstrap over photographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from common import arguments, save

from zsprompt import Result, run
from zsprompt.data.datasets.voc import RAW_NAMES
from zsprompt.encoders.windows import Grid

SMALL = 0.1
"""Share of the photograph below which the largest object of a label is called small."""

RESAMPLES = 2000
ENDS = ("xmin", "ymin", "xmax", "ymax")
Box = tuple[float, float, float, float]


def main() -> None:
    options = arguments(__doc__, root=Path, limit=0, strategy="regions:per-label", model="conse")
    limit = f",limit={options.limit}" if options.limit else ""
    result = run(options.strategy, f"voc,root={options.root}{limit}", options.model, resamples=2)
    found = np.array([row for n in range(len(result.images)) for row in of_image(result, n, options.root)])
    small = found[:, 1] < SMALL
    groups = {"all": np.ones(len(found), bool), "small": small, "others": ~small}
    save([{"objects": name, **summary(found[rows])} for name, rows in groups.items()], options.out)


def of_image(result: Result, n: int, root: Path) -> list[list[float]]:
    """Per present label: the image, the area of its largest object, and whether each of three points is on one."""
    objects = boxes(root / f"VOC2007/Annotations/{result.images[n]}.xml")
    windows = result.prediction.windows
    assert windows is not None
    every = Grid(*map(int, windows.grids[n])).boxes()
    rows = []
    for c in np.flatnonzero(result.targets[n] == 1):
        own = objects[RAW_NAMES[c]]
        area = max((right - left) * (bottom - top) for left, top, right, bottom in own)
        random = float(np.mean([hits(tuple(map(float, box)), own) for box in every]))  # type: ignore[arg-type]
        rows.append([n, area, hits(windows.box(n, c), own), random, hits((0, 0, 1, 1), own)])
    return rows


def boxes(annotation: Path) -> Mapping[str, Sequence[Box]]:
    """The boxes of a photograph's objects by raw name, as shares of its width and height."""
    root = ElementTree.parse(annotation).getroot()
    width, height = (float(root.findtext(f"size/{side}", "")) for side in ("width", "height"))
    by_label: dict[str, list[Box]] = {}
    for thing in root.iter("object"):
        left, top, right, bottom = (float(thing.findtext(f"bndbox/{end}", "")) for end in ENDS)
        box = left / width, top / height, right / width, bottom / height
        by_label.setdefault(thing.findtext("name", ""), []).append(box)
    return by_label


def hits(box: Box, objects: Sequence[Box]) -> bool:
    """Whether the centre of a box lies in an object."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in objects)


def summary(rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    images, position = np.unique(rows[:, 0], return_inverse=True)
    random = np.random.default_rng(0)
    weights = random.multinomial(len(images), np.full(len(images), 1 / len(images)), RESAMPLES)[:, position]
    low, high = np.quantile(weights @ rows[:, 2] / weights.sum(axis=1), (0.025, 0.975))
    best, other, centre = rows[:, 2:].mean(axis=0)
    shares = {"best_window": best, "low": low, "high": high, "random_window": other, "photograph_centre": centre}
    return {"images": len(images), "labels": len(rows), **{name: round(float(v), 4) for name, v in shares.items()}}


if __name__ == "__main__":
    main()
