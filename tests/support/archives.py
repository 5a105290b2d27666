"""Archives in memory, and the content of a folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path


def make_tar(files: dict[str, bytes], mode: str = "w", prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            add(archive, prefix + name, content)
    return buffer.getvalue()


def add(
    archive: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.uid = kind, link, 0o6777, 12345
    info.size = len(content) if kind == tarfile.REGTYPE else 0
    archive.addfile(info, io.BytesIO(content))


def make_zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(prefix + name, content)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
