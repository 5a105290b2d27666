"""Drawn scenes: identical everywhere, with the intended frequencies and true captions."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from io import BytesIO

import numpy as np
import pytest
from command_line import environment
from PIL import Image

from zsprompt._utils.text import words_of
from zsprompt.data import load_dataset
from zsprompt.data.datasets.scenes import DrawnImage
from zsprompt.data.scenes import backdrops, captions
from zsprompt.data.scenes.chance import Chance
from zsprompt.data.scenes.colours import SHADES
from zsprompt.data.scenes.world import KINDS, Scene, Thing, compose, paint
from zsprompt.errors import UnknownName, UsageError

MANY = [compose(f"some {i}") for i in range(1500)]


# -- chance ------------------------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_choices_in_every_python() -> None:
    """Python guarantees these numbers of Random.random; if they change, the images change."""
    chance = Chance("scene test 0")
    assert [chance.below(1000) for _ in range(5)] == [414, 839, 528, 549, 336]


def test_weights_and_shares_are_kept() -> None:
    chance = Chance("weights")
    counts = Counter(chance.weighed({"a": 3, "b": 1}) for _ in range(4000))
    assert 0.72 < counts["a"] / 4000 < 0.78
    assert 0.22 < sum(chance.happens(0.25) for _ in range(4000)) / 4000 < 0.28
    assert sorted(chance.shuffled("abcdef")) == list("abcdef")


# -- images ----------------------------------------------------------------------------------------------------


def test_the_same_image_in_another_process() -> None:
    code = "import sys, hashlib; from zsprompt.data.datasets.scenes import DrawnImage\n"
    code += "print(hashlib.sha256(DrawnImage('test 4').read()).hexdigest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert other.stdout.strip() == hashlib.sha256(DrawnImage("test 4").read()).hexdigest()


def test_an_image_reads_as_one() -> None:
    image = Image.open(BytesIO(DrawnImage("test 7").read()))
    assert (image.size, image.mode) == ((160, 160), "RGB")
    assert DrawnImage("test 7").id == "test-000007"
    assert DrawnImage("test 7").identity() != DrawnImage("test 8").identity()


@pytest.mark.parametrize("kind", KINDS)
def test_every_variant_of_every_kind_draws_something_within_the_image(kind: str) -> None:
    about = KINDS[kind]
    plain = np.asarray(paint(Scene("x", "studio", "day", ())), dtype=int)
    for variant in about.variants:
        for mirrored in (False, True):
            thing = Thing(kind, variant, about.colours[0], about.colours[0], 0.5, 0.5, 0.3, 10.0, mirrored)
            seen = np.abs(np.asarray(paint(Scene("x", "studio", "day", (thing,))), dtype=int) - plain).max(axis=2) > 8
            assert 0.02 < seen.mean() < 0.4
            edge = np.concatenate([seen[:16].ravel(), seen[-16:].ravel(), seen[:, :16].ravel(), seen[:, -16:].ravel()])
            assert edge.mean() < 0.01


@pytest.mark.parametrize("place", backdrops.PLACES)
def test_every_backdrop_is_painted_to_the_edges(place: str) -> None:
    for light in backdrops.LIGHTS:
        pixels = np.asarray(paint(Scene("x", place, light, ())))
        assert (pixels.max(axis=2) > 0).all()  # nothing left black


# -- content -------------------------------------------------------------------------------------------------------


def test_how_many_things_and_how_often() -> None:
    numbers = Counter(len(scene.things) for scene in MANY)
    assert set(numbers) == {0, 1, 2, 3, 4}
    assert 0.05 < numbers[0] / len(MANY) < 0.12
    counts = Counter(kind for scene in MANY for kind in scene.kinds)
    assert set(counts) == set(KINDS)
    assert len(KINDS) >= 16
    assert counts["person"] > 3 * counts["umbrella"]
    assert 0.11 < sum(counts.values()) / len(MANY) / len(KINDS) < 0.13


def test_some_pairs_go_together() -> None:
    def share(kind: str, given: str) -> float:
        with_it = [scene.kinds for scene in MANY if given in scene.kinds]
        return sum(kind in kinds for kinds in with_it) / len(with_it)

    assert share("person", "umbrella") > 1.5 * share("person", "cup")
    assert share("house", "tree") > 1.5 * share("house", "boat")


def test_things_lie_in_the_image_and_do_not_hide_each_other() -> None:
    for scene in MANY[:400]:
        for thing in scene.things:
            assert thing.size / 2 < thing.x < 1 - thing.size / 2
            assert 0.2 < thing.y < 1
        centres = np.array([(thing.x, thing.y) for thing in scene.things])
        if len(centres) > 1:
            gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)[np.triu_indices(len(centres), 1)]
            assert gaps.min() > 0.08


# -- the data set ------------------------------------------------------------------------------------------------


def test_the_data_set() -> None:
    data = load_dataset("scenes")
    assert (len(data.images), len(data.labels), data.split, data.model) == (1000, len(KINDS), "test", "tiny")
    assert data.images[3].id == "test-000003"
    assert [image.id for image in data.images[2:4]] == ["test-000002", "test-000003"]
    present = {data.labels[c] for c in np.flatnonzero(data.targets[5])}
    assert present == set(compose("test 5").kinds)
    assert data.captions is not None
    assert data.select([5, 7]).captions == (data.captions[5], data.captions[7])


def test_any_number_of_training_images() -> None:
    assert len(load_dataset("scenes", split="train:123").images) == 123
    few, more = load_dataset("scenes", split="test:10"), load_dataset("scenes", split="test:20")
    assert list(few.images) == list(more.images[:10])
    assert load_dataset("scenes", split="train:10").images[0] != few.images[0]


@pytest.mark.parametrize("split", ["train:0", "train:x", "train:-3", "test:99999999999", "test:1.5", "test:²"])
def test_a_number_of_images_that_is_none(split: str) -> None:
    with pytest.raises(UsageError, match="expected a number of images from 1 to 10,000,000"):
        load_dataset("scenes", split=split)


def test_wrong_split_and_a_root() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'train'"):
        load_dataset("scenes", split="trian")
    with pytest.raises(UsageError, match="omit --root"):
        load_dataset("scenes", root="somewhere")


# -- captions ----------------------------------------------------------------------------------------------------


def test_the_vocabulary_is_large_and_covers_every_caption() -> None:
    vocabulary = captions.vocabulary()
    assert len(vocabulary) >= 1500
    chance = Chance("captions")
    words = {word for scene in MANY[:500] for _ in range(4) for word in words_of([captions.caption(scene, chance)])}
    assert words <= vocabulary
    assert len(words) > 1000
    for shades in SHADES.values():
        assert set(shades) <= vocabulary


def test_captions_are_fixed_by_their_seed_and_vary() -> None:
    scene = MANY[3]
    assert captions.caption(scene, Chance("a")) == captions.caption(scene, Chance("a"))
    assert len({captions.caption(scene, Chance(f"{i}")) for i in range(50)}) > 40


def test_captions_name_only_what_is_there_and_often_not_all() -> None:
    chance = Chance("truth")
    partial = 0
    pairs = [scene for scene in MANY if len(scene.kinds) == 2]
    for scene in pairs:
        words = set(words_of([captions.caption(scene, chance)]))
        by_name = {kind for kind in KINDS if kind in words}
        assert by_name <= set(scene.kinds), (scene.kinds, words)
        partial += len(by_name) < 2
    assert partial > len(pairs) / 3


def test_a_caption_of_nothing_names_no_kind() -> None:
    chance = Chance("nothing")
    for scene in MANY:
        if not scene.things:
            text = captions.caption(scene, chance).split(",")[0]
            assert not set(words_of([text])) & set(KINDS)
