"""A process that predicts on one image: seconds and processor seconds, by what its cache lacks.

    python benchmarks/start_up.py --out benchmarks/results/FILE.csv

Each row is the median of ROUNDS fresh processes of `zsprompt predict --device cpu` with three labels. The rounds are
interleaved. `nothing` is an image whose embedding is cached, `image` a new image, `word` a new label, and everything
else is cached. ViT-B/32 has random weights under OpenAI's name; the same checkpoint as a file is read whole at first.
"names embedded" computes conse's class vectors in the process, as zsprompt did before it included them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from common import arguments, random_vit_b32, save
from PIL import Image

BENCHMARKS = Path(__file__).parent
LABELS = "dog, person, car"

AS_IT_IS = ""
NAMED = """
from zsprompt._utils.http_download import sha256_file
from zsprompt.encoders.clip import openai_models
openai_models.OPENAI_MODELS["ViT-B/32"] = (open("sha256").read(), "ViT-B-32.pt")
"""
EMBEDDED = f"""
import sys
from functools import cached_property
sys.path.insert(0, {str(BENCHMARKS)!r})
from class_vectors import class_texts
from zsprompt.encoders.conse.encoder import Conse
Conse._class_vectors = cached_property(lambda conse: conse.encode_texts(class_texts()))
Conse._class_vectors.__set_name__(Conse, "_class_vectors")
"""
MAIN = """
import sys
from zsprompt.__main__ import main
sys.exit(main())
"""
MODELS = {
    "conse": ("conse", AS_IT_IS),
    "conse, names embedded": ("conse", EMBEDDED),
    "tiny": ("tiny", AS_IT_IS),
    "ViT-B/32 by name": ("ViT-B/32", NAMED),
    "ViT-B/32 as a file": ("./random-vit-b32.pt", AS_IT_IS),
}
NEW = ("nothing", "image", "word")


def main() -> None:
    options = arguments(__doc__, rounds=5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        runs: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for count in range(1 + options.rounds):  # the first round fills the cache and the system's file cache
            for title, new in product(MODELS, NEW):
                measured = predict(folder, title, new, count)
                if count:
                    runs.setdefault((title, new), []).append(measured)
    rows = []
    for (title, new), values in runs.items():
        seconds, processor = (median(column) for column in zip(*values, strict=True))
        rows.append({"model": title, "new": new, "seconds": round(seconds, 2), "cpu_seconds": round(processor, 2)})
    save(rows, options.out)


def prepare(folder: Path) -> None:
    """The checkpoint, as a file and in the place of OpenAI's."""
    from zsprompt._utils.http_download import sha256_file

    path = random_vit_b32(folder)
    home = folder / "home/.cache/clip"
    home.mkdir(parents=True)
    (home / "ViT-B-32.pt").symlink_to(path)
    (folder / "sha256").write_text(sha256_file(path), encoding="utf-8")


def predict(folder: Path, title: str, new: str, count: int) -> tuple[float, float]:
    """Seconds and processor seconds of one process."""
    model, patch = MODELS[title]
    # ways that share a cache must not share photographs, which it recognises by their content
    photo = folder / f"{list(MODELS).index(title)}-{count + 1 if new == 'image' else 0}.png"
    if not photo.exists():
        seed = [int(part) for part in photo.stem.split("-")]
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (375, 500, 3), dtype=np.uint8)).save(photo)
    labels = f"{LABELS}, word {photo.stem}-{count}" if new == "word" else LABELS
    code = ["-W", "ignore", "-c", patch + MAIN, "predict", photo, "--labels", labels, "--model", model]
    env = os.environ | {"HOME": str(folder / "home"), "ZSPROMPT_CACHE": str(folder / "cache")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, code), "--device", "cpu"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(said.decode())
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
