"""OpenAI CLIP: equal to the `clip` package on random weights of the real architectures."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from fakes import draw
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zsprompt._utils.http_download import sha256_file
from zsprompt.encoders import OPENAI_MODELS, devices, load_encoder
from zsprompt.encoders.clip import clip_package, products
from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.encoders.clip.openai_models import OPENAI_SIZES
from zsprompt.encoders.clip.tokens import is_plain
from zsprompt.encoders.no_draws import no_draws
from zsprompt.errors import DownloadError, LabelError, ModelError, UnknownName, UsageError

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import clip
    from clip.model import CLIP

VIT_B32 = dict(embed_dim=512, image_resolution=224, vision_layers=12, vision_width=768, vision_patch_size=32)
RN50 = dict(embed_dim=1024, image_resolution=224, vision_layers=(3, 4, 6, 3), vision_width=64, vision_patch_size=None)
TEXT = dict(context_length=77, vocab_size=49408, transformer_width=512, transformer_heads=8, transformer_layers=12)
SMALL = dict(embed_dim=64, image_resolution=32, vision_layers=1, vision_width=64, vision_patch_size=16) | dict(
    context_length=77, vocab_size=49408, transformer_width=64, transformer_heads=1, transformer_layers=1
)
TEXTS = ["dog", "a photo of an aeroplane, a dog and a tv monitor", "Ünïcödé façade 日本", "", "x " * 70]


def random_state(architecture: dict) -> dict:
    torch.manual_seed(0)
    return CLIP(**architecture).eval().state_dict()


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.pt"
    torch.save(random_state(SMALL), path)
    return path


def noise_images() -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(500, 375), (375, 500), (224, 224), (100, 333), (641, 479), (30, 7)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [VIT_B32, RN50], ids=["ViT-B/32", "RN50"])
def test_equal_to_the_clip_package(architecture: dict, tmp_path: Path) -> None:
    path = tmp_path / "random.pt"
    torch.save(random_state(architecture | TEXT), path)
    model, preprocess = clip.load(str(path), device="cpu")
    ours = OpenAIClip.from_file(path, device="cpu")
    assert ours._sizes == OPENAI_SIZES["RN50" if architecture is RN50 else "ViT-B/32"]
    with torch.inference_mode():
        texts = model.encode_text(clip.tokenize(TEXTS)).numpy()
        images = model.encode_image(torch.stack([preprocess(p) for p in noise_images()])).numpy()
    for expected, found in ((texts, ours.encode_texts(TEXTS)), (images, ours.encode_images(noise_images()))):
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
        assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-6
    assert ours.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()), rel=1e-6)
    assert (ours.dim, ours.context_length) == (architecture["embed_dim"], 77)


def cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", one, two)


needs_bfloat16 = pytest.mark.skipif(
    not products._has_bfloat16(), reason="needs a processor with bfloat16 instructions (AVX-512 BF16 or AMX)"
)


def small_checkpoint(folder: Path) -> Path:
    path = folder / "random.pt"
    torch.save(random_state(VIT_B32 | TEXT | dict(vision_layers=4, transformer_layers=4)), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "nearest"), [("int8", 0.99), pytest.param("bfloat16", 0.9999, marks=needs_bfloat16)]
)
def test_rounded_embeddings_are_close_and_have_their_own_fingerprint(tmp_path: Path, precision, nearest: float) -> None:
    path = small_checkpoint(tmp_path)
    whole = OpenAIClip.from_file(path, device="cpu")
    rounded = OpenAIClip.from_file(path, device="cpu", precision=precision)
    assert whole.fingerprint != rounded.fingerprint
    for one, two in (
        (whole.encode_images(noise_images()), rounded.encode_images(noise_images())),
        (whole.encode_texts(TEXTS), rounded.encode_texts(TEXTS)),
    ):
        assert nearest < cosines(one, two).min()
        assert np.abs(one - two).max() > 1e-6  # it is rounded


@pytest.mark.slow
def test_without_onednn_the_embeddings_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_checkpoint(tmp_path)
    fast = OpenAIClip.from_file(path, device="cpu")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert products.products("cpu", "auto") is products.plain
    slow = OpenAIClip.from_file(path, device="cpu")
    np.testing.assert_allclose(fast.encode_images(noise_images()), slow.encode_images(noise_images()), atol=1e-6)
    np.testing.assert_allclose(fast.encode_texts(TEXTS), slow.encode_texts(TEXTS), atol=1e-6)
    with pytest.raises(ModelError, match="expected a processor with bfloat16 instructions"):
        OpenAIClip.from_file(path, device="cpu", precision="bfloat16")


def test_a_missing_or_different_kernel_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def different(*arguments: object) -> torch.Tensor:
        raise RuntimeError("expected 5 arguments")

    assert products._has_onednn() or not torch.backends.mkldnn.is_available()
    monkeypatch.setattr(products, "_onednn", lambda: different)
    assert not products._has_onednn()
    monkeypatch.setattr(products, "_onednn", lambda: lambda x, *rest: torch.zeros(2, 4))
    assert not products._has_onednn()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_rounded_products_are_for_a_cpu(precision: str) -> None:
    with pytest.raises(ModelError, match=f"expected a CPU for precision {precision}, found device cuda"):
        products.check_precision("cuda", precision)
    products.check_precision("cuda", precision, on_gpu=(precision,))


def test_unknown_and_unsupported_precisions_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'int8'"):
        load_encoder("tiny", precision="int4")
    with pytest.raises(UsageError, match="expected an OpenAI CLIP model for precision int8, found model conse"):
        load_encoder("conse", precision="int8")


def test_a_jit_archive_a_state_dict_and_safetensors_give_the_same_embeddings(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = CLIP(**SMALL).eval()
    plain, safe, jit = tmp_path / "a.pt", tmp_path / "a.safetensors", tmp_path / "jit.pt"
    torch.save(model.state_dict(), plain)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, safe)
    example = (torch.zeros(1, 3, 32, 32), clip.tokenize(["dog"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, example, check_trace=False).save(str(jit))
    rows = [OpenAIClip.from_file(path, device="cpu").encode_texts(TEXTS) for path in (plain, safe, jit)]
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


def test_preparing_ahead_changes_no_bit_and_twice_is_once(small_file: Path) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    ready = [encoder.prepare(image) for image in noise_images()]
    assert all(image.size == (32, 32) for image in ready)
    assert np.array_equal(encoder.encode_images(noise_images()), encoder.encode_images(ready))
    assert [p.tobytes() for p in map(encoder.prepare, ready)] == [p.tobytes() for p in ready]


@pytest.mark.parametrize("size", [32, 64, 224, 448])
def test_prepared_for_another_size_as_by_clip(small_file: Path, size: int) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    theirs = clip.clip._transform(size).transforms[:2]  # resize, centre crop
    for image in noise_images():
        expected = theirs[1](theirs[0](image))
        assert encoder.prepare_at(image, size).tobytes() == expected.tobytes()
        assert encoder.prepare_at(expected, size) is expected


def test_long_strips_at_other_sizes_take_no_gigabytes(small_file: Path) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    wide = Image.fromarray(np.repeat(np.arange(2000, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(50, axis=0))
    resized = []
    resize = Image.Image.resize
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", lambda *args: resized.append(args[1]) or resize(*args))
        prepared = encoder.prepare_at(wide, 32 * 16)
    assert prepared.size == (512, 512)
    assert resized == [(4 * 512, 512)]
    shown = np.asarray(prepared)[0, 10:-10, 0].astype(int)
    assert abs(int(np.median(shown)) - 1000 % 256) <= 2  # the middle of the strip


@pytest.mark.parametrize("size", [(2, 5000), (60000, 1)])
def test_long_strips_take_no_gigabytes(small_file: Path, size: tuple[int, int]) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    strip = Image.new("RGB", size, "red")
    assert encoder.prepare(strip).tobytes() == Image.new("RGB", (32, 32), "red").tobytes()


def test_fits_counts_tokens_as_clip_does(small_file: Path) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    texts = ["dog " * n for n in (1, 74, 75, 76, 77)] + ["é" * n for n in (30, 37, 38, 75, 76)] + ["", "🦆" * 26]

    def clip_takes(text: str) -> bool:
        try:
            clip.tokenize([text])
        except RuntimeError:
            return False
        return True

    assert encoder.fits(texts).tolist() == [clip_takes(text) for text in texts]


def test_a_long_text_is_refused_not_cut(small_file: Path) -> None:
    with pytest.raises(LabelError, match="at most 77 tokens, found 82"):
        OpenAIClip.from_file(small_file, device="cpu").encode_texts(["dog", "dog " * 80])


def test_no_texts_and_no_images_give_no_rows(small_file: Path) -> None:
    encoder = OpenAIClip.from_file(small_file, device="cpu")
    assert encoder.encode_texts([]).shape == encoder.encode_images([]).shape == (0, 64)


def test_the_fingerprint_is_the_files_content(small_file: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.pt", tmp_path / "other.pt"
    copy.write_bytes(small_file.read_bytes())
    state = random_state(SMALL)
    state["text_projection"] += 0.1
    torch.save(state, other)
    prints = [load_encoder(str(path), device="cpu").fingerprint for path in (small_file, copy, other)]
    assert prints[0] == prints[1] != prints[2]


def test_broken_checkpoints_are_refused_in_a_sentence(tmp_path: Path, small_file: Path) -> None:
    whole = small_file.read_bytes()
    cases: dict[str, bytes] = {"empty.pt": b"", "text.pt": b"<html>404</html>", "cut.pt": whole[: len(whole) // 2]}
    cases |= {"passwd.pt": b"root:x:0:0:root:/root:/bin/bash\n", "script.pt": b"#!/bin/sh\nset -e\n.\n"}
    cases |= {"bad.safetensors": b"\x08\0\0\0\0\0\0\0notjson!", "image.pt": b"\x89PNG\r\n\x1a\n" + bytes(100)}
    for name, content in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name):
            OpenAIClip.from_file(path)
    with pytest.raises(ModelError, match="found nothing"):
        OpenAIClip.from_file(tmp_path / "missing.pt")
    with pytest.raises(ModelError, match="a folder"):
        OpenAIClip.from_file(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"epoch": 3, "state_dict": {}}, "no 'text_projection'"),
        ([1, 2], "found a list"),
        ({k: v for k, v in random_state(SMALL).items() if "visual" not in k}, "do not fit"),
        (random_state(SMALL) | {"ln_final.weight": torch.zeros(65)}, "do not fit"),
        (random_state(SMALL) | {"ln_final.weight": torch.zeros(32)}, "do not fit"),
    ],
    ids=["training checkpoint", "list", "no image tower", "wrong shape", "less than one head"],
)
def test_other_checkpoints_are_refused_in_a_sentence(content: object, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ModelError, match=reason):
        OpenAIClip.from_file(path)


class Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_pickled_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"text_projection": Evil()}, "evil.pt")
    with pytest.raises(ModelError, match=r"evil\.pt"):
        OpenAIClip.from_file(Path("evil.pt"))
    assert not Path("evil-was-here").exists()


def test_without_a_network_the_error_says_what_to_download_and_which_models_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_network(*args: object, **kwargs: object) -> None:
        raise DownloadError("Name or service not known")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("zsprompt.encoders.clip.openai_clip.download", no_network)
    with caplog.at_level("INFO", "zsprompt"), pytest.raises(ModelError) as caught:
        load_encoder("ViT-B/32")
    path = tmp_path / ".cache" / "clip" / "ViT-B-32.pt"
    assert caplog.messages == [f"downloading ViT-B/32 from OpenAI to {path}, about 353 MB"]
    for part in ("ViT-B-32.pt", OPENAI_MODELS["ViT-B/32"][0], str(tmp_path / ".cache/clip"), "--model conse"):
        assert part in str(caught.value)


def test_a_damaged_download_in_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache/clip"
    folder.mkdir(parents=True)
    (folder / "RN50.pt").write_bytes(b"half")
    with pytest.raises(ModelError, match="delete it"):
        load_encoder("RN50").encode_texts(["dog"])


def test_the_table_of_weights_is_the_clip_packages() -> None:
    theirs = {name: (url.split("/")[-2], url.split("/")[-1]) for name, url in clip.clip._MODELS.items()}
    assert theirs == OPENAI_MODELS


def stand_in(name: str, path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Give the checkpoint at `path` the name of a model of OpenAI."""
    folder = home / ".cache/clip"
    folder.mkdir(parents=True)
    (folder / "stand-in.pt").write_bytes(path.read_bytes())
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setitem(OPENAI_MODELS, name, (sha256_file(path), "stand-in.pt"))
    monkeypatch.setitem(OPENAI_SIZES, name, replace(OpenAIClip.from_file(path, device="cpu")._sizes, **sizes))


