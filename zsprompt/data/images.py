"""References to images, and decoding of their bytes to upright RGB images."""

from __future__ import annotations

import os
import stat
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zsprompt._utils.arguments import check_fields
from zsprompt.data.remarks import Remark, Remarks
from zsprompt.data.signatures import HEAD, is_heif, recognised
from zsprompt.errors import DataError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (
        ".jpg .jpeg .jpe .jfif .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif .tga "
        ".heic .heif .hif"
    ).split()
)
"""File suffixes (lower case) that count as images in a folder search."""

UNREAD_SUFFIXES = frozenset(
    (
        ".jxl .psd .psb .svg .svgz .pdf .eps .ai .xcf .exr .hdr .dng .cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .orf .rw2 "
        ".raf .pef .raw .rwl .iiq .3fr .erf .mrw .x3f .kdc .dcr .fits .dcm .djvu .wmf .emf .bpg"
    ).split()
)
"""File suffixes (lower case) of images in formats that are not read; a folder search leaves them out and names them."""

ARCHIVE_SUFFIXES = frozenset(".tar .gz .tgz .bz2 .tbz2 .xz .txz .zst .zip .7z .rar .lmdb .tfrecord".split())
"""File suffixes (lower case) of archives, which a folder search leaves out and names."""

_WHITE = (255, 255, 255, 255)

# EXIF orientation -> the Image.Transpose that turns the image upright
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

# Exceptions of Pillow's format plugins on damaged files, collected by fuzzing.
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


_SETTLED_SECONDS = 2.0  # a file changed more recently may change again within one tick of the file system's clock


@runtime_checkable
class ImageRef(Protocol):
    """One image of a data set: an id and access to its bytes."""

    @property
    def id(self) -> str:
        """Name of the image in messages and result files."""
        ...

    def read(self) -> bytes:
        """Encoded bytes of the image. Raises ImageError with the reason if they cannot be read."""
        ...

    def identity(self, *, settled: bool = False) -> bytes | None:
        """Bytes that change whenever the image changes, found without reading it; None if unknown.

        Args:
            settled: also return None if the image changed so recently that another change might go unnoticed.
        """
        ...


