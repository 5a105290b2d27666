"""Predicting labels on images: scores and decisions for your own images and label names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from zsprompt._utils.arrays import Bools, Floats
from zsprompt.data.images import ImageRef
from zsprompt.data.inputs import Paths, Sources, sources_of
from zsprompt.data.remarks import Remark, Remarks
from zsprompt.errors import DataError
from zsprompt.prompts.labels import check_labels
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import (
    PerLabel,
    ReferenceWords,
    Softmax,
    Strategy,
    needs_all_images,
    reads,
    reference_words,
    refuse,
    refuse_images,
    scores_logs,
)
from zsprompt.strategies.base import BestWindows

PART = 2**15
"""Number of images predicted at a time, so that memory does not grow with their total."""


@dataclass(frozen=True)
class Predictions:
    """Scores and decisions for the N images that could be read.

    Attributes:
        images: N ids, in the order of the inputs.
        labels: C names.
        scores: [N, C] float32, higher = more likely present; their scale depends on the strategy.
        decisions: [N, C] whether the strategy predicts each label.
        bad: (id, reason) of the images that could not be read.
        remarks: what was left out of folders and tar files, or guessed from names.
        unfamiliar: words that the model was never trained on.
        overflowed: number of candidates left out because their text does not fit the model, over all images.
        worded: number of label-set captions per origin.
        probabilities: [N, C] float32, 0..1, where the strategy has a calibration.
        reference_words: what each label was compared with besides the other labels; None if with nothing.
        windows: the window that each score comes from; None if scores come from whole images alone.
        scores_logs: whether scores are logarithms of posteriors.
        refs: the N images, to read them again; empty where they are not known.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    scores: Floats
    decisions: Bools
    bad: tuple[tuple[str, str], ...] = ()
    remarks: tuple[Remark, ...] = ()
    overflowed: int = 0
    unfamiliar: tuple[str, ...] = ()
    worded: Mapping[str, int] = field(default_factory=dict)
    probabilities: Floats | None = None
    reference_words: ReferenceWords | None = None
    windows: BestWindows | None = None
    refs: tuple[ImageRef, ...] = ()
    scores_logs: bool = False

    def present(self, position: int) -> list[tuple[str, float]]:
        """The labels predicted for image `position` with their scores, the highest first."""
        row, decided = self.scores[position], self.decisions[position]
        return sorted(
            ((label, float(row[c])) for c, label in enumerate(self.labels) if decided[c]), key=lambda pair: -pair[1]
        )

    def boxes(self, position: int) -> dict[str, tuple[float, float, float, float]]:
        """The window of each label predicted for image `position`; none where scores have no windows.

        Each is left, top, right and bottom, as shares of the image's width and height, 0..1.
        """
        if self.windows is None:
            return {}
        decided = self.decisions[position]
        return {label: self.windows.box(position, c) for c, label in enumerate(self.labels) if decided[c]}


def predict(
    paths: Paths | Sources,
    labels: Sequence[str],
    store: EmbeddingStore,
    *,
    strategy: Strategy | None = None,
    captions: Mapping[str, str] | None = None,
) -> Predictions:
    """Predict which of `labels` are on the images at `paths`.

    Args:
        paths: image files, folders (searched to any depth), .tar files, and .csv, .jsonl or .parquet lists of files; or
            what was found there.
        labels: C names of your choice.
        store: embeds images and texts.
        strategy: `Softmax(PerLabel())` by default.
        captions: image captions by image id, for an adapter that reads them.

    Raises:
        DataError: a path is missing, a tar file or list is broken, or there is no image. An image that cannot be read
            raises nothing: see `Predictions.bad`.
        LabelError: labels are blank, duplicate or too long for the model.
        ModelError, CacheError: see EmbeddingStore.
    """
    return joined(predict_in_parts(paths, labels, store, strategy=strategy, captions=captions))


