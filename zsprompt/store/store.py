"""EmbeddingStore: every distinct text and picture through the encoder once, and never again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from zsprompt._utils.arrays import Bools, Floats, Halves, Indices, Tokens
from zsprompt._utils.byte_cache import ByteCache, default_cache, temporary_cache
from zsprompt._utils.progress import Advance, Outermost, Progress, quiet
from zsprompt._utils.read_ahead import ahead
from zsprompt._utils.text import counted, in_bytes
from zsprompt.data.images import ImageRef, decode
from zsprompt.encoders import BatchedEncoder, Encoder, SpatialEncoder
from zsprompt.errors import CacheError, ImageError, ModelError, UsageError, ZspromptError
from zsprompt.store.image_files import PictureFile, cache_key, read_picture, stat_key

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

_DECODER = "rgb/1"  # names how bytes become pixels (images.decode): change it there, change it here
_DEFAULT_BATCH = 64
_READ_BLOCK = 4096
_TOKENS_BLOCK = 64  # pictures whose tokens are read at a time
_BATCHES_UNDER_WAY = 2  # one in the model, one ready for it
_DISK_SHARE = 1.3  # of the tokens' own size, at the most: pages that are not full, and the log beside the database
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


@dataclass(frozen=True)
class EmbeddedTokens:
    """Embeddings and spatial tokens of the pictures that could be read.

    Attributes:
        vectors: [N', D] float32, unit rows; what EmbeddedImages has.
        tokens: of the same pictures, shape (N', L, D'); they stay in the cache folder, and can be read there until
            the store is closed.
        kept: [N'] positions of those pictures among the ones asked for.
        bad: (position, reason) of every other one.
    """

    vectors: Floats
    tokens: Tokens
    kept: Indices
    bad: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class StoredTokens:
    """Tokens under `keys` of a cache; see Tokens. One thread may read while another embeds."""

    cache: ByteCache
    keys: tuple[bytes, ...]
    token_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(N, L, D')."""
        return len(self.keys), *self.token_shape

    def read(self, rows: Sequence[int] | Indices) -> Halves:
        """[n, L, D'] float16: the tokens of the pictures at `rows`, in that order.

        Raises:
            CacheError: the cache was closed, or an entry is damaged or gone.
        """
        if self.cache.closed:
            raise CacheError(f"expected an open store to read tokens from, found {self.cache.folder} closed")
        result = np.empty((len(rows), *self.token_shape), dtype=np.float16)
        for start in range(0, len(rows), _TOKENS_BLOCK):
            some = [self.keys[row] for row in rows[start : start + _TOKENS_BLOCK]]
            for i, value in enumerate(self.cache.get_many(some), start):
                if value is None or len(value) != result[i].nbytes:
                    raise CacheError(
                        f"expected spatial tokens in cache {self.cache.folder}, found an entry damaged or gone; "
                        f"run `zsprompt cache verify --cache '{self.cache.folder}'`, then again"
                    )
                result[i] = np.frombuffer(value, dtype=np.float16).reshape(self.token_shape)
        return result


class EmbeddingStore:
    """Embeds through `encoder`, looks in a cache folder first, and writes what it computed batch by batch.

    A kill loses at most the batch in work. A run that finds everything gives the very bits of the run that filled
    the cache. A picture is recognised by its content; its size, times and inode spare the reading.

    Args:
        encoder: what embeds.
        cache: the cache folder; "default" is ZSPROMPT_CACHE or the user's cache directory, None keeps nothing.
        batch_size: texts or pictures encoded, and committed, at a time; by default as many as suit the encoder, 64
            pictures if it does not say.
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
        self._own_cache: ByteCache | None = None
        suits = encoder.image_batch if isinstance(encoder, BatchedEncoder) else _DEFAULT_BATCH
        self._batch_size = batch_size or suits
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
        job = self._job(refs, self._cache or self._own_cache)
        self._embed(refs, self._recall(refs, job), job)
        kept = job.kept(len(refs))
        return EmbeddedImages(job.vectors[kept], kept, tuple(sorted(job.bad.items())))

    def tokens(self, refs: Sequence[ImageRef]) -> EmbeddedTokens:
        """Embed every picture that can be read, keep its spatial tokens, and name the others with the reason.

        Tokens go to the cache folder as float16, batch by batch, and with them the vectors that `images` asks for. A
        store without a cache has a temporary folder for them until it is closed.

        Args:
            refs: the pictures.

        Raises:
            ModelError: the encoder has no spatial tokens, or failed.
            CacheError: the folder's disk has too little space, or the cache failed; what was finished is kept.
        """
        encoder = self.encoder
        if not isinstance(encoder, SpatialEncoder):
            raise ModelError(
                f"expected a model with spatial tokens, found {encoder.name}, which has none; "
                "use an adapter on pooled vectors, or another --model"
            )
        cache = self._token_cache()
        job = self._job(refs, cache, tokens=encoder)
        unknown = self._recall(refs, job)
        _make_sure_of_space(cache, job.contents(unknown), 2 * int(np.prod(encoder.token_shape)))
        self._embed(refs, unknown, job)
        kept = job.kept(len(refs))
        keys = tuple(self._tokens_key(job.digests[int(i)]) for i in kept)
        found = StoredTokens(cache, keys, encoder.token_shape)
        return EmbeddedTokens(job.vectors[kept], found, kept, tuple(sorted(job.bad.items())))

    def close(self) -> None:
        """Close the cache. The store can also be used as a context manager."""
        for cache in (self._cache, self._own_cache):
            if cache:
                cache.close()

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _token_cache(self) -> ByteCache:
        if self._cache:
            return self._cache
        self._own_cache = self._own_cache or temporary_cache()
        return self._own_cache

    def _job(
        self, refs: Sequence[ImageRef], cache: ByteCache | None, tokens: SpatialEncoder | None = None
    ) -> _ImageJob:
        return _ImageJob(np.empty((len(refs), self.encoder.dim), dtype=np.float32), cache, tokens)

    def _embed(self, refs: Sequence[ImageRef], unknown: list[int], job: _ImageJob) -> None:
        """Answer for the `unknown` positions, and count."""
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

    def _recall(self, refs: Sequence[ImageRef], job: _ImageJob) -> list[int]:
        """Fill in what a stat alone can answer; returns the positions that have to be read."""
        job.stats = [stat_key(ref) for ref in refs]
        known = [i for i, stat in enumerate(job.stats) if stat]
        digests = _get(job.cache, [job.stats[i] or b"" for i in known])
        job.digests = {i: digest for i, digest in zip(known, digests, strict=True) if digest}
        answers = self._answers(list(job.digests.values()), job)
        found = set()
        for i, vector in zip(job.digests, answers, strict=True):
            if vector is not None:
                job.vectors[i] = vector
                found.add(i)
        return [i for i in range(len(refs)) if i not in found]

    def _answers(self, digests: list[bytes], job: _ImageJob) -> Iterator[Floats | None]:
        """The cached vector of each content; None where it, or anything else the job wants, is missing."""
        there = [True] * len(digests)
        if job.tokens and job.cache:
            there = job.cache.has_many([self._tokens_key(digest) for digest in digests])
        for whole, value in zip(there, _get(job.cache, [self._image_key(digest) for digest in digests]), strict=True):
            yield self._vector(value) if whole else None

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
        for batch in ahead(model, partial(self._encode_batch, job.tokens), batches, _BATCHES_UNDER_WAY):
            self._commit(batch, job, advance)

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
            answers = self._answers([file.digest for file in readable], job)
            cached = {f.digest: v for f, v in zip(readable, answers, strict=True) if v is not None}
            shortcuts: dict[bytes, bytes] = {}
            for good in readable:
                job.digests[good.position] = good.digest
                shortcuts |= good.shortcut(job.stats[good.position])
            for file in group:
                if not isinstance(file, PictureFile):
                    job.bad[file[0]] = str(file[1])
                    advance(1)
                elif file.digest in cached:
                    job.vectors[file.position] = cached[file.digest]
                    advance(1)
                elif file.digest in job.waiting:
                    job.waiting[file.digest].append(file.position)
                elif file.digest in job.done:
                    job.vectors[file.position] = job.vectors[job.done[file.digest]]
                    advance(1)
                else:
                    job.waiting[file.digest] = [file.position]
                    yield file
            if job.cache:
                job.cache.put_many(shortcuts)

    def _picture(self, file: PictureFile) -> Image | ImageError:
        try:
            picture = decode(file.take_bytes())
        except ImageError as error:
            return error
        try:
            return self.encoder.prepare(picture)
        except Exception as error:  # a stranger's encoder may raise anything
            raise ModelError(f"model {self.encoder.name} failed to prepare a picture ({_reason(error)})") from error

    def _encode_batch(self, spatial: SpatialEncoder | None, batch: list[tuple[PictureFile, Image]]) -> _Encoded:
        files, pictures = [file for file, _ in batch], [picture for _, picture in batch]
        if not spatial:
            return _Encoded(files, self._encoded(self.encoder.encode_images, pictures))
        vectors, tokens = self._safely(lambda some: _two(spatial.encode_tokens(some)), pictures)
        self._check(vectors, (len(batch), self.encoder.dim))
        self._check(tokens, (len(batch), *spatial.token_shape))
        return _Encoded(files, vectors, tokens)

    def _commit(self, batch: _Encoded, job: _ImageJob, advance: Advance) -> None:
        entries: dict[bytes, bytes] = {}
        answered = 0
        for file, vector in zip(batch.files, self._known_first(batch, job), strict=True):
            positions = job.waiting.pop(file.digest)
            job.vectors[positions] = vector
            job.done[file.digest] = file.position
            entries[self._image_key(file.digest)] = vector.tobytes()
            answered += len(positions)
        if batch.tokens is not None:
            entries |= {self._tokens_key(f.digest): t.tobytes() for f, t in zip(batch.files, batch.tokens, strict=True)}
        job.encoded += len(batch.files)
        if job.cache:
            job.cache.put_many(entries)
        advance(answered)

    def _known_first(self, batch: _Encoded, job: _ImageJob) -> list[Floats]:
        """[n] the batch's vectors, but those that the cache has already: what was answered once stays the answer."""
        if batch.tokens is None:
            return list(batch.vectors)
        known = _get(job.cache, [self._image_key(file.digest) for file in batch.files])
        cached = map(self._vector, known)
        return [new if old is None else old for new, old in zip(batch.vectors, cached, strict=True)]

    def _encoded(self, encode: Callable[[list[A]], Floats], batch: list[A]) -> Floats:
        vectors = self._safely(lambda some: np.asarray(encode(some), dtype=np.float32), batch)
        self._check(vectors, (len(batch), self.encoder.dim))
        return vectors

    def _safely(self, encode: Callable[[list[A]], B], batch: list[A]) -> B:
        try:
            return encode(batch)
        except ZspromptError:
            raise
        except Exception as error:  # a model, above all a stranger's, may raise anything
            raise ModelError(
                f"model {self.encoder.name} failed on a batch of {len(batch)} ({_reason(error)}); "
                "if memory ran out, use a smaller --batch-size"
            ) from error

    def _check(self, found: Floats | Halves, expected: tuple[int, ...]) -> None:
        if found.shape != expected or not np.isfinite(found).all():
            what = f"shape {found.shape}" if found.shape != expected else "values that are not finite"
            kind = "embeddings" if len(expected) == 2 else "spatial tokens"
            raise ModelError(f"expected {kind} of shape {expected} from {self.encoder.name}, found {what}")

    def _fill(self, vectors: Floats, keys: list[bytes]) -> list[int]:
        """Write cached values into `vectors`; returns the rows still missing."""
        missing = []
        for i, value in enumerate(_get(self._cache, keys)):
            vector = self._vector(value)
            if vector is None:
                missing.append(i)
            else:
                vectors[i] = vector
        return missing

    def _vector(self, value: bytes | None) -> Floats | None:
        """[D] a stored value as a vector; None where there is none of this width."""
        return np.frombuffer(value, dtype=np.float32) if value and len(value) == 4 * self.encoder.dim else None

    def _text_key(self, text: str) -> bytes:
        return cache_key("text", self.encoder.fingerprint, text.encode("utf-8", "surrogatepass"))

    def _image_key(self, digest: bytes) -> bytes:
        return cache_key(f"image {_DECODER}", self.encoder.fingerprint, digest)

    @property
    def _token_shape(self) -> tuple[int, int]:
        return self.encoder.token_shape if isinstance(self.encoder, SpatialEncoder) else (0, 0)

    def _tokens_key(self, digest: bytes) -> bytes:
        return cache_key(f"tokens/1 {self._token_shape} {_DECODER}", self.encoder.fingerprint, digest)


@dataclass
class _ImageJob:
    """What is known of one call's pictures while they pass through."""

    vectors: Floats
    cache: ByteCache | None
    tokens: SpatialEncoder | None  # what gives them, where they are wanted
    stats: list[bytes | None] = field(default_factory=list)
    digests: dict[int, bytes] = field(default_factory=dict)  # position -> content, as far as it is known
    waiting: dict[bytes, list[int]] = field(default_factory=dict)  # content under way -> positions that want it
    done: dict[bytes, int] = field(default_factory=dict)  # content encoded in this call -> a position that has it
    bad: dict[int, str] = field(default_factory=dict)
    encoded: int = 0

    def kept(self, count: int) -> Indices:
        """The positions among `count` whose pictures could be read."""
        return np.array([i for i in range(count) if i not in self.bad], dtype=np.intp)

    def contents(self, positions: list[int]) -> int:
        """How many different pictures lie at `positions`, at the most: those not read yet may turn out alike."""
        known = [self.digests[i] for i in positions if i in self.digests]
        return len(positions) - len(known) + len(set(known))


@dataclass(frozen=True)
class _Encoded:
    """A batch that the model is done with: vectors [n, D], and tokens [n, L, D'] where they are wanted."""

    files: list[PictureFile]
    vectors: Floats
    tokens: Halves | None = None


def _make_sure_of_space(cache: ByteCache, missing: int, size: int) -> None:
    """Say what `missing` pictures of `size` bytes each will take. Raises CacheError if the disk has not so much."""
    if not missing:
        return
    what, needed, free = f"tokens of {counted(missing, 'picture')}", missing * size, cache.free_bytes()
    if needed * _DISK_SHARE > free:
        raise CacheError(
            f"expected {in_bytes(int(needed * _DISK_SHARE))} free for {what} in {cache.folder}, "
            f"found {in_bytes(free)}; use a folder with more room (--cache DIR)"
        )
    logger.info(f"{what}: {in_bytes(needed)} in {cache.folder}")


def _two(found: tuple[Floats, Halves]) -> tuple[Floats, Halves]:
    vectors, tokens = found
    return np.asarray(vectors, dtype=np.float32), np.asarray(tokens, dtype=np.float16)


def _get(cache: ByteCache | None, keys: list[bytes]) -> Iterator[bytes | None]:
    """The stored value of each key or None, read in blocks: a million of them at once would fill gigabytes."""
    if cache is None:
        yield from (None for _ in keys)
        return
    for start in range(0, len(keys), _READ_BLOCK):
        yield from cache.get_many(keys[start : start + _READ_BLOCK])


def _batches(items: list[int], size: int) -> Iterator[list[int]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
