"""Models of open_clip: equality with open_clip itself, what is refused, and where files come from."""

from __future__ import annotations

import json
import logging
import math
import pickle
import re
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Cli
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("transformers")
pytest.importorskip("open_clip")

import hub_cache
import open_clip
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip_models import FAMILIES, HALF, OPENAI, RAW, WEIGHTS, write_model, write_tiny
from second_process import require_the_same

import zsprompt as zs
from zsprompt.encoders import SpatialEncoder, check_model, load_encoder
from zsprompt.encoders.open_clip.encoder import OpenClip
from zsprompt.encoders.open_clip.places import places_of
from zsprompt.encoders.open_clip.sources import CONFIG_FILE, find_source
from zsprompt.encoders.open_clip.tokenizers import canonical, lower, whitespace
from zsprompt.encoders.preprocessing import Preprocess
from zsprompt.errors import LabelError, ModelError, UnknownName, UsageError
from zsprompt.testing import check_encoder

TEXTS = ["a dog", "A photo of a cat!", "nothing", "an aeroplane, a sofa", "two cats", "a dog", "", "x"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a test opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: write_model(base / name.replace(" ", "-"), family) for name, family in FAMILIES.items()}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Any:
    def copied(name: str, *, preprocess: dict[str, Any] | None = None, **config: Any) -> Path:
        """A model's folder with other entries in its configuration; a mapping changes single entries of one."""
        folder = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folders[name], folder)
        content = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
        for key, value in config.items():
            old = content["model_cfg"].get(key)
            content["model_cfg"][key] = old | value if isinstance(old, dict) else value
        content["preprocess_cfg"] |= preprocess or {}
        (folder / CONFIG_FILE).write_text(json.dumps(content), "utf-8")
        return folder

    return copied


def load(folder: Path, **options: Any) -> OpenClip:
    encoder = load_encoder(f"local-dir:{folder}", device="cpu", **options)
    assert isinstance(encoder, OpenClip)
    return encoder


def images() -> list[Image.Image]:
    random = np.random.default_rng(1)
    sizes = [(60 + 11 * n, 97 - 7 * n) for n in range(4)] + [(300, 40), (35, 33)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def own_model(folder: Path, family: str) -> tuple[Any, Any, Any]:
    """The model, the transform and the tokeniser that open_clip makes of a folder."""
    from open_clip.tokenizer import HFTokenizer
    from open_clip_models import _network

    if family != "XLM-RoBERTa":
        model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
        return model.eval(), transform, open_clip.get_tokenizer(f"local-dir:{folder}")
    # open_clip would look for the text tower's configuration on the hub, even for a folder
    config = FAMILIES[family].config
    model = _network(config, folder)
    open_clip.load_checkpoint(model, str(folder / WEIGHTS))
    transform = image_transform_v2(PreprocessCfg(size=32, **OPENAI), is_train=False)
    return model, transform, HFTokenizer(str(folder), context_length=config["text_cfg"]["context_length"])


def own_vectors(folder: Path, family: str) -> tuple[np.ndarray, np.ndarray]:
    import torch
    import torch.nn.functional as F

    model, transform, tokenizer = own_model(folder, family)
    with torch.inference_mode():
        texts = F.normalize(model.encode_text(tokenizer(TEXTS)), dim=-1)
        pictures = F.normalize(model.encode_image(torch.stack([transform(image) for image in images()])), dim=-1)
    return texts.numpy(), pictures.numpy()


# --- Right numbers


@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_equal_those_of_open_clip(family: str, folders: dict[str, Path]) -> None:
    encoder = load(folders[family])
    texts, pictures = own_vectors(folders[family], family)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(images()), pictures, atol=1e-5)
    assert np.abs(texts[0] - texts[1]).max() > 0.01  # the random model does tell texts apart


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_go_the_fastest_way_that_is_right(family: str, folders: dict[str, Path]) -> None:
    encoder = load(folders[family])
    assert encoder.towers.way == FAMILIES[family].way
    assert encoder.context_length == FAMILIES[family].text["context_length"]


@pytest.mark.parametrize("family", FAMILIES)
def test_spatial_tokens_where_the_tower_has_them(family: str, folders: dict[str, Path]) -> None:
    encoder, places = load(folders[family]), FAMILIES[family].places
    assert isinstance(encoder, SpatialEncoder) == (places is not None)
    if places is not None:
        assert encoder.token_shape == (1 + places, encoder.dim)
        assert encoder.encode_tokens(images()[:2])[1].shape == (2, 1 + places, encoder.dim)


