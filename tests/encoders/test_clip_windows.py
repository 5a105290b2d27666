"""Windows of CLIP's towers in one pass: against the `clip` package's own modules, on random weights."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from zsprompt.encoders.clip.openai_clip import OpenAIClip
from zsprompt.encoders.clip.tiny import load_tiny
from zsprompt.encoders.clip.transformer import ImageTower, resized_positions
from zsprompt.encoders.windows import Grid
from zsprompt.errors import ModelError
from zsprompt.store.checked_encoder import CheckedEncoder
from zsprompt.store.image_parts import Crops, DenseWindows, parts_for
from zsprompt.testing import check_encoder

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from clip.model import CLIP

TEXT = dict(context_length=77, vocab_size=49408, transformer_width=64, transformer_heads=1, transformer_layers=1)
TRANSFORMER = dict(embed_dim=48, image_resolution=96, vision_layers=3, vision_width=64, vision_patch_size=16)
RESIDUAL = dict(embed_dim=48, image_resolution=96, vision_layers=(1, 1, 1, 1), vision_width=16, vision_patch_size=None)
SIZES = [(96, 96), (120, 90), (90, 120), (200, 40), (30, 30)]


def model_of(architecture: dict) -> CLIP:
    torch.manual_seed(0)
    return CLIP(**architecture, **TEXT).eval()


@pytest.fixture(scope="module", params=[TRANSFORMER, RESIDUAL], ids=["transformer", "residual"])
def encoder(request: pytest.FixtureRequest) -> OpenAIClip:
    state = model_of(request.param).state_dict()
    return OpenAIClip.from_state(state, name="random", sha256="0" * 64, device="cpu")


def noise() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [Image.fromarray(random.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES]


def windows_of(encoder: OpenAIClip, images: list[Image.Image]) -> list[np.ndarray]:
    grids = [encoder.grid(*image.size) for image in images]
    return encoder.encode_windows([encoder.prepare_windows(i, g) for i, g in zip(images, grids, strict=True)], grids)


def test_the_contract_holds(encoder: OpenAIClip) -> None:
    check_encoder(encoder, tolerance=1e-4)
    check_encoder(load_tiny(), tolerance=1e-4)


@pytest.mark.parametrize(
    ("tokens", "size", "expected"),
    [
        (50, 224, Grid(16, 12, 7, 3)),  # ViT-B/32 and RN50
        (197, 224, Grid(32, 24, 14, 6)),  # ViT-B/16
        (257, 224, Grid(37, 28, 16, 7)),  # ViT-L/14
        (577, 336, Grid(54, 40, 24, 10)),  # ViT-L/14@336px
    ],
)
def test_windows_are_as_large_as_what_the_tower_takes(tokens: int, size: int, expected: Grid) -> None:
    from zsprompt.encoders.dual_encoder import Sizes

    sizes = Sizes(512, size, tokens, 77)
    encoder = OpenAIClip(lambda _: pytest.fail("no weights"), sizes=sizes, name="x", sha256="", is_residual=False)
    grid = encoder.grid(400, 300)
    assert grid == expected
    patch = size // expected.window
    image, larger = noise()[1].resize((400, 300)), (patch * grid.columns, patch * grid.rows)
    prepared = encoder.prepare_windows(image, grid)
    assert prepared.tobytes() == image.resize(larger, Image.Resampling.BICUBIC).tobytes()
    assert encoder.prepare_windows(prepared, grid) is prepared
    assert len(grid) == 12


def test_equal_grids_share_a_pass_and_batches_change_nothing(
    encoder: OpenAIClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [*noise(), *noise()[::-1]]
    monkeypatch.setattr(encoder, "_images_per_part", 5)
    together = windows_of(encoder, images)
    for image, rows in zip(images, together, strict=True):
        np.testing.assert_allclose(windows_of(encoder, [image])[0], rows, atol=2e-3)
    assert windows_of(encoder, []) == []


# -- transformers ------------------------------------------------------------------------------------------------------


def test_position_embeddings_of_the_towers_own_grid_are_unchanged_and_others_are_resized() -> None:
    positions = torch.randn(1 + 36, 8)
    assert resized_positions(positions, 6, 6) is positions
    larger = resized_positions(positions, 12, 9)
    assert larger.shape == (1 + 12 * 9, 8)
    assert torch.equal(larger[0], positions[0])
    ramp = torch.arange(6.0).repeat_interleave(6)[:, None]  # rises from row to row
    rows = resized_positions(torch.cat([torch.zeros(1, 1), ramp]), 12, 6)[1:].view(12, 6)
    assert torch.allclose(rows, rows[:, :1].expand(12, 6), atol=1e-5)
    assert (rows[1:, 0] > rows[:-1, 0])[1:-1].all()


def cubic(distance: np.ndarray) -> np.ndarray:
    """The kernel of cubic convolution with a = −0.75 (Keys 1981)."""
    d, a = np.abs(distance), -0.75
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def stretched(length: int, side: int = 6) -> np.ndarray:
    """[length, side] what each old place weighs in each new one. Places are pixels: their centres are at a half."""
    weights = np.zeros((length, side))
    for new in range(length):
        centre = (new + 0.5) * side / length - 0.5
        for old in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            weights[new, min(max(old, 0), side - 1)] += cubic(np.float64(centre - old))
    return weights


@pytest.mark.parametrize(("rows", "columns"), [(12, 9), (6, 16), (7, 6), (5, 3), (1, 13)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_positions_are_resized_by_cubic_convolution(rows: int, columns: int, dtype: torch.dtype) -> None:
    positions = torch.randn(1 + 36, 4).to(dtype)
    square = positions[1:].double().numpy().reshape(6, 6, 4)
    expected = np.einsum("ra,cb,abw->rcw", stretched(rows), stretched(columns), square).reshape(-1, 4)
    found = resized_positions(positions, rows, columns)
    assert found.dtype == dtype
    np.testing.assert_allclose(found[1:].double(), expected, atol=1e-5 if dtype == torch.float32 else 4e-3)


def test_with_its_last_attention_it_is_clips_own_tower_on_a_larger_image() -> None:
    """The pass with resized position embeddings, through the ordinary last block, against a model of that size."""
    small, large = model_of(TRANSFORMER).visual, model_of(TRANSFORMER | dict(image_resolution=144)).visual
    with torch.no_grad():
        state = small.state_dict()
        state["positional_embedding"] = resized_positions(small.positional_embedding, 9, 9)
        large.load_state_dict(state)
        pixels = torch.randn(2, 3, 144, 144)
        expected = large(pixels)
        assert torch.allclose(ImageTower(small)(pixels), expected, atol=1e-5)


def test_patches_are_values_of_the_last_block(encoder: OpenAIClip) -> None:
    visual = model_of(TRANSFORMER).visual
    pixels = torch.randn(2, 3, 112, 160)
    with torch.no_grad():
        x = visual.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.expand(2, 1, -1), x], dim=1)
        x = visual.ln_pre(x + resized_positions(visual.positional_embedding, 7, 10)).transpose(0, 1)
        for block in visual.transformer.resblocks[:-1]:
            x = block(x)
        last = visual.transformer.resblocks[-1]
        weight, bias = last.attn.in_proj_weight, last.attn.in_proj_bias
        values = last.ln_1(x) @ weight[-64:].T + bias[-64:]
        expected = (visual.ln_post(last.attn.out_proj(values)) @ visual.proj).transpose(0, 1)[:, 1:]
        found = ImageTower(model_of(TRANSFORMER).visual).places(pixels)
    assert found.shape == (2, 7, 10, 48)
    assert torch.allclose(found.flatten(1, 2), expected, atol=1e-5)


def test_a_transformers_windows_are_means_of_patches() -> None:
    encoder = OpenAIClip.from_state(model_of(TRANSFORMER).state_dict(), name="r", sha256="", device="cpu")
    (image, grid) = noise()[1], encoder.grid(*SIZES[1])
    prepared = encoder.prepare_windows(image, grid)
    (rows,) = encoder.encode_windows([prepared], [grid])
    pixels = encoder.preprocess.pixels(torch.from_numpy(np.array(prepared)[None]))
    with torch.no_grad():
        places = encoder.towers._dense.places(pixels)[0].numpy()
    for row, (left, top, right, bottom) in zip(rows, grid.windows(), strict=True):
        mean = places[top:bottom, left:right].reshape(-1, 48).mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-3)


# -- residual networks -------------------------------------------------------------------------------------------------


def test_the_one_window_of_an_image_of_the_towers_size_is_its_embedding() -> None:
    encoder = OpenAIClip.from_state(model_of(RESIDUAL).state_dict(), name="r", sha256="", device="cpu")
    image, grid = noise()[0], Grid(3, 3, 3, 1)
    (rows,) = encoder.encode_windows([image], [grid])
    assert rows.shape == (1, 48)
    np.testing.assert_allclose(rows[0], encoder.encode_images([image])[0], atol=1e-3)


def test_a_residual_networks_windows_are_pooled_as_images_are() -> None:
    visual = model_of(RESIDUAL).visual
    encoder = OpenAIClip.from_state(model_of(RESIDUAL).state_dict(), name="r", sha256="", device="cpu")
    image, grid = noise()[1], encoder.grid(*SIZES[1])
    prepared = encoder.prepare_windows(image, grid)
    (rows,) = encoder.encode_windows([prepared], [grid])
    pool, visual.attnpool = visual.attnpool, torch.nn.Identity()
    with torch.no_grad():
        features = visual(encoder.preprocess.pixels(torch.from_numpy(np.array(prepared)[None])))
        for row, (left, top, right, bottom) in zip(rows, grid.windows(), strict=True):
            expected = pool(features[:, :, top:bottom, left:right])[0].numpy()
            np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-3)


# -- which windows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("architecture", "expected"), [(TRANSFORMER, Crops), (RESIDUAL, DenseWindows)])
def test_transformers_get_crops_unless_dense_windows_are_asked_for(architecture: dict, expected: type) -> None:
    encoder = OpenAIClip.from_state(model_of(architecture).state_dict(), name="r", sha256="", device="cpu")
    checked = CheckedEncoder(encoder)
    for reads, kind in (("windows", expected), ("windows:dense", DenseWindows), ("windows:crops", Crops)):
        (part,) = parts_for(checked, {reads}, 4)
        assert isinstance(part, kind)
    assert load_tiny().prefers_dense


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
@pytest.mark.parametrize("architecture", [TRANSFORMER, RESIDUAL], ids=["transformer", "residual"])
def test_windows_follow_the_precision(architecture: dict, precision: str) -> None:
    def of(precision: str) -> OpenAIClip:
        state = model_of(architecture).state_dict()
        return OpenAIClip.from_state(state, name="r", sha256="", device="cpu", precision=precision)

    try:
        rounded, exact = of(precision), of("auto")
    except ModelError:
        pytest.skip("needs a processor with bfloat16 instructions")
    pairs = zip(windows_of(rounded, noise()), windows_of(exact, noise()), strict=True)
    difference = max(float(np.abs(a.astype(np.float32) - b).max()) for a, b in pairs)
    assert difference < 0.02
    rounds = precision == "bfloat16" or architecture is TRANSFORMER  # int8 leaves convolutions as they are
    assert (difference > 0) == rounds
