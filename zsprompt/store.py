"""EmbeddingStore: every distinct text and picture through the encoder once, and never again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import platformdirs

from zsprompt.arrays import Bools, Floats, Indices
from zsprompt.cache import ByteCache
from zsprompt.encoders import Encoder
from zsprompt.errors import ImageError, ModelError, UsageError, ZspromptError
from zsprompt.images import ImageRef, decode
from zsprompt.progress import Advance, Outermost, Progress, quiet
from zsprompt.reading import PictureFile, ahead, cache_key, read_picture, stat_key

if TYPE_CHECKING:
    from PIL.Image import Image

A = TypeVar("A")

_DECODER = "rgb/1"  # names how bytes become pixels (images.decode): change it there, change it here
_DEFAULT_BATCH = 64
_READ_BLOCK = 4096
_BATCHES_UNDER_WAY = 2  # one in the model, one ready for it
MAX_BATCH = 2**16
MAX_WORKERS = 256


@dataclass
class Counts:
    """What a store did so far. A duplicate inside one call counts as cached: it was not encoded again."""

    texts_encoded: int = 0
    texts_cached: int = 0
    texts_not_kept: int = 0
    images_encoded: int = 0
    images_cached: int = 0


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings of the pictures that could be read.

    Attributes:
        vectors: [N', D] float32, unit rows.
        kept: [N'] positions of those pictures among the ones asked for.
        bad: (position, reason) of every other one.
    """

    vectors: Floats
    kept: Indices
    bad: tuple[tuple[int, str], ...] = ()


def default_cache() -> Path:
    """ZSPROMPT_CACHE, else the user's cache directory."""
    return Path(os.environ.get("ZSPROMPT_CACHE") or platformdirs.user_cache_path("zsprompt", appauthor=False))