def test_a_place_is_pooled_as_if_it_were_alone(folders: dict[str, Path]) -> None:
    import torch
    import torch.nn.functional as F

    encoder = load(folders["PE-Core"])
    model, transform, _ = own_model(folders["PE-Core"], "PE-Core")
    trunk = model.visual.trunk
    with torch.inference_mode():
        features = trunk.forward_features(transform(images()[0])[None])
        place = features[:, trunk.num_prefix_tokens + 5][:, None]
        alone = F.normalize(model.visual.head(trunk.forward_head(place)), dim=-1)[0].numpy()
    np.testing.assert_allclose(encoder.encode_tokens(images()[:1])[1][0, 1 + 5], alone, atol=2e-3)


def test_places_of_an_averaging_tower(folders: dict[str, Path]) -> None:
    """A linear head after the average: the places' vectors, not yet normalised, average to the image's."""
    import torch

    encoder = load(folders["MobileCLIP2 S"])
    pixels = next(encoder._pixels(images()[:2]))
    with torch.inference_mode():
        tokens = encoder.towers.image_tokens(pixels)
    torch.testing.assert_close(tokens[:, 1:].mean(1), tokens[:, 0], atol=1e-3, rtol=1e-3)


def test_towers_whose_places_have_no_vector() -> None:
    """The number of places follows from the configuration, for every architecture of open_clip."""
    without = {name for name in open_clip.list_models() if places_of(open_clip.get_model_config(name)) is None}
    assert {name.lower()[:4] for name in without} == {"coca", "swin"}
    assert places_of(open_clip.get_model_config("ViT-SO400M-14-SigLIP-384")) == 27**2
    assert places_of(open_clip.get_model_config("MobileCLIP2-S4")) == 4**2
    assert places_of(open_clip.get_model_config("convnext_large_d_320")) == 10**2


def test_a_wrong_number_of_places_is_refused(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.open_clip.sources.places_of", lambda _: 9)
    with pytest.raises(ModelError, match="expected 10 spatial tokens of an image"):
        load(folders["LAION"]).encode_tokens(images()[:1])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_contract_of_encoders(family: str, folders: dict[str, Path]) -> None:
    check_encoder(load(folders[family]))


def test_tiny_in_open_clips_format_is_tiny(tmp_path: Path) -> None:
    encoder, tiny = load(write_tiny(tmp_path)), load_encoder("tiny", device="cpu")
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), tiny.encode_texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(encoder.encode_images(images()), tiny.encode_images(images()), atol=1e-6)
    tokens = (one.encode_tokens(images()[:2])[1] for one in (encoder, tiny))
    np.testing.assert_allclose(next(tokens), next(tokens), atol=1e-3)


def test_scales_and_biases(folders: dict[str, Path]) -> None:
    for family, bias in (("SigLIP", -10.0), ("LAION", None)):
        encoder = load(folders[family])
        assert encoder.logit_scale == pytest.approx(math.exp(3))
        assert encoder.logit_bias == bias
        with zs.EmbeddingStore(encoder, cache=None) as store:
            assert (store.logit_scale, store.logit_bias) == (encoder.logit_scale, bias)


