"""Run every benchmark once at a small size, to check that it works and that its results are plausible.

    python benchmarks/run_all.py --root VOCdevkit --out small-results

It takes some minutes on two processor cores. Without --root, benchmarks that need photographs are skipped. Training
runs for only a few steps. benchmarks/README.md has the commands for the results in benchmarks/results.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

WITHOUT_PHOTOS = {
    "metrics": [],
    "coverage": ["--repeats", "4", "--pairs", "2", "--resamples", "50"],
    "store": ["--largest", "10000"],
    "list_all": ["--labels", "12", "--largest", "3"],
    "growth": ["--images", "100", "200", "--labels", "10", "20"],
    "conse_speed": ["--images", "16"],
    "class_vectors": [],
    "start_up": ["--rounds", "1"],
    "train_tiny": ["--images", "256", "--steps", "4"],
    "contact_sheet": ["--scenes", "10"],
    "fetch": ["--photos", "100", "--kills", "2"],
    "llm": ["--captions", "48", "--kills", "1", "--limit", "60"],
    "full_size": ["--scale", "0.01"],
    "streams": ["--largest", "10000"],
    "layouts": [],
    "open_clip_families": ["--rankings", "1", "--images", "2", "--rounds", "1"],
    "pyramid": ["--images", "2", "--rounds", "1"],
    "window_cost": ["--images", "2", "--rounds", "1"],
    "adapter_speed": ["--images", "200", "--decoded", "60", "--epochs", "1"],
    "install": ["--limit", "1"],
}
WITH_PHOTOS = {
    "strategies": ["--limit", "20", "--model", "conse"],
    "token_trie": ["--limit", "4", "--rounds", "1"],
    "image_path": ["--limit", "16", "--rounds", "1"],
    "precision": ["--limit", "8", "--rounds", "1", "--measured", "16"],
    "end_to_end": ["--limit", "8", "--photos", "2", "--warm", "1"],
    "kill": ["--limit", "40", "--kills", "2"],
    "labels_asked": ["--limit", "40"],
    "windows": ["--limit", "40"],
    "prompt_side": ["--limit", "40"],
    "label_free": ["--limit", "40", "--model", "conse"],
    "folds": ["--folds", "2", "--seeds", "1", "--epochs", "2"],
    "report": ["--images", "200", "--rounds", "1"],
}
ENDINGS = {"class_vectors": "npy", "contact_sheet": "png", "train_tiny": "safetensors"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="the VOCdevkit folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the small results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    jobs = list(WITHOUT_PHOTOS.items())
    if options.root:
        jobs += [(name, [*extra, "--root", str(options.root)]) for name, extra in WITH_PHOTOS.items()]
    for name, extra in jobs:
        target = options.out / f"{name}.{ENDINGS.get(name, 'csv')}"
        command = [sys.executable, "-W", "ignore", HERE / f"{name}.py", *extra, "--out", target]
        if name == "train_tiny":
            command += ["--curve", options.out / "curve.csv"]
        start = time.perf_counter()
        status = subprocess.run([str(part) for part in command], check=False).returncode
        outcome = f"FAILED ({status})" if status else "ok"
        print(f"== {name}: {outcome}, {time.perf_counter() - start:.0f} s", flush=True)
        failed += [name] if status or not target.exists() else []
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
