"""The image pipeline: read, decode, encode and write, all at the same time."""

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

_BATCHES_UNDER_WAY = 2  # one in the model, one ready for it


@dataclass
class ImageJob:
    """What is known of one call's N images while they pass through the pipeline.

    Attributes:
        refs: the images.
        vectors: [N, D] float32, of those that are answered.
        stat_keys: N keys that recognise a file without reading it, see `stat_key`.
        digests: position -> content, as far as it is known.
        unread: positions that the cache could not answer by a stat key alone.
        waiting: content under way -> positions that want it.
        done: content encoded in this call -> a position that has it.
        bad: position -> why it cannot be read.
        encoded: how many contents were encoded.
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
        """How many different images are unread, at most: those of unknown content may turn out alike."""
        known = [self.digests[i] for i in self.unread if i in self.digests]
        return len(self.unread) - len(known) + len(set(known))

    def answer(self, content: ImageContent, cached: Mapping[bytes, Floats]) -> bool:
        """Whether `cached` vectors, or an image of the same content that is done, gave this image its vector."""
        self.digests[content.position] = content.digest
        if content.digest in cached:
            self.vectors[content.position] = cached[content.digest]
        elif content.digest in self.done:
            self.vectors[content.position] = self.vectors[self.done[content.digest]]
        else:
            return False
        return True

    def queue(self, content: ImageContent) -> bool:
        """Let an image wait for its content; whether it is the first that does."""
        positions = self.waiting.setdefault(content.digest, [])
        positions.append(content.position)
        return len(positions) == 1


@dataclass(frozen=True)
class _Batch:
    """A batch that the model is done with: vectors [n, D], and tokens [n, L, D'] where they are wanted."""

    contents: list[ImageContent]
    vectors: Floats
    tokens: Halves | None = None


@dataclass(frozen=True)
class ImagePipeline:
    """Embeds images: what the cache has first, the rest through the encoder and into the cache, batch by batch.

    Attributes:
        encoder: what embeds.
        cached: where embeddings are looked up and kept.
        spatial: the encoder again where its tokens are wanted too, else None.
        batch_size: images encoded, and committed, at a time.
        workers: threads that read and decode.
    """

    encoder: CheckedEncoder
    cached: CachedEmbeddings
    spatial: SpatialEncoder | None
    batch_size: int
    workers: int

    def recall(self, refs: Sequence[ImageRef]) -> ImageJob:
        """A job in which all that a stat key alone can answer is answered."""
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
        """Answer for the unread images of a job.

        Raises:
            ModelError: the encoder failed.
            CacheError: the cache failed; what was finished is kept.
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
        """Three things at once: files are read and decoded ahead, the model computes, finished batches are written."""
        window = 2 * self.batch_size
        contents = ahead(readers, lambda i: read_image(i, job.refs[i]), job.unread, window)
        new = self._new_contents(contents, job, advance)
        images = ahead(readers, lambda content: (content, self._decoded(content)), new, window)
        batches = self._batches(images, job, advance)
        for batch in ahead(model, self._encoded, batches, _BATCHES_UNDER_WAY):
            self._commit(batch, job, advance)

    def _recalled(self, digests: Sequence[bytes]) -> Iterator[Floats | None]:
        return self.cached.images(digests, self.spatial)

    def _new_contents(
        self, contents: Iterable[ImageContent | Unreadable], job: ImageJob, advance: Advance
    ) -> Iterator[ImageContent]:
        """Pass on each new content once; answer the rest from the cache or from what is already under way."""
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
        for content, vector in zip(batch.contents, self._known_first(batch), strict=True):
            positions = job.waiting.pop(content.digest)
            job.vectors[positions] = vector
            job.done[content.digest] = content.position
            entries[self.cached.image_key(content.digest)] = vector.tobytes()
            answered += len(positions)
        self.cached.put(entries | self._token_entries(batch))
        job.encoded += len(batch.contents)
        advance(answered)

    def _known_first(self, batch: _Batch) -> list[Floats]:
        """[n] the batch's vectors, but those that the cache has already: what was answered once stays the answer."""
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