def test_a_causal_tower_that_is_not_as_it_seems_goes_in_padded_batches(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The way over a trie is compared with the model itself, once."""
    from zsprompt.encoders.open_clip import towers

    def changed(*given: Any) -> Any:
        model = build(*given)
        model.attn_mask = torch.zeros_like(model.attn_mask)  # every token sees every other
        return model

    import torch

    build = towers.build
    monkeypatch.setattr(towers, "build", changed)
    encoder = load(folders["LAION"])
    with caplog.at_level(logging.WARNING, "zsprompt"):
        assert encoder.towers.way == "padded"
    assert "trie batches differ from open_clip's own" in caplog.text
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), alone, atol=1e-5)


# --- Texts


@pytest.mark.parametrize("family", ["LAION", "PE-Core", "SigLIP", "CLIPA", "MetaCLIP 2", "CoCa", "XLM-RoBERTa"])
def test_a_text_fits_up_to_the_last_token(family: str, folders: dict[str, Path]) -> None:
    """open_clip cuts a longer text without a word; here it is refused."""
    encoder = load(folders[family])
    tokenizer = own_model(folders[family], family)[2]
    texts = [" ".join(["dog"] * words) for words in range(1, encoder.context_length + 2)]
    fits = encoder.fits(texts).tolist()
    longest = fits.index(False)
    assert not any(fits[longest:])
    encoder.encode_texts(texts[:longest])
    with pytest.raises(LabelError, match=f"at most {encoder.context_length} tokens"):
        encoder.encode_texts([texts[longest]])
    # open_clip cuts what does not fit: then its ids are those of a longer text too
    theirs = [tokenizer([text]).tolist() for text in (texts[longest - 2], texts[longest - 1], texts[longest])]
    assert theirs[0] != theirs[1]
    assert theirs[2] == tokenizer([f"{texts[longest]} dog"]).tolist()


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
@settings(max_examples=300, deadline=None)
def test_cleaning_equals_open_clips(text: str) -> None:
    from open_clip.tokenizer import get_clean_fn

    for ours, name in ((whitespace, "whitespace"), (lower, "lower"), (canonical, "canonicalize")):
        assert ours(text) == get_clean_fn(name)(text)


def test_texts_that_the_model_reads_as_the_same_are_embedded_once(folders: dict[str, Path]) -> None:
    with zs.EmbeddingStore(load(folders["SigLIP"]), cache=None) as store:
        rows = store.texts(["a dog", "A dog.", "a  DOG", "a cat"])
        assert store.counts.texts_encoded == 2
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])


def test_a_tokeniser_that_ends_in_the_class_token(copy: Any) -> None:
    """CLIPS: start, text, end, padding, class token."""
    from open_clip.tokenizer import HFTokenizer

    folder = copy("SigLIP", text_cfg={"tokenizer_mode": "clips", "tokenizer_kwargs": {}})
    settings_file = folder / "tokenizer_config.json"
    special = {"bos_token": "<unk>", "cls_token": "</s>"}
    settings_file.write_text(json.dumps(json.loads(settings_file.read_text("utf-8")) | special), "utf-8")
    encoder, theirs = load(folder), HFTokenizer(str(folder), context_length=40, tokenizer_mode="clips")
    for text in ("a dog", "a dog and a cat"):
        (ids,) = encoder.tokenizer([text])
        assert list(encoder.tokenizer.pad(ids, 40)) == theirs([text])[0].tolist()
    assert encoder.fits(["a dog", "dog " * 40]).tolist() == [True, False]
    words = next(n for n in range(2, 60) if not encoder.fits(["dog " * n])[0])  # the first that is too long
    assert len(encoder.tokenizer(["dog " * (words - 1)])[0]) < 40
    assert encoder.encode_texts(["dog " * (words - 1)]).shape == (1, encoder.dim)
    with pytest.raises(LabelError, match="expected texts of at most 40 tokens"):
        encoder.encode_texts(["dog " * words])


# --- Images


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from(["shortest", "squash", "longest"]),
    st.sampled_from(["bicubic", "bilinear"]),
    st.sampled_from([16, 31]),
)
@settings(max_examples=150, deadline=None)
def test_preprocessing_equals_open_clips(shape: tuple[int, int], mode: Any, interpolation: Any, size: int) -> None:
    import torch

    assume(max(shape) <= 32 * min(shape))  # of longer strips, the ends are cut off first
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    ours = Preprocess(size, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), interpolation, mode)
    settings = PreprocessCfg(size=size, mean=ours.mean, std=ours.std, interpolation=interpolation, resize_mode=mode)
    expected = image_transform_v2(settings, is_train=False)(image)
    found = ours.pixels(torch.from_numpy(np.array(ours.prepare(image)))[None])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert ours.prepare(ours.prepare(image)).tobytes() == ours.prepare(image).tobytes()


@pytest.mark.parametrize(
    ("name", "mean", "resize", "interpolation", "context"),
    [
        ("ViT-B-32/openai", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-B-32/laion2b_s34b_b79k", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-B-32/datacomp_xl_s13b_b90k", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("EVA02-B-16/merged2b_s8b_b131k", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-B-16-quickgelu/dfn2b", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-H-14-quickgelu/dfn5b", OPENAI["mean"][0], "squash", "bicubic", 77),
        ("ViT-B-32-quickgelu/metaclip_400m", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("PE-Core-B-16/meta", 0.5, "squash", "bilinear", 32),
        ("PE-Core-bigG-14-448/meta", 0.5, "squash", "bilinear", 72),
        ("MobileCLIP2-B/dfndr2b", 0.0, "shortest", "bilinear", 77),
        ("MobileCLIP2-S0/dfndr2b", 0.0, "shortest", "bilinear", 77),
        ("MobileCLIP2-S2/dfndr2b", 0.0, "shortest", "bilinear", 77),
        ("MobileCLIP2-S3/dfndr2b", OPENAI["mean"][0], "shortest", "bilinear", 77),
        ("MobileCLIP2-S4/dfndr2b", OPENAI["mean"][0], "shortest", "bilinear", 77),
        ("MobileCLIP2-L-14/dfndr2b", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-B-16-SigLIP/webli", 0.5, "squash", "bicubic", 64),
        ("ViT-SO400M-14-SigLIP/webli", 0.5, "squash", "bicubic", 16),
        ("ViT-B-16-SigLIP2/webli", 0.5, "squash", "bicubic", 64),
        ("ViT-H-14-worldwide/metaclip2_worldwide", OPENAI["mean"][0], "shortest", "bicubic", 77),
        ("ViT-L-14-CLIPA/datacomp1b", 0.485, "squash", "bilinear", 32),
    ],
)
def test_each_tag_has_its_own_preprocessing(
    name: str, mean: float, resize: str, interpolation: str, context: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of the model cards, from the pretrained tag."""
    asked = _files_from_nowhere(monkeypatch)
    source = find_source(f"open_clip:{name}")
    preprocess = source.preprocess
    assert (preprocess.mean[0], preprocess.resize, preprocess.interpolation) == (mean, resize, interpolation)
    assert source.sizes.context_length == context
    assert preprocess.size == source.sizes.image_size
    assert len(asked) == 1 + (source.tokenizer is not None)


def _files_from_nowhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Repositories that are asked for, instead of a download."""
    asked: list[str] = []

    def file(repository: str, names: Any, **_: Any) -> Path:
        asked.append(repository)
        return Path("weights")

    monkeypatch.setattr("zsprompt.encoders.open_clip.sources.hub_file", file)
    monkeypatch.setattr("zsprompt.encoders.open_clip.sources.hub_tokenizer", lambda name, **_: file(name, ()))
    return asked


def test_every_pretrained_tag_has_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    _files_from_nowhere(monkeypatch)
    for architecture, tag in open_clip.list_pretrained():
        source = find_source(f"open_clip:{architecture}/{tag}")
        assert source.sizes.dim > 0
        entry = open_clip.get_pretrained_cfg(architecture, tag)
        assert list(source.preprocess.mean) == list(entry["mean"])
        if entry.get("quick_gelu"):
            assert source.config["quick_gelu"]


def test_an_activation_that_the_name_does_not_state_is_mended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _files_from_nowhere(monkeypatch)
    with caplog.at_level(logging.INFO, "zsprompt"):
        mended = find_source("open_clip:ViT-B-32/openai")
    assert "ViT-B-32/openai was trained with QuickGELU" in caplog.text
    assert mended.config == find_source("open_clip:ViT-B-32-quickgelu/openai").config
    assert not find_source("open_clip:ViT-B-32/laion2b_s34b_b79k").config.get("quick_gelu")


# --- Fingerprint


def test_the_fingerprint_is_that_of_what_changes_an_embedding(folders: dict[str, Path], copy: Any) -> None:
    first = load(folders["SigLIP"]).fingerprint
    assert load(copy("SigLIP")).fingerprint == first  # another folder
    others = [
        copy("SigLIP", preprocess={"mean": [0.4, 0.5, 0.5]}),
        copy("SigLIP", preprocess={"resize_mode": "shortest"}),
        copy("SigLIP", text_cfg={"tokenizer_kwargs": {"clean": "lower"}}),
        copy("SigLIP", text_cfg={"context_length": 15}),
        copy("SigLIP", text_cfg={"act_kwargs": {"approximate": "tanh"}}),
    ]
    weights = copy("SigLIP")
    shutil.copy(write_model(weights / "again", FAMILIES["SigLIP"], seed=1) / WEIGHTS, weights)
    tokenizer = copy("SigLIP")
    content = json.loads((tokenizer / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"][5][1] -= 1.0
    (tokenizer / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    prints = [load(folder).fingerprint for folder in (*others, weights, tokenizer)]
    assert len({first, *prints, load(folders["SigLIP"], precision="int8").fingerprint}) == 9


def test_loading_reads_no_weights(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.open_clip.towers.build", lambda *_: pytest.fail("weights were read"))
    encoder = load(folders["MetaCLIP 2"])
    assert encoder.fits(["a dog"]).all()
    assert encoder.clean("A  dog ") == "A dog"
    assert encoder.prepare(images()[0]).size == (32, 32)


def test_a_second_process_gives_the_same(folders: dict[str, Path]) -> None:
    require_the_same(load(folders["SigLIP"]), f"local-dir:{folders['SigLIP']}")


# --- Precision


@pytest.mark.parametrize("family", ["LAION", "SigLIP", "EVA-02", "XLM-RoBERTa", "OpenAI RN50"])
@pytest.mark.parametrize(("precision", "least"), [("int8", 0.95), ("bfloat16", 0.999)])
def test_lower_precision_is_close(family: str, precision: Any, least: float, folders: dict[str, Path]) -> None:
    from zsprompt.encoders.clip.products import _has_bfloat16

    if precision == "bfloat16" and not _has_bfloat16():
        pytest.skip("the processor has no bfloat16 instructions")
    exact, rounded = load(folders[family]), load(folders[family], precision=precision)
    for encode, inputs in (("encode_texts", TEXTS), ("encode_images", images())):
        theirs, ours = getattr(exact, encode)(inputs), getattr(rounded, encode)(inputs)
        assert (theirs * ours).sum(axis=1).min() > least
    assert not np.array_equal(exact.encode_texts(TEXTS), rounded.encode_texts(TEXTS))


@pytest.mark.parametrize("family", ["LAION", "OpenAI", "SigLIP", "EVA-02", "MetaCLIP 2", "CLIPA"])
def test_the_weights_of_a_gpu_compute_the_same(
    family: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-precision weights as on a GPU, on the processor: the same arithmetic, another device."""
    import torch

    from zsprompt.encoders.clip.products import plain
    from zsprompt.encoders.open_clip import towers

    exact, half = load(folders[family]), load(folders[family])
    expected = exact.encode_texts(TEXTS), exact.encode_images(images())
    monkeypatch.setattr(towers, "weights_dtype", lambda *_: torch.bfloat16)
    monkeypatch.setattr(towers, "products", lambda *_: plain)
    for theirs, ours in zip(expected, (half.encode_texts(TEXTS), half.encode_images(images())), strict=True):
        assert 0.99 < (theirs * ours).sum(axis=1).min() < 1
        assert not np.array_equal(theirs, ours)


# --- What is refused


def test_without_weights_nothing_is_made_up(copy: Any) -> None:
    folder = copy("LAION")
    (folder / WEIGHTS).unlink()
    for call in (load, lambda folder: check_model(f"local-dir:{folder}")):
        with pytest.raises(ModelError, match=f"expected weights in {folder} .* found none"):
            call(folder)


def _described(embed_dim: str = "24", image_size: str = "32", preprocess: str = "{}") -> str:
    vision = f'"vision_cfg": {{"image_size": {image_size}}}'
    return f'{{"model_cfg": {{"embed_dim": {embed_dim}, {vision}, "text_cfg": {{}}}}, "preprocess_cfg": {preprocess}}}'


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "no 'model_cfg'"),
        ('{"model_cfg": {"embed_dim": 24}}', "no 'vision_cfg'"),
        (_described(), "no mean"),
        (_described(embed_dim='"x"'), "'x'"),
        (_described(image_size="[32, 48]", preprocess=json.dumps(HALF)), r"\[32, 48\]"),
    ],
)
def test_damaged_configurations(content: str, found: str, copy: Any) -> None:
    folder = copy("LAION")
    (folder / CONFIG_FILE).write_text(content, "utf-8")
    with pytest.raises(ModelError, match=found):
        load(folder)


