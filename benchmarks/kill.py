"""A run killed with SIGKILL at random moments and resumed.

    python benchmarks/kill.py --root VOCdevkit --model conse --out benchmarks/results/FILE.csv
    python benchmarks/kill.py --dataset scenes --model tiny --out benchmarks/results/FILE.csv

An undisturbed run gives the expected result. Then, KILLS times, a run with an empty cache is killed after a random
share of the duration of the undisturbed run. Its stored embeddings are counted, and the same command runs again. Each
row has the number of embeddings at the kill, the number that the second run encoded (they must add up to all), and the
differences of its scores and decisions from the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from zsprompt import load_encoder
from zsprompt._utils.byte_cache import ByteCache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="voc")
    parser.add_argument("--root", type=Path, help="the VOCdevkit folder, for voc")
    parser.add_argument("--model", default="conse")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    width = 4 * load_encoder(options.model).dim
    chance = random.Random(0)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        start = time.perf_counter()
        whole = resume(options, base / "whole")
        undisturbed = time.perf_counter() - start
        every = whole["images_encoded"] + whole["texts_encoded"]
        while len(rows) < options.kills:
            here = base / f"kill{len(rows)}-{chance.random()}"
            share = chance.uniform(0.1, 0.95)
            if not kill(options, here, share * undisturbed):
                continue  # the run had already ended
            finished = stored(here / "cache", width)
            again = resume(options, here)
            row = {"killed_after_s": round(share * undisturbed, 1), "finished_at_kill": finished}
            row |= {"encoded_by_resumed_run": again["images_encoded"] + again["texts_encoded"], "all": every}
            rows.append(row | difference(base / "whole" / "out", here / "out"))
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, lineterminator="\n")
    lost = table["finished_at_kill"] + table["encoded_by_resumed_run"] - table["all"]
    print(f"encoded again: {lost.sum()}; largest difference {table['largest_score_difference'].max():.1e}")


def command(options: argparse.Namespace, folder: Path) -> list[str]:
    parts = [Path(sys.executable).parent / "zsprompt", "run", "--strategy", "top-all"]
    parts += ["--dataset", f"{options.dataset},limit={options.limit}"]
    parts += ["--root", options.root] if options.root else []
    parts += ["--model", options.model]
    return [*map(str, parts), "--cache", str(folder / "cache"), "--out", str(folder / "out"), "--json"]


def resume(options: argparse.Namespace, folder: Path) -> dict:
    done = subprocess.run(command(options, folder), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def kill(options: argparse.Namespace, folder: Path, after: float) -> bool:
    process = subprocess.Popen(command(options, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def stored(folder: Path, width: int) -> int:
    """Number of embeddings in a cache; entries that only identify a file are shorter."""
    if not (folder / "cache.db").exists():
        return 0
    cache = ByteCache(folder)
    values = cache.get_many(list(cache._disk))
    cache.close()
    return sum(value is not None and len(value) == width for value in values)


def difference(expected: Path, resumed: Path) -> dict[str, object]:
    one, two = (pd.read_csv(folder / "scores.csv", keep_default_na=False) for folder in (expected, resumed))
    apart = np.abs(one.iloc[:, 4:].to_numpy(float) - two.iloc[:, 4:].to_numpy(float)).max()
    return {"largest_score_difference": apart, "decisions_changed": int((one["labels"] != two["labels"]).sum())}


if __name__ == "__main__":
    main()