def predict_in_parts(
    paths: Paths | Sources,
    labels: Sequence[str],
    store: EmbeddingStore,
    *,
    strategy: Strategy | None = None,
    captions: Mapping[str, str] | None = None,
) -> Iterator[Predictions]:
    """As `predict`, but `PART` images at a time, for more images than memory can hold scores of.

    A strategy scores each image on its own, so the parts do not change the scores. One that compares images gets all
    of them as one part.

    Args, Raises: see `predict`.
    """
    labels = check_labels(labels)
    sources = paths if isinstance(paths, Sources) else sources_of(paths)
    chosen = strategy or Softmax(PerLabel())
    refuse(chosen, labels, store)
    refuse_images(chosen, sources.count)
    size = sources.count if needs_all_images(chosen) else PART
    remarks = sources.remarks
    refs = iter(sources)
    done = 0
    while part := list(islice(refs, size)):
        yield replace(_predicted(part, labels, store, chosen, captions), remarks=remarks)
        remarks = ()  # count these files once
        done += len(part)
    if done != sources.count:
        raise DataError(
            f"expected {sources.count:,} images as counted before, found {done:,}; did a list change meanwhile?"
        )


def _predicted(
    refs: Sequence[ImageRef],
    labels: tuple[str, ...],
    store: EmbeddingStore,
    strategy: Strategy,
    captions: Mapping[str, str] | None,
) -> Predictions:
    store.take_unfamiliar()
    texts = None if captions is None else [captions.get(ref.id.strip(), "") for ref in refs]
    embedded = embed(refs, store, reads(strategy), [] if texts is None else [texts])
    if texts is not None and (missing := [refs[i].id for i in embedded.kept if not texts[i]]):
        raise DataError(
            f"expected a caption for each of {len(embedded.kept):,} images, found none for {len(missing):,} "
            f"({missing[0]}); `zsprompt caption-images` on the same images writes them"
        )
    answer = strategy.predict(embedded.images, labels, store)
    return Predictions(
        images=tuple(refs[i].id for i in embedded.kept),
        labels=labels,
        scores=answer.scores,
        decisions=answer.decisions,
        bad=tuple((refs[i].id, reason) for i, reason in embedded.bad),
        overflowed=answer.overflowed,
        unfamiliar=store.take_unfamiliar(),
        worded=answer.worded,
        probabilities=answer.probabilities,
        reference_words=reference_words(strategy, labels),
        windows=answer.windows,
        scores_logs=scores_logs(strategy),
        refs=tuple(refs[i] for i in embedded.kept),
    )


def joined(parts: Iterable[Predictions]) -> Predictions:
    """The parts as one. Needs at least one part."""
    every = list(parts)
    if len(every) == 1:
        return every[0]
    totals = Totals()
    for part in every:
        totals.add(part)
    return Predictions(
        images=tuple(image for part in every for image in part.images),
        labels=every[0].labels,
        scores=np.concatenate([part.scores for part in every]),
        decisions=np.concatenate([part.decisions for part in every]),
        probabilities=_joined_probabilities(every),
        bad=tuple(totals.bad),
        remarks=totals.remarks.found(),
        overflowed=totals.overflowed,
        unfamiliar=tuple(totals.unfamiliar),
        worded=dict(totals.worded),
        reference_words=every[0].reference_words,
        windows=_joined_windows(every),
        scores_logs=every[0].scores_logs,
        refs=tuple(ref for part in every for ref in part.refs),
    )


def _joined_probabilities(parts: Sequence[Predictions]) -> Floats | None:
    given = [part.probabilities for part in parts if part.probabilities is not None]
    return np.concatenate(given) if given else None


def _joined_windows(parts: Sequence[Predictions]) -> BestWindows | None:
    given = [part.windows for part in parts if part.windows is not None]
    if not given:
        return None
    return BestWindows(
        np.concatenate([windows.grids for windows in given]), np.concatenate([windows.best for windows in given])
    )


@dataclass
class Totals:
    """Totals over all parts, without scores.

    Attributes: as in Predictions; `images` is the number of images read, `present` that of labels predicted for them.
    """

    images: int = 0
    present: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks)
    overflowed: int = 0
    unfamiliar: dict[str, None] = field(default_factory=dict)
    worded: Counter[str] = field(default_factory=Counter)

    def add(self, part: Predictions) -> None:
        """Add one part."""
        self.images += len(part.images)
        self.present += int(part.decisions.sum())
        self.bad += part.bad
        self.remarks.add_all(part.remarks)
        self.overflowed += part.overflowed
        self.unfamiliar |= dict.fromkeys(part.unfamiliar)
        self.worded.update(part.worded)

    def watch(self, parts: Iterable[Predictions]) -> Iterator[Predictions]:
        """Yield the parts and add each one."""
        for part in parts:
            self.add(part)
            yield part
