"""The fields of a model name conse[,field=value…]."""

from __future__ import annotations

from dataclasses import dataclass

from zsprompt._utils.arguments import check_fields
from zsprompt._utils.specs import construct, settings_of, split_spec
from zsprompt.encoders.conse.classifiers import CLASSIFIERS, PLACE, Weights
from zsprompt.errors import UnknownName, UsageError

NAME = "conse"
SIZES = 224, 1024
"""Smallest and largest size."""


@dataclass(frozen=True)
class Fields:
    """What can be chosen of conse.

    Attributes:
        size: long side of the image in the pass over its windows, in pixels: a multiple of 32, 224 to 1024. Embeddings
            of whole images do not depend on it.
        classifier: "lite0" (224 by 224 pixels), "lite2" (260 by 260; extra 'lite2'), or "lite0+lite2", which averages
            their logits.
    """

    size: int = 512
    classifier: str = "lite0"

    def __post_init__(self) -> None:
        check_fields(self)
        smallest, largest = SIZES
        if not smallest <= self.size <= largest or self.size % PLACE:
            raise UsageError(
                f"expected size of {NAME} to be a multiple of {PLACE} from {smallest} to {largest}, found {self.size}"
            )
        names = self.classifier.split("+")
        for name in names:
            if name not in CLASSIFIERS:
                raise UnknownName(f"classifier of {NAME}", name, CLASSIFIERS)
        if len(set(names)) < len(names):
            raise UsageError(f"expected each classifier of {NAME} once, found {self.classifier}")

    @classmethod
    def parse(cls, name: str) -> Fields:
        """The fields of a model name.

        Raises:
            UnknownName: there is no such field or classifier.
            UsageError: a value is out of range or of the wrong type.
        """
        _, settings = split_spec(name)
        fields: Fields = construct(cls, settings, name=NAME)
        return fields

    @property
    def weights(self) -> list[Weights]:
        """The classifiers, in the table's order."""
        return [weights for name, weights in CLASSIFIERS.items() if name in self.classifier.split("+")]

    @property
    def model(self) -> str:
        """The model name, with the fields that differ from their defaults."""
        return ",".join([NAME, *(f"{field}={value}" for field, value in settings_of(self).items())])
