"""Files on their way to an encoder: read ahead of need, named by their content, recognised by their stat."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from zsprompt.errors import ImageError
from zsprompt.images import ImageRef

A = TypeVar("A")
B = TypeVar("B")

_SETTLED_SECONDS = 2.0  # a file changed less than this ago may change again within one tick of its clock


@dataclass
class PictureFile:
    """One file's content.

    Attributes:
        position: of the picture among those asked for.
        digest: sha256 of the content.
        data: the content, until it is taken.
        settled_key: the file's stat key, if the file can be trusted not to have changed since.
    """

    position: int
    digest: bytes
    data: bytes | None
    settled_key: bytes | None

    def take_bytes(self) -> bytes:
        """The content, once: it need not stay in memory after decoding."""
        data, self.data = self.data or b"", None
        return data

    def shortcut(self, stat_key: bytes | None) -> dict[bytes, bytes]:
        """The cache entry that lets a later run recognise this file by its stat, if that is safe."""
        return {stat_key: self.digest} if stat_key and stat_key == self.settled_key else {}


def read_picture(position: int, ref: ImageRef) -> PictureFile | tuple[int, ImageError]:
    """The file behind `ref`, or its position and why it cannot be read."""
    try:
        data = ref.read()
    except ImageError as error:
        return position, error
    return PictureFile(position, hashlib.sha256(data).digest(), data, stat_key(ref.path, settled=True))


def stat_key(path: Path, *, settled: bool = False) -> bytes | None:
    """A key that changes whenever the file does, as far as its stat tells; None if there is no such file.

    Args:
        path: the file.
        settled: also None if it changed so lately that another change might not show.
    """
    try:
        stat = path.stat()
        name = path.absolute()  # not resolve(): the inode already says which file a link leads to
    except (OSError, ValueError):
        return None
    if settled and time.time() - max(stat.st_mtime, stat.st_ctime) < _SETTLED_SECONDS:
        return None
    facts = f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
    return cache_key("file", facts, os.fsencode(name))


def cache_key(kind: str, owner: str, content: bytes) -> bytes:
    """32 bytes that stand for `content` of one kind under one owner (a model's fingerprint, a file's stat)."""
    head = f"{kind}\0{owner}\0".encode("utf-8", "surrogatepass")
    return hashlib.sha256(head + content).digest()


def ahead(pool: ThreadPoolExecutor, work: Callable[[A], B], items: Iterable[A], count: int) -> Iterator[B]:
    """Ordered results of `work` over `items`, with at most `count` under way or waiting to be taken."""
    source = iter(items)
    under_way: deque[Future[B]] = deque(pool.submit(work, item) for item in islice(source, count))
    while under_way:
        yield under_way.popleft().result()
        under_way.extend(pool.submit(work, item) for item in islice(source, 1))
