"""Images: any bytes give an upright RGB image or one clear error."""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zsprompt.data.images import SUFFIXES, ImageFile, decode, find_images
from zsprompt.errors import DataError, ImageError

ORIENTATION = 0x0112
EXIF = b"Exif\0\0II*\0\x08\0\0\0"  # up to the number of entries
RED, GREEN, BLUE, YELLOW = (230, 20, 20), (20, 200, 20), (20, 20, 230), (230, 210, 20)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)
needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX file names and pipes")


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Red top left, green top right, blue bottom left, yellow bottom right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def noise(width: int = 32, height: int = 24) -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8))


def row(image: Image.Image) -> list[tuple[int, ...]]:
    """The pixels of the first row."""
    return [image.getpixel((x, 0)) for x in range(image.width)]


def tiff(pixels: bytes, width: int, *, bits: int, white_is_zero: bool = False, big: bool = False) -> bytes:
    """A grey TIFF of one row, uncompressed."""
    order = ">" if big else "<"
    tags = [
        (256, width),
        (257, 1),
        (258, bits),
        (259, 1),
        (262, 0 if white_is_zero else 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, len(pixels)),
    ]
    head = (b"MM" if big else b"II") + struct.pack(f"{order}HI", 42, 8 + len(pixels)) + pixels
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")


# Colours of the corners after rotating `corners()` by the tag: top left, top right, bottom left.
SHOWN = {
    1: (RED, GREEN, BLUE),
    2: (GREEN, RED, YELLOW),
    3: (YELLOW, BLUE, GREEN),
    4: (BLUE, YELLOW, RED),
    5: (RED, BLUE, GREEN),
    6: (BLUE, RED, YELLOW),
    7: (YELLOW, GREEN, BLUE),
    8: (GREEN, YELLOW, RED),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SHOWN)
def test_exif_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image = decode(saved(corners(), kind, exif=exif))
    width, height = image.size
    assert image.size == ((48, 32) if orientation <= 4 else (32, 48))
    found = [image.getpixel(at) for at in ((4, 4), (width - 5, 4), (4, height - 5))]
    np.testing.assert_allclose(found, SHOWN[orientation], atol=12)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientation_out_of_range_leaves_the_image_as_it_is(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    np.testing.assert_allclose(decode(saved(corners(), "JPEG", exif=exif)).getpixel((4, 4)), RED, atol=12)


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0no TIFF header here", id="no header"),
        pytest.param(EXIF + b"\xff\xff", id="cut directory"),
        pytest.param(
            b"Exif\0\0II*\0\x08\0\0\0\x01\0\x0f\x01\x02\0\xff\0\0\0\xff\0\0\0\0\0\0\0", id="text beyond the end"
        ),
    ],
)
def test_damaged_exif_leaves_the_image_as_it_is(exif: bytes) -> None:
    np.testing.assert_allclose(decode(saved(corners(), "JPEG", exif=exif)).getpixel((4, 4)), RED, atol=12)


def test_transparency_becomes_white() -> None:
    palette = Image.new("P", (3, 1))
    palette.putpalette([*RED, *GREEN, *BLUE])
    palette.putdata([0, 1, 2])
    assert row(decode(saved(palette))) == [RED, GREEN, BLUE]
    assert row(decode(saved(palette, transparency=1))) == [RED, WHITE, BLUE]
    assert row(decode(saved(palette, transparency=bytes([0, 255, 255])))) == [WHITE, GREEN, BLUE]
    assert row(decode(saved(palette, "GIF", transparency=2)))[:2] == [RED, GREEN]
    assert row(decode(saved(palette, "GIF", transparency=2)))[2] == WHITE


