"""The image pipeline: reading, decoding, encoding and writing run concurrently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from zsprompt._utils.arrays import Floats, Halves, Indices
from zsprompt._utils.progress import Advance
from zsprompt._utils.read_ahead import ahead
from zsprompt.data.images import ImageRef, decode
from zsprompt.encoders import SpatialEncoder
from zsprompt.errors import ImageError
from zsprompt.store.cached_embeddings import CachedEmbeddings
from zsprompt.store.checked_encoder import CheckedEncoder
from zsprompt.store.image_files import ImageContent, Unreadable, read_image, stat_key
from zsprompt.store.image_parts import ImagePart, to_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

_BATCHES_IN_PROGRESS = 2  # one in the model, one ready for it


@dataclass
class ImageJob:
    """The state of one call: N images on their way through the pipeline.

    Attributes:
        refs: the images.
        vectors: [N, D] float32; rows are filled in as they become available.
        stat_keys: N keys that identify a file without reading it; see `stat_key`.
        digests: position -> digest of the content, if known.
        unread: positions without a vector after the lookup by stat key.
        waiting: digest of a content in progress -> positions that need it.
        done: digest of a content encoded in this call -> one of its positions.
        lacking: digest of a content -> whether it lacks its vector, and the rows of each part.
        bad: position -> reason why the image cannot be read.
        encoded: number of contents encoded.
    """

    refs: Sequence[ImageRef]
    vectors: Floats
    stat_keys: list[bytes | None]
    digests: dict[int, bytes] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)
    waiting: dict[bytes, list[int]] = field(default_factory=dict)
    done: dict[bytes, int] = field(default_factory=dict)
    lacking: dict[bytes, tuple[bool, ...]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    encoded: int = 0

    def kept(self) -> Indices:
        """[N'] the positions of the images that could be read."""
        return np.array([i for i in range(len(self.refs)) if i not in self.bad], dtype=np.intp)

    def unread_contents(self) -> int:
        """Upper bound on the number of distinct unread images. Files of unknown content may be duplicates."""
        digests = [self.digests[i] for i in self.unread if i in self.digests]
        return len(self.unread) - len(digests) + len(set(digests))

    def answer(self, content: ImageContent, cached: Mapping[bytes, Floats]) -> bool:
        """Fill in the image's vector from `cached` or from a finished duplicate. Returns whether that was possible."""
        self.digests[content.position] = content.digest
        if content.digest in cached:
            self.vectors[content.position] = cached[content.digest]
        elif content.digest in self.done:
            self.vectors[content.position] = self.vectors[self.done[content.digest]]
        else:
            return False
        return True

    def queue(self, content: ImageContent) -> bool:
        """Let an image wait for its content. Returns whether it is the first to do so."""
        positions = self.waiting.setdefault(content.digest, [])
        positions.append(content.position)
        return len(positions) == 1


@dataclass(frozen=True)
class _Prepared:
    """A decoded image, prepared for each pass that it lacks; None for a pass that is stored."""

    vector: Image | None
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class _Batch:
    """An encoded batch: the vectors [D] that were lacking, tokens [n, L, D'] if requested, and rows by their key."""

    contents: list[ImageContent]
    vectors: dict[bytes, Floats]
    tokens: Halves | None
    rows: dict[bytes, bytes]


@dataclass(frozen=True)
class ImagePipeline:
    """Embeds images. Cached embeddings are reused; the others are encoded and cached, batch by batch.

    Attributes:
        encoder: embeds images.
        cached: cached embeddings.
        spatial: the encoder if its tokens are requested too, else None.
        parts: the passes whose rows are requested too.
        batch_size: images per encoded and committed batch.
        workers: number of threads that read and decode.
    """

    encoder: CheckedEncoder
    cached: CachedEmbeddings
    spatial: SpatialEncoder | None
    parts: Sequence[ImagePart]
    batch_size: int
    workers: int

    def recall(self, refs: Sequence[ImageRef]) -> ImageJob:
        """A job whose vectors are filled in where a stat key leads to a cached embedding."""
        vectors = np.empty((len(refs), self.encoder.encoder.dim), dtype=np.float32)
        job = ImageJob(refs, vectors, [stat_key(ref) for ref in refs])
        positions = [i for i, key in enumerate(job.stat_keys) if key]
        digests = self.cached.get([key for key in job.stat_keys if key])
        job.digests = {i: digest for i, digest in zip(positions, digests, strict=True) if digest}
        answered = set()
        for i, vector in zip(job.digests, self._recalled(list(job.digests.values())), strict=True):
            if vector is not None:
                job.vectors[i] = vector
                answered.add(i)
        job.unread = [i for i in range(len(refs)) if i not in answered]
        return job

    def run(self, job: ImageJob, advance: Advance) -> None:
        """Embed the unread images of a job.

        Raises:
            ModelError: the encoder failed.
            CacheError: the cache failed. Finished batches are kept.
        """
        with (
            ThreadPoolExecutor(self.workers, thread_name_prefix="zsprompt-decode") as readers,
            ThreadPoolExecutor(1, thread_name_prefix="zsprompt-encode") as model,
        ):
            try:
                self._run(job, readers, model, advance)
            except BaseException:
                for pool in (readers, model):
                    pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _run(self, job: ImageJob, readers: ThreadPoolExecutor, model: ThreadPoolExecutor, advance: Advance) -> None:
        """Concurrently: read and decode files ahead, run the model, write finished batches."""
        window = 2 * self.batch_size
        contents = ahead(readers, lambda i: read_image(i, job.refs[i]), job.unread, window)
        new = self._new_contents(contents, job, advance)
        images = ahead(readers, lambda content: (content, self._decoded(content, job)), new, window)
        batches = self._batches(images, job, advance)
        for batch in ahead(model, self._encoded, batches, _BATCHES_IN_PROGRESS):
            self._commit(batch, job, advance)

    def _recalled(self, digests: Sequence[bytes]) -> Iterator[Floats | None]:
        return self.cached.images(digests, self.spatial, self.parts)

    def _new_contents(
        self, contents: Iterable[ImageContent | Unreadable], job: ImageJob, advance: Advance
    ) -> Iterator[ImageContent]:
        """Yield each new content once. Fill in the others from the cache or from duplicates in progress."""
        contents = iter(contents)
        while group := list(islice(contents, self.batch_size)):
            readable = [content for content in group if isinstance(content, ImageContent)]
            vectors = self._recalled([content.digest for content in readable])
            cached = {c.digest: v for c, v in zip(readable, vectors, strict=True) if v is not None}
            job.lacking |= self._lacking([c.digest for c in readable if c.digest not in cached])
            for item in group:
                if isinstance(item, Unreadable):
                    job.bad[item.position] = item.reason
                    advance(1)
                elif job.answer(item, cached):
                    advance(1)
                elif job.queue(item):
                    yield item
            shortcuts: dict[bytes, bytes] = {}
            for content in readable:
                shortcuts |= content.shortcut(job.stat_keys[content.position])
            self.cached.put(shortcuts)

    def _lacking(self, digests: list[bytes]) -> dict[bytes, tuple[bool, ...]]:
        """For each content, whether it lacks its vector, and the rows of each part."""
        if not self.parts:
            return dict.fromkeys(digests, (True,))
        vectors = self.cached.vectors([self.cached.image_key(digest) for digest in digests])
        lacks = [[vector is None for vector in vectors]]
        lacks += [[not has for has in self.cached.has_part(digests, part)] for part in self.parts]
        return dict(zip(digests, zip(*lacks, strict=True), strict=True))

    def _decoded(self, content: ImageContent, job: ImageJob) -> _Prepared | ImageError:
        try:
            image = decode(content.take_bytes())
        except ImageError as error:
            return error
        lacks_vector, *lacks_parts = job.lacking[content.digest]
        vector = self.encoder.prepare(image) if lacks_vector or self.spatial else None
        pairs = zip(self.parts, lacks_parts, strict=True)
        return _Prepared(vector, tuple(part.prepare(image) if lacks else None for part, lacks in pairs))

    def _batches(
        self, images: Iterable[tuple[ImageContent, _Prepared | ImageError]], job: ImageJob, advance: Advance
    ) -> Iterator[list[tuple[ImageContent, _Prepared]]]:
        batch: list[tuple[ImageContent, _Prepared]] = []
        for content, image in images:
            if isinstance(image, ImageError):
                for i in job.waiting.pop(content.digest):
                    job.bad[i] = str(image)
                    advance(1)
                continue
            batch.append((content, image))
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _encoded(self, batch: list[tuple[ImageContent, _Prepared]]) -> _Batch:
        contents = [content for content, _ in batch]
        lacking = [(content.digest, one.vector) for content, one in batch if one.vector is not None]
        images = [image for _, image in lacking]
        tokens: Halves | None = None
        if self.spatial:
            vectors, tokens = self.encoder.tokens(images)
        else:
            vectors = self.encoder.images(images) if images else np.empty((0, 0), dtype=np.float32)
        by_digest = {digest: vector for (digest, _), vector in zip(lacking, vectors, strict=True)}
        rows: dict[bytes, bytes] = {}
        for position, part in enumerate(self.parts):
            rows |= self._rows(part, [(content, one.parts[position]) for content, one in batch])
        return _Batch(contents, by_digest, tokens, rows)

    def _rows(self, part: ImagePart, batch: list[tuple[ImageContent, Any]]) -> dict[bytes, bytes]:
        """The entries of a part, for the images that were prepared for it."""
        lacking = [(content.digest, prepared) for content, prepared in batch if prepared is not None]
        entries: dict[bytes, bytes] = {}
        encoded = part.encode([prepared for _, prepared in lacking]) if lacking else ()
        for (digest, _), (grid, kinds) in zip(lacking, encoded, strict=True):
            for kind, rows in kinds.items():
                entries[self.cached.part_key(digest, kind, part.kinds[kind])] = to_bytes(grid, rows)
        return entries

    def _commit(self, batch: _Batch, job: ImageJob, advance: Advance) -> None:
        entries: dict[bytes, bytes] = {}
        answered = 0
        for content, vector in zip(batch.contents, self._cached_first(batch), strict=True):
            positions = job.waiting.pop(content.digest)
            job.lacking.pop(content.digest, None)
            job.vectors[positions] = vector
            job.done[content.digest] = content.position
            entries[self.cached.image_key(content.digest)] = vector.tobytes()
            answered += len(positions)
        self.cached.put(entries | self._token_entries(batch) | batch.rows)
        job.encoded += len(batch.contents)
        advance(answered)

    def _cached_first(self, batch: _Batch) -> list[Floats]:
        """[n] the batch's vectors, but the cached ones where they exist: a cached vector never changes."""
        if batch.tokens is None and len(batch.vectors) == len(batch.contents):
            return [batch.vectors[content.digest] for content in batch.contents]
        cached = self.cached.vectors([self.cached.image_key(content.digest) for content in batch.contents])
        pairs = zip(batch.contents, cached, strict=True)
        return [batch.vectors[content.digest] if old is None else old for content, old in pairs]

    def _token_entries(self, batch: _Batch) -> dict[bytes, bytes]:
        if batch.tokens is None:
            return {}
        shape = batch.tokens.shape[1], batch.tokens.shape[2]
        return {
            self.cached.tokens_key(content.digest, shape): tokens.tobytes()
            for content, tokens in zip(batch.contents, batch.tokens, strict=True)
        }