class EmbeddingStore:
    """Embeds through `encoder`, looks in a cache folder first, and writes what it computed batch by batch.

    A kill loses at most the batch in work. A run that finds everything gives the very bits of the run that filled
    the cache. A picture is recognised by its content; its size, times and inode spare the reading.

    Args:
        encoder: what embeds.
        cache: the cache folder; "default" is ZSPROMPT_CACHE or the user's cache directory, None keeps nothing.
        batch_size: texts or pictures encoded, and committed, at a time; by default 64 pictures, and as many texts as
            suit the encoder.
        workers: threads that read and decode pictures while the model computes; one a processor by default.
        progress: where progress is shown.

    Raises:
        CacheError: the folder is foreign, unwritable, full or damaged.
        UsageError: a batch size or number of workers below 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        cache: Path | str | None = "default",
        batch_size: int | None = None,
        workers: int | None = None,
        progress: Progress = quiet,
    ) -> None:
        for what, value, most in (("batch size", batch_size, MAX_BATCH), ("number of workers", workers, MAX_WORKERS)):
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"expected a {what} of at least 1 and at most {most}, got {value}")
        self.encoder = encoder
        self.counts = Counts()
        folder = default_cache() if cache == "default" else cache
        self._cache = None if folder is None else ByteCache(Path(folder))
        self._batch_size = batch_size or _DEFAULT_BATCH
        self._text_batch = batch_size or encoder.text_batch
        self._unfamiliar: dict[str, None] = {}
        self._workers = workers or os.cpu_count() or 1
        self._progress = Outermost(progress)

    @property
    def logit_scale(self) -> float:
        """The encoder's: what a cosine is multiplied by before a softmax."""
        return self.encoder.logit_scale

    @property
    def fingerprint(self) -> str:
        """The encoder's: changes whenever an embedding could."""
        return self.encoder.fingerprint

    @property
    def progress(self) -> Progress:
        """Where work that embeds texts in many calls says how far it is; theirs are quiet meanwhile."""
        return self._progress

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text fits the encoder's context."""
        return self.encoder.fits(texts)

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        """[T, D] float32, unit rows, one for each text; equal texts are embedded once.

        Args:
            texts: any strings the encoder takes.
            keep: False neither reads nor writes the cache, for texts too many to be worth keeping.

        Raises:
            LabelError: a text does not fit the encoder's context.
            ModelError: the encoder failed.
            CacheError: the cache failed; what was finished is kept.
        """
        distinct = list(dict.fromkeys(texts))
        keys = [self._text_key(text) for text in distinct] if keep else []
        vectors = np.empty((len(distinct), self.encoder.dim), dtype=np.float32)
        missing = self._fill(vectors, keys) if keep else list(range(len(distinct)))
        missing.sort(key=distinct.__getitem__)  # texts that begin alike share the work in a token trie
        if keep:
            self._unfamiliar |= dict.fromkeys(self.encoder.unfamiliar(distinct))
        with self._progress("texts", len(missing), "texts") as advance:
            for batch in _batches(missing, self._text_batch):
                vectors[batch] = self._encoded(self.encoder.encode_texts, [distinct[i] for i in batch])
                if keep and self._cache:
                    self._cache.put_many({keys[i]: vectors[i].tobytes() for i in batch})
                advance(len(batch))
        self.counts.texts_encoded += len(missing)
        self.counts.texts_cached += len(distinct) - len(missing)
        self.counts.texts_not_kept += 0 if keep else len(distinct)
        row = {text: i for i, text in enumerate(distinct)}
        return vectors[[row[text] for text in texts]]

    def take_unfamiliar(self) -> tuple[str, ...]:
        """Words that the encoder was never trained on, among the texts asked for since the last call."""
        words, self._unfamiliar = tuple(self._unfamiliar), {}
        return words

    def images(self, refs: Sequence[ImageRef]) -> EmbeddedImages:
        """Embed every picture that can be read, and name the others with the reason.

        Raises:
            ModelError: the encoder failed.
            CacheError: the cache failed; what was finished is kept.
        """
        job = _ImageJob(np.empty((len(refs), self.encoder.dim), dtype=np.float32))
        unknown = self._recall(refs, job)
        with (
            ThreadPoolExecutor(self._workers, thread_name_prefix="zsprompt-decode") as readers,
            ThreadPoolExecutor(1, thread_name_prefix="zsprompt-encode") as model,
            self._progress("pictures", len(unknown), "pictures") as advance,
        ):
            try:
                self._encode_unknown(refs, unknown, job, readers, model, advance)
            except BaseException:
                for pool in (readers, model):
                    pool.shutdown(wait=False, cancel_futures=True)
                raise
        self.counts.images_cached += len(refs) - job.encoded - len(job.bad)
        self.counts.images_encoded += job.encoded
        kept = np.array([i for i in range(len(refs)) if i not in job.bad], dtype=np.intp)
        return EmbeddedImages(job.vectors[kept], kept, tuple(sorted(job.bad.items())))

    def close(self) -> None:
        """Close the cache. The store can also be used as a context manager."""
        if self._cache:
            self._cache.close()

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recall(self, refs: Sequence[ImageRef], job: _ImageJob) -> list[int]:
        """Fill in what a stat alone can answer; returns the positions that have to be read."""
        stats = [stat_key(ref) for ref in refs]
        job.stats = stats
        known = [i for i, stat in enumerate(stats) if stat]
        digests = self._get([stats[i] or b"" for i in known])
        with_digest = [(i, digest) for i, digest in zip(known, digests, strict=True) if digest]
        values = self._get([self._image_key(digest) for _, digest in with_digest])
        found = set()
        for (i, _), value in zip(with_digest, values, strict=True):
            if self._usable(value):
                job.vectors[i] = np.frombuffer(value or b"", dtype=np.float32)
                found.add(i)
        return [i for i in range(len(refs)) if i not in found]

    def _encode_unknown(
        self,
        refs: Sequence[ImageRef],
        unknown: list[int],
        job: _ImageJob,
        readers: ThreadPoolExecutor,
        model: ThreadPoolExecutor,
        advance: Advance,
    ) -> None:
        """Three things at once: files are read and decoded ahead, the model computes, finished batches are written."""
        window = 2 * self._batch_size
        read = ahead(readers, lambda i: read_picture(i, refs[i]), unknown, window)
        new = self._sift(read, job, advance)
        pictures = ahead(readers, lambda file: (file, self._picture(file)), new, window)
        batches = self._good_batches(pictures, job, advance)
        for batch, vectors in ahead(model, self._encode_batch, batches, _BATCHES_UNDER_WAY):
            self._commit(batch, vectors, job, advance)

    def _good_batches(
        self, pictures: Iterable[tuple[PictureFile, Image | ImageError]], job: _ImageJob, advance: Advance
    ) -> Iterator[list[tuple[PictureFile, Image]]]:
        batch: list[tuple[PictureFile, Image]] = []
        for file, picture in pictures:
            if isinstance(picture, ImageError):
                for i in job.waiting.pop(file.digest):
                    job.bad[i] = str(picture)
                    advance(1)
                continue
            batch.append((file, picture))
            if len(batch) == self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _sift(
        self, files: Iterable[PictureFile | tuple[int, ImageError]], job: _ImageJob, advance: Advance
    ) -> Iterator[PictureFile]:
        """Pass on each new content once; answer the rest from the cache or from what is already under way."""
        files = iter(files)
        while group := list(islice(files, self._batch_size)):
            readable = [file for file in group if isinstance(file, PictureFile)]
            values = self._get([self._image_key(file.digest) for file in readable])
            cached = {f.digest: v for f, v in zip(readable, values, strict=True) if self._usable(v)}
            shortcuts: dict[bytes, bytes] = {}
            for good in readable:
                shortcuts |= good.shortcut(job.stats[good.position])
            for file in group:
                if not isinstance(file, PictureFile):
                    job.bad[file[0]] = str(file[1])
                    advance(1)
                elif file.digest in cached:
                    job.vectors[file.position] = np.frombuffer(cached[file.digest] or b"", dtype=np.float32)
                    advance(1)
                elif file.digest in job.waiting:
                    job.waiting[file.digest].append(file.position)
                elif file.digest in job.done:
                    job.vectors[file.position] = job.vectors[job.done[file.digest]]
                    advance(1)
                else:
                    job.waiting[file.digest] = [file.position]
                    yield file
            if self._cache:
                self._cache.put_many(shortcuts)

    def _picture(self, file: PictureFile) -> Image | ImageError:
        try:
            picture = decode(file.take_bytes())
        except ImageError as error:
            return error
        try:
            return self.encoder.prepare(picture)
        except Exception as error:  # a stranger's encoder may raise anything
            raise ModelError(f"model {self.encoder.name} failed to prepare a picture ({_reason(error)})") from error

    def _encode_batch(self, batch: list[tuple[PictureFile, Image]]) -> tuple[list[PictureFile], Floats]:
        vectors = self._encoded(self.encoder.encode_images, [picture for _, picture in batch])
        return [file for file, _ in batch], vectors

    def _commit(self, batch: list[PictureFile], vectors: Floats, job: _ImageJob, advance: Advance) -> None:
        entries: dict[bytes, bytes] = {}
        answered = 0
        for file, vector in zip(batch, vectors, strict=True):
            positions = job.waiting.pop(file.digest)
            job.vectors[positions] = vector
            job.done[file.digest] = file.position
            entries[self._image_key(file.digest)] = vector.tobytes()
            answered += len(positions)
        job.encoded += len(batch)
        if self._cache:
            self._cache.put_many(entries)
        advance(answered)

    def _encoded(self, encode: Callable[[list[A]], Floats], batch: list[A]) -> Floats:
        try:
            vectors = np.asarray(encode(batch), dtype=np.float32)
        except ZspromptError:
            raise
        except Exception as error:  # a model, above all a stranger's, may raise anything
            raise ModelError(
                f"model {self.encoder.name} failed on a batch of {len(batch)} ({_reason(error)}); "
                "if memory ran out, use a smaller --batch-size"
            ) from error
        expected = (len(batch), self.encoder.dim)
        if vectors.shape != expected or not np.isfinite(vectors).all():
            found = f"shape {vectors.shape}" if vectors.shape != expected else "values that are not finite"
            raise ModelError(f"expected embeddings of shape {expected} from {self.encoder.name}, found {found}")
        return vectors

    def _fill(self, vectors: Floats, keys: list[bytes]) -> list[int]:
        """Write cached values into `vectors`; returns the rows still missing."""
        missing = []
        for i, value in enumerate(self._get(keys)):
            if self._usable(value):
                vectors[i] = np.frombuffer(value or b"", dtype=np.float32)
            else:
                missing.append(i)
        return missing

    def _get(self, keys: list[bytes]) -> Iterator[bytes | None]:
        """The stored value of each key or None, read in blocks: a million of them at once would fill gigabytes."""
        if self._cache is None:
            yield from (None for _ in keys)
            return
        for start in range(0, len(keys), _READ_BLOCK):
            yield from self._cache.get_many(keys[start : start + _READ_BLOCK])

    def _usable(self, value: bytes | None) -> bool:
        return value is not None and len(value) == 4 * self.encoder.dim

    def _text_key(self, text: str) -> bytes:
        return cache_key("text", self.encoder.fingerprint, text.encode("utf-8", "surrogatepass"))

    def _image_key(self, digest: bytes) -> bytes:
        return cache_key(f"image {_DECODER}", self.encoder.fingerprint, digest)


@dataclass
class _ImageJob:
    """What is known of one call's pictures while they pass through."""

    vectors: Floats
    stats: list[bytes | None] = field(default_factory=list)
    waiting: dict[bytes, list[int]] = field(default_factory=dict)  # content under way -> positions that want it
    done: dict[bytes, int] = field(default_factory=dict)  # content encoded in this call -> a position that has it
    bad: dict[int, str] = field(default_factory=dict)
    encoded: int = 0


def _batches(items: list[int], size: int) -> Iterator[list[int]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
