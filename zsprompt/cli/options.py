"""Options that several commands share: the table of a run's options, how each is read, and the old spellings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from zsprompt._utils.registry import DEFAULT_MODEL
from zsprompt._utils.specs import construct, split_spec
from zsprompt._utils.text import quoted
from zsprompt.errors import UsageError
from zsprompt.experiments.data_fields import DataFields

DATA, CAPTIONS, DECISIONS, COMPUTATION, OUTPUT = "Data", "Captions", "Decisions", "Computation", "Output"
"""Panels of --help, in the order in which they follow the main options."""


def option(text: str, *names: str, panel: str | None = None, **settings: Any) -> Any:
    """A typer option in a panel of --help; without a panel it is one of the main options."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


def argument(text: str, metavar: str) -> Any:
    """A typer argument."""
    return typer.Argument(help=text, metavar=metavar)


Json = Annotated[bool, option("Print one JSON object and nothing else.", "--json", panel=OUTPUT)]
_FORCE = "Replace files that zsprompt did not write; never an input."
Force = Annotated[bool, option(_FORCE, "--force", panel=OUTPUT)]
HiddenForce = Annotated[bool, option(_FORCE, "--force", hidden=True)]
"""For a command whose help has no room. The refusal names the option."""

CacheFolder = Annotated[
    Path | None, option("Folder for stored embeddings; it may also stand before the command.", "--cache", hidden=True)
]
Images = Annotated[
    list[Path],
    argument(
        "Images, folders of images, .tar files (WebDataset shards), and .csv, .jsonl or .parquet lists of files.",
        "IMAGE|FOLDER|TAR|LIST",
    ),
]

Fields = Mapping[str, Any]
"""Values by the fields of RunSpec, and "batch_size", which belongs to the store."""


@dataclass(frozen=True)
class RunOption:
    """One option of every command that makes runs.

    Attributes:
        name: the name of its parameter; "image_captions" is --image-captions.
        kind: the type of its value.
        sets: fields of RunSpec that it can set.
        help: its text in --help.
        read: turns its value into fields and their values.
        panel: its panel of --help; None for a main option.
        now: the new spelling, if this is an old one; else empty.
        family: the fields that may follow the value, with their texts in --help. Only those that the command uses are
            shown.
        default: what --help states as its default; empty for nothing.
    """

    name: str
    kind: Any
    sets: tuple[str, ...]
    help: str
    read: Callable[[Any], Fields]
    panel: str | None = None
    now: str = ""
    family: Mapping[str, str] = field(default_factory=dict)
    default: str = ""

    @property
    def flag(self) -> str:
        """The option as typed, such as --image-captions."""
        return f"--{self.name.replace('_', '-')}"

    def parameter(
        self,
        repeated: bool,
        reasons: Collection[str] = (),
        hidden: Collection[str] = (),
        defaults: Mapping[str, str] | None = None,
    ) -> inspect.Parameter:
        """The parameter that typer turns into an option.

        Args:
            repeated: whether it may be given several times.
            reasons: fields of RunSpec that the command does not use.
            hidden: options that --help does not show.
            defaults: what --help states as the default of an option, where the command has its own.
        """
        shown = f"Old spelling of `{self.now}`." if self.now else self.help
        if family := [text for name, text in self.family.items() if name not in reasons]:
            shown += f" Fields: {', '.join(family)}."
        kind: Any = self.kind
        if repeated and kind is not bool and not self.now:
            shown += " May be repeated."
        if stated := (defaults or {}).get(self.name, self.default):
            shown += f" [default: {stated}]"
        default, metavar = None if kind is not bool else False, None
        if kind is not bool:
            metavar = "<path>" if kind is Path else f"<{kind.__name__}>"
            kind = list[kind] | None if repeated else kind | None
        is_hidden = bool(self.now) or self.name in hidden
        info = option(shown, self.flag, panel=self.panel, hidden=is_hidden, metavar=metavar)
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, keyword, default=default, annotation=Annotated[kind, info])


@dataclass(frozen=True)
class _DeviceFields:
    """Fields that may follow the device."""

    precision: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class _SampleFields:
    """Fields that may follow the size of a sample."""

    seed: int | None = None


def _family(head: str, kind: type[Any]) -> Callable[[str], Fields]:
    """Reads "HEAD[,field=value…]" as the field `head` and the fields of `kind`."""

    def read(text: str) -> Fields:
        name, settings = split_spec(text)
        values = construct(kind, settings, name=f"--{head}")
        return {head: name.strip(), **{key: getattr(values, key) for key in settings}}

    return read


def _read_sample(text: str) -> Fields:
    values = dict(_family("sample", _SampleFields)(text))
    return values | {"sample": whole_number(values["sample"], "--sample", 1)}


