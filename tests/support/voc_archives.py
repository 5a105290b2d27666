"""A small VOC2007 in tar files, with its catalogue entry."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

from archives import make_tar
from fakes import draw
from file_server import FileServer

from zsprompt.data.download.catalogue import CATALOGUE, Archive, Counts, Known


def photo(label: str) -> bytes:
    buffer = io.BytesIO()
    draw([label]).save(buffer, "JPEG")
    return buffer.getvalue()


def voc_files(split: str, labels: dict[str, str]) -> dict[str, bytes]:
    """The files of VOC's archive of one split, in its layout."""
    base = "VOCdevkit/VOC2007"
    files = {f"{base}/ImageSets/Main/{split}.txt": "".join(f"{image}\n" for image in labels).encode()}
    for image, label in labels.items():
        xml = f"<annotation><object><name>{label}</name><difficult>0</difficult></object></annotation>"
        files[f"{base}/Annotations/{image}.xml"] = xml.encode()
        files[f"{base}/JPEGImages/{image}.jpg"] = photo(label)
    return files


TEST = voc_files("test", {"000001": "cat", "000002": "dog"})
TRAINVAL = voc_files("trainval", {"000005": "car"})
TARS = {"test.tar": make_tar(TEST), "trainval.tar": make_tar(TRAINVAL)}


def archive(server: FileServer, split: str, data: bytes | None = None) -> Archive:
    file = f"{split}.tar"
    data = TARS[file] if data is None else data
    return Archive(
        file=file,
        urls=(f"{server.url}/{file}",),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        keeps=("VOCdevkit/VOC2007",),
        splits=(split,),
        sign=f"VOCdevkit/VOC2007/ImageSets/Main/{split}.txt",
    )


def known(server: FileServer, *archives: Archive) -> Known:
    """A small VOC2007 on `server`."""
    archives = archives or (archive(server, "test"), archive(server, "trainval"))
    splits = {"test": Counts(2, {"cat": 1, "dog": 1}), "trainval": Counts(1, {"car": 1})}
    return replace(CATALOGUE["voc"], archives=archives, splits=splits)
