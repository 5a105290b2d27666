"""The duration of a training epoch on stored embeddings, and the share of it that waits for the store.

D is 512, with 50 tokens per image for decoders, as in ViT-B/32. The vectors are random, which takes the same time.
Images are noise that a stand-in encoder turns into random rows, so the path through the store is real: tokens are
written to its cache folder and read from it. Every epoch runs with one thread and with all threads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import arguments, save
from PIL.Image import Image

from zsprompt._utils.arrays import Floats, Halves, unit_rows
from zsprompt.adapters import Examples, Schedule, Sizes, fit, load_kind
from zsprompt.encoders import Encoder
from zsprompt.store import EmbeddingStore, Images

DIM, TOKENS, LABELS = 512, 50, 20


class Noise(Encoder):
    """Random vectors and tokens in the shapes of ViT-B/32."""

    name, fingerprint = "noise", "noise/1"
    dim, logit_scale, context_length = DIM, 100.0, None
    token_shape = (TOKENS, DIM)

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def encode_images(self, images: Sequence[Image]) -> Floats:
        return unit_rows(self._rng.normal(size=(len(images), DIM)))

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        rows = unit_rows(self._rng.normal(size=(len(images), TOKENS, DIM)))
        return rows[:, 0], rows.astype(np.float16)


@dataclass(frozen=True)
class NoiseImage:
    """An image of 2 × 2 pixels of noise."""

    number: int

    @property
    def id(self) -> str:
        return f"{self.number:06}"

    def read(self) -> bytes:
        return b"P6 2 2 255\n" + np.random.default_rng(self.number).bytes(12)

    def identity(self, *, settled: bool = False) -> bytes | None:
        return f"noise {self.number}".encode()


def main() -> None:
    options = arguments(__doc__, images=5000, decoded=1000, epochs=3)
    rng = np.random.default_rng(1)
    texts = unit_rows(rng.normal(size=(LABELS, DIM)))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddingStore(Noise(), cache=Path(folder) / "cache") as store:
        refs = [NoiseImage(number) for number in range(options.images)]
        vectors = store.images(refs).vectors
        some = store.tokens(refs[: options.decoded])
        for spec in (
            "linear-probe",
            "fc",
            "mld",
            "mld,tokens=spatial",
            "ml-decoder",
            "dm-decoder,blocks=1",
            "dm-decoder",
        ):
            kind: Any = load_kind(spec)
            spatial = "tokens" in kind.reads
            images = Images(some.vectors, some.tokens) if spatial else Images(vectors)
            targets = (rng.random((len(images), LABELS)) < 0.1).astype(np.int8)
            for threads in sorted({1, torch.get_num_threads()}):
                rows.append(measured(spec, Examples(images, targets), texts, kind.schedule, options.epochs, threads))
    save(rows, options.out)


def measured(
    spec: str, examples: Examples, texts: Floats, schedule: Schedule, epochs: int, threads: int
) -> dict[str, Any]:
    """The median epoch after the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    kind = load_kind(spec)
    done = fit(kind, Sizes(DIM, DIM, LABELS), examples, texts, replace(schedule, epochs=epochs + 1, patience=None))
    torch.set_num_threads(before)
    counted = done.history[1:]
    seconds = median(epoch.seconds for epoch in counted)
    return {
        "adapter": spec,
        "pictures": len(examples.images),
        "threads": threads,
        "batch size": schedule.batch_size,
        "seconds an epoch": seconds,
        "pictures a second": len(examples.images) / seconds,
        "waiting for the store": median(epoch.waiting / epoch.seconds for epoch in counted),
        "parameters": sum(value.size for value in done.weights.values()),
    }


if __name__ == "__main__":
    main()
