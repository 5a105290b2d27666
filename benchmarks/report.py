"""The cost of a report: time and memory to write it, its size, and seconds to open it in Chromium.

    python benchmarks/report.py --root VOCdevkit --out benchmarks/results/FILE.csv

The run has 5,000 images and 20 labels: VOC2007 test images under ten names each, their labels, and informative scores.
A fresh headless Chromium opens the page from disk until everything on it is loaded. It then does so with every
thumbnail forced to load (a browser normally loads them when they scroll into view).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from common import save

from zsprompt import load_dataset
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import save_result
from zsprompt.strategies import Prediction

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from browser import Browser

IMAGES, LABELS = 5000, 20
LOAD_ALL = (
    "Promise.all([...document.images].map((image) => { image.loading = 'eager'; return image.decode(); }))"
    ".then(() => document.images.length)"
)
RECIPE = {
    **{"strategy": "PerLabel(prompts=PromptSet(name='photo', digest='0'))", "prompts": ["photo 0"], "model": "none"},
    **{"fingerprint": "none", "versions": {}, "split": "all", "names": "readable", "difficult": "ignore"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="the VOCdevkit folder")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_run(folder, options.root, options.images)
        made = [report(folder / "run") for _ in range(options.rounds)]
        page = folder / "run/report.html"
        opened = [open_page(page, folder / f"profile{n}") for n in range(options.rounds)]
        row = {
            "pictures": options.images,
            "labels": LABELS,
            "thumbnails": opened[0][1],
            "page_mb": page.stat().st_size / 1e6,
            "seconds_to_make": median(seconds for seconds, _ in made),
            "peak_mb": median(peak for _, peak in made),
            "seconds_to_open": median(seconds for seconds, _, _ in opened),
            "seconds_with_all_thumbnails": median(everything for _, _, everything in opened),
        }
    save([row], options.out)


def make_run(folder: Path, root: Path, count: int) -> None:
    """A saved run on links to the images of VOC."""
    data = load_dataset("voc", root=root)
    photos, rows = folder / "photos", []
    photos.mkdir()
    which = np.arange(count) % len(data.images)
    for n, position in enumerate(which):
        (photos / f"{n:05}.jpg").symlink_to(data.images[position].path.resolve())
        rows.append(f"{n:05}.jpg," + ",".join(map(str, data.targets[position])))
    (photos / "labels.csv").write_text("\n".join([",".join(["image", *data.labels]), *rows]) + "\n")
    targets = data.targets[which]
    noise = np.random.default_rng(0).standard_normal(targets.shape)
    scores = (noise + 2.0 * (targets == 1)).astype(np.float32)
    saved = load_dataset("folder", root=photos)
    result = Result(
        labels=saved.labels,
        images=tuple(image.id for image in saved.images),
        prediction=Prediction(scores, scores > 1.6),
        targets=saved.targets,
        recipe=RECIPE | {"dataset": saved.name, "origin": {"dataset": "folder", "root": str(photos), "split": None}},
        counts=dict.fromkeys(("texts_encoded", "texts_cached", "texts_not_kept", "images_encoded", "images_cached"), 0),
    )
    save_result(replace(result), folder / "run")


def report(run: Path) -> tuple[float, float]:
    """Seconds and peak MB of the complete command."""
    command = ["/usr/bin/time", "-v", Path(sys.executable).parent / "zsprompt", "report", run]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    wall = re.search(r"Elapsed .*: (?:(\d+):)?(\d+):([\d.]+)", done.stderr)
    peak = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    if not wall or not peak:
        raise SystemExit(f"expected the lines of GNU time, found {done.stderr}")
    return 60 * int(wall[2]) + float(wall[3]), int(peak[1]) / 1000


def open_page(page: Path, profile: Path) -> tuple[float, int, float]:
    """(seconds until the page is loaded, number of thumbnails, seconds until all thumbnails are loaded)."""
    with Browser(profile) as browser:
        seconds = browser.open(page)
        start = browser.run("performance.now()")
        count = browser.run(LOAD_ALL)
        return seconds, count, seconds + (browser.run("performance.now()") - start) / 1000


if __name__ == "__main__":
    main()
