"""Label names in, scores and decisions for pictures of your own out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from zsprompt._utils.arrays import Bools, Floats
from zsprompt.data.images import ImageRef
from zsprompt.data.inputs import find_sources
from zsprompt.errors import DataError
from zsprompt.prompts.labels import check_labels
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import embed
from zsprompt.strategies import Normalised, PerLabel, Strategy, reads, refuse

PART = 2**15
"""Pictures predicted at a time: what of them is in memory does not grow with their number."""


@dataclass(frozen=True)
class Predictions:
    """Scores and decisions for the N pictures that could be read.

    Attributes:
        images: N ids, in the order asked for.
        labels: C names.
        scores: [N, C] float32, higher = more likely present; what the numbers are the strategy says.
        decisions: [N, C] the strategy's yes or no.
        bad: (id, reason) of the pictures that could not be read.
        passed_over: other files that lay in the folders.
        unfamiliar: words that the model was never trained on.
        overflowed: candidates left out because their text does not fit the model, summed over the pictures.
        worded: where captions of label sets came from, and how many.
        probabilities: [N, C] float32, 0..1, where the strategy was given a calibration.
    """

    images: tuple[str, ...]
    labels: tuple[str, ...]
    scores: Floats
    decisions: Bools
    bad: tuple[tuple[str, str], ...] = ()
    passed_over: int = 0
    overflowed: int = 0
    unfamiliar: tuple[str, ...] = ()
    worded: Mapping[str, int] = field(default_factory=dict)
    probabilities: Floats | None = None

    def present(self, position: int) -> list[tuple[str, float]]:
        """The labels decided to be on picture `position`, each with its score, best first."""
        row, yes = self.scores[position], self.decisions[position]
        return sorted(
            ((label, float(row[c])) for c, label in enumerate(self.labels) if yes[c]), key=lambda pair: -pair[1]
        )


def predict(
    paths: Sequence[Path | str] | Path | str,
    labels: Sequence[str],
    store: EmbeddingStore,
    *,
    strategy: Strategy | None = None,
    captions: Mapping[str, str] | None = None,
) -> Predictions:
    """Which of `labels` are on the pictures at `paths`.

    Args:
        paths: picture files, folders searched to any depth, .tar files, and .csv, .jsonl or .parquet lists of files.
        labels: your words.
        store: where pictures and texts are embedded.
        strategy: `Normalised(PerLabel())` by default.
        captions: by image id, for an adapter that reads captions.

    Raises:
        DataError: a path is missing, a tar file or list is broken, or no picture was found. A picture that cannot be
            read is no error: see `bad`.
        LabelError: labels are blank, duplicate or too long for the model.
        ModelError, CacheError: see EmbeddingStore.
    """
    return joined(predict_in_parts(paths, labels, store, strategy=strategy, captions=captions))


def predict_in_parts(
    paths: Sequence[Path | str] | Path | str,
    labels: Sequence[str],
    store: EmbeddingStore,
    *,
    strategy: Strategy | None = None,
    captions: Mapping[str, str] | None = None,
) -> Iterator[Predictions]:
    """What `predict` says, `PART` pictures at a time, for more pictures than scores fit in memory.

    Strategies see each picture alone, so parts change no score.

    Args, Raises: see `predict`.
    """
    labels = check_labels(labels)
    given = [paths] if isinstance(paths, Path | str) else paths
    sources = find_sources([Path(path) for path in given])
    chosen = strategy or Normalised(PerLabel())
    refuse(chosen, labels, store)
    passed_over = sources.passed_over
    refs = iter(sources)
    done = 0
    while part := list(islice(refs, PART)):
        yield replace(_predicted(part, labels, store, chosen, captions), passed_over=passed_over)
        passed_over = 0  # said once
        done += len(part)
    if done != sources.count:
        raise DataError(f"expected {sources.count:,} pictures as counted at first, found {done:,}; did a list change?")


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
    )


def joined(parts: Iterable[Predictions]) -> Predictions:
    """Parts, of which there is at least one, as one."""
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
        passed_over=totals.passed_over,
        overflowed=totals.overflowed,
        unfamiliar=tuple(totals.unfamiliar),
        worded=dict(totals.worded),
    )


def _joined_probabilities(parts: Sequence[Predictions]) -> Floats | None:
    given = [part.probabilities for part in parts if part.probabilities is not None]
    return np.concatenate(given) if given else None


@dataclass
class Totals:
    """What is said of all parts together, without their scores.

    Attributes: as of Predictions; `pictures` is the number of those read.
    """

    pictures: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)
    passed_over: int = 0
    overflowed: int = 0
    unfamiliar: dict[str, None] = field(default_factory=dict)
    worded: Counter[str] = field(default_factory=Counter)

    def add(self, part: Predictions) -> None:
        """Count one part."""
        self.pictures += len(part.images)
        self.bad += part.bad
        self.passed_over += part.passed_over
        self.overflowed += part.overflowed
        self.unfamiliar |= dict.fromkeys(part.unfamiliar)
        self.worded.update(part.worded)

    def watch(self, parts: Iterable[Predictions]) -> Iterator[Predictions]:
        """The same parts, counted as they pass."""
        for part in parts:
            self.add(part)
            yield part
