"""On a CUDA GPU: equal to the `clip` package in its own precision, close to the CPU, and whole runs agree.

ZSPROMPT_TEST_CUDA=1 pytest --slow tests/encoders/test_cuda.py
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import zsprompt as zs
from zsprompt.encoders.clip.openai_clip import OpenAIClip

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU, and ZSPROMPT_TEST_CUDA=1"),
    pytest.mark.slow,
]
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import clip
    from clip.model import CLIP

TEXT = dict(context_length=77, vocab_size=49408, transformer_width=512, transformer_heads=8, transformer_layers=12)
VIT_B32 = dict(embed_dim=512, image_resolution=224, vision_layers=12, vision_width=768, vision_patch_size=32)
RN50 = dict(embed_dim=1024, image_resolution=224, vision_layers=(3, 4, 6, 3), vision_width=64, vision_patch_size=None)
TEXTS = ["dog", "dog, cat", "a photo of an aeroplane, a dog and a tv monitor", "Ünïcödé façade 日本", "", "x " * 70]
HALF = 5e-3  # unit rows in float16, after 12 layers


@pytest.fixture(scope="module", params=[VIT_B32, RN50], ids=["ViT-B/32", "RN50"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "random.pt"
    torch.manual_seed(0)
    torch.save(CLIP(**request.param, **TEXT).eval().state_dict(), path)
    return path


def noise(count: int = 6) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(500, 375), (375, 500), (224, 224), (100, 333), (641, 479), (30, 7)]
    return [
        Image.fromarray(random.integers(0, 256, (*sizes[i % len(sizes)][::-1], 3), dtype=np.uint8))
        for i in range(count)
    ]


def unit(rows: torch.Tensor) -> NDArray[np.float32]:
    array = rows.float().cpu().numpy()
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_equal_to_the_clip_package_in_half_precision(checkpoint: Path) -> None:
    model, preprocess = clip.load(str(checkpoint), device="cuda")
    ours = OpenAIClip.from_file(checkpoint, device="cuda")
    with torch.inference_mode():
        texts = unit(model.encode_text(clip.tokenize(TEXTS).cuda()))
        images = unit(model.encode_image(torch.stack([preprocess(image) for image in noise()]).cuda()))
    assert np.abs(ours.encode_texts(TEXTS) - texts).max() < HALF
    assert np.abs(ours.encode_images(noise()) - images).max() < HALF


def test_close_to_the_cpu_and_not_mistaken_for_it(checkpoint: Path) -> None:
    cpu, gpu = (OpenAIClip.from_file(checkpoint, device=device) for device in ("cpu", "cuda"))
    assert cpu.fingerprint != gpu.fingerprint
    assert np.abs(cpu.encode_texts(TEXTS) - gpu.encode_texts(TEXTS)).max() < HALF
    for one, two in zip(cpu.encode_tokens(noise()), gpu.encode_tokens(noise()), strict=True):
        assert np.abs(one.astype(np.float32) - two).max() < 2 * HALF


def test_windows_are_close_to_those_of_the_cpu(checkpoint: Path) -> None:
    cpu, gpu = (OpenAIClip.from_file(checkpoint, device=device) for device in ("cpu", "cuda"))
    grids = [cpu.grid(*image.size) for image in noise()]
    images = [cpu.prepare_windows(image, grid) for image, grid in zip(noise(), grids, strict=True)]
    pairs = zip(cpu.encode_windows(images, grids), gpu.encode_windows(images, grids), strict=True)
    assert max(np.abs(one.astype(np.float32) - two).max() for one, two in pairs) < 2 * HALF


def test_a_row_hardly_depends_on_its_batch(checkpoint: Path) -> None:
    gpu = OpenAIClip.from_file(checkpoint, device="cuda")
    alone = np.concatenate([gpu.encode_images([image]) for image in noise()])
    assert np.abs(gpu.encode_images(noise(70))[:6] - alone).max() < HALF


@pytest.mark.parametrize("strategy", ["per-label", "top-all", "list-all,max_labels=2", "normalised:yes-or-no"])
def test_a_run_on_the_gpu_agrees_with_one_on_the_cpu(strategy: str) -> None:
    results = {
        device: zs.RunSpec(strategy, dataset="scenes", sample=200, device=device).run() for device in ("cpu", "cuda")
    }
    one, two = (results[device].mAP for device in ("cpu", "cuda"))
    assert one == pytest.approx(two, abs=0.01)


@pytest.mark.parametrize("kind", ["fc", "mld", "ml-decoder", "dm-decoder"])
def test_an_adapter_trained_on_the_gpu_is_as_good_as_one_from_the_cpu(kind: str, tmp_path: Path) -> None:
    scores = {}
    with zs.EmbeddingStore(zs.load_encoder("tiny", device="cpu"), cache=tmp_path / "cache") as store:
        training, test = zs.load_dataset("scenes", split="train").first(300), zs.load_dataset("scenes").first(200)
        schedule = zs.Schedule(epochs=4, seed=0)
        for device in ("cpu", "cuda"):
            course = zs.train(kind, training, store, schedule=schedule, validation=0.0, device=device)
            scores[device] = zs.run(zs.Adapter(course.trained, device=device), test, store).mAP
    assert scores["cuda"] == pytest.approx(scores["cpu"], abs=0.03)
    assert scores["cuda"] > 0.2
