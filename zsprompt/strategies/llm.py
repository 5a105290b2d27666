"""LLM: the label sets of top-all or list-all, each worded by a caption instead of a template."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.arrays import Bools
from zsprompt.errors import UsageError
from zsprompt.llm import Captions
from zsprompt.prompts import LabelSet, PromptSet, load_prompts
from zsprompt.prompts.labels import TextSpace, check_labels
from zsprompt.store.image_embeddings import Images
from zsprompt.strategies.base import Prediction, Supervision
from zsprompt.strategies.list_all import ListAll
from zsprompt.strategies.top_all import TopAll


@dataclass(frozen=True)
class Llm:
    """The label sets of top-all (or list-all), each worded by a caption that an LLM or a person wrote.

    Labels are ranked by the texts of `prompts`, as in top-all. A label set has one caption for any order of its labels.

    Attributes:
        prompts: wordings of the single labels, used for the ranking; the [set] section is used.
        base: where the label sets come from: "top-all" or "list-all".
        scale: factor of the cosines; None means the logit scale of the encoder. Decisions do not depend on it.
        max_labels: with list-all, size of the largest subset; None means all sizes.
        compose: "yes" composes a missing caption from the captions of smaller label sets; "no" raises an error.
        captions: source of the captions.
    """

    prompts: PromptSet = field(default_factory=lambda: load_prompts("bare"))
    base: Literal["top-all", "list-all"] = "top-all"
    scale: float | None = None
    max_labels: int | None = None
    compose: Literal["yes", "no"] = "yes"
    captions: Captions | None = None
    supervision: ClassVar[Supervision] = "label-free"
    scores_logs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def lacks_captions(self) -> bool:
        """See TakesCaptions."""
        return self.captions is None

    def with_captions(self, captions: Captions) -> Llm:
        """See TakesCaptions."""
        return dataclasses.replace(self, captions=captions)

    def refuse_labels(self, labels: Sequence[str]) -> None:
        """See RefusesLabels. Asks no server.

        Raises:
            CaptionError: the bank is the only source, and lacks captions that every image needs.
            PromptError, UsageError: see `predict`.
        """
        captions = self._given_captions()
        self._sets.refuse_labels(labels)
        if captions.writer is None:
            label_sets = [(), *((label,) for label in labels)] if self.base == "list-all" else [(), tuple(labels)]
            captions.wording(labels, _all_fit, self.prompts, compose=self.compose == "yes")(label_sets)

    def refuse(self, labels: Sequence[str], texts: TextSpace) -> None:
        """See Refuses. Raises UsageError for an encoder without a logit scale, if `scale` is None."""
        self._sets.refuse(labels, texts)

    def predict(self, images: Images, labels: Sequence[str], texts: TextSpace) -> Prediction:
        """See Strategy. `worded` of the prediction counts the captions by source.

        Raises:
            CaptionError: label sets without a caption.
            LabelError: a label is too long for the encoder.
            UsageError: no captions, more candidates than list-all takes, or the encoder has no logit scale.
        """
        compose = self.compose == "yes"
        wording = self._given_captions().wording(check_labels(labels), texts.fits, self.prompts, compose=compose)
        answer = self._sets.predict_worded(images, labels, texts, wording)
        return dataclasses.replace(answer, worded=dict(wording.tally))

    def label_sets(self, images: Images, labels: Sequence[str], texts: TextSpace) -> list[LabelSet]:
        """The distinct label sets for which `predict` needs a caption."""
        return self._sets.label_sets(images, labels, texts)

    def _given_captions(self) -> Captions:
        if self.captions is None:
            raise UsageError("strategy llm needs captions: give a caption bank with --captions FILE (captions=…)")
        return self.captions

    def fixed_label_sets(self, labels: Sequence[str]) -> list[LabelSet] | None:
        """The label sets, if they do not depend on the images; else None."""
        return self._sets.fixed_label_sets(labels)

    @property
    def _sets(self) -> TopAll | ListAll:
        if self.base == "list-all":
            return ListAll(self.prompts, self.max_labels, self.scale)
        if self.max_labels is not None:
            raise UsageError("max_labels is for llm,base=list-all; top-all has no subsets to exclude")
        return TopAll(self.prompts, "alphabetical", self.scale)


def _all_fit(texts: Sequence[str]) -> Bools:
    return np.ones(len(texts), dtype=np.bool_)
