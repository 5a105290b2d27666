"""EmbeddingStore: encodes each distinct text and image once."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np

from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Bools, Floats, Indices
from zsprompt._utils.byte_cache import ByteCache, default_cache, temporary_cache
from zsprompt._utils.progress import Outermost, Progress, quiet
from zsprompt.data.images import ImageRef
from zsprompt.encoders import BatchedEncoder, ClassEncoder, Encoder, SpatialEncoder, load_encoder
from zsprompt.errors import UsageError
from zsprompt.store.cached_embeddings import CachedEmbeddings, StoredTokens, check_space
from zsprompt.store.checked_encoder import CheckedEncoder
from zsprompt.store.image_parts import BEFORE_WINDOWS, CLASSES, WINDOWS, ImagePart, StoredRows, parts_for
from zsprompt.store.pipeline import ImageJob, ImagePipeline

_DEFAULT_BATCH = 64
MAX_BATCH = 2**16
MAX_WORKERS = 256


@dataclass
class Counts:
    """Work done by a store so far. A duplicate within one call counts as cached: it is not encoded again."""

    texts_encoded: int = 0
    texts_cached: int = 0
    texts_not_kept: int = 0
    images_encoded: int = 0
    images_cached: int = 0


@dataclass(frozen=True)
class EmbeddedImages:
    """Embeddings of the readable images.

    Attributes:
        vectors: [N', D] float32, unit rows.
        kept: [N'] positions of the readable images among those requested.
        bad: (position, reason) of each unreadable image.
        tokens: of the same images, shape (N', L, D'), if requested. They stay in the cache folder and are readable
            until the store is closed.
        windows: window vectors of the same images, if requested; see Images.
        classes: class logits of the same images, if requested; see Images.
    """

    vectors: Floats
    kept: Indices
    bad: tuple[tuple[int, str], ...] = ()
    tokens: StoredTokens | None = None
    windows: StoredRows | None = None
    classes: StoredRows | None = None


class EmbeddingStore:
    """Embeds texts and images with `encoder`, and caches the embeddings in a folder, batch by batch.

    A kill loses at most the current batch. A run with a full cache gives the same bits as the run that filled it. An
    image is identified by its content. A file with unchanged size, times and inode is not read again.

    Args:
        encoder: computes the embeddings; a name is loaded, see `load_encoder`.
        cache: the cache folder; "default" is ZSPROMPT_CACHE or the user's cache directory, None keeps nothing.
        batch_size: texts or images per batch; by default the encoder's preference, or 64 images.
        workers: number of threads that read and decode images while the model computes; by default one per core.
        progress: shows progress.

    Raises:
        CacheError: the folder is foreign, unwritable, full or damaged.
        UsageError: a batch size or number of workers is below 1 or too large.
    """

    @checked
    def __init__(
        self,
        encoder: Encoder | str,
        *,
        cache: Path | str | None = "default",
        batch_size: int | None = None,
        workers: int | None = None,
        progress: Progress = quiet,
    ) -> None:
        limits = (("batch size", batch_size, MAX_BATCH), ("number of workers", workers, MAX_WORKERS))
        for name, value, largest in limits:
            if value is not None and not 1 <= value <= largest:
                raise UsageError(f"expected a {name} of at least 1 and at most {largest}, got {value}")
        encoder = load_encoder(encoder) if isinstance(encoder, str) else encoder
        self.encoder = encoder
        self.counts = Counts()
        self._checked = CheckedEncoder(encoder)
        folder = default_cache() if cache == "default" else cache
        self._cache = None if folder is None else ByteCache(Path(folder))
        self._temporary: ByteCache | None = None
        self._cached = CachedEmbeddings(encoder, self._cache)
        preferred = encoder.image_batch if isinstance(encoder, BatchedEncoder) else _DEFAULT_BATCH
        self._batch_size = batch_size or preferred
        self._text_batch = batch_size or encoder.text_batch
        self._unfamiliar: dict[str, None] = {}
        self._workers = workers or os.cpu_count() or 1
        self._progress = Outermost(progress)

    @property
    def logit_scale(self) -> float | None:
        """The encoder's factor on a cosine before a softmax, or None. Cached if it is one of the weights."""
        return self._cached.logit_scale()

    @property
    def logit_bias(self) -> float | None:
        """What the encoder adds to the scaled cosine before a sigmoid; None if it was trained with a softmax."""
        return self._cached.logit_bias()

    @property
    def fingerprint(self) -> str:
        """The encoder's fingerprint, which changes whenever an embedding could change."""
        return self.encoder.fingerprint

    @property
    def class_texts(self) -> tuple[str, ...]:
        """The texts of the classes that the encoder knows; empty if it knows none."""
        return self.encoder.class_texts if isinstance(self.encoder, ClassEncoder) else ()

    @property
    def progress(self) -> Progress:
        """For callers that embed texts in many calls. The progress of the single calls is hidden meanwhile."""
        return self._progress

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text fits the encoder's context."""
        return self.encoder.fits(texts)

    def texts(self, texts: Sequence[str], *, keep: bool = True) -> Floats:
        """[T, D] float32, unit rows. Texts that the model reads as the same are embedded once.

        Args:
            texts: texts that fit the encoder's context.
            keep: False neither reads nor writes the cache, for example for millions of texts.

        Raises:
            LabelError: a text does not fit the encoder's context.
            ModelError: the encoder failed.
            CacheError: the cache failed. Finished batches are kept.
        """
        cleaned = [self.encoder.clean(text) for text in texts]
        distinct = list(dict.fromkeys(cleaned))
        keys = [self._cached.text_key(text) for text in distinct] if keep else []
        vectors = np.empty((len(distinct), self.encoder.dim), dtype=np.float32)
        missing = self._recall_texts(vectors, keys) if keep else list(range(len(distinct)))
        missing.sort(key=distinct.__getitem__)  # texts with a common prefix share work in a token trie
        if keep:
            self._unfamiliar |= dict.fromkeys(self.encoder.unfamiliar(distinct))
        with self._progress("texts", len(missing), "texts") as advance:
            for start in range(0, len(missing), self._text_batch):
                batch = missing[start : start + self._text_batch]
                vectors[batch] = self._checked.texts([distinct[i] for i in batch])
                if keep:
                    self._cached.put({keys[i]: vectors[i].tobytes() for i in batch})
                advance(len(batch))
        self.counts.texts_encoded += len(missing)
        self.counts.texts_cached += len(distinct) - len(missing)
        self.counts.texts_not_kept += 0 if keep else len(distinct)
        row = {text: i for i, text in enumerate(distinct)}
        return vectors[[row[text] for text in cleaned]]

    def take_unfamiliar(self) -> tuple[str, ...]:
        """Words that the encoder was never trained on, in the texts embedded since the last call."""
        words, self._unfamiliar = tuple(self._unfamiliar), {}
        return words

    def images(self, refs: Sequence[ImageRef]) -> EmbeddedImages:
        """Embed all readable images, and list the others with the reason. Raises what `read` raises."""
        return self.read(refs)

    def tokens(self, refs: Sequence[ImageRef]) -> EmbeddedImages:
        """As `images`, with spatial tokens."""
        return self.read(refs, ("tokens",))

    def read(self, refs: Sequence[ImageRef], reads: Collection[str] = ()) -> EmbeddedImages:
        """Embed all readable images, with what a strategy reads, and list the others with the reason.

        Tokens, windows and classes are cached as float16, batch by batch, together with the vectors. A store without a
        cache keeps them in a temporary folder until it is closed.

        Args:
            refs: the images.
            reads: what is read in addition to vectors: "tokens"; "windows", "windows:dense" or "windows:crops";
                "classes".

        Raises:
            ModelError: the encoder cannot give what is read, or failed.
            CacheError: the folder's disk has too little space, or the cache failed; what was finished is kept.
        """
        spatial = self._checked.spatial() if "tokens" in reads else None
        parts = parts_for(self._checked, reads, self._batch_size)
        stored = self._part_cache() if spatial or parts else self._cache or self._temporary
        pipeline = self._pipeline(stored, spatial, parts)
        job = pipeline.recall(refs)
        if stored and (spatial or parts):
            sizes = {"tokens": 2 * math.prod(spatial.token_shape)} if spatial else {}
            sizes |= {" and ".join(part.kinds): part.bytes_per_image for part in parts}
            check_space(stored, job.unread_contents(), sizes)
        embedded = self._run(pipeline, job)
        digests = [job.digests[int(i)] for i in embedded.kept] if stored else []
        if spatial and stored:
            keys = tuple(self._cached.tokens_key(digest, spatial.token_shape) for digest in digests)
            embedded = replace(embedded, tokens=StoredTokens(stored, keys, spatial.token_shape))
        rows = {kind: self._rows(stored, digests, kind, key) for part in parts for kind, key in part.kinds.items()}
        return replace(embedded, windows=rows.get(WINDOWS), classes=rows.get(CLASSES))

    def _rows(self, cache: ByteCache | None, digests: Sequence[bytes], kind: str, key: str) -> StoredRows:
        assert cache is not None  # there is one wherever parts are read
        encoder = self.encoder
        width = len(encoder.class_texts) if kind == CLASSES and isinstance(encoder, ClassEncoder) else encoder.dim
        keys = tuple(self._cached.part_key(digest, kind, key) for digest in digests)
        return StoredRows(cache, keys, width, BEFORE_WINDOWS[kind])

    def close(self) -> None:
        """Close the cache. The store can also be used as a context manager."""
        for cache in (self._cache, self._temporary):
            if cache:
                cache.close()

    def __enter__(self) -> EmbeddingStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recall_texts(self, vectors: Floats, keys: Sequence[bytes]) -> list[int]:
        """Write cached vectors into `vectors` [T, D]. Returns the rows that are still missing."""
        missing = []
        for i, vector in enumerate(self._cached.vectors(keys)):
            if vector is None:
                missing.append(i)
            else:
                vectors[i] = vector
        return missing

    def _part_cache(self) -> ByteCache:
        if self._cache:
            return self._cache
        self._temporary = self._temporary or temporary_cache()
        return self._temporary

    def _pipeline(
        self, cache: ByteCache | None, spatial: SpatialEncoder | None, parts: Sequence[ImagePart]
    ) -> ImagePipeline:
        cached = CachedEmbeddings(self.encoder, cache)
        return ImagePipeline(self._checked, cached, spatial, parts, self._batch_size, self._workers)

    def _run(self, pipeline: ImagePipeline, job: ImageJob) -> EmbeddedImages:
        """Embed the unread images of a job, and update the counts."""
        with self._progress("images", len(job.unread), "images") as advance:
            pipeline.run(job, advance)
        self.counts.images_cached += len(job.refs) - job.encoded - len(job.bad)
        self.counts.images_encoded += job.encoded
        kept = job.kept()
        return EmbeddedImages(job.vectors[kept], kept, tuple(sorted(job.bad.items())))
