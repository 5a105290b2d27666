"""Write each layout with the tool that people use, and run `zsprompt data check` and `zsprompt run` over it.

    python benchmarks/layouts.py --out benchmarks/results/layouts.csv

Layouts whose tool is not installed are skipped, and named. All tools:
pip install datumaro label-studio-sdk datasets pascal-voc-writer pycocotools webdataset pyarrow
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from layouts import LAYOUTS, Layout, scene_of

from zsprompt.data import Dataset, load_dataset

BUILT_IN = ("csv", "json")


def main() -> None:
    """Write the table of results; exit with 1 if a layout is read wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the result")
    out = parser.parse_args().out
    rows = []
    for layout in LAYOUTS:
        if layout.missing:
            print(f"skipped {layout.tool}: {layout.title} ({layout.missing} is not installed)")
            continue
        rows.append(measured(layout))
        print(*rows[-1].values(), sep=" | ")
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    if wrong := [row["layout"] for row in rows if row["labels"] == "wrong"]:
        sys.exit(f"read wrong: {', '.join(map(str, wrong))}")


def measured(layout: Layout) -> dict[str, object]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tools have warnings of their own
        root = layout.write(Path(folder))
        place = ["--root", str(root), *(["--split", layout.split] if layout.split else [])]
        check, _, error = zsprompt("data", "check", layout.dataset, *place)
        run, printed, _ = zsprompt(
            "run", "--strategy", "per-label", "--dataset", layout.dataset, *place, "--model", "tiny", "--json"
        )
        data = None if layout.refusal else load_dataset(layout.dataset, root=root, split=layout.split)
    result = json.loads(printed) if run == 0 else {}
    return {
        "tool": layout.tool,
        "version": "" if layout.tool in BUILT_IN else version(layout.tool),
        "layout": layout.title,
        "dataset": layout.dataset,
        "check": check,
        "run": run,
        "labels": judged(layout, data, error),
        "images": result.get("images", ""),
        "remarks": " ".join(remark.kind for remark in data.remarks) if data else "",
        "refusal": layout.refusal,
    }


def zsprompt(*arguments: str) -> tuple[int, str, str]:
    """Exit status, output and messages of the command line."""
    done = subprocess.run([sys.executable, "-m", "zsprompt", *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def judged(layout: Layout, data: Dataset | None, error: str) -> str:
    """Whether the labels of each image are right, or the layout is refused with its remedy."""
    if data is None:
        return "remedy named" if layout.refusal in " ".join(error.split()) else "wrong"
    read = {
        scene_of(image.id): {label for label, state in zip(data.labels, row, strict=True) if state == 1}
        for image, row in zip(data.images, data.targets, strict=True)
    }
    return "right" if read == layout.expected else "wrong"


if __name__ == "__main__":
    main()