def test_a_named_model_reads_its_weights_on_first_use(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("ViT-B/32", small_file, tmp_path, monkeypatch)
    by_file = OpenAIClip.from_file(small_file, device="cpu")
    by_name = load_encoder("ViT-B/32", device="cpu")
    facts = ("dim", "context_length", "token_shape", "image_size", "text_batch", "fingerprint")
    assert [vars(by_name)[fact] for fact in facts] == [vars(by_file)[fact] for fact in facts]
    assert by_name.prepare(noise_images()[0]).size == (32, 32)
    assert by_name.fits(["a photo of a dog"]).all()
    assert by_name._loaded_towers is None
    assert by_name.logit_scale == by_file.logit_scale
    assert np.array_equal(by_name.encode_texts(TEXTS), by_file.encode_texts(TEXTS))
    assert np.array_equal(by_name.encode_images(noise_images()), by_file.encode_images(noise_images()))


def test_weights_of_other_sizes_than_the_names_are_refused(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("ViT-B/32", small_file, tmp_path, monkeypatch, tokens=50)
    with pytest.raises(ModelError, match=r"tokens=50.*in the weights of ViT-B/32, found"):
        load_encoder("ViT-B/32", device="cpu").encode_texts(TEXTS)


def test_every_named_model_has_its_sizes() -> None:
    assert OPENAI_SIZES.keys() == OPENAI_MODELS.keys()
    assert all(sizes.tokens == 1 + round((sizes.tokens - 1) ** 0.5) ** 2 for sizes in OPENAI_SIZES.values())


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90))
def test_a_plain_text_has_at_most_as_many_tokens_as_characters(text: str) -> None:
    """`fits` relies on it."""
    assert is_plain(text) == ("&" not in text)
    if is_plain(text):
        assert len(clip.clip._tokenizer.encode(text)) <= len(text)


