"""Annotated images: outlines stand where the windows are, and everything can be read on any image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from zsprompt.encoders.windows import Grid
from zsprompt.report import fonts
from zsprompt.report.annotation import COLOURS, LARGEST, SMALLEST, Mark, annotated
from zsprompt.report.fonts import can_draw, font_for

GROUNDS = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "orange": (230, 159, 0)}
BAND = (29, 30, 32)


def ink(colour: str) -> tuple[int, ...]:
    return ImageColor.getrgb(colour)


def ground(size: tuple[int, int] = (1000, 800), name: str = "grey") -> Image.Image:
    return Image.new("RGB", size, GROUNDS[name])


def columns_of(picture: Image.Image, colour: str, row: int) -> list[int]:
    """Positions in a row of pixels that have a colour."""
    return [int(x) for x in np.flatnonzero((np.asarray(picture)[row] == ink(colour)).all(axis=1))]


def rows_of(picture: Image.Image, colour: str, column: int) -> list[int]:
    return [int(y) for y in np.flatnonzero((np.asarray(picture)[:, column] == ink(colour)).all(axis=1))]


@pytest.mark.parametrize("name", ["black", "white", "grey"])
def test_an_outline_stands_on_the_edges_of_its_window(name: str) -> None:
    """Three pixels of colour between dark ones, within the window."""
    picture = annotated(ground(name=name), [Mark("dog", "0.9", (0.25, 0.1, 0.75, 0.6))])
    assert picture.size == (1000, 800)
    assert columns_of(picture, COLOURS[0], 300) == [251, 252, 253, 746, 747, 748]
    assert rows_of(picture, COLOURS[0], 500) == [81, 82, 83, 476, 477, 478]
    pixels = np.asarray(picture)
    assert not pixels[300, [250, 254, 745, 749]].any()
    assert (pixels[300, 260:740] == GROUNDS[name]).all()
    assert (pixels[300, 755:] == GROUNDS[name]).all()


@pytest.mark.parametrize(
    ("size", "drawn"), [((4000, 2000), (1024, 512)), ((300, 2048), (150, 1024)), ((8, 8), (512, 512))]
)
def test_boxes_keep_their_place_when_the_image_is_resized(size: tuple[int, int], drawn: tuple[int, int]) -> None:
    picture = np.asarray(annotated(ground(size), [Mark("x", "1", (0.0, 0.5, 1.0, 1.0))]))
    middle = drawn[1] // 2
    left = (picture.shape[1] - drawn[0]) // 2
    rows = np.flatnonzero((picture[: drawn[1], left + drawn[0] - 10] == ink(COLOURS[0])).all(axis=1))
    assert rows[0] in (middle + 1, middle + 2)
    assert drawn[1] - 5 < rows[-1] < drawn[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 3000), st.integers(8, 3000), st.integers(0, 40), st.booleans())
def test_any_image_with_any_marks_is_drawn(width: int, height: int, count: int, with_boxes: bool) -> None:
    boxes = [tuple(map(float, box)) for box in Grid.of(width, height).boxes()]
    marks = [Mark(f"label {n}", f"{n}.5", boxes[n % len(boxes)] if with_boxes else None) for n in range(count)]
    image = ground((width, height))
    before = image.tobytes()
    picture = annotated(image, marks)  # type: ignore[arg-type]
    assert image.tobytes() == before
    assert max(picture.size) >= SMALLEST
    assert picture.width <= LARGEST


def test_without_windows_the_labels_stand_below_and_cover_nothing() -> None:
    picture = annotated(ground(), [Mark("dog", "0.9"), Mark("cat", "0.8")])
    assert picture.width == 1000
    assert 20 < picture.height - 800 < 60
    pixels = np.asarray(picture)
    assert (pixels[:800] == GROUNDS["grey"]).all()
    assert tuple(pixels[-1, -1]) == BAND
    assert (pixels[800:] > 200).any()


def test_an_image_without_a_label_says_so() -> None:
    none, blank = annotated(ground(), []), annotated(ground(), [Mark("", "")])
    assert none.size == blank.size
    assert none.tobytes() != blank.tobytes()


def test_labels_of_one_window_share_an_outline_and_windows_on_one_edge_are_all_seen() -> None:
    box, wide = (0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.8, 0.5)
    picture = annotated(ground(), [Mark("dog", "1", box), Mark("cat", "1", box), Mark("owl", "1", wide)])
    assert picture.size == (1000, 800)
    assert columns_of(picture, COLOURS[0], 300) == [1, 2, 3, 496, 497, 498]
    assert columns_of(picture, COLOURS[1], 300) == [6, 7, 8, 796, 797, 798]
    assert not columns_of(picture, COLOURS[2], 300)


def tags(picture: Image.Image, colour: str) -> tuple[int, int, int, int]:
    """The rectangle of the tag of an outline: where many neighbours have its colour."""
    has = (np.asarray(picture).astype(int) == ink(colour)).all(axis=2)
    solid = has[4:-4, 4:-4] & has[:-8, 4:-4] & has[8:, 4:-4] & has[4:-4, :-8] & has[4:-4, 8:]
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    return columns[0], rows[0], columns[-1], rows[-1]


def test_tags_of_overlapping_windows_do_not_cover_each_other() -> None:
    boxes = [(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.6, 0.5), (0.0, 0.0, 0.5, 0.6), (0.02, 0.01, 0.5, 0.5)]
    picture = annotated(ground(), [Mark(f"label {n}", "0.5", box) for n, box in enumerate(boxes)])
    assert picture.height == 800
    found = [tags(picture, colour) for colour in COLOURS[: len(boxes)]]
    assert all(right - left > 40 and bottom - top > 10 for left, top, right, bottom in found)
    for first in range(len(found)):
        for second in range(first):
            one, other = found[first], found[second]
            assert one[0] > other[2] or other[0] > one[2] or one[1] > other[3] or other[1] > one[3]


def test_outlines_beyond_the_colours_and_long_tags_go_to_the_band() -> None:
    boxes = [tuple(map(float, box)) for box in Grid(16, 12).boxes()]
    few = [Mark(f"label {n}", "1", boxes[n]) for n in range(len(COLOURS))]  # type: ignore[arg-type]
    assert annotated(ground(), few).height == 800
    more = [*few, Mark("one more", "1", boxes[len(COLOURS)])]  # type: ignore[arg-type]
    assert annotated(ground(), more).height > 800
    crowd = [Mark(f"label {n}", "1", boxes[0]) for n in range(5)]  # type: ignore[arg-type]
    picture = annotated(ground(), crowd)
    assert picture.height > 800
    assert columns_of(picture.crop((0, 800, 1000, picture.height)), COLOURS[0], 20)  # a square of its colour


@pytest.mark.parametrize("with_boxes", [False, True])
def test_fifty_labels_are_all_written(with_boxes: bool) -> None:
    """Each adds ink: without one of them the picture is another."""
    boxes = Grid(16, 12).boxes()
    marks = [
        Mark(f"label {n}", "1", tuple(map(float, boxes[n % len(boxes)])) if with_boxes else None)  # type: ignore[arg-type]
        for n in range(50)
    ]
    whole = annotated(ground(), marks)
    assert whole.width == 1000
    assert 850 < whole.height < 1300
    changed = [annotated(ground(), [*marks[:n], Mark("other", "1", marks[n].box), *marks[n + 1 :]]) for n in range(50)]
    assert all(one.tobytes() != whole.tobytes() for one in changed)


def test_long_names_are_cut_and_their_scores_stay() -> None:
    long = "a label that somebody wrote as a whole sentence: " * 4
    for box in (None, (0.0, 0.0, 0.3, 0.3)):
        picture = annotated(ground(), [Mark(long, "0.123", box)])
        assert picture.width == 1000
        assert picture.tobytes() != annotated(ground(), [Mark(long, "0.321", box)]).tobytes()
        assert picture.tobytes() == annotated(ground(), [Mark(long + "tail", "0.123", box)]).tobytes()


# colours


def luminance(colour: str) -> float:
    shares = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in ink(colour))]
    return 0.2126 * shares[0] + 0.7152 * shares[1] + 0.0722 * shares[2]


def test_black_text_can_be_read_on_every_colour() -> None:
    assert all((luminance(colour) + 0.05) / 0.05 >= 4.5 for colour in COLOURS)  # WCAG 2, level AA


_DICHROMATS: dict[str, Sequence[Sequence[float]]] = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
"""On linear RGB. Source: Machado, Oliveira and Fernandes 2009, severity 1."""


@pytest.mark.parametrize("vision", _DICHROMATS)
def test_colours_are_told_apart_with_any_colour_vision(vision: str) -> None:
    """Distance in CIELAB of at least 12: two to three is a difference that is just seen."""
    rgb = np.array([ink(colour) for colour in COLOURS]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(_DICHROMATS[vision]).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = seen @ to_xyz.T / (to_xyz.sum(axis=1))
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    distances = np.linalg.norm(lab[:, None] - lab, axis=2)[np.triu_indices(len(lab), 1)]
    assert distances.min() >= 12, (vision, distances.min())


# fonts


@pytest.mark.parametrize("text", ["dog", "hundé őß", "Собака", "σκύλος", "a – b … ½ ×"])
def test_letters_of_europe_can_always_be_drawn(text: str) -> None:
    assert can_draw(text)
    assert font_for(text, 18).getmask(text).getbbox()


def test_what_no_font_has_cannot_be_drawn() -> None:
    assert not can_draw("\U0010fffd")  # the last private character


def test_a_font_of_the_system_is_used_where_ours_lacks_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = fonts._first()
    monkeypatch.setattr(fonts, "_system_files", lambda: ("broken.ttf", ours))
    monkeypatch.setattr(fonts, "_first", lambda: "broken.ttf")
    for cached in (fonts._file_for, fonts._characters):
        cached.cache_clear()
    try:
        assert fonts._file_for("dog") == ours
    finally:
        for cached in (fonts._file_for, fonts._characters):
            cached.cache_clear()


def test_scripts_from_right_to_left_need_raqm(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import features

    def lacks(part: str) -> bool:
        return False

    monkeypatch.setattr(features, "check", lacks)
    fonts._file_for.cache_clear()
    try:
        assert not can_draw("كلب")
        assert can_draw("dog")
    finally:
        fonts._file_for.cache_clear()
