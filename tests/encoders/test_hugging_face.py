"""Dual encoders of transformers: their own numbers, what is refused, and names that mean other models."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Cli
from PIL import Image

pytest.importorskip("transformers")
pytest.importorskip("open_clip")

import hub_cache
import hugging_face_models as tiny
from second_process import require_the_same

from zsprompt.encoders import OPENAI_MODELS, available_models, check_model, load_encoder
from zsprompt.encoders.hugging_face.aliases import alias, aliases
from zsprompt.encoders.hugging_face.checkpoint import find_checkpoint
from zsprompt.encoders.hugging_face.encoder import HuggingFaceEncoder
from zsprompt.encoders.hugging_face.families import FAMILIES
from zsprompt.encoders.hugging_face.library import read_image_processor
from zsprompt.encoders.hugging_face.preprocessing import preprocess_of
from zsprompt.encoders.hugging_face.towers import HuggingFaceTowers, features
from zsprompt.errors import LabelError, ModelError, UsageError
from zsprompt.testing import check_encoder

TEXTS = ["Dog", "a photo of a cat", "nothing", "an aeroplane, a sofa and a TV-monitor", "一只狗", "two dogs", "a dog"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a test opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny.save(kind, base / kind) for kind in tiny.MODELS}


@pytest.fixture
def copy(folders: dict[str, Path], tmp_path: Path) -> Any:
    def copied(kind: str, **changes: dict[str, Any]) -> Path:
        """A model's folder with other entries in some of its JSON files."""
        folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(folders[kind], folder)
        for file, entries in changes.items():
            path = folder / f"{file}.json"
            path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | entries), "utf-8")
        return folder

    return copied


def load(folder: Path, **options: Any) -> HuggingFaceEncoder:
    encoder = load_encoder(f"hf:{folder}", device="cpu", **options)
    assert isinstance(encoder, HuggingFaceEncoder)
    return encoder


def images() -> list[Image.Image]:
    """Some wide, some high, with odd differences of the sides."""
    random = np.random.default_rng(1)
    sizes = [(60 + 11 * n, 97 - 7 * n) for n in range(6)] + [(20, 51), (35, 33)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def unit(vectors: Any) -> np.ndarray:
    rows = vectors.detach().float().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def own_vectors(folder: Path, texts: list[str], pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    """What transformers itself computes, the way its documentation says: SigLIP padded, the others masked."""
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if model.config.model_type == "siglip":
        length = model.config.text_config.max_position_embeddings
        plain = [text.lower().replace(",", "").replace("-", "") for text in texts]
        ids = tokenizer(plain, padding="max_length", max_length=length, return_tensors="pt")["input_ids"]
        inputs = {"input_ids": ids}
    else:
        inputs = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")(images=pictures, return_tensors="pt")
    with torch.inference_mode():
        return (
            unit(features(model.get_text_features(**inputs))),
            unit(features(model.get_image_features(pixel_values=pixels["pixel_values"]))),
        )


@pytest.mark.parametrize("kind", tiny.MODELS)
def test_the_contract_of_encoders(kind: str, folders: dict[str, Path]) -> None:
    check_encoder(load(folders[kind]))


@pytest.mark.parametrize("kind", tiny.MODELS)
def test_embeddings_equal_those_of_transformers(kind: str, folders: dict[str, Path]) -> None:
    encoder = load(folders[kind])
    of_texts, of_images = own_vectors(folders[kind], TEXTS, images())
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), of_texts, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_images(images()), of_images, atol=1e-5)
    assert np.ptp(of_texts, axis=0).max() > 0.1  # the texts differ, so that a wrong one would be seen
    assert np.ptp(of_images, axis=0).max() > 0.01


def test_every_family_is_tested() -> None:
    assert set(tiny.MODELS) == set(FAMILIES)


def test_the_context_is_the_shortest_of_three(folders: dict[str, Path], copy: Any) -> None:
    lengths = {kind: load(folder).context_length for kind, folder in folders.items()}
    assert lengths == {"clip": 40, "metaclip_2": 40, "chinese_clip": 52, "altclip": 77, "siglip": 40, "align": 64}
    assert load(copy("clip", tokenizer_config={"model_max_length": 20})).context_length == 20


@pytest.mark.parametrize("kind", ["clip", "chinese_clip", "siglip"])
def test_a_text_fits_up_to_the_last_token(kind: str, folders: dict[str, Path]) -> None:
    encoder = load(folders[kind])
    text = "dog"
    while len(encoder.tokenizer([f"{text} dog"])[0]) <= encoder.context_length:
        text = f"{text} dog"
    assert encoder.fits([text, f"{text} dog"]).tolist() == [True, False]
    assert np.isfinite(encoder.encode_texts([text])).all()
    with pytest.raises(LabelError, match=f"expected texts of at most {encoder.context_length} tokens, found"):
        encoder.encode_texts(["dog", f"{text} dog"])