@pytest.mark.parametrize(
    ("version", "for_cpu"),
    [
        ("__version__ = '2.9.0+cpu'\ncuda = None\nhip = None\n", True),
        ("from typing import Optional\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", False),
        ("cuda = None\nhip = '6.4'\n", False),
        ("cuda = None\nrocm = '6.4'\n", False),
        ("__version__ = '9'\n", False),
        (None, False),
    ],
)
def test_the_version_file_says_whether_torch_was_built_for_a_processor_alone(
    version: str | None, for_cpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version is not None:
        (tmp_path / "version.py").write_text(version, encoding="utf-8")
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(devices, "find_spec", lambda name: spec)
    assert devices._built_for_cpu.__wrapped__() == for_cpu


def test_the_modules_of_clip_are_loaded_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip_package.clip_model() is clip.model  # it is imported already
    for name in ("clip.model", "clip.simple_tokenizer"):
        monkeypatch.delitem(sys.modules, name)
    clip_package._module.cache_clear()
    alone, tokens = clip_package.clip_model(), clip_package.clip_tokenizer()
    assert alone is not clip.model
    assert alone.CLIP.__module__ == "clip.model"
    assert [tokens.encode(text) for text in TEXTS] == [clip.clip._tokenizer.encode(text) for text in TEXTS]
    monkeypatch.setattr(clip_package, "find_spec", lambda name: None)
    clip_package._module.cache_clear()
    with pytest.raises(ModelError, match="pip install clip-anytorch"):
        clip_package.clip_model()
    clip_package._module.cache_clear()


def test_without_draws_only_random_fillings_are_left_out() -> None:
    before = torch.random.get_rng_state()
    with no_draws():
        torch.nn.TransformerEncoderLayer(8, 2)
        torch.nn.Embedding(5, 3)
        assert torch.equal(torch.ones(2).uniform_(5, 6), torch.ones(2))
        assert torch.equal(torch.zeros(2).fill_(3) + 1, torch.full((2,), 4.0))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert 5 <= torch.ones(1).uniform_(5, 6) <= 6


def test_cuda_is_refused_where_there_is_none(small_file: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(ModelError, match="CUDA"):
        OpenAIClip.from_file(small_file, device="cuda")
    with pytest.raises(UnknownName, match="device"):
        OpenAIClip.from_file(small_file, device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_half_precision_on_a_gpu_is_close_to_the_cpu(small_file: Path) -> None:
    cpu, gpu = (OpenAIClip.from_file(small_file, device=device) for device in ("cpu", "cuda"))
    assert cpu.fingerprint != gpu.fingerprint
    assert np.abs(cpu.encode_texts(TEXTS) - gpu.encode_texts(TEXTS)).max() < 5e-3
    images = [draw(["dog"]).resize((32, 32))]
    assert np.abs(cpu.encode_images(images) - gpu.encode_images(images)).max() < 5e-3