def test_weights_of_another_model(copy: Any, folders: dict[str, Path]) -> None:
    folder = copy("LAION")
    shutil.copy(folders["MetaCLIP 2"] / WEIGHTS, folder)
    with pytest.raises(ModelError, match=f"expected {folder / WEIGHTS} to hold the weights of local-dir:"):
        load(folder).encode_texts(["a dog"])
    (folder / WEIGHTS).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="to hold the weights"):
        load(folder).encode_images(images())


def test_nothing_in_a_checkpoint_is_executed(copy: Any, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    folder = copy("LAION")
    (folder / WEIGHTS).unlink()
    (folder / "open_clip_pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError, match="to hold the weights"):
        load(folder).encode_texts(["a dog"])
    assert not (tmp_path / "executed").exists()


def test_architectures_that_open_clip_cannot_build(copy: Any) -> None:
    for changes in ({"vision_cfg": {"timm_model_name": "no_such_model"}}, {"text_cfg": {"unknown": 1}}):
        with pytest.raises(ModelError, match="to be a model that open_clip can build"):
            load(copy("LAION", **changes)).encode_texts(["a dog"])
    for kwargs in ({"clean": "odd"}, {"reduction_mask": "random"}):
        with pytest.raises(ModelError, match=r"expected .* found 'odd'|reduction_mask='random'"):
            load(copy("LAION", text_cfg={"tokenizer_kwargs": kwargs})).encode_texts(["a dog"])


def test_a_folder_without_its_tokeniser(copy: Any) -> None:
    folder = copy("SigLIP")
    (folder / "tokenizer.json").write_text("{", "utf-8")
    with pytest.raises(ModelError, match="cannot read the tokeniser in"):
        load(folder).encode_texts(["a dog"])
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="expected the tokeniser's files next to"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("open_clip:ViT-B32/openai", UnknownName, "Did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79", UnknownName, "Did you mean 'laion2b_s34b_b79k'"),
        ("open_clip:ViT-B-32", UsageError, "expected a pretrained tag, such as open_clip:ViT-B-32/"),
        ("open_clip:ViT-e-14", UsageError, "which has no pretrained ones"),
        ("open_clip:", UsageError, "expected a name after open_clip:"),
        ("open_clip:ViT-B-32/none.pt", ModelError, "expected the weights of open_clip:ViT-B-32 at none.pt"),
        ("hf-hub:owner", UsageError, "expected hf-hub:OWNER/NAME"),
        ("local-dir:nowhere", ModelError, "expected the configuration of local-dir:nowhere at"),
    ],
)
def test_wrong_names(name: str, kind: type, message: str) -> None:
    for call in (load_encoder, check_model):
        with pytest.raises(kind, match=message):
            call(name)


