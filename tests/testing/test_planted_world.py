"""The planted world: its answers are known, and strategies find them."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest
from command_line import environment
from PIL import Image

import zsprompt
from zsprompt.errors import LabelError, UsageError
from zsprompt.testing import LABELS, PlantedEncoder, draw, planted_world


@pytest.mark.parametrize("strategy", [zsprompt.TopAll(), zsprompt.PerLabel(), zsprompt.ListAll()], ids=repr)
def test_strategies_find_the_answer(strategy: zsprompt.Strategy) -> None:
    dataset, encoder = planted_world(count=40)
    with zsprompt.EmbeddingStore(encoder, cache=None) as store:
        result = zsprompt.run(strategy, dataset, store, resamples=10)
    assert result.mAP == 1.0


def test_the_text_that_names_an_image_has_cosine_1() -> None:
    encoder = PlantedEncoder()
    images = encoder.encode_images([draw(("cat", "dog")), draw(())])
    texts = encoder.encode_texts(["a photo of a dog and a cat", "nothing", "cat", "cat and car"])
    np.testing.assert_allclose((images @ texts.T).diagonal(), 1, atol=1e-6)
    assert (images @ texts.T)[0, 1:].max() < 0.95


def test_every_label_is_present_and_absent_somewhere() -> None:
    targets = planted_world(count=9).dataset.targets
    assert targets.shape == (9, len(LABELS))
    assert targets.any(axis=0).all()
    assert not targets.all(axis=0).any()


def test_the_seed_draws_the_sets() -> None:
    first, same, other = (planted_world(seed=seed).dataset.targets for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_sets_and_labels_of_your_own() -> None:
    dataset, encoder = planted_world([("owl", "red kite"), ()], labels=("owl", "red kite", "kite"))
    np.testing.assert_array_equal(dataset.targets, [[1, 1, 0], [0, 0, 0]])
    assert dataset.captions == ("a photo of owl and red kite", "a photo of nothing")
    pixels = [Image.open(BytesIO(image.read())) for image in dataset.images]
    vectors = encoder.encode_images(pixels)
    np.testing.assert_allclose(vectors, encoder.encode_texts(["owl, red kite", "nothing"]), atol=1e-6)


def test_images_of_equal_labels_differ() -> None:
    images = planted_world([("cat",), ("cat",)]).dataset.images
    assert images[0].read() != images[1].read()
    assert images[0].identity() != images[1].identity()


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="found 'owl'"):
        planted_world([("owl",)])
    with pytest.raises(UsageError, match="at least 1"):
        planted_world(count=0)


def test_a_text_too_long_is_refused() -> None:
    encoder = planted_world(context_length=2).encoder
    assert encoder.fits(["two words", "now three words"]).tolist() == [True, False]
    with pytest.raises(LabelError, match="at most 2 words"):
        encoder.encode_texts(["now three words"])


def test_the_encoder_counts_its_calls() -> None:
    encoder = PlantedEncoder()
    encoder.encode_texts(["a", "b"])
    encoder.encode_images([draw(())])
    assert (encoder.texts_seen, encoder.text_batches, encoder.image_batches) == (["a", "b"], [["a", "b"]], [1])


def test_the_encoder_has_a_name_on_the_command_line() -> None:
    assert zsprompt.load_encoder("zsprompt.testing:PlantedEncoder").name == "planted"


def test_importing_loads_no_pytest_and_no_torch() -> None:
    import subprocess

    code = "import sys, zsprompt.testing; assert not {'pytest', 'torch', 'pandas', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=environment())
