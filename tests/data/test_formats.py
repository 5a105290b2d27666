"""Formats of images: HEIC and AVIF are read or named, others are named, in every kind of input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from trees import png, tar, write

from zsprompt.data.images import ARCHIVE_SUFFIXES, SUFFIXES, UNREAD_SUFFIXES, decode
from zsprompt.data.inputs import Sources, find_sources
from zsprompt.data.signatures import SIGNATURES, recognised
from zsprompt.errors import ImageError

HEIC_HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(600)


def photo() -> Image.Image:
    """A smooth image, red on its left half and blue on its right."""
    pixels = np.zeros((64, 96, 3), dtype=np.uint8)
    pixels[:, :48, 0] = pixels[:, 48:, 2] = 200
    return Image.fromarray(pixels)


def heic(**options: object) -> bytes:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    out = BytesIO()
    heif.from_pillow(photo()).save(out, quality=90, **options)
    return out.getvalue()


def avif() -> bytes:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    out = BytesIO()
    photo().save(out, "AVIF", quality=90)
    return out.getvalue()


def in_folder(home: Path, name: str, data: bytes) -> Path:
    return write(home / "photos" / name, data).parent


def in_tar(home: Path, name: str, data: bytes) -> Path:
    return tar(home / "x.tar", [(name, data)])


def in_list(home: Path, name: str, data: bytes) -> Path:
    write(home / name, data)
    return write(home / "x.csv", f"image\n{name}\n")


def alone(home: Path, name: str, data: bytes) -> Path:
    return write(home / name, data)


WAYS = [in_folder, in_tar, in_list, alone]


def read_only(sources: Sources) -> Image.Image:
    (image,) = sources
    return decode(image.read())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "make"), [("a.heic", heic), ("b.HEIF", heic), ("c.hif", heic), ("d.avif", avif)])
def test_heic_and_avif_are_read_from_every_input(
    tmp_path: Path, way: Callable[[Path, str, bytes], Path], name: str, make: Callable[[], bytes]
) -> None:
    image = read_only(find_sources([way(tmp_path, name, make())]))
    pixels = np.asarray(image)
    assert (image.mode, image.size) == ("RGB", (96, 64))
    assert pixels[32, 20, 0] > 150 > 100 > pixels[32, 20, 2]
    assert pixels[32, 76, 2] > 150 > 100 > pixels[32, 76, 0]


def test_a_heic_image_is_turned_upright_once() -> None:
    """libheif applies the rotation, and the EXIF data that repeats it must not apply it again."""
    turned = Image.Exif()
    turned[0x0112] = 6
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    heif.register_heif_opener()
    out = BytesIO()
    photo().save(out, "HEIF", exif=turned.tobytes())
    image = decode(out.getvalue())
    assert image.size == (64, 96)
    assert np.asarray(image)[20, 32, 0] > 150, "the left half is on top"


def test_a_damaged_heic_image_is_one_line() -> None:
    data = heic()
    for cut in (30, 100, len(data) // 2, len(data) - 20):
        with pytest.raises(ImageError) as caught:
            decode(data[:cut])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_without_pillow_heif_the_image_says_what_to_install(
    tmp_path: Path, way: Callable[[Path, str, bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    sources = find_sources([way(tmp_path, "photo.heic", HEIC_HEAD)])
    with pytest.raises(ImageError, match=r"a HEIC image.*pip install 'zsprompt\[heif\]'"):
        read_only(sources)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (HEIC_HEAD, "a HEIC image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image"),
        (b"\xff\x0a\xfa\x1f", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0", "a JPEG XL image"),
        (b"\0\0\0\x18ftypcrx \0\0", "a raw image of a camera"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a raw image of a camera"),
        (b"FUJIFILMCCD-RAW 0201", "a raw image of a camera"),
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<svg/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\n <!DOCTYPE html><html>", "an HTML page, perhaps an error message"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML text, perhaps an error message"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"\0\0\0\x20ftypisom\0\0", "a video"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x93NUMPY\x01\0", "a NumPy array"),
        (b"\x80\x04\x95", "a pickle of Python"),
        (bytes(99), "a file of zeros only"),
    ],
)
def test_files_are_recognised_by_their_content(head: bytes, name: str) -> None:
    found = recognised(head)
    assert found is not None
    assert (found.name, found.remedy != "") == (name, True)
    with pytest.raises(ImageError) as caught:
        decode(head)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [b"", b"just words", b"\x89PN", b"BM123456", b"GIF89a"])
def test_other_content_is_not_recognised(head: bytes) -> None:
    assert recognised(head) is None


def test_names_of_signatures_are_nouns_with_an_article() -> None:
    assert all(signature.name.startswith(("a ", "an ")) for signature in SIGNATURES)


@pytest.mark.parametrize("way", [in_folder, in_tar])
@pytest.mark.parametrize("suffix", sorted(UNREAD_SUFFIXES | ARCHIVE_SUFFIXES))
def test_formats_that_are_not_read_are_counted_and_named(
    tmp_path: Path, way: Callable[[Path, str, bytes], Path], suffix: str
) -> None:
    path = way(tmp_path, f"a{suffix.upper()}", b"x")
    if way is in_folder:
        write(path / "b.png", png())
    else:
        tar(path, [(f"a{suffix.upper()}", b"x"), ("b.png", png())])
    (remark,) = find_sources([path]).remarks
    assert (remark.kind, remark.groups) == ("unread-format" if suffix in UNREAD_SUFFIXES else "archive", ((suffix, 1),))
    assert f"a{suffix.upper()}" in remark.sentence


def test_suffixes_are_of_one_sort() -> None:
    assert not SUFFIXES & (UNREAD_SUFFIXES | ARCHIVE_SUFFIXES)
    assert not UNREAD_SUFFIXES & ARCHIVE_SUFFIXES