def test_tags_are_read_as_open_clip_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _files_from_nowhere(monkeypatch)
    names = ("open_clip:ViT-B-32/LAION2B-s34B-b79K", "open_clip:ViT-B-32/laion2b_s34b_b79k")
    first, second = map(find_source, names)
    assert replace(first, name=second.name) == second
    only = find_source("open_clip:PE-Core-B-16")  # one tag: nothing to choose
    assert only.preprocess.resize == "squash"


def test_a_weights_file_gets_the_preprocessing_of_its_kind_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """open_clip itself would give it OpenAI's."""
    _files_from_nowhere(monkeypatch)
    file = tmp_path / "mine.safetensors"
    file.touch()
    for architecture, expected in (("PE-Core-B-16", HALF), ("MobileCLIP2-S0", RAW)):
        source = find_source(f"open_clip:{architecture}/{file}")
        assert (list(source.preprocess.mean), source.weights) == (expected["mean"], file)
    with pytest.raises(UsageError, match=r"pretrained tags of ViT-B-32 that differ in them; .*local-dir:FOLDER"):
        find_source(f"open_clip:ViT-B-32/{file}")


def test_without_the_extra_its_name_is_given(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.hub.find_spec", lambda name: None)
    for name in (f"local-dir:{folders['LAION']}", "open_clip:ViT-B-32/openai", "hf-hub:owner/name"):
        with pytest.raises(ModelError, match=r"pip install 'zsprompt\[open-clip\]'"):
            check_model(name)


def test_a_precision_that_a_device_lacks_is_refused(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.open_clip.encoder.pick_device", lambda _: "cuda")
    name = f"local-dir:{folders['LAION']}"
    with pytest.raises(ModelError, match="expected a CPU for precision int8"):
        check_model(name, device="cuda", precision="int8")
    check_model(name, device="cuda", precision="bfloat16")
    assert load_encoder(name, device="cuda", precision="bfloat16").fingerprint.endswith("bfloat16")
    assert load_encoder(name, device="cuda").fingerprint.endswith("float16")


# --- The hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_repository_in_the_cache_needs_no_network(folders: dict[str, Path], cache: Path) -> None:
    hub_cache.put(cache, "owner/name", folders["SigLIP"])
    hub_cache.put(cache, "of/this-model", folders["SigLIP"])  # where its configuration says its tokeniser is
    encoder = load_encoder("hf-hub:owner/name", device="cpu")
    assert (encoder.name, encoder.fingerprint) == ("hf-hub:owner/name", load(folders["SigLIP"]).fingerprint)
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), load(folders["SigLIP"]).encode_texts(TEXTS))


