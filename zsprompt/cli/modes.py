"""Modes of commands: one table of the ways to use a command, and of the options that each way does not use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import typer

from zsprompt.cli.options import OLD_SPELLINGS, RUN_OPTIONS
from zsprompt.errors import UsageError


@dataclass(frozen=True)
class Mode:
    """One way to use a command.

    Attributes:
        name: the mode as a message begins with it.
        unused: why it does not use an option, by the name of the option's parameter, or by a field of RunSpec.
    """

    name: str
    unused: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, given: Iterable[tuple[str, str]]) -> None:
        """Raise UsageError for the first option that the mode does not use.

        Args:
            given: names of parameters or fields, each with the option as typed.
        """
        for name, flag in given:
            if name in self.unused:
                raise UsageError(f"{self.name} does not use {flag}: {self.unused[name]}; leave it out")


def typed(context: typer.Context) -> dict[str, str]:
    """The options on the command line by the names of their parameters: neither defaults nor variables."""
    options = {one.name: one.opts[0] for one in context.command.params if one.param_type_name == "option"}
    sources = {name: context.get_parameter_source(str(name)) for name in options}
    return {str(name): options[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _all(reason: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, reason)


_NO_TARGETS = "images have no targets to choose by"
_TARGETS = "it chooses by the targets of the data set"
THRESHOLDS_BY_TARGETS = Mode("thresholds with --dataset", _all(_TARGETS, "expect", "share"))
THRESHOLDS_BY_EXPECTATION = Mode(
    "thresholds of unlabelled images",
    _all(_NO_TARGETS, "rule", "kind", "precision_wanted", "calibrate", "folds", "folds_seed"),
)

CAPTIONS_OF_DATASET = Mode(
    "caption-labels with --dataset", {"set_size": "the strategy chooses the label sets of the images"}
)
CAPTIONS_OF_LABELS = Mode(
    "caption-labels without --dataset", _all("it captions every set of the labels", "strategy", "prompts")
)

_HOW_ROWS_RUN = ("device", "precision", "batch_size", "skip_bad")
"""Options that --plan allows: they say how rows run, not which rows there are."""

_PLANNED = {
    name: "the rows are those of the plan"
    for one in (*RUN_OPTIONS, *OLD_SPELLINGS)
    for name in one.sets
    if name not in _HOW_ROWS_RUN
}

_RANDOM = ("like", "random_seed", "seed_of_words")
_WRITTEN = "only random words imitate a prompt set and are drawn"
_TEMPLATE = {"template": "only paraphrases have a template"}
_BANK = {"sentences": "only the kind sentences chooses from a file"}
DESCRIPTIONS = Mode("write-prompts descriptions", {**_all(_WRITTEN, *_RANDOM), **_TEMPLATE, **_BANK})
PARAPHRASES = Mode(
    "write-prompts paraphrases", {**_all(_WRITTEN, *_RANDOM), **_BANK, "labels": "a template holds for any label"}
)
SENTENCES = Mode(
    "write-prompts sentences",
    {**_all(_WRITTEN, *_RANDOM), **_TEMPLATE, "llm": "sentences are chosen, and no LLM is asked"},
)
_IMITATION = {
    **_TEMPLATE,
    **_BANK,
    "count": "it imitates the number of texts of --like",
    "llm": "words are drawn, and no LLM is asked",
}
RANDOM_PROMPTS = Mode("write-prompts random-words to .toml", _IMITATION)
RANDOM_CAPTIONS = Mode(
    "write-prompts random-words to .jsonl", {**_IMITATION, "labels": "the caption bank of --like has its own"}
)

ABLATE_PLAN = Mode("ablate --plan", _PLANNED)

WITHOUT_OUT = Mode("a command without --out", {"force": "it writes no file"})

PREDICT_WITHOUT_FILES = Mode("predict without --out and --show", {"force": "it writes no file"})

RUN_AS_JSON = Mode("run --json", {"eleven_point": "the JSON always has the interpolated mAPs"})

TRAIN_SEVERAL = Mode(
    "train with --seeds or --fraction", {"resume": "it always continues the unfinished training runs in --out"}
)

_OLD_SCHEDULE = (
    "epochs",
    "batch_size_of_step",
    "lr",
    "weight_decay",
    "optimizer",
    "loss",
    "warm_up",
    "decay",
    "patience",
)
SELF_TRAINING = Mode(
    "train --adapter self-training",
    {
        **_all("it learns in one step, without targets", "schedule", "validation", "fraction", "seeds"),
        **_all("it learns in one step, without targets", *_OLD_SCHEDULE, "selective", "clip_weight"),
        **_all("it reads no image captions", "image_captions", "picture_captions"),
    },
)
SELF_TRAINING_ON_IMAGES = Mode(
    "train on unlabelled images",
    _all(
        "images are given as paths and have no targets",
        *("root", "split", "names", "limit", "sample", "seed", "skip_bad", "without", "test"),
    ),
)
TRAIN_ON_TARGETS = Mode("train of this adapter", {"strategy": "only self-training learns from a strategy's scores"})

REPRODUCE_NOTHING = Mode(
    "reproduce without a table",
    _all("it lists the tables", *("root", "on", "seeds", "out", "epochs", "limit", "model", "device", "force")),
)
REPRODUCE_ON_SCENES = Mode("reproduce --on scenes", {"root": "scenes are drawn and need no folder"})
REPRODUCE_UNTRAINED = Mode("reproduce of a table without adapters", _all("nothing is trained", "seeds", "epochs"))
REPRODUCE_COUNTS = Mode("reproduce of a table of counts", _all("no image is embedded", "model", "device"))

REPORT_OF_ABLATION = Mode("report of an ablation", {"root": "its page shows no images"})
