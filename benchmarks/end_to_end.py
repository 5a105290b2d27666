"""The published procedure as a plain loop, against `zsprompt run` with an empty and with a filled cache.

    python benchmarks/end_to_end.py --root VOCdevkit --out benchmarks/results/FILE.csv

The procedure (Chen et al. 2024) handles one image at a time. It embeds the image and the label texts, ranks the labels,
embeds the prefixes of the ranking and "nothing", and takes the best candidate. It uses only the functions of `clip` and
embeds all texts again for each image. The model has the size of ViT-B/32 and random weights, on a CPU. The loop runs on
the first --photos images and is scaled up; the runs are complete processes on all images. A decision may differ only
where the cosines of the two best candidates of the loop differ by less than 1e-4.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from common import arguments, clip, random_vit_b32, save
from PIL import Image

import zsprompt as zs

NEAR = 1e-4


def main() -> None:
    options = arguments(__doc__, root=Path, limit=500, photos=25, warm=3)
    data = zs.load_dataset("voc", root=options.root).first(options.limit)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_vit_b32(Path(folder))
        each, chosen, gaps = loop(checkpoint, data, min(options.photos, len(data.images)))
        command = [Path(sys.executable).parent / "zsprompt", "run", "--strategy", "top-all"]
        command += ["--dataset", f"voc,limit={options.limit}"]
        command += ["--root", options.root, "--model", checkpoint, "--device", "cpu"]
        command += ["--cache", Path(folder) / "cache", "--out", Path(folder) / "out", "--json"]
        cold, first = whole_process(command)
        warm = [whole_process(command) for _ in range(options.warm)]
        table = pd.read_csv(Path(folder) / "out" / "scores.csv", keep_default_na=False)
    ours = [set(filter(None, row.split("|"))) for row in table["labels"]]
    differ = [n for n, labels in enumerate(chosen) if labels != ours[n]]
    looped = each * len(data.images)
    row: dict[str, Any] = {
        "photos": len(data.images),
        "looped": len(chosen),
        "loop_s_scaled_up": looped,
        "cold_s": cold,
    }
    row |= {"warm_s": median(taken for taken, _ in warm), "loop_over_cold": looped / cold}
    row |= {"texts_encoded_cold": first["texts_encoded"], "images_encoded_cold": first["images_encoded"]}
    row |= {"encoded_warm": sum(result["texts_encoded"] + result["images_encoded"] for _, result in warm)}
    row |= {"decisions_differ": len(differ), "of_these_near_ties": sum(gaps[n] < NEAR for n in differ)}
    row |= {"near_ties": sum(gap < NEAR for gap in gaps)}
    save([row], options.out)


def loop(checkpoint: Path, data: zs.Dataset, photos: int) -> tuple[float, list[set[str]], list[float]]:
    """(seconds per image, the labels chosen for each image, the difference of its two best cosines)."""
    model, preprocess = clip.load(str(checkpoint), device="cpu")
    prompts, labels = zs.load_prompts("bare"), data.labels
    chosen, gaps = [], []
    start = time.perf_counter()
    for ref in data.images[:photos]:
        with torch.inference_mode():
            image = unit(model.encode_image(preprocess(Image.open(ref.path)).unsqueeze(0)))
            single = unit(model.encode_text(clip.tokenize(prompts.texts([(label,) for label in labels]))))
            ranked = [labels[c] for c in (image @ single.T)[0].argsort(descending=True)]
            sets = [(), *(tuple(ranked[: k + 1]) for k in range(len(ranked)))]
            candidates = unit(model.encode_text(clip.tokenize(prompts.texts(sets))))
            cosines = (image @ candidates.T)[0]
        best, second = cosines.topk(2).values.tolist()
        chosen.append(set(sets[int(cosines.argmax())]))
        gaps.append(best - second)
    return (time.perf_counter() - start) / photos, chosen, gaps


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows / rows.norm(dim=1, keepdim=True)


def whole_process(command: list[Any]) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)


if __name__ == "__main__":
    main()