def test_a_text_tower_of_transformers_comes_from_its_own_repository(folders: dict[str, Path], cache: Path) -> None:
    hub_cache.put(cache, "owner/name", folders["XLM-RoBERTa"])
    hub_cache.put(cache, "of/this-model", folders["XLM-RoBERTa"])
    encoder = load_encoder("hf-hub:owner/name", device="cpu")
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), load(folders["XLM-RoBERTa"]).encode_texts(TEXTS))


def test_what_cannot_be_downloaded_is_announced_and_named(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.INFO, "zsprompt"),
        pytest.raises(ModelError) as caught,
    ):
        load_encoder("open_clip:ViT-B-16-SigLIP2/webli")
    assert f"downloading {WEIGHTS} of timm/ViT-B-16-SigLIP2 from Hugging Face" in caplog.text
    assert f"{cache}, about 1.5 GB" in caplog.text
    message = str(caught.value)
    assert message.startswith(f"cannot download {WEIGHTS} for model open_clip:ViT-B-16-SigLIP2/webli (")
    assert "https://huggingface.co/timm/ViT-B-16-SigLIP2 into a folder and use --model local-dir:FOLDER" in message


# --- Everything else works with them unchanged


def test_an_ablation_over_three_encoders_in_one_table(folders: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    models = ["tiny", f"local-dir:{write_tiny(tmp_path / 'tiny')}", f"local-dir:{folders['SigLIP']}"]
    options = [part for model in models for part in ("--model", model)]
    line = ["--strategy", "per-label", "--strategy", "top-all", "--dataset", "scenes,limit=60"]
    result = cli("ablate", *line, *options, "--out", tmp_path / "table", "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    assert len(rows) == 6
    by_model = {model: [row["mAP"] for row in rows if row["model"] == model] for model in models}
    assert by_model[models[0]] == pytest.approx(by_model[models[1]], abs=1e-4)  # the same weights in another format
    assert max(by_model[models[2]]) < min(by_model[models[0]])


def test_an_adapter_on_spatial_tokens_of_an_open_clip_tower(cli: Cli, tmp_path: Path) -> None:
    model = f"local-dir:{write_tiny(tmp_path / 'tiny')}"
    line = [
        "--adapter",
        "mld,tokens=spatial",
        "--dataset",
        "scenes",
        "--split",
        "train",
        "--limit",
        "80",
        "--model",
        model,
    ]
    result = cli("train", *line, "--epochs", "2", "--out", tmp_path / "adapter")
    assert result.returncode == 0, result.stderr
    (file,) = (tmp_path / "adapter").glob("*.safetensors")
    run = cli("run", "--strategy", f"adapter:{file}", "--dataset", "scenes,limit=20", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["recipe"]["model"] == model


@pytest.mark.parametrize(
    "strategy", ["softmax:per-label", "softmax:regions:per-label", "yes-or-no", "list-all,max_labels=1"]
)
def test_strategies_on_an_open_clip_tower(strategy: str, folders: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    images()[0].save(tmp_path / "image.png")
    model = f"local-dir:{folders['LAION']}"
    result = cli(
        "predict", tmp_path / "image.png", "--labels", "dog, cat", "--model", model, "--strategy", strategy, "--json"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)


def test_weights_of_open_clip_are_no_checkpoint_of_openai(folders: dict[str, Path], tmp_path: Path) -> None:
    """They can have the same names and sizes, but another activation."""
    alone = tmp_path / "open_clip_model.safetensors"
    shutil.copy(folders["LAION"] / WEIGHTS, alone)
    renamed = shutil.copytree(folders["LAION"], tmp_path / "folder") / "mine.safetensors"
    (renamed.parent / WEIGHTS).rename(renamed)
    for path in (alone, renamed):
        for call in (check_model, load_encoder):
            with pytest.raises(ModelError, match=rf"found weights of open_clip; .* use local-dir:{path.parent}$"):
                call(str(path))


def changed(folder: Path, target: Path, **entries: Any) -> Path:
    """A copy of a model whose model_cfg and text_cfg say something else."""
    config = shutil.copytree(folder, target) / CONFIG_FILE
    content = json.loads(config.read_text("utf-8"))
    for key, value in entries.items():
        (content["model_cfg"]["text_cfg"] if key == "context_length" else content["model_cfg"])[key] = value
    config.write_text(json.dumps(content), "utf-8")
    return target


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_cfg", "patch_size", "x"),
        ("vision_cfg", "patch_size", 0),
        ("vision_cfg", "image_size", -32),
        ("vision_cfg", "image_size", [32, 48]),
        ("vision_cfg", "timm_model_name", 3),
        ("text_cfg", "context_length", True),
        ("text_cfg", "tokenizer_kwargs", "x"),
        ("text_cfg", "tokenizer_kwargs", {"clean": ["a"]}),
        ("text_cfg", "tokenizer_kwargs", {"clean": "whitespace"}),
        ("preprocess_cfg", "mean", ["a", "b", "c"]),
        ("preprocess_cfg", "mean", [None] * 3),
        ("preprocess_cfg", "std", [0, 0, 0]),
        ("preprocess_cfg", "fill_color", "red"),
    ],
)
def test_a_configuration_of_wrong_types_is_one_line(
    part: str, key: str, value: Any, folders: dict[str, Path], tmp_path: Path
) -> None:
    config = shutil.copytree(folders["LAION"], tmp_path / "odd") / CONFIG_FILE
    content = json.loads(config.read_text("utf-8"))
    (content if part == "preprocess_cfg" else content["model_cfg"])[part][key] = value
    config.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ModelError, match="expected"):
        load(config.parent).encode_texts(TEXTS)


def test_one_number_may_stand_for_three_colours(folders: dict[str, Path], tmp_path: Path) -> None:
    config = shutil.copytree(folders["LAION"], tmp_path / "grey") / CONFIG_FILE
    content = json.loads(config.read_text("utf-8"))
    content["preprocess_cfg"] |= {"mean": 0.5, "std": 0.25}
    config.write_text(json.dumps(content), "utf-8")
    assert (load(config.parent).preprocess.mean, load(config.parent).preprocess.std) == ((0.5,) * 3, (0.25,) * 3)


def test_transformers_is_needed_for_its_tokenisers(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from zsprompt.encoders import hub

    found = hub.find_spec
    monkeypatch.setattr(hub, "find_spec", lambda name: None if name == "transformers" else found(name))
    load(folders["LAION"])
    with pytest.raises(ModelError, match="expected the package transformers"):
        load(folders["SigLIP"])


def test_a_tokeniser_whose_download_stopped_is_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["SigLIP"], tmp_path / "half")
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(ModelError, match="expected a tokeniser with a pad_token in"):
        load(folder).encode_texts(TEXTS)


def test_position_embeddings_of_another_length_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """open_clip would interpolate them."""
    folder = changed(folders["LAION"], tmp_path / "short", context_length=20)
    with pytest.raises(ModelError, match=r"expected position embeddings of 20 tokens in .*, found 77"):
        load(folder).encode_texts(TEXTS)


def test_a_logit_bias_that_the_weights_lack_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """open_clip would take 0."""
    folder = changed(folders["LAION"], tmp_path / "bias", init_logit_bias=-10)
    with pytest.raises(ModelError, match=r"expected .* to hold logit_bias"):
        load(folder).encode_texts(TEXTS)


def test_defaults_of_preprocessing_are_said(
    folders: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = shutil.copytree(folders["LAION"], tmp_path / "old") / CONFIG_FILE
    content = json.loads(config.read_text("utf-8"))
    content["preprocess_cfg"] = {"mean": [0.5] * 3, "std": [0.25] * 3}
    config.write_text(json.dumps(content), "utf-8")
    with caplog.at_level(logging.INFO, "zsprompt"):
        encoder = load(config.parent)
    assert (encoder.preprocess.interpolation, encoder.preprocess.resize) == ("bicubic", "shortest")
    assert encoder.preprocess.mean == (0.5,) * 3
    assert "does not state interpolation and resize_mode of its images; open_clip's defaults are used" in caplog.text


@pytest.mark.parametrize("name", ["hf-hub:my models/clip", "hf-hub:../x", "hf:my models/clip"])
def test_what_cannot_be_a_repository_is_one_line(name: str, cache: Path) -> None:
    with pytest.raises(ModelError, match="expected OWNER/NAME of a model on Hugging Face"):
        load_encoder(name)


def test_weights_of_another_architecture_are_said_to_be(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(folders["LAION"], tmp_path / "mixed")
    shutil.copy(folders["SigLIP"] / WEIGHTS, folder)
    with pytest.raises(ModelError, match="found those of another architecture"):
        load(folder).encode_texts(TEXTS)


def test_a_sigmoid_is_a_probability(folders: dict[str, Path]) -> None:
    refs, labels = zs.load_dataset("scenes").images[:20], ["dog", "car", "tree"]
    strategy = zs.load_strategy("per-label,decide=sigmoid,cut=0.3")
    with zs.EmbeddingStore(load(folders["SigLIP"]), cache=None) as store:
        pictures = zs.Images(store.images(refs).vectors)
        found = strategy.predict(pictures, labels, store)
        cosines = zs.load_strategy("per-label").predict(pictures, labels, store).scores
        logits = store.logit_scale * cosines.astype(float) - 10
    np.testing.assert_allclose(found.scores, cosines, atol=1e-6)
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_array_equal(found.decisions, found.probabilities > 0.3)
    alone = strategy.predict(pictures, labels[:1], store)
    np.testing.assert_allclose(alone.probabilities[:, 0], found.probabilities[:, 0], rtol=1e-5)


def test_a_sigmoid_needs_a_bias(cli: Cli) -> None:
    result = cli("run", "--strategy", "per-label,decide=sigmoid", "--dataset", "scenes,limit=8")
    assert result.returncode == 1
    assert result.stderr.startswith("error: expected a model with a logit bias, such as SigLIP, for decide=sigmoid")


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("softmax:per-label,decide=sigmoid", "expected decide=sigmoid without a wrapper, found softmax:"),
        ("regions:per-label,decide=sigmoid", "expected decide=sigmoid without a wrapper, found regions:"),
        ("per-label,cut=0.3", "decide=z does not use cut=0.3"),
        ("per-label,decide=sigmoid,threshold=1", "decide=sigmoid does not use threshold=1"),
        ("per-label,decide=sigmoid,cut=1", "expected a cut between 0 and 1"),
    ],
)
def test_decisions_that_would_be_ignored_are_refused(strategy: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        zs.load_strategy(strategy)


def test_a_hub_that_cannot_be_reached_is_given_up_at_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's client would try again for half a minute."""
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")  # no server listens there
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: pytest.fail("the client was called"))
    with pytest.raises(ModelError, match=r"cannot download open_clip_config\.json for model .* \(Connection refused\)"):
        load_encoder("hf-hub:owner/name")
