"""Files that are not what their name says, recognised by their first bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

HEAD = 512
"""Number of first bytes that are enough to recognise a file."""

_HEIF = b"heic heix heim heis hevc hevx mif1 msf1 mif2".split()
_CONVERT = "convert it to PNG or JPEG"
_UNPACK = "unpack it first"
_AGAIN = "download it again"


@dataclass(frozen=True)
class Signature:
    """How to recognise a kind of file, and what to do about it.

    Attributes:
        name: noun phrase ("a PDF document").
        matches: whether the first bytes of a file are of this kind.
        remedy: what to do where an image or a tar file was expected.
        read: whether it is an image that Pillow always reads.
    """

    name: str
    matches: Callable[[bytes], bool]
    remedy: str
    read: bool = False


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _brand(*brands: bytes) -> Callable[[bytes], bool]:
    """ISO media files name their kind after eight bytes."""
    return lambda head: head[4:8] == b"ftyp" and head[8:12] in brands


def _markup(*tags: bytes) -> Callable[[bytes], bool]:
    pattern = re.compile(rb"\s*(<\?xml[^>]*>|<!--.*?-->|\s)*<(!doctype\s+)?(" + b"|".join(tags) + rb")\b", re.I | re.S)
    return lambda head: pattern.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


is_heif = _brand(*_HEIF)
"""Whether the first bytes are those of a HEIC image."""

SIGNATURES = (
    Signature("a HEIC image", is_heif, "pip install 'zsprompt[heif]'"),
    Signature("an AVIF image", _brand(b"avif", b"avis"), "pip install --upgrade pillow (11.3 and newer read it)"),
    Signature("a JPEG XL image", _starts(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), _CONVERT),
    Signature(
        "a raw image of a camera",
        lambda head: (
            head.startswith((b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"IIU\0", b"FOVb", b"\0MRM"))
            or _brand(b"crx ")(head)
            or head[8:10] == b"CR"
        ),
        _CONVERT,
    ),
    Signature("a Photoshop document", _starts(b"8BPS"), _CONVERT),
    Signature("an OpenEXR image", _starts(b"v/1\x01"), _CONVERT),
    Signature("a Radiance HDR image", _starts(b"#?RADIANCE", b"#?RGBE"), _CONVERT),
    Signature("an SVG drawing", _markup(b"svg"), _CONVERT),
    Signature("a PDF document", _starts(b"%PDF"), _CONVERT),
    Signature("an HTML page, perhaps an error message", _markup(b"html", b"head", b"body", b"title"), _AGAIN),
    Signature("an XML text, perhaps an error message", _starts(b"<?xml", b"<Error>"), _AGAIN),
    Signature("a Git LFS pointer", _starts(b"version https://git-lfs"), "fetch the file itself with `git lfs pull`"),
    Signature("a video", _brand(*b"isom|iso2|mp41|mp42|avc1|M4V |qt  ".split(b"|")), "extract its frames first"),
    Signature("a gzip archive", _starts(b"\x1f\x8b"), _UNPACK),
    Signature("a bzip2 archive", _starts(b"BZh"), _UNPACK),
    Signature("an xz archive", _starts(b"\xfd7zXZ\0"), _UNPACK),
    Signature("a zstd archive", _starts(b"\x28\xb5\x2f\xfd"), _UNPACK),
    Signature("a zip archive", _starts(b"PK\x03\x04", b"PK\x05\x06"), _UNPACK),
    Signature("a 7z archive", _starts(b"7z\xbc\xaf\x27\x1c"), _UNPACK),
    Signature("a tar file", lambda head: head[257:262] == b"ustar", "give it the suffix .tar"),
    Signature("a pickle of Python", _starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _CONVERT),
    Signature("a NumPy array", _starts(b"\x93NUMPY"), _CONVERT),
    Signature("a JPEG image", _starts(b"\xff\xd8\xff"), "give it the suffix .jpg", read=True),
    Signature("a PNG image", _starts(b"\x89PNG\r\n"), "give it the suffix .png", read=True),
    Signature("a file of zeros only", lambda head: len(head) > 0 and not head.strip(b"\0"), _AGAIN),
)
"""Kinds of files that people have where an image or a tar file was expected; the first that matches counts."""


def recognised(head: bytes) -> Signature | None:
    """The kind of a file with these first bytes; None if it is not in the table."""
    return next((signature for signature in SIGNATURES if signature.matches(head[:HEAD])), None)
