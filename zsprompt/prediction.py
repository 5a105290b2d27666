"""Label names in, scores and decisions for pictures of your own out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zsprompt.arrays import Bools, Floats
from zsprompt.images import find_images
from zsprompt.store import EmbeddingStore
from zsprompt.strategies import Images, Normalised, PerLabel, Strategy, check_labels


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
) -> Predictions:
    """Which of `labels` are on the pictures at `paths`.

    Args:
        paths: picture files, and folders searched to any depth.
        labels: your words.
        store: where pictures and texts are embedded.
        strategy: `Normalised(PerLabel())` by default.

    Raises:
        DataError: a path is missing, or no picture was found. A picture that cannot be read is no error: see `bad`.
        LabelError: labels are blank, duplicate or too long for the model.
        ModelError, CacheError: see EmbeddingStore.
    """
    labels = check_labels(labels)
    given = [paths] if isinstance(paths, Path | str) else paths
    refs, passed_over = find_images(Path(path) for path in given)
    store.take_unfamiliar()
    embedded = store.images(refs)
    answer = (strategy or Normalised(PerLabel())).predict(Images(embedded.vectors), labels, store)
    return Predictions(
        images=tuple(refs[i].id for i in embedded.kept),
        labels=labels,
        scores=answer.scores,
        decisions=answer.decisions,
        bad=tuple((refs[i].id, reason) for i, reason in embedded.bad),
        passed_over=passed_over,
        overflowed=answer.overflowed,
        unfamiliar=store.take_unfamiliar(),
        worded=answer.worded,
        probabilities=answer.probabilities,
    )
