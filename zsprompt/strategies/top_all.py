"""Top-all: rank the labels of each image, then let the prefixes of the ranking compete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Doubles, Floats, Indices
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

_CANDIDATES_AT_ONCE = 2**16  # candidates embedded together; bounds memory for any number of images


@dataclass(frozen=True)
class TopAll:
    """The best label, the best two, the best three … of each image compete with "nothing": C + 1 candidates.

    Labels are ranked by the cosine of their single-label text. The posterior is the softmax over the candidates of
    the image. The score of a label is the log of the mass of the candidates that hold it, at most 0. The best
    candidate decides. Prefixes too long for the context are excluded and counted.

    Attributes:
        prompts: wordings; the [set] section is used, also for the single labels.
        order: order of the labels within a text: "rank" (as in the source) or "alphabetical".
        scale: factor of the cosines; None means the logit scale of the encoder. Decisions do not depend on it.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("bare"))
    order: Literal["rank", "alphabetical"] = "rank"
    scale: float | None = None
    supervision: ClassVar[Supervision] = "label-free"
    scores_logs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Raises PromptError for prompts without [set], and UsageError for the scale."""
        self.prompts.texts([()])
        require_scale(self.scale)

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises UsageError for an encoder without a logit scale, if `scale` is None."""
        softmax_scale(self.scale, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. Raises LabelError for a label too long for the encoder, UsageError for the scale."""
        return self.predict_worded(images, labels, texts, self.prompts.texts)

    def predict_worded(self, images: Images, labels: Sequence[str], texts: TextSpace, phrasing: Phrasing) -> Prediction:
        """`predict` with candidates worded by `phrasing`; `prompts` still words the labels for the ranking."""
        labels = check_labels(labels)
        job = self._job(labels, texts, phrasing, softmax_scale(self.scale, texts))
        blocks = self._blocks(images, labels)
        # with one block, the progress of its texts is more detailed
        parts = [job.predict(blocks[0])] if len(blocks) == 1 else job.predict_all(blocks)
        empty = np.empty((0, len(labels)))
        return Prediction(
            np.concatenate([part.scores for part in parts] or [empty.astype(np.float32)]),
            np.concatenate([part.decisions for part in parts] or [empty.astype(np.bool_)]),
            sum(part.overflowed for part in parts),
        )

    def label_sets(self, images: Images, labels: Sequence[str], texts: TextSpace) -> list[LabelSet]:
        """The distinct label sets of the candidates, the empty one first. Only single labels are embedded."""
        labels = check_labels(labels)
        job = self._job(labels, texts, self.prompts.texts, scale=1.0)  # a ranking does not depend on the scale
        label_sets: dict[LabelSet, None] = {(): None}
        for vectors in self._blocks(images, labels):
            label_sets |= dict.fromkeys(job.candidates(job.ranking(vectors @ job.single.T))[0])
        return list(label_sets)

    def fixed_label_sets(self, labels: Sequence[str]) -> list[LabelSet] | None:
        """None: the label sets depend on how the model ranks the labels of each image."""
        return None

    def _blocks(self, images: Images, labels: Sequence[str]) -> list[Floats]:
        step = max(1, _CANDIDATES_AT_ONCE // (len(labels) + 1))
        return [images.vectors[i : i + step] for i in range(0, len(images.vectors), step)]

    def _job(self, labels: tuple[str, ...], texts: TextSpace, phrasing: Phrasing, scale: float) -> _Job:
        wordings = self.prompts.texts([(label,) for label in labels])
        nothing = phrasing([()])
        require_fit([*wordings, *nothing], texts)
        vectors = texts.texts([*wordings, *nothing])
        return _Job(self, labels, texts, phrasing, vectors[:-1], vectors[-1], scale)


@dataclass(frozen=True)
class _Job:
    """One predict call: what all blocks of images share."""

    recipe: TopAll
    labels: tuple[str, ...]
    texts: TextSpace
    phrasing: Phrasing
    single: Floats  # [C, D]
    nothing: Floats  # [D]
    scale: float

    def predict_all(self, blocks: Sequence[Floats]) -> list[Prediction]:
        """One prediction per block of images, with progress over all of them."""
        parts = []
        with self.texts.progress("top-all", sum(map(len, blocks)), "images") as advance:
            for vectors in blocks:
                parts.append(self.predict(vectors))
                advance(len(vectors))
        return parts

    def predict(self, vectors: Floats) -> Prediction:
        """Prediction for one block of images [n, D]."""
        rows = np.arange(len(vectors))[:, None]
        cosines = vectors @ self.single.T
        ranking = self.ranking(cosines)
        prefixes = self._prefix_logits(vectors, ranking)
        nothing = (self.scale * np.einsum("nd,d->n", vectors, self.nothing).astype(np.float64))[:, None]

        # the label of rank r is in every prefix longer than r and in no other candidate
        holding = np.logaddexp.accumulate(prefixes[:, ::-1], axis=1)[:, ::-1]
        without = np.logaddexp.accumulate(np.concatenate([nothing, prefixes[:, :-1]], axis=1), axis=1)
        total = np.logaddexp(holding[:, :1], nothing)
        fallback = self.scale * cosines[rows, ranking] - total
        ranked = never_a_candidate(log_marginals(holding, without), fallback)
        scores = np.empty_like(ranked)
        scores[rows, ranking] = ranked

        best = np.concatenate([nothing, prefixes], axis=1).argmax(axis=1)  # 0: nothing, k: the k best labels
        decisions = np.zeros(scores.shape, dtype=np.bool_)
        decisions[rows, ranking] = np.arange(len(self.labels)) < best[:, None]
        return Prediction(scores.astype(np.float32), decisions, int(np.isneginf(prefixes).sum()))

    def ranking(self, cosines: Floats) -> Indices:
        """[n, C] label positions, best first; equal cosines in alphabetical order, for any order of the columns."""
        alphabetical = sorted(range(len(self.labels)), key=lambda c: self.labels[c])
        by_name = np.array(alphabetical, dtype=np.intp)
        best_first = np.argsort(-cosines[:, by_name], axis=1, kind="stable")
        return by_name[best_first]

    def _prefix_logits(self, vectors: Floats, ranking: Indices) -> Doubles:
        """[n, C] logits of the candidates of the k + 1 best labels; −inf where the text does not fit."""
        candidates, index = self.candidates(ranking)
        wordings = self.phrasing(candidates)
        fit = self.texts.fits(wordings)
        place = np.cumsum(fit) - 1
        embedded = self.texts.texts([text for text, fits in zip(wordings, fit, strict=True) if fits])
        logits = np.full(ranking.shape, -np.inf)
        for k in range(ranking.shape[1]):
            fitting = fit[index[:, k]]
            chosen = embedded[place[index[fitting, k]]]
            logits[fitting, k] = self.scale * np.einsum("nd,nd->n", vectors[fitting], chosen).astype(np.float64)
        return logits

    def candidates(self, ranking: Indices) -> tuple[list[LabelSet], Indices]:
        """The distinct prefixes of all rankings, and [n, C] their positions for each image."""
        prefixes: dict[LabelSet, int] = {}
        index = np.empty(ranking.shape, dtype=np.intp)
        for n, order in enumerate(ranking):
            names = [self.labels[c] for c in order]
            for k in range(len(names)):
                prefix = tuple(names[: k + 1])
                if self.recipe.order == "alphabetical":
                    prefix = tuple(sorted(prefix))
                index[n, k] = prefixes.setdefault(prefix, len(prefixes))
        return list(prefixes), index