@dataclass(frozen=True)
class ImageFile:
    """An image in a file of its own; an ImageRef."""

    id: str
    path: Path

    def __post_init__(self) -> None:
        if not (isinstance(self.id, str) and isinstance(self.path, Path)):  # there may be millions
            check_fields(self)

    def read(self) -> bytes:
        """Read the file.

        Raises:
            ImageError: the file is missing, a folder, not permitted, or empty.
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
        """Size, times, inode and path of the file; see ImageRef."""
        facts = file_facts(self.path, settled=settled)
        return facts and b"file " + facts


def file_facts(path: Path, *, settled: bool = False) -> bytes | None:
    """Size, times, inode and path of a file as bytes; None if it is missing, or changed just now and `settled`."""
    try:
        status = path.stat()
        name = path.absolute()  # not resolve(): the inode already identifies the target of a link
    except (OSError, ValueError):
        return None
    if settled and time.time() - max(status.st_mtime, status.st_ctime) < _SETTLED_SECONDS:
        return None
    facts = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return facts.encode() + b" " + os.fsencode(name)


def decode(data: bytes) -> Image:
    """Decode an image to 8-bit RGB: first frame, EXIF rotation applied, transparency on white.

    16-bit grey is scaled to 8 bits. 32-bit integer and floating-point images are refused, because their range is not
    defined. Damaged EXIF data is ignored, as in viewers.

    Raises:
        ImageError: not an image, truncated, damaged, PostScript, or larger than Pillow's decompression-bomb limit.
    """
    from PIL import Image, UnidentifiedImageError

    if is_heif(data[:HEAD]):
        _read_heif()
    try:
        with _quiet, Image.open(BytesIO(data)) as image:
            if image.format == "EPS":
                # Pillow would run Ghostscript, whatever the name of the file
                raise ImageError("PostScript, not an image")
            image.load()
            turn = _turn(image)
            upright = _to_rgb(image)
            return upright.transpose(Image.Transpose[turn]) if turn else upright
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(_unknown(data)) from None
    except Image.DecompressionBombError:
        raise ImageError(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000} million pixels") from None
    except _DAMAGE as error:
        raise ImageError(f"damaged image ({_line(error)})") from None


def _read_heif() -> None:
    """Teach Pillow to read HEIC."""
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("a HEIC image, which needs pillow-heif: pip install 'zsprompt[heif]'") from None
    pillow_heif.register_heif_opener()


def _unknown(data: bytes) -> str:
    """Why Pillow knows no format for these bytes."""
    kind = recognised(data)
    if kind is None:
        return "not an image in a known format"
    return "damaged image (its head)" if kind.read else f"{kind.name}: {kind.remedy}"


def find_images(paths: Iterable[Path]) -> tuple[list[ImageFile], tuple[Remark, ...]]:
    """Images at `paths`. Folders are searched to any depth for known suffixes; hidden files are left out.

    Returns:
        The images, each file once and folders in sorted order, and what was left out. The id of an image is its path
        as given.

    Raises:
        DataError: a path is missing or not permitted, or there are no images.
    """
    by_location: dict[Path, ImageFile] = {}
    remarks = Remarks()
    paths = list(paths)
    for path in paths:
        if stat.S_ISDIR(_mode(path)):
            home = path.resolve()
            found = [(home / image.relative_to(path), image) for image in images_below(path, remarks)]
        else:
            # two spellings of one path are the same image; a link with another name is a separate image
            found = [(path.parent.resolve() / path.name, path)]
        for location, image in found:
            if location in by_location:
                remarks.add("given-twice", str(image))
            else:
                by_location[location] = ImageFile(str(image), image)
    if not by_location:
        where = ", ".join(str(p) for p in paths) or "no path"
        raise no_images(where, remarks.found())
    return list(by_location.values()), remarks.found()


def no_images(where: str, remarks: Sequence[Remark]) -> DataError:
    """The error for inputs without an image, which names what was left out."""
    others = "; ".join(remark.sentence for remark in remarks) or "nothing"
    return DataError(f"expected images (.jpg, .png, .webp, .gif, .tif, …) in {where}, found none: {others}")


def images_below(folder: Path, remarks: Remarks) -> list[Path]:
    """Files with a suffix of images in a folder, to any depth and sorted; `remarks` gets what is left out.

    Raises:
        DataError: a folder cannot be read.
    """
    images = []
    for path in sorted(_files(folder, remarks)):
        if path.suffix.lower() in SUFFIXES:
            images.append(path)
        else:
            leave_out(str(path), remarks)
    return images


def leave_out(name: str, remarks: Remarks) -> None:
    """Count a file that is not an image, by its suffix."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - called per member of a tar file; Path would be slow
    unread = "unread-format" if suffix in UNREAD_SUFFIXES else "other-file"
    remarks.add("archive" if suffix in ARCHIVE_SUFFIXES else unread, name, group=suffix or "no suffix")


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that systems and photo servers add."""
    return name.startswith(".") or name in _ADDED_FOLDERS


_ADDED_FOLDERS = frozenset(("__MACOSX", "@eaDir"))  # with thumbnails of the images, or files that look like images


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(f"expected an image or a folder of images at {path}, found nothing there") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def _files(folder: Path, remarks: Remarks) -> Iterable[Path]:
    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read folder {error.filename}: {error.strerror}")

    for base, folders, names in os.walk(folder, onerror=refuse):
        for name in filter(is_hidden, (*folders, *names)):
            remarks.add("hidden", str(Path(base, name)))
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in folders:
            if Path(base, name).is_symlink():  # os.walk does not follow it, as it may lead in a circle
                remarks.add("linked-folder", str(Path(base, name)))
        yield from (Path(base, name) for name in names if not is_hidden(name))


class _Quiet:
    """Suppresses Pillow's warnings about odd metadata and about images of one to two times its size limit.

    catch_warnings is not thread-safe, so the first thread enters it for all threads, and the last one leaves it.
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
        raise ImageError(f"{'32-bit integer' if image.mode == 'I' else 'floating-point'} image without a defined range")
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image) -> Image:
    import numpy as np
    from PIL import Image
    from PIL.TiffImagePlugin import TiffImageFile

    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    white = 4095 if tags.get(_BITS) == (12,) else 65535  # Pillow does not scale 12-bit values
    grey = np.asarray(image).astype(np.uint32) * 255 // white
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