def test_siglip_reads_lower_case_without_punctuation(folders: dict[str, Path]) -> None:
    encoder = load(folders["siglip"])
    assert encoder.clean("A photo, of_a  DOG!") == "a photo of a dog"
    vectors = encoder.encode_texts(["A photo, of_a  DOG!", "a photo of a dog"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert load(folders["chinese_clip"]).clean("A DOG!") == "A DOG!"


def test_siglips_own_tokeniser(copy: Any) -> None:
    pytest.importorskip("google.protobuf")
    folder = copy("siglip")
    (folder / "tokenizer.json").unlink()
    tiny.sentence_pieces(folder)
    encoder = load(folder)
    check_encoder(encoder)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), own_vectors(folder, TEXTS, images())[0], atol=1e-5)


def test_many_texts_of_all_lengths_come_back_in_their_order(folders: dict[str, Path]) -> None:
    encoder = load(folders["chinese_clip"])
    texts = [" ".join(["dog", "cat", "sofa"][n % 3] for _ in range(1 + n * 7 % 40)) + f" {n}" for n in range(100)]
    together = encoder.encode_texts(texts)
    np.testing.assert_allclose(together, np.concatenate([encoder.encode_texts([text]) for text in texts]), atol=1e-5)


def test_scales_and_biases(folders: dict[str, Path]) -> None:
    scales = {kind: load(folder) for kind, folder in folders.items()}
    assert scales["clip"].logit_scale == pytest.approx(np.exp(2.6592))
    assert scales["align"].logit_scale == pytest.approx(20)
    assert scales["siglip"].logit_scale == pytest.approx(np.exp(2))
    assert {kind: encoder.logit_bias for kind, encoder in scales.items() if encoder.logit_bias} == {"siglip": -10}


def test_spatial_tokens_take_the_way_of_the_class_token(folders: dict[str, Path]) -> None:
    encoder = load(folders["clip"])
    assert encoder.token_shape == (1 + 16, 24)
    plain = encoder.encode_images(images())
    vectors, tokens = encoder.encode_tokens(images())
    np.testing.assert_allclose(vectors, plain, atol=1e-5)
    assert np.ptp(tokens[:, 1:].astype(float), axis=1).max() > 0.1
    assert {kind for kind, folder in folders.items() if hasattr(load(folder), "token_shape")} == {
        *("clip", "metaclip_2", "chinese_clip", "altclip")
    }


