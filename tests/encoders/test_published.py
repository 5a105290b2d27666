"""The published image and texts: what a right model, a wrong one and one of another width give."""

from __future__ import annotations

import numpy as np
import pytest
from published import Published

import zsprompt as zs
from zsprompt.encoders.published import PUBLISHED_PROBABILITIES, compare_published, is_published


def test_the_published_vectors_give_the_published_probabilities() -> None:
    encoder = Published()
    found = compare_published(encoder)
    np.testing.assert_allclose(found.probabilities, PUBLISHED_PROBABILITIES, atol=1e-6)
    assert found.same
    assert found.finds_diagram
    assert found.image_cosine == pytest.approx(1, abs=1e-6)
    assert [(image.mode, image.size) for image in encoder.seen] == [("RGB", (2162, 762))]


@pytest.mark.parametrize(
    ("noise", "same"), [(0.01, (True, True)), (0.1, (False, True)), (-0.1, (True, False)), (1.0, (False, True))]
)
def test_the_tower_that_differs_is_known(noise: float, same: tuple[bool, bool]) -> None:
    found = compare_published(Published(image_noise=max(noise, 0), text_noise=max(-noise, 0)))
    assert (found.same_image, found.same_texts) == same
    assert found.same == all(same)


def test_rounding_to_int8_explains_more() -> None:
    rounded = Published(image_noise=0.05, text_noise=0.05)
    assert not compare_published(rounded).same
    assert not compare_published(rounded, "bfloat16").same
    assert compare_published(rounded, "int8").same


def test_vectors_of_another_width_are_not_compared() -> None:
    found = compare_published(Published(dim=256))
    assert found.image_cosine is None
    assert found.text_cosines is None
    assert not found.same
    assert found.finds_diagram


def test_a_model_without_a_logit_scale_has_no_probabilities() -> None:
    encoder = Published()
    encoder.logit_scale = None
    found = compare_published(encoder)
    assert found.probabilities is None
    assert found.same


def test_names_of_the_published_model() -> None:
    assert is_published("ViT-B/32")
    assert is_published("hf:openai/clip-vit-base-patch32")
    assert not is_published("ViT-B/16")
    assert not is_published("open_clip:ViT-B-32/laion2b_s34b_b79k")


def test_models_without_a_download_find_the_diagram() -> None:
    assert compare_published(zs.load_encoder("tiny")).finds_diagram
