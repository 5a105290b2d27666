"""Trained: the weights of an adapter, what they belong to, how they were trained, and their file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from zsprompt._utils import file_kinds
from zsprompt._utils.arguments import checked
from zsprompt._utils.arrays import Floats
from zsprompt._utils.digests import digest as value_digest
from zsprompt._utils.specs import restored
from zsprompt._utils.validate import Distinct, Must, first_fault
from zsprompt._version import __version__
from zsprompt.adapters.kinds.base import Answer, Kind, Sizes
from zsprompt.adapters.registry import ADAPTERS, name_of
from zsprompt.adapters.tensors import read_arrays, write_arrays
from zsprompt.errors import AdapterError, ZspromptError
from zsprompt.prompts import PromptSet
from zsprompt.prompts.prompt_set import SetWording
from zsprompt.store.image_embeddings import Images

VERSION = 1
"""Version of the file layout. Files of a newer version are refused."""

FILE = "adapter.safetensors"
"""File name in the folder of a training run."""


class _SetTexts(TypedDict, total=False):
    """What strategies of self-training may need of a prompt set, besides the texts of labels."""

    absent: str | None
    set: dict[str, str] | None


class _Prompts(_SetTexts):
    name: str
    digest: str
    templates: list[str]
    described: dict[str, Annotated[list[str], Must("a list of texts, at least one", bool)]]


class _Facts(TypedDict, total=False):
    """The sections that other modules read."""

    recipe: dict[str, Any]
    data: dict[str, Any]
    metrics: dict[str, Any]
    identity: dict[str, Any]


class _Header(TypedDict):
    adapter: str
    fields: dict[str, Any]
    sizes: dict[str, Any]
    labels: Distinct
    prompts: _Prompts
    model: str
    fingerprint: str
    captions: list[str]
    facts: _Facts


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained adapter. Read one with `load_adapter`.

    `digest` is part of the `repr`, so a result identifies the exact weights it was made with.

    Attributes:
        kind: the kind of adapter and its fields.
        sizes: the sizes of its inputs and outputs.
        labels: C labels it was trained with.
        prompts: the prompt set that worded the labels.
        model: name of the encoder.
        fingerprint: fingerprint of the encoder whose vectors it reads.
        weights: arrays by name.
        facts: recipe, data, metrics and history, as in the file.
        captions: names of the image captions it was trained with, in order; empty if none.
        file: path of its file; None if it has none.
    """

    kind: Kind
    sizes: Sizes = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    prompts: PromptSet
    model: str = field(repr=False)
    fingerprint: str = field(repr=False)
    weights: Mapping[str, NDArray[Any]] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    captions: tuple[str, ...] = field(default=(), repr=False)
    file: str | None = field(default=None, repr=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        fields = asdict(self.kind)  # type: ignore[call-overload]
        digest = hashlib.sha256(value_digest((name_of(self.kind), fields, self.labels, self.fingerprint)).encode())
        for name in sorted(self.weights):
            digest.update(name.encode() + np.ascontiguousarray(self.weights[name]).tobytes())
        object.__setattr__(self, "digest", digest.hexdigest()[:12])

    @property
    def domain(self) -> str | None:
        """What its training images were, see Dataset; None for a file that does not tell."""
        domain = self.facts.get("data", {}).get("domain")
        return domain if isinstance(domain, str) else None

    def order(self, labels: Sequence[str]) -> list[int] | None:
        """The position of each of `labels` among the labels of the training; None for a kind that takes any labels.

        Raises:
            AdapterError: the kind is bound to its labels, and these are others.
        """
        if not self.kind.bound:
            return None
        place = {label: c for c, label in enumerate(self.labels)}
        if set(place) != set(labels) or len(labels) != len(place):
            extra = ", ".join([label for label in labels if label not in place][:5])
            missing = ", ".join([label for label in self.labels if label not in set(labels)][:5])
            parts = filter(None, (extra and f"also {extra}", missing and f"no {missing}"))
            raise AdapterError(
                f"expected the {len(place)} labels that this {name_of(self.kind)} adapter was trained with, found "
                f"{' and '.join(parts) or 'one twice'}; use those labels, or an adapter for any labels: mld, "
                "ml-decoder or dm-decoder"
            )
        return [place[label] for label in labels]

    def answer(self, images: Images, labels: Sequence[str], texts: Floats, device: str = "cpu") -> Floats:
        """[N, C] logits of images for labels with text embeddings [C, D] (unit rows).

        Raises:
            AdapterError: the kind is bound to other labels, or the vectors have another width.
        """
        order = self.order(labels)
        width = images.vectors.shape[1]
        if width != self.sizes.dim:
            raise AdapterError(f"expected vectors of {self.sizes.dim} numbers, found {width}; use model {self.model}")
        ordered = texts if order is None else texts[np.argsort(order)]  # in the label order of the training
        scores = self._answer(images, ordered, device)
        return scores if order is None else scores[:, order]

    @cached_property
    def _answer(self) -> Answer:
        return self.kind.answering(self.weights, self.sizes)


def save_adapter(trained: Trained, path: Path, *, force: bool = False) -> None:
    """Write a safetensors file that `load_adapter` reads. The write is atomic.

    Args:
        trained: the adapter.
        path: the file; an earlier adapter in it is replaced.
        force: also replace a file that zsprompt did not write.

    Raises:
        OutputError: another file is at `path`, or the file cannot be written.
    """
    prompts = trained.prompts
    facts = {
        "version": VERSION,
        "zsprompt": __version__,
        "adapter": name_of(trained.kind),
        "fields": asdict(trained.kind),  # type: ignore[call-overload]
        "sizes": asdict(trained.sizes),
        "labels": list(trained.labels),
        "prompts": {
            "name": prompts.name,
            "digest": prompts.digest,
            "templates": list(prompts.label_templates),
            "described": {label: list(texts) for label, texts in prompts.described},
            "absent": prompts.absent_template,
            "set": prompts.set_wording and asdict(prompts.set_wording),
        },
        "model": trained.model,
        "fingerprint": trained.fingerprint,
        "captions": list(trained.captions),
        "facts": dict(trained.facts),
    }
    write_arrays(path, file_kinds.ADAPTER, trained.weights, facts, force=force)


@checked
def load_adapter(path: Path | str) -> Trained:
    """The adapter of a file, or of a folder of `zsprompt train`.

    Raises:
        AdapterError: the file is missing, damaged, of a newer version, of an unknown kind, or not an adapter.
    """
    path = Path(path)
    with suppress(OSError):  # a name that is too long fails again below, where the file is opened
        path = path / FILE if path.is_dir() else path
    weights, facts = read_arrays(path, "adapter")
    version = facts.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise AdapterError(
            f"expected an adapter of format {VERSION} or older in {path}, found {version}, written by zsprompt "
            f"{facts.get('zsprompt')}; use that version"
        )
    try:
        trained = _value(facts, weights, path)
        wrong = next(_faults(trained), None)
    except ZspromptError as error:
        raise AdapterError(f"expected an adapter in {path} that this zsprompt knows: {error}") from None
    except (ValueError, OverflowError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise AdapterError(f"damaged header in {path}: {reason}; train it again") from None
    if wrong:
        raise AdapterError(f"expected {wrong} in {path}, found others; train it again")
    return trained


def _value(facts: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], path: Path) -> Trained:
    """The adapter of a header and its weights. Raises ValueError for a damaged header."""
    if fault := first_fault(facts, _Header, extra_keys=True):
        raise ValueError(str(fault))
    if facts["adapter"] not in ADAPTERS:
        raise AdapterError(f"unknown kind {facts['adapter']!r}; known: {', '.join(ADAPTERS)}")
    kind: Kind = restored(ADAPTERS[facts["adapter"]], facts["fields"])
    sizes: Sizes = restored(Sizes, facts["sizes"])
    if len(facts["labels"]) != sizes.labels:
        raise ValueError(f"expected 'labels' to be {sizes.labels} labels, found {len(facts['labels'])}")
    kind.check(sizes)
    return Trained(
        kind=kind,
        sizes=sizes,
        labels=tuple(facts["labels"]),
        prompts=_prompts(facts["prompts"]),
        model=facts["model"],
        fingerprint=facts["fingerprint"],
        weights=weights,
        facts=facts["facts"],
        captions=tuple(facts["captions"]),
        file=str(path),
    )


def _prompts(header: _Prompts) -> PromptSet:
    return PromptSet(
        name=header["name"],
        digest=header["digest"],
        about="",
        source="",
        label_templates=tuple(header["templates"]),
        described=tuple((label, tuple(texts)) for label, texts in header["described"].items()),
        absent_template=header.get("absent"),
        set_wording=restored(SetWording, wording) if (wording := header.get("set")) else None,
    )


def _faults(trained: Trained) -> Iterator[str]:
    """What is wrong with the weights."""
    if wrong := trained.kind.fault(trained.weights, trained.sizes):
        yield wrong
    for name, value in trained.weights.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            yield f"finite weights ({name} has others)"
