"""Kinds without epochs: numpy or scikit-learn fits them in one step on image vectors and captions.

Their files hold arrays, never pickles: knn keeps the training vectors, forest keeps its trees.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils.arrays import Doubles, Floats, unit_rows
from zsprompt.adapters.examples import Examples
from zsprompt.adapters.job import Fitted, Job, mean_ap
from zsprompt.adapters.kinds.base import Answer, Inputs, Sizes, Weights, caption_reads
from zsprompt.adapters.schedule import Schedule
from zsprompt.errors import UsageError
from zsprompt.store.image_embeddings import Images

_SURE = 1e-4  # keeps the logits of shares 0 and 1 finite


class AtOnce(ABC):
    """See Kind. It is bound to its labels. A frozen dataclass adds `inputs`, `fit`, `answer` and `fault`."""

    has_epochs: ClassVar[bool] = False
    bound: ClassVar[bool] = True
    schedule: ClassVar[Schedule] = Schedule()
    settings: ClassVar[frozenset[str]] = frozenset()
    reads_texts: ClassVar[bool] = False

    @property
    @abstractmethod
    def inputs(self) -> Inputs:
        """See Inputs."""

    @property
    def reads(self) -> frozenset[str]:
        """See Kind."""
        return caption_reads(self.inputs)

    @abstractmethod
    def check(self, sizes: Sizes) -> None:
        """See Kind."""

    @abstractmethod
    def fit(self, examples: Examples, seed: int) -> dict[str, NDArray[Any]]:
        """The weights that `answer` needs."""

    @abstractmethod
    def answer(self, weights: Weights, images: Images) -> Floats:
        """[N, C] logits."""

    @abstractmethod
    def fault(self, weights: Weights, sizes: Sizes) -> str | None:
        """See Kind."""

    def learn(self, job: Job) -> Fitted:
        """See Kind."""
        weights = self.fit(job.training, job.schedule.seed)
        if job.validation is None:
            return Fitted(weights)
        return Fitted(weights, mAP=mean_ap(self.answer(weights, job.validation.images), job.validation.targets))

    def answering(self, weights: Weights, sizes: Sizes) -> Answer:
        """See Kind."""
        return lambda images, texts, device: self.answer(weights, images)


def joined(images: Images, inputs: Inputs) -> Floats:
    """[N, D], or [N, D + K·D] with captions; unit rows, so that products are cosines."""
    if inputs == "image":
        return images.vectors
    captions = images.captions
    if captions is None:
        raise UsageError(f"expected captions for inputs={inputs}, found none; use inputs=image")
    flat = captions.reshape(len(captions), captions.shape[1] * captions.shape[2])
    return unit_rows(flat if inputs == "captions" else np.concatenate([images.vectors, flat], axis=1))


def width_of(inputs: Inputs, sizes: Sizes) -> int:
    """The width of the rows of `joined`."""
    captions = sizes.captions * sizes.dim
    return {"image": sizes.dim, "captions": captions, "both": sizes.dim + captions}[inputs]


def share_logit(share: Doubles) -> Floats:
    """The logit of shares, 0..1; finite also for shares of 0 and 1."""
    clipped = np.clip(share, _SURE, 1 - _SURE)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)
