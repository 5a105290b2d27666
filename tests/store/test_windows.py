"""Windows and class logits in the store: what is read, computed, kept, and refused."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes import ColourEncoder, ColourWindows
from hypothesis import given
from hypothesis import strategies as st
from messages import heard_by
from PIL import Image

from zsprompt._utils.arrays import Halves
from zsprompt.data.images import ImageFile
from zsprompt.encoders.windows import Grid
from zsprompt.errors import CacheError, ModelError
from zsprompt.store import EmbeddingStore
from zsprompt.store.checked_encoder import CheckedEncoder
from zsprompt.store.image_parts import parts_for
from zsprompt.store.store import EmbeddedImages
from zsprompt.testing import check_encoder

SIZES = [(64, 48), (48, 64), (64, 64), (96, 20), (7, 3), (1, 1)]


@pytest.fixture
def refs(tmp_path: Path) -> list[ImageFile]:
    """Noise, one image per size."""
    random = np.random.default_rng(0)
    made = []
    for i, (width, height) in enumerate(SIZES):
        path = tmp_path / f"{i}.png"
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        made.append(ImageFile(path.name, path))
    return made


def windows_of(found: EmbeddedImages) -> list[tuple[Grid, Halves]]:
    assert found.windows is not None
    return found.windows.read(range(len(found.kept)))


# -- grids -------------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.integers(1, 9))
def test_windows_have_one_size_lie_inside_and_reach_every_edge(
    columns: int, rows: int, window: int, stride: int
) -> None:
    grid = Grid(columns, rows, window, stride)
    windows = grid.windows()
    assert len(windows) == len(grid)
    assert len(np.unique(windows, axis=0)) == len(grid)
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2] - windows[:, 0] == min(window, columns)).all()
    assert (windows[:, 3] - windows[:, 1] == min(window, rows)).all()
    assert (windows[:, 2].max(), windows[:, 3].max()) == (columns, rows)
    assert np.allclose(grid.boxes() * np.array([columns, rows] * 2), windows)
    if stride <= window:  # then every place is in a window
        covered = np.zeros((rows, columns), dtype=bool)
        for left, top, right, bottom in windows:
            covered[top:bottom, left:right] = True
        assert covered.all()


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_the_long_side_has_16_places(width: int, height: int) -> None:
    grid = Grid.of(width, height)
    assert max(grid.columns, grid.rows) == 16
    assert min(grid.columns, grid.rows) == max(1, round(16 * min(width, height) / max(width, height)))


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", [True, False])
def test_crops_are_the_windows_embedded_as_images(refs: list[ImageFile], cache: bool, tmp_path: Path) -> None:
    encoder = ColourEncoder()
    with EmbeddingStore(encoder, cache=tmp_path / "cache" if cache else None, batch_size=5) as store:
        found = store.read(refs, ["windows"])
        for ref, (grid, rows), size in zip(refs, windows_of(found), SIZES, strict=True):
            assert grid == Grid.of(*size)
            image = Image.open(ref.path)
            for box, row in zip(grid.boxes(), rows, strict=True):
                left, top, right, bottom = np.rint(box * np.array([*size, *size])).astype(int)
                crop = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
                assert np.allclose(row, encoder.encode_images([crop])[0], atol=1e-3)
    assert max(encoder.encoded[: -sum(len(Grid.of(*size)) for size in SIZES)]) <= 5


def test_an_encoder_with_windows_embeds_them_in_one_pass_unless_crops_are_wanted(refs: list[ImageFile]) -> None:
    encoder = ColourWindows()
    with EmbeddingStore(encoder, cache=None) as store:
        automatic = windows_of(store.read(refs, ["windows"]))
        assert encoder.passes == [len(refs)]
        dense = windows_of(store.read(refs, ["windows:dense"]))
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(automatic, dense, strict=True))
        calls = len(encoder.encoded)
        store.read(refs, ["windows:crops"])
        assert len(encoder.encoded) > calls
        assert encoder.passes == [len(refs)]  # those were in the temporary cache


def test_classes_and_the_windows_of_the_same_pass(refs: list[ImageFile], tmp_path: Path) -> None:
    encoder = ColourWindows()
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
        found = store.read(refs, ["windows", "classes"])
        assert encoder.passes == [len(refs)]
        assert found.classes is not None
        for (grid, rows), (same, logits) in zip(windows_of(found), found.classes.read(range(len(refs))), strict=True):
            assert grid == same
            assert logits.shape == (2 + len(grid), 3)
            assert np.array_equal(encoder.vectors_of(logits[2:]), rows)


def test_classes_are_read_automatically_where_the_encoder_knows_them(refs: list[ImageFile]) -> None:
    encoder = ColourWindows()
    with EmbeddingStore(encoder, cache=None) as store:
        found = store.read(refs, ["windows", "classes:auto"])
        assert encoder.passes == [len(refs)]
        wanted = store.read(refs, ["classes"]).classes
        assert found.classes is not None
        assert wanted is not None
        for (_, logits), (_, same) in zip(found.classes.read(range(6)), wanted.read(range(6)), strict=True):
            assert np.array_equal(logits, same)
    with EmbeddingStore(ColourEncoder(), cache=None) as store:
        found = store.read(refs, ["windows", "classes:auto"])
        assert len(windows_of(found)) == len(refs)
        assert found.classes is None


def test_only_what_lacks_is_computed(refs: list[ImageFile], tmp_path: Path) -> None:
    encoder = ColourWindows()
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
        store.images(refs[:2])
        assert (sum(encoder.encoded), encoder.passes) == (2, [])
        store.read(refs[:4], ["windows"])
        assert (sum(encoder.encoded), sum(encoder.passes)) == (4, 4)
        store.read(refs, ["windows", "classes"])  # windows again, where there are no classes yet: one pass gives both
        assert (sum(encoder.encoded), sum(encoder.passes)) == (6, 10)
        store.read(refs, ["windows"])
        store.read(refs, ["classes"])
        store.images(refs)
        assert (sum(encoder.encoded), sum(encoder.passes)) == (6, 10)
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:  # a later process
        assert len(windows_of(store.read(refs, ["windows"]))) == len(refs)
        assert (sum(encoder.encoded), sum(encoder.passes)) == (6, 10)


def test_another_key_of_windows_is_computed_anew_and_crops_are_kept_apart(
    refs: list[ImageFile], tmp_path: Path
) -> None:
    encoder, other = ColourWindows(), ColourWindows()
    other.windows_key = "another"
    whole, crops, passes = len(refs), sum(len(Grid.of(*size)) for size in SIZES), 2 * len(refs)  # windows, then classes
    for one, encoded, passed in ((encoder, whole + crops, passes), (other, 0, passes), (encoder, 0, 0), (other, 0, 0)):
        one.passes, one.encoded = [], []
        with EmbeddingStore(one, cache=tmp_path / "cache") as store:
            for reads in ("windows", "classes", "windows:dense", "windows:crops"):
                store.read(refs, [reads])
        assert (sum(one.encoded), sum(one.passes)) == (encoded, passed)


@pytest.mark.parametrize("reads", ["windows:crops", "windows:dense", "classes"])
def test_an_image_of_four_by_three_takes_what_is_announced(reads: str, refs: list[ImageFile]) -> None:
    with EmbeddingStore(ColourWindows(), cache=None) as store:
        (part,) = parts_for(CheckedEncoder(store.encoder), [reads], 5)
        found = store.read(refs[:1], [reads])  # 64 by 48
        rows = found.windows or found.classes
        assert rows is not None
        assert part.bytes_per_image == rows.read([0])[0][1].nbytes


class Fine(ColourWindows):
    """Windows of more than 255 places."""

    windows_key = "fine"

    def grid(self, width: int, height: int) -> Grid:
        return Grid.of(width, height, places=400, window=300, stride=290)


def test_grids_of_many_places_are_kept(refs: list[ImageFile], tmp_path: Path) -> None:
    with EmbeddingStore(Fine(), cache=tmp_path / "cache") as store:
        assert [grid for grid, _ in windows_of(store.read(refs, ["windows"]))] == [Fine().grid(*size) for size in SIZES]


def test_their_size_is_announced(refs: list[ImageFile], tmp_path: Path) -> None:
    with EmbeddingStore(ColourWindows(), cache=tmp_path / "cache") as store:
        said: list[str] = []
        with heard_by(said.append):
            store.read(refs, ["windows", "classes"])
    assert any("windows and classes of 6 images: " in line for line in said)


@pytest.mark.parametrize("block", [1, 2, 256])
def test_rows_are_read_in_any_order(
    block: int, refs: list[ImageFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsprompt.store.image_parts._READ_BLOCK", block)
    with EmbeddingStore(ColourWindows(), cache=tmp_path / "cache") as store:
        found = store.read(refs, ["windows"])
        assert found.windows is not None
        every = windows_of(found)
        for rows in ([3, 0, 3], [], [5], [5, 4, 3, 2, 1]):
            for i, (grid, vectors) in zip(rows, found.windows.read(rows), strict=True):
                assert grid == every[i][0]
                assert np.array_equal(vectors, every[i][1])


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reads", "message"), [("windows:dense", "windows=crops"), ("classes", "--model conse")])
def test_what_an_encoder_cannot_give_is_refused_before_any_image_is_read(reads: str, message: str) -> None:
    missing = [ImageFile("a", Path("no-such-file.png"))]
    with EmbeddingStore(ColourEncoder(), cache=None) as store:
        with pytest.raises(ModelError, match=message) as told:
            store.read(missing, [reads])
        assert "\n" not in str(told.value)
        assert store.read(missing, ["classes:auto"]).classes is None


class Wrong(ColourWindows):
    """An encoder that gives other rows than it should."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def prepare_windows(self, image: Image.Image, grid: Grid) -> Image.Image:
        if self.fault == "cannot prepare":
            raise ValueError("no")
        return super().prepare_windows(image, grid)

    def encode_windows(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        return self._spoilt(super().encode_windows(images, grids))

    def encode_classes(self, images: Sequence[Image.Image], grids: Sequence[Grid]) -> list[Halves]:
        return self._spoilt(super().encode_classes(images, grids))

    def _spoilt(self, rows: list[Halves]) -> list[Halves]:
        if self.fault == "nan":
            rows[0][0, 0] = np.nan
        if self.fault == "short":
            rows[0] = rows[0][:-1]
        if self.fault == "narrow":
            rows[0] = rows[0][:, :-1]
        if self.fault == "raises":
            raise ValueError("no")
        return rows[:-1] if self.fault == "few" else rows


@pytest.mark.parametrize("reads", [["windows"], ["classes"], ["windows", "classes"]], ids="+".join)
@pytest.mark.parametrize("fault", ["nan", "short", "narrow", "few", "raises", "cannot prepare"])
def test_rows_that_are_wrong_are_an_error_of_the_model_and_are_not_kept(
    fault: str, reads: list[str], refs: list[ImageFile], tmp_path: Path
) -> None:
    with EmbeddingStore(Wrong(fault), cache=tmp_path / "cache") as store, pytest.raises(ModelError) as told:
        store.read(refs, reads)
    assert "\n" not in str(told.value)
    encoder = ColourWindows()
    with EmbeddingStore(encoder, cache=tmp_path / "cache") as store:
        store.read(refs, reads)
    assert sum(encoder.passes) == len(refs)


ONE_WINDOW = struct.pack("<4H", 7, 7, 7, 3)
DAMAGED = {
    "empty": b"",
    "no header": ONE_WINDOW[:7],
    "no rows": ONE_WINDOW,
    "zeros": b"\0" * 14,
    "half a row": ONE_WINDOW + b"\0" * 5,
    "a row too many": ONE_WINDOW + b"\0" * 12,
    "gone": None,
}


@pytest.mark.parametrize("value", DAMAGED.values(), ids=DAMAGED)
def test_an_entry_that_is_damaged_or_gone_is_one_line(
    value: bytes | None, refs: list[ImageFile], tmp_path: Path
) -> None:
    with EmbeddingStore(ColourWindows(), cache=tmp_path / "cache") as store:
        found = store.read(refs, ["windows"])
        assert found.windows is not None
        cache, key = found.windows.cache, found.windows.keys[1]  # type: ignore[attr-defined]
        if value is None:
            del cache._disk[key]
        else:
            cache.put_many({key: value})
        found.windows.read([0])
        with pytest.raises(CacheError, match="zsprompt cache verify") as told:
            found.windows.read([0, 1])
        assert "\n" not in str(told.value)


def test_a_closed_store_is_named(refs: list[ImageFile], tmp_path: Path) -> None:
    with EmbeddingStore(ColourWindows(), cache=tmp_path / "cache") as store:
        found = store.read(refs, ["windows"])
    assert found.windows is not None
    with pytest.raises(CacheError, match="expected an open store"):
        found.windows.read([0])


def test_an_image_that_cannot_be_read_has_no_windows(refs: list[ImageFile], tmp_path: Path) -> None:
    refs[2].path.write_bytes(b"no image")
    with EmbeddingStore(ColourWindows(), cache=tmp_path / "cache") as store:
        found = store.read(refs, ["windows", "classes"])
        assert [i for i, _ in found.bad] == [2]
        assert len(windows_of(found)) == len(refs) - 1


@pytest.mark.parametrize("encoder", [ColourEncoder, ColourWindows])
def test_the_encoders_of_these_tests_are_encoders(encoder: type[ColourEncoder]) -> None:
    check_encoder(encoder())