@pytest.mark.parametrize(
    ("mode", "pixels", "options", "expected"),
    [
        ("RGBA", [(*RED, 255), (*RED, 0), (0, 0, 0, 128)], {}, [RED, WHITE, (127, 127, 127)]),
        ("LA", [(40, 255), (40, 0), (0, 128)], {}, [(40, 40, 40), WHITE, (127, 127, 127)]),
        ("RGB", [RED, GREEN, BLUE], {"transparency": GREEN}, [RED, WHITE, BLUE]),
        ("L", [10, 20, 30], {"transparency": 20}, [(10, 10, 10), WHITE, (30, 30, 30)]),
        ("1", [0, 255, 0], {}, [BLACK, WHITE, BLACK]),
        ("1", [0, 255, 0], {"transparency": 0}, [WHITE, WHITE, WHITE]),
    ],
)
def test_modes_of_png(mode: str, pixels: list, options: dict, expected: list) -> None:
    image = Image.new(mode, (3, 1))
    image.putdata(pixels)
    assert row(decode(saved(image, **options))) == expected


def test_cmyk_jpeg() -> None:
    image = decode(saved(corners().convert("CMYK"), "JPEG", quality=95))
    assert image.mode == "RGB"
    np.testing.assert_allclose(
        [image.getpixel(at) for at in ((4, 4), (43, 4), (4, 27), (43, 27))], [RED, GREEN, BLUE, YELLOW], atol=12
    )


GREYS = np.array([[0, 257, 300, 32768, 65278, 65535]], dtype=np.uint16)
SCALED = [0, 1, 1, 127, 254, 255]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved(Image.fromarray(GREYS)), id="PNG"),
        pytest.param(saved(Image.fromarray(GREYS), "TIFF"), id="TIFF"),
        pytest.param(tiff(GREYS.astype(">u2").tobytes(), 6, bits=16, big=True), id="big-endian TIFF"),
        pytest.param(b"P5 6 1 65535\n" + GREYS.astype(">u2").tobytes(), id="PGM"),
    ],
)
def test_16_bit_grey_is_scaled(data: bytes) -> None:
    assert row(decode(data)) == [(v, v, v) for v in SCALED]


def test_16_bit_grey_where_zero_is_white() -> None:
    assert row(decode(tiff(GREYS.tobytes(), 6, bits=16, white_is_zero=True)))[0] == WHITE
    assert row(decode(tiff(GREYS.tobytes(), 6, bits=16, white_is_zero=True)))[-1] == BLACK


def test_12_bit_grey_is_scaled() -> None:
    """Pillow reads 12 bits into a 16-bit image without scaling them."""
    assert row(decode(tiff(bytes([0xFF, 0xF0, 0x00]), 2, bits=12))) == [WHITE, BLACK]


@pytest.mark.parametrize(("dtype", "kind"), [(np.int32, "32-bit integer"), (np.float32, "floating-point")])
def test_images_without_a_range_are_refused(dtype: type, kind: str) -> None:
    with pytest.raises(ImageError, match=f"{kind} image without a defined range"):
        decode(saved(Image.fromarray(np.zeros((4, 4), dtype=dtype)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **lossless)
    assert decode(data).getpixel((8, 8)) == RED


def test_progressive_jpeg_equals_baseline() -> None:
    assert decode(saved(noise(), "JPEG", progressive=True)).tobytes() == decode(saved(noise(), "JPEG")).tobytes()


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("WEBP", {}), ("TIFF", {}), ("BMP", {})],
)
def test_a_cut_file_is_never_half_an_image(kind: str, options: dict) -> None:
    """Every prefix is refused, or holds all pixels (PNG without its end mark)."""
    data = saved(noise(), kind, **options)
    whole = decode(data).tobytes()
    refused = 0
    for length in range(0, len(data), 7):
        try:
            assert decode(data[:length]).tobytes() == whole
        except ImageError:
            refused += 1
    assert refused >= len(data) / 7 * 0.95


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "not an image in a known format", id="nothing"),
        pytest.param(bytes(2000), "a file of zeros only: download it again", id="zero bytes"),
        pytest.param(b"just some words\n" * 40, "not an image in a known format", id="text"),
        pytest.param(b"<!doctype html><html><body>404</body></html>", "an HTML page, perhaps", id="HTML"),
        pytest.param(saved(corners(), "JPEG")[:400], "damaged image", id="cut JPEG"),
        pytest.param(saved(noise())[:1000], "damaged image", id="cut PNG"),
        pytest.param(saved(corners(), "EPS"), "PostScript", id="EPS"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason) as caught:
        decode(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [(30_000, 30_000), (2**31 - 1, 2**31 - 1)])
