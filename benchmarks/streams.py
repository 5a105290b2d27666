"""Tar shards and Parquet lists through `zsprompt predict`: seconds and peak memory by the number of images.

    python benchmarks/streams.py --out benchmarks/results/FILE.csv
    python benchmarks/streams.py --kind tar --strategy softmax:regions:per-label --out benchmarks/results/FILE.csv

Small images, all different, in shards of 10,000 or as files in a Parquet list; `tiny` with five labels, first with an
empty cache, then with a filled one. Each row is measured in a process of its own; `peak_mb` is its VmHWM, `part` the
number of images predicted at a time. --kind tar or parquet measures one of the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from common import arguments, save
from PIL import Image
from pyarrow import parquet

from zsprompt.evaluation.predict import PART

SHARD = 10_000
LABELS = "dog, cat, car, tree, boat"
MEASURE = """
import json, sys, time
from zsprompt.cli import app
start = time.perf_counter()
app(sys.argv[1:], standalone_mode=False)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1e3
print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak}))
"""


def main() -> None:
    options = arguments(__doc__, largest=100_000, kind="both", strategy="softmax:per-label")
    rows: list[dict[str, Any]] = []
    for kind in ("tar", "parquet") if options.kind == "both" else (options.kind,):
        for count in (10_000, 50_000, 100_000):
            if count <= options.largest:
                rows += measure(kind, count, options.strategy)
                print(rows[-2], rows[-1], sep="\n", flush=True)
    save(rows, options.out)


def measure(kind: str, count: int, strategy: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = make_shards(folder, count) if kind == "tar" else [make_list(folder, count)]
        rows = []
        for how in ("cold", "warm"):
            measured = predict(folder, sources, strategy)
            with (folder / "labels.csv").open() as file:
                written = sum(1 for _ in file) - 1
            if written != count:
                raise SystemExit(f"expected {count} rows, found {written}")
            rows.append({"kind": kind, "strategy": strategy, "images": count, "part": PART, "cache": how} | measured)
        return rows


def predict(folder: Path, sources: list[Path], strategy: str) -> dict[str, Any]:
    command = [
        "predict",
        *map(str, sources),
        "--labels",
        LABELS,
        "--model",
        "tiny",
        "--strategy",
        strategy,
        "--out",
        str(folder / "labels.csv"),
    ]
    env = os.environ | {"ZSPROMPT_CACHE": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MEASURE, *command], check=True, capture_output=True, text=True, env=env
    )
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def drawn(number: int) -> bytes:
    """A small image, different for every number."""
    pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    out = BytesIO()
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(out, format="PNG", compress_level=1)
    return out.getvalue()


def make_shards(folder: Path, count: int) -> list[Path]:
    paths = []
    for start in range(0, count, SHARD):
        paths.append(folder / f"shard-{start // SHARD:06}.tar")
        with tarfile.open(paths[-1], "w") as file:
            for number in range(start, min(start + SHARD, count)):
                info = tarfile.TarInfo(f"{number:08}.png")
                content = drawn(number)
                info.size = len(content)
                file.addfile(info, BytesIO(content))
    return paths


def make_list(folder: Path, count: int) -> Path:
    names = [f"images/{number // 1000:04}/{number:08}.png" for number in range(count)]
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn(number))
    parquet.write_table(pa.table({"image": names, "note": ["x"] * count}), folder / "list.parquet")
    return folder / "list.parquet"


if __name__ == "__main__":
    main()
