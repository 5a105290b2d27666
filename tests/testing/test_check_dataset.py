"""check_dataset: sound data sets pass, and one fault per clause is caught by that clause."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from zsprompt.data import Dataset
from zsprompt.errors import ContractError, ImageError
from zsprompt.testing import PlantedImage, check_dataset, planted_world

SOUND = planted_world(count=12).dataset


class Drawn(PlantedImage):
    """A sound image, which a subclass spoils."""


class Unreadable(Drawn):
    def read(self) -> bytes:
        raise ImageError("no such file")


class NoImage(Drawn):
    def read(self) -> bytes:
        return b"not an image"


class Text(Drawn):
    def read(self) -> bytes:
        return bytearray(super().read())


class Changing(Drawn):
    counts = itertools.count()

    def read(self) -> bytes:
        return replace(self, noise=next(self.counts)).plain()

    def plain(self) -> bytes:
        return PlantedImage.read(self)


class Restless(Drawn):
    counts = itertools.count()

    def identity(self, *, settled: bool = False) -> bytes | None:
        return b"%d" % next(self.counts)


class TextIdentity(Drawn):
    def identity(self, *, settled: bool = False) -> bytes | None:
        return "an identity"


def with_images(kind: type[PlantedImage]) -> Dataset:
    """The sound data set with one image of another kind, in the middle."""
    images = list(SOUND.images)
    image = images[6]
    images[6] = kind(image.id, image.present, image.labels, image.noise)
    return replace(SOUND, images=images)


def with_ids(*names: object) -> Dataset:
    return replace(SOUND, images=[*(replace(SOUND.images[0], id=name) for name in names), *SOUND.images[len(names) :]])


@dataclass(frozen=True)
class Backwards(Sequence):
    """Another order in a loop than by position."""

    images: Sequence = field(default_factory=lambda: SOUND.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> PlantedImage:
        return self.images[position]

    def __iter__(self) -> Iterator[PlantedImage]:
        return iter(self.images[::-1])


class Shorter(Backwards):
    def __iter__(self) -> Iterator[PlantedImage]:
        return iter(self.images[:-1])


class Forgetful(Dataset):
    def select(self, positions: Sequence[int]) -> Dataset:
        return replace(super().select(positions), captions=self.captions and self.captions[: len(positions)])


def facts(dataset: Dataset) -> dict[str, object]:
    return {name: getattr(dataset, name) for name in dataset.__dataclass_fields__}


FAULTS: dict[str, tuple[Callable[[], Dataset], str]] = {
    "no name": (lambda: replace(SOUND, name=""), "name"),
    "names": (lambda: replace(SOUND, names="short"), "names"),
    "a list of labels": (lambda: replace(SOUND, labels=list(SOUND.labels)), "labels"),
    "a label twice": (lambda: replace(SOUND, labels=(*SOUND.labels[:-1], "Cat")), "labels"),
    "a blank label": (lambda: replace(SOUND, labels=(*SOUND.labels[:-1], " ")), "labels"),
    "a label with a bar": (lambda: replace(SOUND, labels=(*SOUND.labels[:-1], "a|b")), "labels"),
    "a number as label": (lambda: replace(SOUND, labels=(*SOUND.labels[:-1], 3)), "labels"),
    "wide targets": (lambda: replace(SOUND, targets=SOUND.targets.astype(np.int64)), "targets"),
    "an id twice": (lambda: with_ids("a.png", "b.png", "a.png"), "ids"),
    "an empty id": (lambda: with_ids(""), "ids"),
    "a number as id": (lambda: with_ids(7), "ids"),
    "another order": (lambda: replace(SOUND, images=Backwards()), "images"),
    "an image less": (lambda: replace(SOUND, images=Shorter()), "images"),
    "a caption that is none": (lambda: replace(SOUND, captions=(None,) * 12), "captions"),
    "captions left behind": (lambda: Forgetful(**facts(SOUND)), "select"),
    "unreadable": (lambda: with_images(Unreadable), "readable"),
    "no image": (lambda: with_images(NoImage), "readable"),
    "no bytes": (lambda: with_images(Text), "readable"),
    "other bytes": (lambda: with_images(Changing), "readable"),
    "another identity": (lambda: with_images(Restless), "identity"),
    "a text as identity": (lambda: with_images(TextIdentity), "identity"),
}


def test_a_sound_dataset_passes() -> None:
    assert check_dataset(SOUND) is None
    assert check_dataset(with_images(Drawn).first(1)) is None
    assert check_dataset(replace(SOUND, captions=None)) is None


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_its_clause(name: str) -> None:
    make, clause = FAULTS[name]
    with pytest.raises(ContractError, match=r"expected .*, found ") as caught:
        check_dataset(make())
    assert caught.value.clause == clause
    assert "\n" not in str(caught.value)


def test_targets_of_other_numbers_are_caught() -> None:
    """A Dataset refuses them when it is made; its array can be written later."""
    dataset = replace(SOUND, targets=SOUND.targets.copy())
    dataset.targets[0, 0] = 2
    with pytest.raises(ContractError, match="found 0 to 2"):
        check_dataset(dataset)


def test_only_some_images_are_read() -> None:
    reads: list[str] = []

    class Counting(Drawn):
        def read(self) -> bytes:
            reads.append(self.id)
            return super().read()

    images = [Counting(image.id, image.present, image.labels, image.noise) for image in SOUND.images]
    check_dataset(replace(SOUND, images=images), read=3)
    assert sorted(set(reads)) == [SOUND.images[n].id for n in (0, 5, 11)]


def test_something_else_than_a_data_set_is_named() -> None:
    with pytest.raises(ContractError, match="expected a Dataset, found NoneType"):
        check_dataset(None)  # type: ignore[arg-type]
