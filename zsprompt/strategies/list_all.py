"""List-all: every subset of the labels is a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import comb
from typing import ClassVar

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Bools, Doubles, Floats
from zsprompt.errors import UsageError
from zsprompt.prompts import LabelSet, PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels, require_fit
from zsprompt.prompts.prompt_set import Phrasing
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import (
    Prediction,
    Supervision,
    log_marginals,
    never_a_candidate,
    require_scale,
    softmax_scale,
)

MAX_CANDIDATES = 2**20
MAX_KEPT = 2**16
"""With more candidates, their embeddings would fill gigabytes, so they are not stored."""

_BLOCK = 4096  # candidates embedded and scored at a time
_CELLS = 2**24  # maximum number of logits in memory, for any number of images


@dataclass(frozen=True)
class ListAll:
    """Every subset of the labels competes, including "nothing"; optionally only subsets of at most `max_labels`.

    The posterior is the softmax over all candidates. The score of a label is the log of the mass of the candidates
    that hold it, at most 0. The best subset decides. Labels are in alphabetical order within a text. Candidates are
    processed in blocks, so memory does not grow with their number. Subsets too long for the context are excluded and
    counted.

    Attributes:
        prompts: wordings; the [set] section is used.
        max_labels: size of the largest subset; None means all sizes.
        scale: factor of the cosines; None means the logit scale of the encoder. Decisions do not depend on it.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("bare"))
    max_labels: int | None = None
    scale: float | None = None
    supervision: ClassVar[Supervision] = "label-free"
    scores_logs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises UsageError, and PromptError for prompts without [set]."""
        self._count(len(labels))
        self.prompts.texts([()])
        require_scale(self.scale)

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises UsageError for an encoder without a logit scale, if `scale` is None."""
        softmax_scale(self.scale, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy.

        Raises:
            LabelError: a label is too long for the encoder.
            UsageError: more than 2^20 candidates, max_labels below 1, or the encoder has no logit scale.
        """
        return self.predict_worded(images, labels, texts, self.prompts.texts)

    def label_sets(self, images: Images, labels: Sequence[str], texts: TextSpace) -> list[LabelSet]:
        """The label sets of the candidates."""
        return self.fixed_label_sets(labels)

    def fixed_label_sets(self, labels: Sequence[str]) -> list[LabelSet]:
        """All subsets of the labels: they do not depend on the images."""
        names = sorted(check_labels(labels))
        self._count(len(names))
        return [tuple(names[i] for i in subset) for subset in _subsets(len(names), self.max_labels or len(names))]

    def predict_worded(self, images: Images, labels: Sequence[str], texts: TextSpace, phrasing: Phrasing) -> Prediction:
        """`predict` with candidates worded by `phrasing`."""
        labels = check_labels(labels)
        count = self._count(len(labels))
        scale = softmax_scale(self.scale, texts)
        columns = sorted(range(len(labels)), key=lambda c: labels[c])
        names = [labels[c] for c in columns]
        single = self._single_texts(names, texts, phrasing)
        parts = _parts(images.vectors)
        totals = [_Totals.of(vectors, len(names)) for vectors in parts]
        overflowed = 0
        subsets = _subsets(len(names), self.max_labels or len(names))
        with texts.progress("list-all", count, "candidates") as advance:
            while block := list(islice(subsets, _BLOCK)):
                wordings = phrasing([tuple(names[i] for i in subset) for subset in block])
                fit = texts.fits(wordings)
                overflowed += int(len(fit) - fit.sum())
                fitting = [wording for wording, fits in zip(wordings, fit, strict=True) if fits]
                embedded = texts.texts(fitting, keep=count <= MAX_KEPT)
                holds = _membership(block, len(names))[fit]
                for vectors, total in zip(parts, totals, strict=True):
                    total.add(scale * (vectors @ embedded.T).astype(np.float64), holds)
                advance(len(block))
        back = np.argsort(columns)
        fallback = [scale * (vectors @ single.T) for vectors in parts]
        scores = np.concatenate([t.scores(f) for t, f in zip(totals, fallback, strict=True)])
        decisions = np.concatenate([total.best_holds for total in totals])
        return Prediction(scores[:, back].astype(np.float32), decisions[:, back], overflowed * len(images.vectors))

    def _count(self, labels: int) -> int:
        if self.max_labels is not None and self.max_labels < 1:
            raise UsageError(f"expected max_labels of at least 1, got {self.max_labels}")
        count = sum(comb(labels, k) for k in range(min(labels, self.max_labels or labels) + 1))
        if count > MAX_CANDIDATES:
            raise UsageError(
                f"list-all over {labels} labels has {count:,} candidates, expected at most {MAX_CANDIDATES:,}; "
                "set the field max_labels (list-all,max_labels=3) or use top-all"
            )
        return count

    def _single_texts(self, names: Sequence[str], texts: TextSpace, phrasing: Phrasing) -> Floats:
        wordings = [*self.prompts.texts([(name,) for name in names]), *phrasing([()])]
        require_fit(wordings, texts)
        return texts.texts(wordings[:-1])


@dataclass
class _Totals:
    """Running sums over the candidates seen so far, for n images.

    Masses are float64 and relative to the best logit of each image. Logits differ by at most 2 · MAX_SCALE, so no
    mass underflows to 0.
    """

    best: Doubles  # [n] largest logit so far
    best_holds: Bools  # [n, C] the labels of that candidate
    holding: Doubles  # [n, C] sum of e^(logit − best) over the candidates that hold a label
    without: Doubles  # [n, C] the same over the others

    @classmethod
    def of(cls, vectors: Floats, labels: int) -> _Totals:
        n = len(vectors)
        shape = (n, labels)
        return cls(np.full(n, -np.inf), np.zeros(shape, dtype=np.bool_), np.zeros(shape), np.zeros(shape))

    def add(self, logits: Doubles, holds: Bools) -> None:
        """Add candidates: their logits [n, T] and which labels each holds [T, C]."""
        if not logits.shape[1]:
            return
        winner = logits.argmax(axis=1)
        highest = logits.max(axis=1)
        better = highest > self.best
        self.best_holds[better] = holds[winner[better]]
        best = np.maximum(self.best, highest)
        shrink = np.exp(self.best - best)[:, None]  # e^-inf = 0 at the first block
        masses = np.exp(logits - best[:, None])
        self.holding = self.holding * shrink + masses @ holds.astype(np.float64)
        self.without = self.without * shrink + masses @ (~holds).astype(np.float64)
        self.best = best

    def scores(self, single_logits: Floats | Doubles) -> Doubles:
        """[n, C] log of the posterior mass of the candidates that hold each label."""
        with np.errstate(divide="ignore"):  # a label in no candidate has mass 0 and log-mass −inf
            scores = log_marginals(np.log(self.holding), np.log(self.without))
        total = self.best[:, None] + np.log(self.holding + self.without)
        return never_a_candidate(scores, single_logits - total)


def _subsets(labels: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Subsets of range(labels) with at most `largest` members, in depth-first order, which keeps prefixes together."""
    subset: list[int] = []
    yield ()
    following = 0
    while True:
        if following < labels and len(subset) < largest:
            subset.append(following)
            yield tuple(subset)
        elif subset:
            following = subset.pop()
        else:
            return
        following += 1


def _membership(subsets: Sequence[tuple[int, ...]], labels: int) -> Bools:
    """[T, C] which labels each subset holds."""
    holds = np.zeros((len(subsets), labels), dtype=np.bool_)
    rows = np.repeat(np.arange(len(subsets)), [len(subset) for subset in subsets])
    holds[rows, [i for subset in subsets for i in subset]] = True
    return holds


def _parts(vectors: Floats) -> list[Floats]:
    """The images in parts whose logits for one block of candidates stay within _CELLS."""
    step = max(1, _CELLS // _BLOCK)
    return [vectors[i : i + step] for i in range(0, len(vectors), step)] or [vectors]