def whole_number(text: str, flag: str, least: int) -> int:
    """The number that `text` is. Raises UsageError for anything else, or one below `least`."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"expected a whole number of at least {least} for {flag}, found {quoted(text)}")
    return number


def _as(name: str) -> Callable[[Any], Fields]:
    return lambda value: {name: value}


def _as_text(name: str) -> Callable[[Any], Fields]:
    return lambda value: {name: str(value)}


_OF_DATA = ("dataset", "root", "split", "names", "difficult", "limit", "sample", "seed", "skip_bad")

RUN_OPTIONS: tuple[RunOption, ...] = (
    RunOption(
        "strategy",
        str,
        ("strategy",),
        "[WRAPPER:…]NAME[,field=value…] or adapter:FILE; see `zsprompt list strategies`.",
        _as("strategy"),
    ),
    RunOption(
        "dataset",
        str,
        _OF_DATA,
        "NAME[,field=value…]; see `zsprompt list datasets`.",
        _family("dataset", DataFields),
        family={
            "root": "root",
            "split": "split",
            "names": "names (readable or raw)",
            "difficult": "difficult (ignore, negative or positive)",
            "limit": "limit (only the first images)",
            "sample": "sample",
            "seed": "seed",
            "skip_bad": "skip_bad",
        },
    ),
    RunOption(
        "model",
        str,
        ("model",),
        "A name (see `zsprompt models list`) or an OpenAI CLIP checkpoint file.",
        _as("model"),
        default=f"the adapter's or the data set's own, else {DEFAULT_MODEL}",
    ),
    RunOption(
        "prompts",
        str,
        ("prompts",),
        "A prompt set (see `zsprompt list prompts`) or a .toml file.",
        _as("prompts"),
        default="the strategy's",
    ),
    RunOption("root", Path, ("root",), "Folder of the data set.", _as_text("root"), DATA, default="ZSPROMPT_DATA"),
    RunOption(
        "split",
        str,
        ("split",),
        "Split of the data set.",
        _as("split"),
        DATA,
        default="its test split",
    ),
    RunOption("labels", str, ("labels",), 'Your labels: "dog, cat", or @FILE with one per line.', _as("labels"), DATA),
    RunOption("without", str, ("without",), 'Labels to leave out: "dog, cat".', _as("without"), DATA),
    RunOption(
        "sample",
        str,
        ("sample", "seed"),
        "N[,seed=K]: only N images, drawn so that each label keeps its share.",
        _read_sample,
        DATA,
    ),
    RunOption("skip_bad", bool, ("skip_bad",), "Leave out images that cannot be read.", _as("skip_bad"), DATA),
    RunOption(
        "captions",
        str,
        ("captions",),
        "Caption bank for strategy llm, by name or as a .jsonl file.",
        _as("captions"),
        CAPTIONS,
        default="the data set's own",
    ),
    RunOption(
        "image_captions",
        Path,
        ("image_captions",),
        "File with one caption per image, from `zsprompt caption-images`, for adapters that read captions.",
        _as_text("image_captions"),
        CAPTIONS,
    ),
    RunOption(
        "llm",
        str,
        ("llm",),
        "The LLM to ask: [SERVER:]MODEL[,field=value…]. SERVER: openai, qwen, qwen-cn or local. "
        "Fields: url, model, timeout, max_calls, max_tokens, answer_tokens, offline.",
        _as("llm"),
        CAPTIONS,
        default="ZSPROMPT_LLM_…",
    ),
    RunOption(
        "thresholds",
        Path,
        ("thresholds",),
        "Thresholds file from `zsprompt thresholds`.",
        _as_text("thresholds"),
        DECISIONS,
    ),
    RunOption(
        "device",
        str,
        ("device", "precision"),
        "auto, cpu or cuda[,field=value…].",
        _family("device", _DeviceFields),
        COMPUTATION,
        family={"precision": "precision (auto, bfloat16 or int8)", "batch_size": "batch_size"},
    ),
)
"""The options of a run. To add one, add a line here and a field to RunSpec."""


def _old(name: str, kind: Any, field_: str, now: str, read: Callable[[Any], Fields] | None = None) -> RunOption:
    return RunOption(name, kind, (field_,), "", read or _as(field_), now=now)


def _part_of_llm(name: str) -> Callable[[Any], Fields]:
    return lambda value: {"llm": f"{name}={'yes' if value is True else value}"}


OLD_SPELLINGS: tuple[RunOption, ...] = (
    _old("labels_file", Path, "labels", "--labels @FILE", lambda value: {"labels": f"@{value}"}),
    _old("names", str, "names", "--dataset NAME,names=KIND"),
    _old("difficult", str, "difficult", "--dataset NAME,difficult=RULE"),
    _old("limit", int, "limit", "--dataset NAME,limit=N"),
    _old("seed", int, "seed", "--sample N,seed=K"),
    _old("picture_captions", Path, "image_captions", "--image-captions FILE", _as_text("image_captions")),
    _old("precision", str, "precision", "--device auto,precision=KIND"),
    _old("batch_size", int, "device", "--device auto,batch_size=N", _as("batch_size")),
    _old("llm_model", str, "llm", "--llm MODEL", _part_of_llm("model")),
    _old("llm_base_url", str, "llm", "--llm url=URL", _part_of_llm("url")),
    _old("llm_timeout", float, "llm", "--llm timeout=SECONDS", _part_of_llm("timeout")),
    _old("max_calls", int, "llm", "--llm max_calls=N", _part_of_llm("max_calls")),
    _old("max_tokens", int, "llm", "--llm max_tokens=N", _part_of_llm("max_tokens")),
    _old("offline", bool, "llm", "--llm offline=yes", _part_of_llm("offline")),
)
"""Options of earlier versions. They still work, with one line of notice that names the new spelling."""
