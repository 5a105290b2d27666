"""A page of every kind, small ones and extreme ones, for tests of what readers see."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fakes import draw_files
from planted import RECIPE, planted_result, windows_of

from zsprompt._utils.progress import quiet
from zsprompt.data.images import ImageFile
from zsprompt.evaluation.compare import compare
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.result_files import save_result
from zsprompt.experiments.ablation import COLUMNS
from zsprompt.report.of_ablation import ablation_report
from zsprompt.report.of_comparison import comparison_report
from zsprompt.report.of_run import run_report
from zsprompt.report.page import Report
from zsprompt.strategies import Prediction

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 2">',
    "</style></title><svg onload='window.hacked = 3'>",
    "$\\frac{1}{2}$ & {{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe",
    "🦉 أسد 日本 \u200b\x07",
)
LONG = (
    "a label that somebody wrote as a whole sentence: a dog, brown or black, that runs on a beach in summer",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "x" * 200,
    "cat",
)
VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "tv monitor"),
)
COCO = tuple(f"label {c}" if c % 7 else f"label {c} of two words" for c in range(80))
FAILED = "expected weights at /home/somebody/a/very/long/path/to/a/file.safetensors, found nothing; pass --model FILE"

STRATEGIES = (
    "per-label",
    "normalised:per-label,threshold=1.75,per-label.prompts=photo",
    "package.module_with_a_long_name:AnObjectOfMyOwnWithALongName,field=value,another_field=another_value",
    "top-all",
    "adapter:/home/somebody/experiments/2024-11-21/adapters/mld-with-asl/run-17",
)
"""The strategies of the planted ablations."""


def planted_run(labels: Sequence[str], count: int = 40, **changes: Any) -> Result:
    """A planted result with few resamples, so that it is made quickly."""
    return planted_result(count, labels, **({"resamples": 20} | changes))


def drawn(folder: Path, result: Result) -> dict[str, ImageFile]:
    """The images of a result by id, drawn into `folder`."""
    sets = [[label for label, yes in zip(result.labels, row, strict=True) if yes == 1] for row in result.targets]
    files = draw_files(folder, sets, result.labels)
    return {name: replace(file, id=name) for name, file in zip(result.images, files, strict=True)}


def _run(labels: Sequence[str], **changes: Any) -> Callable[[Path], Report]:
    def make(folder: Path) -> Report:
        result = planted_run(labels, **changes)
        return run_report(result, drawn(folder, result), quiet, [])

    return make


def _compared(labels: Sequence[str]) -> Callable[[Path], Report]:
    def make(folder: Path) -> Report:
        first, second = (planted_run(labels, strength=strength) for strength in (0.5, 2.0))
        images = drawn(folder, second)
        return comparison_report(compare(first, second), ("a/long/path/of/runs/first", "second"), images, quiet, [])

    return make


def _without_images(folder: Path) -> Report:
    note = "no thumbnails: expected a data set at /a/path, found nothing; give the folder of the images with --root"
    return run_report(planted_run(("cat", "dog")), {}, quiet, [note])


def _ablated(labels: Sequence[str], failed: Sequence[int], strategies: Sequence[str]) -> Callable[[Path], Report]:
    def make(folder: Path) -> Report:
        write_ablation(folder, labels, failed, strategies)
        return ablation_report(folder)

    return make


def write_ablation(
    folder: Path,
    labels: Sequence[str] = ("cat", "dog", "owl"),
    failed: Sequence[int] = (),
    strategies: Sequence[str] = STRATEGIES,
) -> None:
    """Write what `zsprompt ablate` writes: one row per strategy; `failed` are the positions of the failed rows."""
    (folder / "rows").mkdir(parents=True)
    rows = [_failed_row(n, name) if n in failed else _row(folder, n, name, labels) for n, name in enumerate(strategies)]
    (folder / "ablation.json").write_text(json.dumps({"rows": rows}))


def _failed_row(number: int, strategy: str) -> Mapping[str, Any]:
    known = {"row": number + 1, "strategy": strategy, "prompts": "photo", "dataset": "voc", "error": FAILED}
    return dict.fromkeys(COLUMNS) | known


def _row(folder: Path, number: int, strategy: str, labels: Sequence[str]) -> Mapping[str, Any]:
    result = planted_run(labels, strength=0.3 + 0.3 * number)
    result = replace(result, recipe=RECIPE | {"dataset": "voc2007"})
    save_result(result, folder / f"rows/{number}")
    low, high = result.mAP_interval
    facts = result.to_dict()
    change = {"change": 0.1 * number, "change_low": 0.05 * number, "change_high": 0.15 * number, "p_adjusted": 0.01}
    return {
        **{key: facts.get(key) for key in COLUMNS},
        **{"row": number + 1, "strategy": strategy, "prompts": "photo", "model": "tiny" if number % 2 else "ViT-B/32"},
        **{"dataset": "voc2007", "split": "test", "difficult": "ignore", "mAP_low": low, "mAP_high": high},
        **(change if number else {}),
        **{"texts": 2858, "seconds_cold": 12.3, "seconds_warm": 0.1, "folder": f"rows/{number}", "error": None},
    }


def _with_probabilities(labels: Sequence[str]) -> Callable[[Path], Report]:
    def make(folder: Path) -> Report:
        result = planted_run(labels)
        scores = result.prediction.scores
        shares = (1 / (1 + np.exp(-scores))).astype(np.float32)
        result = replace(result, prediction=Prediction(scores, scores > 0, probabilities=shares))
        return run_report(result, drawn(folder, result), quiet, [])

    return make


def _with_windows(folder: Path) -> Report:
    result = planted_run(("cat", "dog", "owl"))
    result = replace(result, prediction=replace(result.prediction, windows=windows_of(result)))
    return run_report(result, drawn(folder, result), quiet, [])


def _never(labels: Sequence[str]) -> np.ndarray:
    """Targets in which two labels never occur."""
    targets = planted_run(labels).targets.copy()
    targets[:, [1, 2]] = 0
    return targets


_CONSTANT = Prediction(np.zeros((40, 3), dtype=np.float32), np.zeros((40, 3), dtype=bool))

PAGES: dict[str, Callable[[Path], Report]] = {
    "run, 3 labels": _run(("cat", "dog", "owl")),
    "run, 20 labels": _run(VOC),
    "run, 80 labels": _run(COCO),
    "run, long labels": _run(LONG),
    "run, hostile labels": _run(HOSTILE),
    "run, labels without AP": _run(VOC, targets=_never(VOC)),
    "run, constant scores": _run(("cat", "dog", "owl"), prediction=_CONSTANT),
    "run, one image": _run(("cat",), count=1, targets=np.ones((1, 1), dtype=np.int8)),
    "run, no targets": _run(("cat", "dog"), targets=np.full((40, 2), -1, dtype=np.int8)),
    "run, probabilities": _with_probabilities(("cat", "dog", "owl")),
    "run, windows": _with_windows,
    "run, no images": _without_images,
    "comparison, 20 labels": _compared(VOC),
    "comparison, long labels": _compared(LONG),
    "ablation": _ablated(VOC, (), ("top-all", "normalised:per-label,threshold=1.75", "yes-or-no")),
    "ablation, failed row": _ablated(VOC, (2,), STRATEGIES),
    "ablation, 80 labels": _ablated(COCO, (1, 4), STRATEGIES),
    "ablation, long labels": _ablated(LONG, (4,), STRATEGIES),
    "ablation, all failed": _ablated((), (0, 1), STRATEGIES[:2]),
}
"""Makers of reports by kind; each gets an empty folder."""
