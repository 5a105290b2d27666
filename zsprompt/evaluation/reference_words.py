"""Reference words in results: which words took part in scores or decisions, as provenance and as a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zsprompt._utils.text import counted
from zsprompt.strategies import ReferenceWords, Strategy, reference_words

KEY = "reference_words"
"""Key of a recipe."""

# Measured by benchmarks/labels_asked.py: a fixed threshold passes about three labels per image for each hundred that
# are asked. Photographs show 1.4 of VOC2007's 20 labels and 2.9 of COCO's 80.
_MANY_LABELS = 100
_MANY_PER_IMAGE = 2.0


def declared(strategy: Strategy, labels: Sequence[str]) -> dict[str, Any]:
    """The entry of a recipe: null where no word takes part, else the vocabulary and its words as JSON types."""
    words = reference_words(strategy, labels)
    return {KEY: None if words is None else asdict(words) | {"words": list(words.words)}}


def recorded(recipe: Mapping[str, Any]) -> ReferenceWords | None:
    """The words of a recipe; None if labels were compared with nothing, or an older version wrote the recipe."""
    entry = recipe.get(KEY)
    if entry is None:
        return None
    return ReferenceWords(entry.get("vocabulary"), tuple(entry.get("words", ())), entry.get("in_scores", True))


def comparison_text(recipe: Mapping[str, Any], labels: int) -> Iterator[str]:
    """A sentence that says what each of `labels` labels was compared with. An older version recorded nothing to say."""
    words = recorded(recipe)
    if words is None:
        if KEY in recipe:
            yield "decisions use no reference words"
        return
    compared = []
    if labels > 1:
        compared.append("the other label" if labels == 2 else f"the other {labels - 1:,} labels")
    if words.words:
        compared.append(f"{counted(len(words.words), 'reference word')} (vocabulary {words.vocabulary})")
    subject = "scores" if "thresholds" in recipe else "decisions"
    end = "" if words.words else "; no reference words"
    yield f"{subject} compare each label with {' and '.join(compared) or 'nothing'}{end}"


def many_labels(recipe: Mapping[str, Any], labels: int, images: int, present: int) -> Iterator[str]:
    """A warning if so many labels were asked that a fixed threshold passes too many of them.

    Args:
        recipe: provenance of the decisions.
        labels: number of labels asked.
        images: number of images.
        present: number of decisions that a label is present.
    """
    if "thresholds" in recipe or recorded(recipe) is None or labels < _MANY_LABELS or not images:
        return
    if (per_image := present / images) > _MANY_PER_IMAGE:
        yield (
            f"{per_image:.1f} labels per image: with {labels:,} labels, a fixed threshold also passes labels that are "
            "not there; `zsprompt thresholds IMAGES --expect N` chooses one for the number that you expect"
        )
