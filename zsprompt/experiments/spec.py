"""RunSpec: one description of a run, for the command line, plans, Python and the provenance of results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Literal, cast, get_args

from zsprompt._utils.arguments import is_instance
from zsprompt._utils.modules import is_object_path
from zsprompt._utils.progress import Progress, quiet
from zsprompt._utils.registry import DEFAULT_MODEL, DEFAULT_STRATEGY
from zsprompt._utils.specs import construct, split_spec
from zsprompt.data import Dataset, load_dataset, takes_root
from zsprompt.data.dataset import PHOTOGRAPHS
from zsprompt.data.datasets.image_captions import captions_for, read_image_captions
from zsprompt.encoders import ENCODERS, Encoder, Precision, available_models, check_model, load_encoder
from zsprompt.encoders.devices import require_device
from zsprompt.encoders.registry import is_built_in
from zsprompt.errors import AdapterError, ThresholdError, UnknownName, UsageError, ZspromptError
from zsprompt.evaluation.provenance import outside_domain
from zsprompt.evaluation.result import Result
from zsprompt.evaluation.run import run
from zsprompt.evaluation.thresholds import refuse_thresholds, with_thresholds
from zsprompt.experiments.data_fields import DataFields
from zsprompt.llm.options import LlmOptions, captions_from, open_writer, parse_llm
from zsprompt.llm.writer import Writer
from zsprompt.metrics import DIFFICULT, RESAMPLES, Difficult
from zsprompt.prompts import PromptSet, check_labels
from zsprompt.prompts.label_text import choose_labels, label_places, read_labels
from zsprompt.prompts.odd_labels import label_warnings
from zsprompt.store import EmbeddingStore
from zsprompt.store.embed import require_captions
from zsprompt.strategies import (
    Strategy,
    Thresholds,
    computes,
    lacks_captions,
    load_strategy,
    load_thresholds,
    on_device,
    own_labels,
    own_model,
    reads,
    refuse_captions,
    refuse_images,
    refuse_labels,
    takes_captions,
    takes_prompts,
    with_captions,
)

Device = Literal["auto", "cpu", "cuda"]
_CHOICES = {
    "names": ("readable", "raw"),
    "difficult": DIFFICULT,
    "device": get_args(Device),
    "precision": get_args(Precision),
}


_OF_DATA = ("root", "split", "names", "without", "difficult", "limit", "sample", "skip_bad")
"""Fields that a run without a data set has no use for."""

_OF_NAME = ("root", "split", "names")
"""Fields that say what to load."""

_NUMBERS = ("limit", "sample", "seed")
_LABEL_LISTS = ("labels", "without")
_OBJECTS: dict[str, tuple[str, tuple[type[Any], ...]]] = {
    "strategy": ("a name or a strategy", (str, Strategy)),
    "dataset": ("a name, a Dataset or None", (str, Dataset, NoneType)),
    "model": ("a name, an encoder or None", (str, Encoder, NoneType)),
    "thresholds": ("a file, Thresholds or None", (str, Thresholds, NoneType)),
    "prompts": ("a name, a file, a PromptSet or None", (str, PromptSet, NoneType)),
}
"""Fields that take more than a text: what they take, in words and as types."""


@dataclass(frozen=True)
class RunSpec:
    """One run: a strategy on images and labels, with a model.

    Its fields are the keys of a plan, the options of the command line, and the entry "run" of a result.

    Attributes:
        strategy: a specification such as "top-all,scale=20", or a strategy.
        dataset: a name such as "voc", or a Dataset; None for images without targets. Fields may follow the name, as on
            the command line: "voc,split=val".
        prompts: a prompt set or its name, for a strategy by name; the strategy's own where None.
        model: a name, a checkpoint file, or an encoder. Where None: the model an adapter was trained on, else the
            data set's own, else ViT-B/32.
        root: folder of the data set.
        split: its split; the default one where None.
        names: "readable" or "raw" label names.
        labels: the labels to ask about, as names, as "dog, cat", or as "@FILE"; all where None.
        without: labels to leave out, in the same form.
        captions: a caption bank for strategy llm, by name or file; the data set's own where None.
        image_captions: a file with one caption per image, for adapters that read captions.
        llm: an LLM for captions that the bank lacks, see `parse_llm`; the environment's where None.
        thresholds: a thresholds file, or Thresholds, to decide by.
        difficult: what a target that is left out counts as: "ignore", "negative" or "positive".
        limit: only the first images.
        sample: only this many images, drawn so that each label keeps its share.
        seed: of that draw; 0 where None.
        device: "auto", "cpu" or "cuda", for the model and for an adapter.
        precision: "auto", "bfloat16" or "int8".
        skip_bad: leave out images that cannot be read.

    Raises:
        UsageError: fields that exclude each other.
        UnknownName: an invalid choice.
    """

    strategy: str | Strategy = DEFAULT_STRATEGY
    dataset: str | Dataset | None = None
    prompts: str | PromptSet | None = None
    model: str | Encoder | None = None
    root: str | None = None
    split: str | None = None
    names: str = "readable"
    labels: str | tuple[str, ...] | None = None
    without: str | tuple[str, ...] = ()
    captions: str | None = None
    image_captions: str | None = None
    llm: str | None = None
    thresholds: str | Thresholds | None = None
    difficult: str = "ignore"
    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    device: str = "auto"
    precision: str = "auto"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for part in fields(self):
            object.__setattr__(self, part.name, _checked(part.name, getattr(self, part.name)))
        self._take_data_fields()
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise UnknownName(name, value, choices)
        if self.limit is not None and self.sample is not None:
            raise UsageError("expected either limit (the first N images) or sample (N drawn at random), found both")
        if self.seed is not None and self.sample is None:
            raise UsageError("expected sample with seed, found seed alone")
        if self.labels is not None and self.without:
            raise UsageError("expected either labels or without, found both")
        if isinstance(self.dataset, Dataset) and (given := [name for name in self.to_dict() if name in _OF_NAME]):
            raise UsageError(f"expected {given[0]} with a data set by name, found one that is loaded; leave it out")

    def _take_data_fields(self) -> None:
        """Set the fields that follow the name of the data set. Raises UsageError for one that is set twice."""
        if not isinstance(self.dataset, str) or "," not in self.dataset:
            return
        name, settings = split_spec(self.dataset)
        given = construct(DataFields, settings, name="the data set")
        for part in fields(self):
            if part.name in settings:
                if getattr(self, part.name) != part.default:
                    raise UsageError(f"expected {part.name} once, found it in {self.dataset!r} and alone")
                object.__setattr__(self, part.name, getattr(given, part.name))
        object.__setattr__(self, "dataset", name.strip())

    @property
    def label_list(self) -> tuple[str, ...] | None:
        """The labels to ask about; None for all. Raises LabelError for a file that cannot be read."""
        return _listed(self.labels)

    @property
    def label_places(self) -> dict[str, str]:
        """Label -> file and line, for labels in a file. Raises LabelError for a file that cannot be read."""
        return label_places(self.labels) if isinstance(self.labels, str) else {}

    @property
    def dataset_name(self) -> str:
        """The data set's name; empty without one."""
        return self.dataset.name if isinstance(self.dataset, Dataset) else self.dataset or ""

    def to_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as JSON types; objects are given by their names."""
        values = {part.name: (getattr(self, part.name), part.default) for part in fields(self)}
        return {
            name: _plain(value)
            for name, (value, default) in values.items()
            if value is not default and value != default
        }

    def prepare(self, resources: Resources | None = None) -> Prepared:
        """Load strategy and data set, and open the store. Close the returned object, or use it in a `with` statement.

        Args:
            resources: cache, progress, and what several runs share; None for resources of its own.

        Raises:
            ZspromptError: the strategy, data set, model, captions or thresholds cannot be used.
        """
        resources = resources or Resources()
        resolved = self.resolve(resources)
        resolved.check(resources)
        store = resources.open_store(resolved.model, self.device, self.precision)
        try:
            return resolved.prepared(store)
        except BaseException:
            store.close()
            raise

    def resolve(self, resources: Resources) -> Resolved:
        """Everything that needs no model: strategy with captions, data set, and the model's name.

        Raises:
            ModelError: there is no such device, even if no embedding needs it.
            UsageError: a field that the run does not use.
            ZspromptError: what a field names cannot be used.
        """
        if isinstance(self.model, str | NoneType) and not is_object_path(self.model or ""):
            require_device(self.device)  # what an encoder of the user's can run on, only its author knows
        strategy = on_device(self._strategy(), self.device)
        for name, reason in self.unused(strategy).items():
            raise UsageError(f"this run does not use {name.replace('_', ' ')}: {reason}; leave it out")
        data = self.load_data(resources)
        strategy = self._with_captions(strategy, data, resources)
        own = _loadable_model(own_model(strategy)) if self.model is None and resources.make_store is None else None
        return Resolved(self, strategy, data, self.model or own or (data.model if data else None) or DEFAULT_MODEL)

    def run(self, resources: Resources | None = None) -> Result:
        """Measure the run. Raises UsageError without a data set, and what `prepare` and `zsprompt.run` raise."""
        if self.dataset is None:  # said before a model is fetched
            raise UsageError("expected a data set, found none")
        with self.prepare(resources) as prepared:
            return prepared.run()

    def unused(self, strategy: Strategy | None = None) -> dict[str, str]:
        """The given fields that the run does not use, each with the reason.

        Args:
            strategy: the strategy of the run; loaded where None.

        Raises:
            ZspromptError: the strategy cannot be loaded.
        """
        name = self.strategy if isinstance(self.strategy, str) else type(self.strategy).__name__
        prompts = self.prompts is None or not isinstance(self.strategy, str) or takes_prompts(name)
        loaded = not isinstance(self.model, str | NoneType)

        @cache
        def made() -> Strategy:  # only if it is needed: an adapter's file can be large
            return strategy or (self if prompts else replace(self, prompts=None))._strategy()

        facts: dict[str, tuple[Callable[[], bool], str]] = {
            "prompts": (lambda: prompts, f"{name} has no prompts, or those of its training"),
            "captions": (lambda: takes_captions(made()), f"captions are for strategy llm, and {name} reads none"),
            "llm": (lambda: takes_captions(made()), f"only strategy llm asks one, and {name} does not"),
            "image_captions": (lambda: "captions" in reads(made()), f"{name} reads no image captions"),
            "root": (lambda: takes_root(self.dataset_name), f"data set {self.dataset_name} is drawn and has no files"),
            "device": (lambda: not loaded or computes(made()), "the model is loaded, and has its device"),
            "precision": (lambda: not loaded, "the model is loaded, and has its precision"),
        }
        given = self.to_dict()
        return {field: reason for field, (used, reason) in facts.items() if field in given and not used()}

    def leaving_out(self, names: Collection[str]) -> RunSpec:
        """The run with the defaults of these fields."""
        defaults: dict[str, Any] = {part.name: part.default for part in fields(self)}
        return replace(self, **{name: defaults[name] for name in names}) if names else self

    def _strategy(self) -> Strategy:
        if isinstance(self.strategy, str):
            return load_strategy(self.strategy, prompts=self.prompts)
        if self.prompts is not None:
            named = self.prompts.name if isinstance(self.prompts, PromptSet) else self.prompts
            raise UsageError(f"expected prompts for a strategy by name, found {named!r} for one that has its own")
        return self.strategy

    def load_data(self, resources: Resources) -> Dataset | None:
        """The images and labels that the fields select; None without a data set.

        Raises:
            UsageError: a field that needs a data set, or two that exclude each other.
            DataError, LabelError, UnknownName: the data set, its labels or its image captions cannot be used.
        """
        if self.dataset is None:
            if given := [name for name in self.to_dict() if name in _OF_DATA]:
                raise UsageError(f"expected a data set with {given[0].replace('_', ' ')}, found none")
            return None
        data = resources.dataset(self)
        data = data if self.limit is None else data.first(self.limit)
        data = data if self.sample is None else data.sample(self.sample, self.seed or 0)
        if self.image_captions is not None:
            data = replace(data, written=captions_for([image.id for image in data.images], Path(self.image_captions)))
        labels = choose_labels(data.labels, self.label_list, _listed(self.without) or ())
        return data if labels == data.labels else data.with_labels(labels)

    def _with_captions(self, strategy: Strategy, data: Dataset | None, resources: Resources) -> Strategy:
        """`strategy` with a bank's and an LLM's captions, if it reads them."""
        if not lacks_captions(strategy) and self.captions is None and self.llm is None:
            return strategy
        captions = captions_from(self.captions or (data.bank if data else None), resources.writer(self.llm))
        return strategy if captions is None else with_captions(strategy, captions)


def only_used(rows: Sequence[RunSpec]) -> list[RunSpec]:
    """Runs that share options, each without the fields that it does not use; a run that occurs twice is kept once.

    Raises:
        UsageError: no run uses a field.
    """
    unused = [_unused(row) for row in rows]
    for name, reason in (unused[0] if unused else {}).items():
        if all(name in one for one in unused):
            raise UsageError(f"no run uses {name.replace('_', ' ')}: {reason}; leave it out")
    return list(dict.fromkeys(row.leaving_out(names) for row, names in zip(rows, unused, strict=True)))


def _unused(row: RunSpec) -> Mapping[str, str]:
    """See RunSpec.unused; empty for a run whose strategy cannot be loaded, which fails where it is run."""
    try:
        return row.unused()
    except ZspromptError:
        return {}


@dataclass
class Resources:
    """What several runs share: the cache, progress, and what has been loaded.

    Attributes:
        cache: see EmbeddingStore.
        batch_size: see EmbeddingStore.
        progress: where progress is shown.
        make_store: makes the store of a model instead of `open_store`, for encoders that are created elsewhere.
    """

    cache: Path | str | None = "default"
    batch_size: int | None = None
    progress: Progress = quiet
    make_store: Callable[[str | Encoder], EmbeddingStore] | None = None
    _datasets: dict[Hashable, Dataset] = field(default_factory=dict, repr=False)
    _writers: dict[str, Writer | None] = field(default_factory=dict, repr=False)

    def dataset(self, spec: RunSpec) -> Dataset:
        """The whole data set of `spec`, loaded once. Raises what `load_dataset` raises."""
        if isinstance(spec.dataset, Dataset):
            return spec.dataset
        key = (spec.dataset, spec.root, spec.split, spec.names)
        if key not in self._datasets:
            self._datasets[key] = load_dataset(str(spec.dataset), root=spec.root, split=spec.split, names=spec.names)
        return self._datasets[key]

    def writer(self, llm: str | None) -> Writer | None:
        """A writer for the LLM that `llm` or the environment names. Runs with the same LLM share its budget.

        Raises:
            UsageError: `llm` has limits, but no LLM is named. See also `open_writer`.
        """
        key = llm or ""
        if key not in self._writers:
            options = parse_llm(llm) if llm else LlmOptions()
            folder = Path(self.cache) if self.cache not in (None, "default") else None
            writer = open_writer(options, cache=folder, progress=self.progress)
            if writer is None and replace(options, offline=False) != LlmOptions():
                raise UsageError(
                    f"expected an LLM for {llm!r}, found none; add [SERVER:]MODEL to it, or set ZSPROMPT_LLM_MODEL"
                )
            self._writers[key] = writer
        return self._writers[key]

    def check_model(self, model: str | Encoder, device: str = "auto", precision: str = "auto") -> None:
        """Raise what `open_store` would raise, as far as that is known without reading weights."""
        if self.make_store is None and isinstance(model, str):
            check_model(model, device=device, precision=cast("Precision", precision))

    def open_store(self, model: str | Encoder, device: str = "auto", precision: str = "auto") -> EmbeddingStore:
        """A new store for a model. Raises ModelError, CacheError, UnknownName."""
        if self.make_store is not None:
            return self.make_store(model)
        if isinstance(model, str):
            model = load_encoder(model, device=device, precision=cast("Precision", precision))
        return EmbeddingStore(model, cache=self.cache, batch_size=self.batch_size, progress=self.progress)


@dataclass(frozen=True)
class Resolved:
    """A run with everything loaded except its model.

    Attributes:
        spec: the description of the run.
        strategy: the strategy with its captions; its thresholds need the model and are missing.
        dataset: images and labels of the run; None without a data set.
        model: the model's name, or an encoder.
        captions: image captions by image id, in place of the file of the spec.
    """

    spec: RunSpec
    strategy: Strategy
    dataset: Dataset | None
    model: str | Encoder
    captions: Mapping[str, str] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the run: without a data set, those of the spec, else those of the thresholds or the adapter.

        Raises:
            UsageError: no labels are given.
        """
        if self.dataset is not None:
            return self.dataset.labels
        own = self.thresholds.labels if self.thresholds else own_labels(self.strategy)
        labels = self.spec.label_list or own
        if labels is None:
            raise UsageError('expected --labels "dog, cat" or --labels @FILE (labels=…), found neither')
        return labels

    @property
    def label_warnings(self) -> tuple[str, ...]:
        """Warnings about labels that look unlike names, one sentence each."""
        if self.dataset is not None:
            return label_warnings(self.dataset.labels, self.dataset.places)
        return label_warnings(self.labels, self.spec.label_places)

    @property
    def data(self) -> Dataset:
        """The data set. Raises UsageError if there is none."""
        if self.dataset is None:
            raise UsageError("expected a data set, found none")
        return self.dataset

    @cached_property
    def thresholds(self) -> Thresholds | None:
        """The thresholds of the run. Raises ThresholdError for a file that cannot be used."""
        thresholds = self.spec.thresholds
        return load_thresholds(thresholds) if isinstance(thresholds, str) else thresholds

    @cached_property
    def image_captions(self) -> Mapping[str, str] | None:
        """Captions by image id, for images without a data set. Raises DataError for a file that cannot be used."""
        if self.captions is not None:
            return self.captions
        return None if self.spec.image_captions is None else read_image_captions(Path(self.spec.image_captions))

    def check(self, resources: Resources) -> None:
        """Raise now what the run would raise later, as far as that is known without reading weights.

        Raises:
            ZspromptError: labels, images, prompts, captions, thresholds or an adapter that do not suit each other; or a
                model or a device that is not available.
        """
        labels = check_labels(self.labels)
        if self.thresholds is not None:
            refuse_thresholds(self.strategy, self.thresholds, self.dataset)
            self.thresholds.order(labels)
        refuse_labels(self.strategy, labels)
        if self.dataset is not None:
            refuse_images(self.strategy, len(self.dataset.images))
        columns = [*self.dataset.caption_columns] if self.dataset else ["written"] * (self.image_captions is not None)
        require_captions(reads(self.strategy), columns)
        refuse_captions(self.strategy, len(columns))
        self._refuse_another_model()
        resources.check_model(self.model, self.spec.device, self.spec.precision)

    def _refuse_another_model(self) -> None:
        """Raise AdapterError, ThresholdError if the names show that the model is another one.

        A name that is not in the table may stand for the same model; `prepared` compares fingerprints.
        """
        trained_on = own_model(self.strategy)
        if _is_another(self.model, trained_on):
            raise AdapterError(
                f"expected the model this adapter was trained on, {trained_on}, found {self.model}; "
                f"use --model {trained_on}, or train an adapter on {self.model}"
            )
        made_for = self.thresholds.made_for.get("model") if self.thresholds else None
        if _is_another(self.model, made_for):
            raise ThresholdError(
                f"expected thresholds for model {self.model}, found thresholds for {made_for}; use --model {made_for}, "
                "or make new ones"
            )

    def prepared(self, store: EmbeddingStore) -> Prepared:
        """The run on an open store, with its thresholds. Raises ThresholdError if they were made for another run."""
        strategy = self.strategy
        if self.thresholds is not None:
            strategy = with_thresholds(strategy, self.thresholds, store, self.dataset)
        return Prepared(self, strategy, store)


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to start: strategy, data set and open store.

    Attributes:
        resolved: the description of the run, and what it names.
        strategy: the strategy with its captions and thresholds.
        store: the store that embeds texts and images.
    """

    resolved: Resolved
    strategy: Strategy
    store: EmbeddingStore

    @property
    def spec(self) -> RunSpec:
        """The description of the run."""
        return self.resolved.spec

    @property
    def labels(self) -> tuple[str, ...]:
        """See Resolved."""
        return self.resolved.labels

    @property
    def dataset(self) -> Dataset | None:
        """Images and labels of the run; None without a data set."""
        return self.resolved.dataset

    @property
    def data(self) -> Dataset:
        """See Resolved."""
        return self.resolved.data

    @property
    def domain_warnings(self) -> tuple[str, ...]:
        """Warnings that the model or an adapter was trained on other images or labels, one sentence each."""
        domain = self.dataset.domain if self.dataset else PHOTOGRAPHS
        return tuple(outside_domain(self.strategy, self.store.encoder, self.labels, domain))

    def run(self, *, resamples: int = RESAMPLES) -> Result:
        """Measure the run and keep its description in the result. Raises UsageError without a data set; see `run`."""
        result = run(
            self.strategy,
            self.data,
            self.store,
            difficult=cast("Difficult", self.spec.difficult),
            skip_bad=self.spec.skip_bad,
            resamples=resamples,
        )
        return replace(result, recipe={**result.recipe, "run": self.spec.to_dict()})

    def __enter__(self) -> Prepared:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()


def _checked(name: str, value: object) -> object:
    """The value of a field; a path as its text, a list of labels as a tuple. Raises UsageError for another type."""
    if isinstance(value, Path) and name not in _LABEL_LISTS:
        value = str(value)
    if isinstance(value, list) and name in _LABEL_LISTS:
        value = tuple(value)
    if value is None and name == "without":
        value = ()
    if not _fits(name, value):
        raise UsageError(f"expected {name.replace('_', ' ')} to be {_expected(name)}, found {value!r}")
    if isinstance(value, str) and not value.strip() and name not in ("strategy", "dataset"):
        raise UsageError(f"expected a value for {name.replace('_', ' ')}, found an empty text; leave it out")
    return value


def _fits(name: str, value: object) -> bool:
    if name in _OBJECTS:
        return is_instance(value, _OBJECTS[name][1]) and not isinstance(value, type)
    if name in _NUMBERS:
        return value is None or (isinstance(value, int) and not isinstance(value, bool))
    if name == "skip_bad":
        return isinstance(value, bool)
    if name in _LABEL_LISTS and isinstance(value, tuple):
        return all(isinstance(label, str) for label in value)
    return isinstance(value, str) or (value is None and name not in _CHOICES)


def _expected(name: str) -> str:
    if name in _OBJECTS:
        return _OBJECTS[name][0]
    if name in _CHOICES:
        return f"one of {', '.join(_CHOICES[name])}"
    if name == "skip_bad":
        return "True or False"
    if name in _LABEL_LISTS:
        return "names or a text"
    return "a whole number or None" if name in _NUMBERS else "a text or None"


def _listed(labels: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return read_labels(labels) if isinstance(labels, str) else labels


def _is_another(model: str | Encoder, other: object) -> bool:
    """Whether two names stand for different models of the table."""
    return isinstance(model, str) and model != other and model in ENCODERS and other in ENCODERS


def _loadable_model(name: str | None) -> str | None:
    """The name of an adapter's model; None for a strategy without one. Raises UsageError if it cannot be loaded."""
    if name is None or name in available_models() or is_built_in(name) or is_object_path(name):
        return name
    if Path(name).is_file():
        return name
    raise UsageError(
        f"expected the model {name} that the adapter was trained on, found no such name or file; give --model"
    )


def _plain(value: Any) -> object:
    """The value of a field as a JSON type."""
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Dataset | PromptSet):
        return value.name
    return value.name if is_instance(value, Encoder) else repr(value)
