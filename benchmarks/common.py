"""What benchmarks share: a checkpoint of the size of ViT-B/32, medians, the peak of the machine, and result files."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import clip  # noqa: F401 - imported here to suppress its warnings
    from clip.model import CLIP

from zsprompt.encoders.clip.products import plain, products

VIT_B32 = (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)


def arguments(about: str | None, **options: Any) -> argparse.Namespace:
    """--out, and one option per keyword with this default. A type instead of a default makes the option required."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in options.items():
        kind = default if isinstance(default, type) else type(default)
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=None if isinstance(default, type) else default,
            required=isinstance(default, type),
        )
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the result")
    return parser.parse_args()


def random_vit_b32(folder: Path) -> Path:
    """A checkpoint with the architecture of ViT-B/32 and random weights, which take the same time as real ones."""
    path = folder / "random-vit-b32.pt"
    if not path.exists():
        torch.manual_seed(0)
        torch.save(CLIP(*VIT_B32).state_dict(), path)
    return path


def seconds(work: Callable[[], object]) -> float:
    """The duration of one call of `work`, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def median_seconds(work: Callable[[], object], times: int = 3) -> float:
    """The median duration of `times` calls after a warm-up call, in seconds."""
    work()
    return median(seconds(work) for _ in range(times))


def peak_flops(size: int = 2048) -> float:
    """Multiplications and additions per second of a square float32 matrix product with the fastest kernel."""
    square = torch.nn.Linear(size, size).requires_grad_(False)
    x = torch.randn(size, size)
    with torch.inference_mode():
        kinds = (plain(square), products("cpu", "auto")(square))
        return 2 * size**3 / min(median_seconds(lambda kind=kind: kind(x), 7) for kind in kinds)  # type: ignore[misc]


def encode_rows(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """[T, D] `encode_text` on texts trimmed to the longest of the batch; attention is causal, so this has no effect."""
    length = rows.shape[1]
    hidden = (model.token_embedding(rows) + model.positional_embedding[:length]).permute(1, 0, 2)
    for block in model.transformer.resblocks:
        mask = block.attn_mask
        block.attn_mask = mask[:length, :length]
        hidden = block(hidden)
        block.attn_mask = mask
    hidden = model.ln_final(hidden.permute(1, 0, 2))
    ends: torch.Tensor = hidden[torch.arange(len(rows)), rows.argmax(dim=1)] @ model.text_projection
    return ends


def save(rows: list[dict[str, Any]], path: Path) -> None:
    """Write and print a table."""
    table = pd.DataFrame(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
