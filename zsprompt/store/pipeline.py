"""The image pipeline: reading, decoding, encoding and writing run concurrently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

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
class _Batch:
    """An encoded batch: vectors [n, D], and tokens [n, L, D'] if they are requested."""

    contents: list[ImageContent]
    vectors: Floats
    tokens: Halves | None = None


@dataclass(frozen=True)
class ImagePipeline:
    """Embeds images. Cached embeddings are reused; the others are encoded and cached, batch by batch.

    Attributes:
        encoder: embeds images.
        cached: cached embeddings.
        spatial: the encoder if its tokens are requested too, else None.
        batch_size: images per encoded and committed batch.
        workers: number of threads that read and decode.
    """

    encoder: CheckedEncoder
    cached: CachedEmbeddings
    spatial: SpatialEncoder | None
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
        images = ahead(readers, lambda content: (content, self._decoded(content)), new, window)
        batches = self._batches(images, job, advance)
        for batch in ahead(model, self._encoded, batches, _BATCHES_IN_PROGRESS):
            self._commit(batch, job, advance)

    def _recalled(self, digests: Sequence[bytes]) -> Iterator[Floats | None]:
        return self.cached.images(digests, self.spatial)

    def _new_contents(
        self, contents: Iterable[ImageContent | Unreadable], job: ImageJob, advance: Advance
    ) -> Iterator[ImageContent]:
        """Yield each new content once. Fill in the others from the cache or from duplicates in progress."""
        contents = iter(contents)
        while group := list(islice(contents, self.batch_size)):
            readable = [content for content in group if isinstance(content, ImageContent)]
            vectors = self._recalled([content.digest for content in readable])
            cached = {c.digest: v for c, v in zip(readable, vectors, strict=True) if v is not None}
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

    def _decoded(self, content: ImageContent) -> Image | ImageError:
        try:
            image = decode(content.take_bytes())
        except ImageError as error:
            return error
        return self.encoder.prepare(image)

    def _batches(
        self, images: Iterable[tuple[ImageContent, Image | ImageError]], job: ImageJob, advance: Advance
    ) -> Iterator[list[tuple[ImageContent, Image]]]:
        batch: list[tuple[ImageContent, Image]] = []
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

    def _encoded(self, batch: list[tuple[ImageContent, Image]]) -> _Batch:
        contents, images = [content for content, _ in batch], [image for _, image in batch]
        if self.spatial:
            return _Batch(contents, *self.encoder.tokens(images))
        return _Batch(contents, self.encoder.images(images))

    def _commit(self, batch: _Batch, job: ImageJob, advance: Advance) -> None:
        entries: dict[bytes, bytes] = {}
        answered = 0
        for content, vector in zip(batch.contents, self._cached_first(batch), strict=True):
            positions = job.waiting.pop(content.digest)
            job.vectors[positions] = vector
            job.done[content.digest] = content.position
            entries[self.cached.image_key(content.digest)] = vector.tobytes()
            answered += len(positions)
        self.cached.put(entries | self._token_entries(batch))
        job.encoded += len(batch.contents)
        advance(answered)

    def _cached_first(self, batch: _Batch) -> list[Floats]:
        """[n] the batch's vectors, but the cached ones where they exist: a cached vector never changes."""
        if batch.tokens is None:
            return list(batch.vectors)
        cached = self.cached.vectors([self.cached.image_key(content.digest) for content in batch.contents])
        return [new if old is None else old for new, old in zip(batch.vectors, cached, strict=True)]

    def _token_entries(self, batch: _Batch) -> dict[bytes, bytes]:
        if batch.tokens is None:
            return {}
        shape = batch.tokens.shape[1], batch.tokens.shape[2]
        return {
            self.cached.tokens_key(content.digest, shape): tokens.tobytes()
            for content, tokens in zip(batch.contents, batch.tokens, strict=True)
        }
