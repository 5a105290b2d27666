"""Faster ways to run image towers on a CPU: their speed, and the drift of embeddings and mAP.

    python benchmarks/precision.py --root VOCdevkit --out benchmarks/results/FILE.csv

Image towers of ViT-B/32 (random weights), conse and tiny on real and drawn images; medians of interleaved rounds.
`drift` is 1 − cosine to plain float32, mean and worst. mAP is that of normalised:per-label: on photographs for conse,
on drawn test scenes for tiny. ONNX Runtime and OpenVINO are included if installed (pip install onnxruntime onnx
onnxscript openvino nncf).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import torch
from common import arguments, random_vit_b32, save, seconds

import zsprompt as zs
from zsprompt.data.images import decode
from zsprompt.encoders import Precision
from zsprompt.encoders.clip.openai_clip import OpenAIClip

warnings.simplefilter("ignore")
BATCH = 32
Run = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    options = arguments(__doc__, root=Path, limit=96, rounds=3, measured=500)
    photos = zs.load_dataset("voc", root=options.root).first(options.measured)
    scenes = zs.load_dataset("scenes").first(options.measured)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = random_vit_b32(Path(folder))
        rows = vit(checkpoint, photos.first(options.limit), options.rounds)
    rows += towers("conse", photos, options.limit, options.rounds)
    rows += towers("tiny", scenes, options.limit, options.rounds)
    rows += texts(scenes)
    save(rows, options.out)


def vit(checkpoint: Path, photos: zs.Dataset, rounds: int) -> list[dict[str, Any]]:
    encoder = OpenAIClip.from_file(checkpoint, device="cpu")
    rounded = OpenAIClip.from_file(checkpoint, device="cpu", precision="bfloat16")
    quantised = OpenAIClip.from_file(checkpoint, device="cpu", precision="int8")
    pixels = normalised(encoder, photos)
    visual = encoder.towers.model.visual
    ways: dict[str, Run] = {
        "clip's own encode_image": encoder.towers.model.encode_image,
        "zsprompt, float32": encoder.towers.image,
        "bfloat16 (autocast)": autocast(encoder.towers.model.encode_image),
        "torch.compile": torch.compile(visual),
        "zsprompt, bfloat16": rounded.towers.image,
        "zsprompt, int8": quantised.towers.image,
    }
    ways |= others(visual, pixels[:BATCH])
    return measured("ViT-B/32", ways, pixels, rounds)


def towers(name: str, data: zs.Dataset, limit: int, rounds: int) -> list[dict[str, Any]]:
    """Convolutional towers: the classifier of conse and the residual network of tiny."""
    encoder: Any = zs.load_encoder(name, device="cpu")
    if name == "conse":
        network, size = encoder._classifier._networks[0].network, 4
        pixels = torch.from_numpy(np.stack([np.asarray(encoder.prepare(decode(r.read()))) for r in data.images]))
        pixels = (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0
        finish = lambda out: torch.from_numpy(encoder._convex(out.float().numpy()))  # noqa: E731
    else:
        network, size, finish = encoder.towers.model.visual, BATCH, lambda out: out
        pixels = normalised(encoder, data)
    plain = pixels.contiguous()
    fast = pixels.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(network)
    ways: dict[str, Run] = {
        "contiguous": lambda x: network(x.contiguous()),
        "channels-last": network,
        "bfloat16 (autocast)": autocast(network),
        "torch.compile": compiled,
    }
    formats = {"contiguous": plain}
    rows = []
    times: dict[str, list[float]] = {way: [] for way in ways}
    with torch.inference_mode():
        for run in ways.values():
            for _ in range(2):
                run(fast[:size])
        for _ in range(rounds):
            for way, run in ways.items():
                part = formats.get(way, fast)[:limit]
                layout = torch.contiguous_format if way == "contiguous" else torch.channels_last
                network.to(memory_format=layout)
                times[way].append(seconds(lambda part=part, run=run: [run(batch) for batch in part.split(size)]))
        network.to(memory_format=torch.channels_last)
        vectors = {
            way: unit(torch.cat([finish(run(batch)) for batch in fast.split(size)])) for way, run in ways.items()
        }
    for way in ways:
        row = line(name, way, limit, times, vectors, "contiguous")
        rows.append(row | {"mAP": mean_ap(encoder, vectors[way].numpy(), data)})
    return rows


def texts(scenes: zs.Dataset) -> list[dict[str, Any]]:
    """tiny with rounded text towers and the image tower of that precision."""
    results = []
    for precision in get_args(Precision):
        encoder = zs.load_encoder("tiny", device="cpu", precision=precision)
        with zs.EmbeddingStore(encoder, cache=None) as store:
            run = zs.run(zs.load_strategy("normalised:per-label"), scenes, store, resamples=10)
            results.append((run.mAP, store.texts([f"a photo of a {label}" for label in scenes.labels])))
    rows = []
    for precision, (mean_ap_found, vectors) in zip(get_args(Precision), results, strict=True):
        drift = 1 - (results[0][1] * vectors).sum(axis=1)
        row = {"tower": "tiny, texts", "way": f"zsprompt, {precision}", "drift_mean": float(drift.mean())}
        rows.append(row | {"drift_worst": float(drift.max()), "mAP": mean_ap_found})
    return rows


def normalised(encoder: Any, data: zs.Dataset) -> torch.Tensor:
    pixels = torch.from_numpy(np.stack([np.asarray(encoder.prepare(decode(ref.read()))) for ref in data.images]))
    return (pixels.permute(0, 3, 1, 2).float().div(255) - encoder._mean) / encoder._std


def autocast(run: Run) -> Run:
    def half(x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run(x).float()

    return half


def others(visual: Any, example: torch.Tensor) -> dict[str, Run]:
    """ONNX Runtime and OpenVINO, with int8, if they are installed."""
    ways: dict[str, Run] = {}
    if find_spec("openvino") and find_spec("nncf"):
        import nncf
        import openvino

        converted = openvino.convert_model(visual, example_input=example)
        plain = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        data = nncf.Dataset([example[i : i + 4].numpy() for i in range(0, len(example), 4)])
        small = nncf.quantize(converted, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=8)
        ready = openvino.compile_model(small, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        ways["OpenVINO, float32"] = lambda x: torch.from_numpy(plain(x.numpy())[0])
        ways["OpenVINO, int8 (calibrated)"] = lambda x: torch.from_numpy(ready(x.numpy())[0])
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        ways |= onnx_runtime(visual, example)
    return ways


def onnx_runtime(visual: Any, example: torch.Tensor) -> dict[str, Run]:
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        torch.onnx.export(
            visual, (example,), plain, input_names=["x"], dynamic_shapes=None, external_data=False, verbose=False
        )
        quantize_dynamic(plain, small)
        sessions = {"ONNX Runtime, float32": plain, "ONNX Runtime, int8": small}
        opened = {
            name: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            for name, path in sessions.items()
        }
    return {
        name: lambda x, session=session: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        for name, session in opened.items()
    }


def measured(tower: str, ways: dict[str, Run], pixels: torch.Tensor, rounds: int) -> list[dict[str, Any]]:
    times: dict[str, list[float]] = {way: [] for way in ways}
    with torch.inference_mode():
        for run in ways.values():
            run(pixels[:BATCH])
        for _ in range(rounds):
            for way, run in ways.items():
                times[way].append(seconds(lambda run=run: [run(batch) for batch in pixels.split(BATCH)]))
        vectors = {way: unit(torch.cat([run(batch) for batch in pixels.split(BATCH)])) for way, run in ways.items()}
    return [line(tower, way, len(pixels), times, vectors, next(iter(ways))) for way in ways]


def line(
    tower: str, way: str, count: int, times: dict[str, list[float]], vectors: dict[str, torch.Tensor], plain: str
) -> dict[str, Any]:
    drift = 1 - (vectors[way] * vectors[plain]).sum(dim=1)
    return {
        "tower": tower,
        "way": way,
        "pictures_per_s": count / median(times[way]),
        "times_plain": median(a / b for a, b in zip(times[plain], times[way], strict=True)),
        "drift_mean": float(drift.mean()),
        "drift_worst": float(drift.max()),
    }


def mean_ap(encoder: Any, vectors: np.ndarray, data: zs.Dataset) -> float:
    with zs.EmbeddingStore(encoder, cache=None) as store:
        answer = zs.load_strategy("normalised:per-label").predict(zs.Images(vectors), data.labels, store)
    from zsprompt import metrics

    targets = metrics.resolve_targets(data.targets, "ignore")
    return metrics.mean_over_labels(metrics.average_precision(answer.scores, targets))


def unit(rows: torch.Tensor) -> torch.Tensor:
    return rows.float() / rows.float().norm(dim=1, keepdim=True)


if __name__ == "__main__":
    main()