def test_decompression_bomb(size: tuple[int, int]) -> None:
    data = png_claiming(*size)
    tracemalloc.start()
    with pytest.raises(ImageError, match="more than 178 million pixels"):
        decode(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) < 200
    assert peak < 5_000_000


def test_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to twice the limit, an image is accepted without a warning (which would be an error here)."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert decode(saved(Image.new("RGB", (40, 40)))).size == (40, 40)
    with pytest.raises(ImageError, match="million pixels"):
        decode(saved(Image.new("RGB", (50, 50))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(saved(Image.new("RGB", (50, 50)))).size == (50, 50)


def test_threads_leave_the_warning_filters_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    before = list(warnings.filters)
    data = saved(Image.new("RGB", (40, 40)), "TIFF")
    answers: list[object] = []

    def work() -> None:
        for _ in range(20):
            try:
                answers.append(decode(data).size)
            except Warning as warning:
                answers.append(warning)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(40, 40)] * 160
    assert warnings.filters == before


VALID = [
    saved(noise(), "JPEG"),
    saved(
        noise(), "JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0"
    ),
    saved(noise().convert("CMYK"), "JPEG"),
    saved(noise()),
    saved(noise().quantize(16), transparency=bytes(range(16))),
    saved(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8))),
    saved(noise(), "GIF"),
    saved(noise(), "WEBP"),
    saved(noise().convert("RGBA"), "WEBP", lossless=True),
    saved(noise(), "TIFF"),
    saved(noise(), "TIFF", compression="tiff_lzw"),
    saved(noise(), "BMP"),
    saved(noise().quantize(16), "BMP"),
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid file with some bytes overwritten, most of them near the start, and perhaps a piece cut out."""
    data = bytearray(draw(st.sampled_from(VALID)))
    positions = st.one_of(st.integers(0, 63), st.integers(0, 511), st.integers(0, len(data) - 1))
    for position, value in draw(st.lists(st.tuples(positions, st.integers(0, 255)), max_size=12)):
        data[position % len(data)] = value
    start, length = draw(st.tuples(st.integers(0, len(data)), st.sampled_from([0, 0, 0, 1, 20, len(data)])))
    del data[start : start + length]
    return bytes(data)


def outcome(data: bytes) -> Image.Image | ImageError:
    try:
        return decode(data)
    except ImageError as error:
        return error


@given(st.one_of(damaged(), st.binary(max_size=400)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_an_rgb_image_or_one_line(data: bytes) -> None:
    found = outcome(data)
    assert len(str(found).splitlines()) == 1 if isinstance(found, ImageError) else found.mode == "RGB"


def ref(path: Path) -> ImageFile:
    return ImageFile("x", path)


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_read(tmp_path: Path) -> None:
    data = saved(corners())
    assert ref(write(tmp_path / "a.png", data)).read() == data


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.jpg")
    return folder / "pipe.jpg"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda folder: folder / "gone.jpg", "No such file or directory", id="missing"),
        pytest.param(lambda folder: write(folder / "a") / "b.jpg", "Not a directory", id="below a file"),
        pytest.param(lambda folder: folder, "not a regular file", id="folder"),
        pytest.param(pipe, "not a regular file", id="pipe", marks=needs_posix),
        pytest.param(lambda folder: Path("/dev/zero"), "not a regular file", id="device", marks=needs_posix),
        pytest.param(loop, "Too many levels of symbolic links", id="loop", marks=needs_posix),
        pytest.param(lambda folder: write(folder / "empty.jpg", b""), "empty file", id="empty"),
        pytest.param(lambda folder: folder / "a\0b.jpg", "not a usable file name", id="NUL"),
        pytest.param(lambda folder: folder / ("a" * 300), "File name too long", id="long name"),
    ],
)
def test_read_refuses(tmp_path: Path, make: Callable[[Path], Path], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        ref(make(tmp_path)).read()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_read_without_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    path.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        ref(path).read()


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes are Linux's")
def test_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")), b"content")
    (found,), passed = find_images([tmp_path])
    assert (found.path, passed) == (path, ())
    assert found.read() == b"content"


def names(images: list[ImageFile], folder: Path) -> list[str]:
    return [image.path.relative_to(folder).as_posix() for image in images]


def test_folders_are_searched_to_any_depth_in_sorted_order(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpg", "a/deep/er/x.JPeG", "z.webp", "0.tiff", "b/10.gif"):
        write(tmp_path / name)
    images, passed = find_images([tmp_path])
    assert names(images, tmp_path) == ["0.tiff", "a/deep/er/x.JPeG", "b/1.jpg", "b/10.gif", "b/2.PNG", "z.webp"]
    assert passed == ()
    assert [image.id for image in images] == [str(image.path) for image in images]


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_known_endings(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"a{suffix}")
    write(tmp_path / f"b{suffix.upper()}")
    assert len(find_images([tmp_path])[0]) == 2


def test_hidden_files_are_ignored_and_others_counted(tmp_path: Path) -> None:
    for name in ("a.jpg", "._a.jpg", ".hidden.png", ".cache/b.jpg", "notes.txt", "Makefile", "jpg", "c/labels.csv"):
        write(tmp_path / name)
    images, passed = find_images([tmp_path])
    assert names(images, tmp_path) == ["a.jpg"]
    hidden, others = passed
    assert (hidden.kind, hidden.count, others.kind, others.count) == ("hidden", 3, "other-file", 4)
    assert others.groups == (("no suffix", 2), (".csv", 1), (".txt", 1))


def test_a_hidden_folder_that_is_named_is_searched(tmp_path: Path) -> None:
    write(tmp_path / ".photos" / "a.jpg")
    assert len(find_images([tmp_path / ".photos"])[0]) == 1


def test_order_of_arguments_is_kept_and_each_file_comes_once(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.jpg", "b/3.jpg"):
        write(tmp_path / name)
    given_paths = [tmp_path / "b", tmp_path / "a" / "2.jpg", tmp_path / "a", tmp_path / "b" / "3.jpg", tmp_path / "b"]
    assert names(find_images(given_paths)[0], tmp_path) == ["b/3.jpg", "a/2.jpg", "a/1.jpg"]


def test_one_file_named_in_two_ways_comes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a" / "1.jpg")
    monkeypatch.chdir(tmp_path)
    images, _ = find_images([Path("a"), tmp_path, Path("a/../a/1.jpg"), Path("./a/1.jpg")])
    assert [image.id for image in images] == [str(Path("a/1.jpg"))]


def test_links_with_names_of_their_own_stay(tmp_path: Path) -> None:
    (tmp_path / "dog.jpg").symlink_to(write(tmp_path / "1.jpg"))
    assert names(find_images([tmp_path])[0], tmp_path) == ["1.jpg", "dog.jpg"]


def test_a_file_that_is_named_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    images, passed = find_images([write(tmp_path / "photo.xyz"), write(tmp_path / "no_ending")])
    assert names(images, tmp_path) == ["photo.xyz", "no_ending"]
    assert passed == ()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "found nothing there"),
        ("gone.jpg", "found nothing there"),
        ("a\0b", "found nothing there"),
        ("a" * 300, "File name too long"),
    ],
)
def test_missing_path(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        find_images([tmp_path / name])
    assert reason in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_nothing_found_names_the_folders(tmp_path: Path) -> None:
    write(tmp_path / "a" / "notes.txt")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="left out 1 file that is not an image") as caught:
        find_images([tmp_path / "a", tmp_path / "b"])
    assert str(tmp_path / "a") in str(caught.value)
    assert str(tmp_path / "b") in str(caught.value)


def test_no_path_at_all() -> None:
    with pytest.raises(DataError, match="no path"):
        find_images([])
