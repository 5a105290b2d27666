"""Choose the constants of conse on one half of VOC images, and report on the other.

    python benchmarks/constants.py --root VOCdevkit --out benchmarks/results

Images at even positions of the list choose, images at odd positions report. Writes conse-constants-voc2007.csv and
conse-scale-voc2007.csv.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from zsprompt import Dataset, ListAll, TopAll, load_dataset, load_prompts, metrics
from zsprompt.data.images import decode
from zsprompt.encoders.conse import encoder as conse
from zsprompt.encoders.conse.class_table import image_classes
from zsprompt.store import EmbeddingStore
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.z_scores import standardise

HALVES = {"chosen on": slice(0, None, 2), "reported": slice(1, None, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="the VOCdevkit folder")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    data = load_dataset("voc", root=options.root)
    chosen = conse.CROP, conse.TEMPERATURE, conse.CLASSES_KEPT
    images = [decode(ref.read()) for ref in data.images]

    grid = embedding_grid(conse.Conse(), images, data)
    show(grid, options.out / "conse-constants-voc2007.csv", best="average")
    conse.CROP, conse.TEMPERATURE, conse.CLASSES_KEPT = chosen
    store = EmbeddingStore(conse.Conse())
    vectors = store.images(data.images).vectors
    show(scale_grid(store, vectors, data), options.out / "conse-scale-voc2007.csv", best="average")


TEXTS = ("{name}", "a photo of a {name}", "a photo of a {name}, {hypernym}")


def embedding_grid(encoder: conse.Conse, images: list[Image.Image], data: Dataset) -> pd.DataFrame:
    """mAP of per-label, plain and standardised, for every crop, temperature, number of classes kept and class text."""
    names = [{"name": one.name, "hypernym": one.hypernyms[0]} for one in image_classes()]
    class_vectors = {text: encoder.encode_texts([text.format(**name) for name in names]) for text in TEXTS}
    labels = {
        prompts: encoder.encode_texts([texts[0] for texts in load_prompts(prompts).ensemble(data.labels)])
        for prompts in ("bare", "photo")
    }
    logits = {crop: cropped(encoder, images, crop) for crop in (0.875, 1.0)}
    rows = []
    for crop, temperature, kept, text in product(logits, (1.0, 1.5, 2.0, 3.0), (10, 30, 50, 200, 1000), TEXTS):
        encoder._class_vectors = class_vectors[text]
        conse.TEMPERATURE, conse.CLASSES_KEPT = temperature, kept
        vectors = encoder._convex(logits[crop])
        row: dict[str, object] = {"crop": crop, "temperature": temperature, "classes_kept": kept, "class_text": text}
        for half, part in HALVES.items():
            for prompts, columns in labels.items():
                cosines = vectors[part] @ columns.T
                row[f"{half}: {prompts}"] = mean_ap(cosines, data.targets[part])
                row[f"{half}: normalised {prompts}"] = mean_ap(standardise(cosines), data.targets[part])
        rows.append(row)
    return with_average(rows)


def cropped(encoder: conse.Conse, images: list[Image.Image], crop: float) -> np.ndarray:
    """[N, 1000] logits of the images' centre squares."""
    conse.CROP = crop
    return encoder._classifier.logits([encoder.prepare(image) for image in images])


def scale_grid(store: EmbeddingStore, vectors: np.ndarray, data: Dataset) -> pd.DataFrame:
    """mAP of the strategies with a softmax, for every scale."""
    rows = []
    for scale in (5.0, 10.0, 20.0, 30.0, 50.0, 100.0):
        row: dict[str, object] = {"scale": scale}
        for half, part in HALVES.items():
            for name, strategy in {
                "top-all": TopAll(scale=scale),
                "list-all 2": ListAll(scale=scale, max_labels=2),
            }.items():
                scores = strategy.predict(Images(vectors[part]), data.labels, store).scores
                row[f"{half}: {name}"] = mean_ap(scores, data.targets[part])
        rows.append(row)
    return with_average(rows)


def mean_ap(scores: np.ndarray, targets: np.ndarray) -> float:
    return metrics.mean_over_labels(metrics.average_precision(scores, targets))


def with_average(rows: list[dict[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for half in HALVES:
        table[f"{half}: average"] = table[[c for c in table.columns if c.startswith(half)]].mean(axis=1)
    return table.sort_values("chosen on: average", ascending=False)


def show(table: pd.DataFrame, path: Path, best: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.4f", lineterminator="\n")
    print(path)
    print(table.head(8 if best else 99).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    main()