class Version4:
    """A model as transformers 4 has it: its features are tensors."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device = model.device

    def get_text_features(self, **inputs: Any) -> Any:
        return self._model.get_text_features(**inputs).pooler_output

    def get_image_features(self, **inputs: Any) -> Any:
        return self._model.get_image_features(**inputs).pooler_output


def test_features_may_be_tensors_as_in_transformers_4(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, encoder = load(folders["clip"]), load(folders["clip"])
    towers: HuggingFaceTowers = encoder.towers
    monkeypatch.setattr(towers, "_model", Version4(towers._model))
    np.testing.assert_array_equal(encoder.encode_texts(TEXTS), expected.encode_texts(TEXTS))
    np.testing.assert_array_equal(encoder.encode_images(images()), expected.encode_images(images()))


def test_the_fingerprint_is_that_of_what_changes_an_embedding(folders: dict[str, Path], copy: Any) -> None:
    first = load(folders["clip"]).fingerprint
    assert load(copy("clip")).fingerprint == first
    same = copy("clip", config={"transformers_version": "4.40.0", "architectures": None, "_name_or_path": "elsewhere"})
    assert load(same).fingerprint == first
    others = [
        copy("clip", config={"logit_scale_init_value": 3}),
        copy("clip", preprocessor_config={"resample": 2}),
        copy("clip", tokenizer_config={"model_max_length": 20}),
    ]
    weights = copy("clip")
    shutil.copy(tiny.save("clip", weights / "again") / "model.safetensors", weights)
    prints = [load(folder).fingerprint for folder in others]
    assert len({first, *prints, load(folders["siglip"]).fingerprint}) == 5
    assert load(weights).fingerprint == first  # the same weights, written again
    assert load(folders["clip"], precision="int8").fingerprint != first


def test_a_second_process_gives_the_same_vectors(folders: dict[str, Path]) -> None:
    require_the_same(load(folders["siglip"]), f"hf:{folders['siglip']}")


@pytest.mark.parametrize("kind", ["clip", "siglip", "align"])
def test_int8_is_close(kind: str, folders: dict[str, Path]) -> None:
    exact, rounded = load(folders[kind]), load(folders[kind], precision="int8")
    assert (exact.encode_texts(TEXTS) * rounded.encode_texts(TEXTS)).sum(1).min() > 0.99
    assert not np.array_equal(exact.encode_texts(TEXTS), rounded.encode_texts(TEXTS))
    assert (exact.encode_images(images()) * rounded.encode_images(images())).sum(1).min() > 0.99


# --- Files


def test_weights_in_parts_and_in_the_older_format(folders: dict[str, Path], copy: Any) -> None:
    import torch
    from transformers import CLIPModel

    expected = load(folders["clip"]).encode_texts(TEXTS)
    model = CLIPModel.from_pretrained(folders["clip"])
    parts, older = copy("clip"), copy("clip")
    for folder in (parts, older):
        (folder / "model.safetensors").unlink()
    model.save_pretrained(parts, max_shard_size="50KB")
    torch.save(model.state_dict(), older / "pytorch_model.bin")
    assert len(find_checkpoint(f"hf:{parts}").weights) > 1
    for folder in (parts, older):
        np.testing.assert_array_equal(load(folder).encode_texts(TEXTS), expected)


def test_the_dtype_of_a_configuration_changes_nothing(copy: Any, folders: dict[str, Path]) -> None:
    """transformers 5 would load the weights in it; the fingerprint leaves it out."""
    folder = copy("clip")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}), "utf-8")
    encoder, before = load(folder), load(folders["clip"])
    assert encoder.fingerprint == before.fingerprint
    assert encoder.logit_scale == before.logit_scale
    np.testing.assert_array_equal(encoder.encode_texts(["a dog"]), before.encode_texts(["a dog"]))


def test_half_precision_files_are_widened(copy: Any) -> None:
    from transformers import CLIPModel

    folder = copy("clip")
    CLIPModel.from_pretrained(folder).half().save_pretrained(folder)
    check_encoder(load(folder))


class Marker:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_in_a_folder_is_executed(copy: Any, tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "executed"
    pickled = copy("clip")
    (pickled / "model.safetensors").unlink()
    torch.save({"logit_scale": Marker(marker)}, pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot read the weights in"):
        load(pickled).encode_texts(["a dog"])
    kinds = {"AutoConfig": "own.Own", "AutoModel": "own.Own", "AutoTokenizer": ["own.Own", None]}
    coded = copy("clip", config={"auto_map": kinds}, tokenizer_config={"auto_map": kinds})
    (coded / "own.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Own: pass\n")
    assert load(coded).encode_texts(["a dog"]).shape == (1, 24)
    assert not marker.exists()


def test_random_weights_are_refused(copy: Any) -> None:
    from safetensors.torch import load_file, save_file

    missing = copy("clip")
    (missing / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"expected weights in .* \(model\.safetensors or .*\), found none"):
        load(missing)
    partial = copy("clip")
    weights = load_file(partial / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, partial / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"found no text_projection\.weight; they would be random"):
        load(partial).encode_texts(["a dog"])


def test_damaged_files_are_refused_in_one_line(copy: Any) -> None:
    def message(file: str, content: str) -> str:
        folder = copy("clip")
        (folder / file).write_text(content, "utf-8")
        with pytest.raises(ModelError) as caught:
            load(folder).encode_texts(["a dog"])
        return str(caught.value).replace(str(folder), "FOLDER")

    messages = [
        message("config.json", "{"),
        message("config.json", "[]"),
        message("preprocessor_config.json", "{"),
        message("preprocessor_config.json", '{"image_processor_type": "CLIPImageProcessor", "image_mean": [0.1, 0.2]}'),
        message("tokenizer.json", "{"),
        message("model.safetensors", "no weights"),
    ]
    assert all("\n" not in one and "FOLDER" in one for one in messages)
    assert messages[0].startswith("cannot read FOLDER/config.json (")
    assert messages[1] == "expected an object in FOLDER/config.json, found a list"
    what = ["the image processor", "the image processor", "the tokeniser", "the weights"]
    assert [one.partition(" in FOLDER (")[0] for one in messages[2:]] == [f"cannot read {part}" for part in what]


# --- Images


def processed(folder: Path, picture: Image.Image) -> np.ndarray:
    return np.asarray(read_image_processor(folder)(images=picture, return_tensors="np")["pixel_values"][0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("clip", {}),
        ("clip", {"size": {"shortest_edge": 41}}),
        ("clip", {"size": 32, "crop_size": 32}),  # as files of older versions have them
        ("clip", {"resample": 2, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}),
        ("clip", {"image_mean": 0.4, "image_std": 0.3}),
        ("clip", {"size": {"height": 32, "width": 32}, "do_center_crop": False}),
        ("siglip", {}),
        ("align", {}),
        ("align", {"do_normalize": True, "include_top": True, "rescale_offset": False, "rescale_factor": 1 / 255}),
    ],
)
def test_preprocessing_equals_the_image_processor(kind: str, settings: dict[str, Any], copy: Any) -> None:
    import torch

    folder = copy(kind, preprocessor_config=settings)
    preprocess = preprocess_of(read_image_processor(folder), folder)
    for picture in images():
        pixels = preprocess.pixels(torch.from_numpy(np.array(preprocess.prepare(picture)))[None])
        np.testing.assert_allclose(pixels[0].numpy(), processed(folder, picture), atol=1e-4)


def test_a_larger_square_shows_the_same_part(copy: Any) -> None:
    folder = copy("align")
    preprocess = preprocess_of(read_image_processor(folder), folder)
    picture = Image.linear_gradient("L").resize((300, 200)).convert("RGB")
    small, large = (np.asarray(preprocess.prepare(picture, side), dtype=float) for side in (32, 128))
    assert large.shape == (128, 128, 3)
    np.testing.assert_allclose(large.reshape(32, 4, 32, 4, 3).mean((1, 3)), small, atol=6)


@pytest.mark.parametrize(
    ("kind", "settings", "found"),
    [
        ("clip", {"do_resize": False}, "do_resize or do_rescale switched off"),
        ("clip", {"do_center_crop": False}, "a crop to nothing after 32 pixels"),
        ("clip", {"crop_size": {"height": 48, "width": 48}}, "a crop to .* after 32 pixels"),
        ("clip", {"crop_size": {"height": 32, "width": 30}}, "crop_size .*30"),
        ("clip", {"resample": 1}, "resample 1 instead of 2 .bilinear. or 3 .bicubic."),
        ("clip", {"do_pad": True, "pad_size": {"height": 40, "width": 40}}, "do_pad"),
        ("siglip", {"size": {"height": 32, "width": 40}}, "size .*40"),
        ("siglip", {"size": {"longest_edge": 32}}, "size .*longest_edge"),
    ],
)
def test_other_image_processing_is_refused(kind: str, settings: dict[str, Any], found: str, copy: Any) -> None:
    folder = copy(kind, preprocessor_config=settings)
    with pytest.raises(ModelError, match=f"expected an image processor in .*; found {found}"):
        load(folder)


def test_an_image_processor_of_another_size_is_refused(copy: Any) -> None:
    larger = {"size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}}
    with pytest.raises(ModelError, match=r"expected images of 32 pixels .* found an image processor for 40"):
        load(copy("clip", preprocessor_config=larger))


# --- Names


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model_type": "bert"}, "model_type 'bert'"),
        ({"model_type": "vit"}, "model_type 'vit'"),
        ({"model_type": "blip"}, "model_type 'blip'"),
        ({"model_type": "siglip2"}, "SigLIP 2 NaFlex, whose images have many sizes"),
        ({"model_type": None}, "no model_type; if open_clip wrote it, use hf-hub: or local-dir:"),
    ],
)
def test_other_models_are_refused_on_the_command_line(
    config: dict[str, Any], found: str, copy: Any, cli: Cli, tmp_path: Path
) -> None:
    folder = copy("clip", config=config)
    Image.new("RGB", (40, 30)).save(tmp_path / "image.png")
    result = cli("predict", tmp_path / "image.png", "--labels", "dog, cat", "--model", f"hf:{folder}")
    assert result.returncode == 1
    assert result.stdout == ""
    start = f"error: expected hf:{folder} to be a dual encoder that transformers calls {', '.join(FAMILIES)}; found "
    assert result.stderr.replace("\n", " ").startswith(start + found)
    assert "Traceback" not in result.stderr


def test_predict_on_the_command_line(folders: dict[str, Path], cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "image.png")
    model = f"hf:{folders['clip']}"
    result = cli(
        "predict", tmp_path / "image.png", "--labels", "dog, cat", "--model", model, "--device", "cpu", "--json"
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)


def test_a_folder_or_a_repository(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(folders["clip"].parent)
    fingerprint = load(folders["clip"]).fingerprint
    for name in ("hf:clip", "hf:./clip"):
        assert load_encoder(name, device="cpu").fingerprint == fingerprint
        check_model(name, device="cpu")
    for name in ("hf:", "hf:none", "hf:/", "hf:owner/"):
        with pytest.raises((UsageError, ModelError)):
            check_model(name)
    with pytest.raises(ModelError, match="expected a folder that save_pretrained wrote at none/at/all, found none"):
        load_encoder("hf:none/at/all")
    with pytest.raises(UsageError, match=r"expected hf:OWNER/NAME .* found 'hf:none'"):
        load_encoder("hf:none")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a folder into a cache of Hugging Face's hub as owner/name."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    return lambda folder: hub_cache.put(cache, "owner/name", folder)


def test_a_repository_in_the_cache_needs_no_network(folders: dict[str, Path], hub: Any) -> None:
    hub(folders["siglip"])
    encoder = load_encoder("hf:owner/name", device="cpu")
    assert (encoder.name, encoder.fingerprint) == ("hf:owner/name", load(folders["siglip"]).fingerprint)
    check_model("hf:owner/name", device="cpu")
    check_encoder(encoder)


def test_what_cannot_be_downloaded_is_named(folders: dict[str, Path], hub: Any) -> None:
    with pytest.raises(ModelError, match=r"cannot download config\.json for model hf:owner/name .*--model hf:FOLDER"):
        load_encoder("hf:owner/name")
    version = hub(folders["clip"])
    (version / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot download model\.safetensors for model hf:owner/name"):
        load_encoder("hf:owner/name")


def test_a_foreign_kind_is_refused_before_its_weights_are_downloaded(copy: Any, hub: Any) -> None:
    folder = copy("clip", config={"model_type": "bert"})
    (folder / "model.safetensors").unlink()
    hub(folder)
    with pytest.raises(ModelError, match="expected hf:owner/name to be a dual encoder"):
        load_encoder("hf:owner/name")


def test_without_the_extra_its_name_is_given(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.hub.find_spec", lambda name: None)
    for call in (check_model, load_encoder):
        with pytest.raises(ModelError, match=r"expected the package transformers .* 'zsprompt\[open-clip\]'"):
            call(f"hf:{folders['clip']}")


def test_a_precision_that_a_device_lacks_is_refused(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsprompt.encoders.hugging_face.encoder.pick_device", lambda device: "cuda")
    with pytest.raises(ModelError, match="expected a CPU for precision int8, found device cuda"):
        check_model(f"hf:{folders['clip']}", device="cuda", precision="int8")


def test_the_family_is_listed() -> None:
    assert "hf:OWNER/NAME" in available_models()


# --- Names that mean other models


def test_every_alias_is_a_model_with_weights() -> None:
    import open_clip

    known = {f"open_clip:{name}/{tag}" for name, tag in open_clip.list_pretrained()}
    assert set(aliases().values()) <= known | set(OPENAI_MODELS)
    assert len(set(aliases().values())) > 120


def test_repositories_that_open_clip_downloads_from_are_its_models() -> None:
    import open_clip

    for name, tag in open_clip.list_pretrained():
        repository = "/".join((open_clip.get_pretrained_cfg(name, tag).get("hf_hub") or "").split("/")[:2])
        if repository and not repository.startswith("timm/"):
            same = alias(repository)
            assert same is not None
            assert same.removeprefix("open_clip:").replace("-quickgelu", "") == f"{name}/{tag}".replace(
                "-quickgelu", ""
            )


def test_an_alias_leads_to_the_other_model(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    assert alias("OpenAI/clip-vit-base-patch32") == "ViT-B/32"
    assert alias("google/siglip2-base-patch16-224") == "open_clip:ViT-B-16-SigLIP2/webli"
    assert alias("google/siglip2-so400m-patch14-384") is None
    names = []
    monkeypatch.setattr(
        "zsprompt.encoders.hugging_face.encoder.load_encoder", lambda name, **options: names.append((name, options))
    )
    with caplog.at_level("INFO", "zsprompt"):
        load_encoder("hf:openai/clip-vit-base-patch16", device="cpu", precision="int8")
    assert names == [("ViT-B/16", {"device": "cpu", "precision": "int8"})]
    assert caplog.messages == ["hf:openai/clip-vit-base-patch16 is ViT-B/16"]
    check_model("hf:openai/clip-vit-base-patch32", device="cpu")


def test_images_of_the_final_size_are_left_as_they_are(folders: dict[str, Path]) -> None:
    preprocess = load(folders["align"]).preprocess
    square = Image.new("RGB", (preprocess.size, preprocess.size), (1, 2, 3))
    assert preprocess.prepare(square) is square
    assert replace(preprocess, size=16, resized=20).prepare(square).size == (16, 16)
