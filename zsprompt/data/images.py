"""An image somewhere, and how its bytes become an upright RGB image."""

from __future__ import annotations

import os
import stat
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zsprompt.errors import DataError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif .tga").split()
)
"""File endings (lower case) that a folder search takes for images."""

_WHITE = (255, 255, 255, 255)

# EXIF orientation -> the Image.Transpose that sets it upright
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

# TIFF tags
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0

# What Pillow's format plugins raise on damaged files, found by feeding them damaged files.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zlib.error,
)


_SETTLED_SECONDS = 2.0  # a file changed less than this ago may change again within one tick of its clock


class ImageRef(Protocol):
    """One image of a data set: an id for people and result files, and a way to its bytes."""

    @property
    def id(self) -> str:
        """What people and result files call it."""
        ...

    def read(self) -> bytes:
        """Its bytes, in an image format. Raises ImageError with the reason why there are none."""
        ...

    def identity(self, *, settled: bool = False) -> bytes | None:
        """Bytes that change whenever the image does, found without reading it; None where nothing tells.

        Args:
            settled: also None if it changed so lately that another change might not show.
        """
        ...


@dataclass(frozen=True)
class ImageFile:
    """An ImageRef to a file."""

    id: str
    path: Path

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            ImageError: missing, a folder, not permitted, or empty.
        """
        try:
            # A named pipe or device would block or never end.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise ImageError("not a regular file")
            data = self.path.read_bytes()
        except OSError as error:
            raise ImageError(error.strerror or type(error).__name__) from None
        except ValueError:
            raise ImageError("not a usable file name") from None
        if not data:
            raise ImageError("empty file")
        return data

    def identity(self, *, settled: bool = False) -> bytes | None:
        """The file's size, times and inode, and its path; see ImageRef."""
        facts = file_facts(self.path, settled=settled)
        return facts and b"file " + facts


def file_facts(path: Path, *, settled: bool = False) -> bytes | None:
    """A file's size, times, inode and path as bytes; None if it is missing, or (`settled`) changed just now."""
    try:
        found = path.stat()
        name = path.absolute()  # not resolve(): the inode already says which file a link leads to
    except (OSError, ValueError):
        return None
    if settled and time.time() - max(found.st_mtime, found.st_ctime) < _SETTLED_SECONDS:
        return None
    facts = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    return facts.encode() + b" " + os.fsencode(name)


def decode(data: bytes) -> Image:
    """The image as people see it: first frame, EXIF rotation applied, transparency on white, 8-bit RGB.

    16-bit grey is scaled to 8 bits; 32-bit integer and floating-point images have no defined range and are
    refused, not guessed at. Damaged EXIF leaves an image as it stands, as in viewers.

    Raises:
        ImageError: not an image, truncated, damaged, PostScript, or larger than Pillow's decompression-bomb limit.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with _quiet, Image.open(BytesIO(data)) as image:
            if image.format == "EPS":
                # Pillow would start Ghostscript on it, whatever the file is called
                raise ImageError("PostScript, not a picture")
            image.load()
            turn = _turn(image)
            upright = _to_rgb(image)
            return upright.transpose(Image.Transpose[turn]) if turn else upright
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not a picture in a known format") from None
    except Image.DecompressionBombError:
        raise ImageError(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} million pixels") from None
    except _DAMAGE as error:
        raise ImageError(f"damaged picture ({_line(error)})") from None


def find_images(paths: Iterable[Path]) -> tuple[list[ImageFile], int]:
    """Images named by files and folders; folders are searched to any depth for known endings, hidden files aside.

    Returns:
        The images, folders' contents in sorted order, each file once; and how many other files were passed over.
        An image's id is its path as given.

    Raises:
        DataError: a path is missing or not permitted, or nothing was found.
    """
    found: dict[Path, ImageFile] = {}
    passed = 0
    paths = list(paths)
    for path in paths:
        if stat.S_ISDIR(_mode(path)):
            inside = sorted(_files(path))
            images = [p for p in inside if p.suffix.lower() in SUFFIXES]
            passed += len(inside) - len(images)
            home = path.resolve()
            for image in images:
                found.setdefault(home / image.relative_to(path), ImageFile(str(image), image))
        else:
            # two spellings of a file are one image, links with names of their own are not
            found.setdefault(path.parent.resolve() / path.name, ImageFile(str(path), path))
    if not found:
        where = ", ".join(str(p) for p in paths) or "no path"
        raise DataError(f"expected pictures (.jpg, .png, .webp, .gif, .tif, …) in {where}, found {passed} other files")
    return list(found.values()), passed


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(f"expected a picture or a folder of pictures at {path}, found nothing there") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _files(folder: Path) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read folder {error.filename}: {error.strerror}")

    for base, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(base, name) for name in names if not name.startswith("."))


class _Quiet:
    """Within it Pillow's warnings go unheard: of odd metadata, and of images between one and two times its limit.

    catch_warnings is not thread-safe, so the first thread in enters it for all, and the last one out leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.close()


_quiet = _Quiet()


def _turn(image: Image) -> str | None:
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except _DAMAGE:
        return None


def _to_rgb(image: Image) -> Image:
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _from_16_bits(image)
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{'32-bit integer' if image.mode == 'I' else 'floating-point'} picture without a defined range"
        )
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image) -> Image:
    import numpy as np
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    white = 4095 if tags.get(_BITS) == (12,) else 65535  # Pillow reads 12 bits without scaling them
    grey = np.asarray(image).astype(np.uint32) * 255 // white
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
