"""A logit scale for a model that has none: the one with which its softmax is as sharp as that of known models."""

from __future__ import annotations

import numpy as np

from zsprompt._utils.arguments import checked
from zsprompt.errors import UsageError
from zsprompt.prompts import neutral_words, with_article
from zsprompt.prompts.labels import TextSpace
from zsprompt.store.image_embeddings import Images

LEAD = 5.5
"""Logits by which an image's best neutral word lies above the mean of all of them; see benchmarks/logit_scale.py."""


@checked
def suggest_logit_scale(images: Images, texts: TextSpace) -> float:
    """Suggest a logit scale for a model that was not trained with one.

    With it, the best of the sixty neutral words ("a dog", "a mountain") lies 5.5 logits above their mean, averaged over
    the images. For models whose scale is known, it is within a third of that. Fifty images of the kind that the
    strategy is for are enough; no labels are needed.

    Args:
        images: N images.
        texts: embeds texts of the same model; an EmbeddingStore is one.

    Raises:
        UsageError: there are no images, the vectors are of two models, or all words have the same cosine.
    """
    if not len(images):
        raise UsageError("expected images to suggest a logit scale from, found none")
    words = texts.texts([with_article(word) for word in neutral_words()])
    if images.vectors.shape[1] != words.shape[1]:
        raise UsageError(
            f"expected images and texts of the same model, found vectors of width {images.vectors.shape[1]} and "
            f"{words.shape[1]}"
        )
    cosines = images.vectors.astype(np.float64) @ words.astype(np.float64).T
    lead = float((cosines.max(axis=1) - cosines.mean(axis=1)).mean())
    if lead < np.finfo(np.float32).eps:
        raise UsageError(
            f"expected a model that gives the {len(words)} neutral words different cosines, found equal ones; "
            "does it read texts?"
        )
    return LEAD / lead
