"""The options of a run: one table, in every command that makes runs, and a reason wherever one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click import Command
from command_line import ROOT, Cli, environment, one_line
from typer.main import get_command

from zsprompt.cli import app
from zsprompt.cli.app import COMMANDS, OLD_COMMANDS
from zsprompt.cli.given_run import GivenRun
from zsprompt.cli.options import CAPTIONS, COMPUTATION, DATA, DECISIONS, OLD_SPELLINGS, OUTPUT, RUN_OPTIONS, RunOption
from zsprompt.cli.train import TRAINING
from zsprompt.errors import UsageError
from zsprompt.experiments.spec import RunSpec

FIELDS = tuple(part.name for part in fields(RunSpec))
MAKES_RUNS = {
    "run": ["--strategy", "top-all", "--dataset", "scenes"],
    "predict": ["some.png"],
    "ablate": ["--strategy", "fakes:CaptionReader", "--dataset", "scenes", "--out", "table"],
    "thresholds": ["--dataset", "scenes", "--out", "t.json"],
    "caption-labels": [],
    "train": ["--adapter", "knn", "--dataset", "scenes", "--out", "adapter"],
    "caption-images": ["--out", "c.csv"],
    "write-prompts": ["random-words", "--out", "words.toml"],
}
"""Each command with the least that it needs."""

WAYS: dict[str, list[tuple[list[str], object]]] = {
    "strategy": [(["--strategy", "per-label"], "per-label")],
    "dataset": [(["--dataset", "voc"], "voc")],
    "prompts": [(["--prompts", "bare"], "bare")],
    "model": [(["--model", "tiny"], "tiny")],
    "root": [(["--root", "here", "--dataset", "voc"], "here"), (["--dataset", "voc,root=here"], "here")],
    "split": [(["--split", "val"], "val"), (["--dataset", "scenes,split=val"], "val")],
    "names": [(["--dataset", "scenes,names=raw"], "raw")],
    "labels": [(["--labels", "dog, cat"], "dog, cat")],
    "without": [(["--without", "dog"], "dog")],
    "captions": [(["--captions", "scenes"], "scenes")],
    "image_captions": [(["--image-captions", "c.csv"], "c.csv")],
    "llm": [(["--llm", "qwen:qwen-plus"], "qwen:qwen-plus")],
    "thresholds": [(["--thresholds", "t.json"], "t.json")],
    "difficult": [(["--dataset", "scenes,difficult=negative"], "negative")],
    "limit": [(["--dataset", "scenes,limit=3"], 3)],
    "sample": [(["--sample", "3"], 3), (["--dataset", "scenes,sample=3"], 3)],
    "seed": [(["--sample", "3,seed=4"], 4), (["--dataset", "scenes,sample=3,seed=4"], 4)],
    "device": [(["--device", "cpu"], "cpu")],
    "precision": [(["--device", "cpu,precision=int8"], "int8")],
    "skip_bad": [(["--skip-bad"], True), (["--dataset", "scenes,skip_bad=yes"], True)],
}
"""How an option sets each field of RunSpec, and to what."""


def ways(name: str) -> list[tuple[list[str], object]]:
    """How a field is set; one that is not listed has a text option of its own name."""
    return WAYS.get(name) or [([f"--{name.replace('_', '-')}", "new"], "new")]


MAKES_RUNS_WITH = {("train", "strategy"): ["--adapter", "self-training", "--dataset", "scenes", "--out", "adapter"]}
"""The same for one field."""

BEFORE = {
    **{"run": 31, "predict": 20, "ablate": 20, "thresholds": 28, "train": 36},
    **{"caption-labels": 21, "caption-images": 18, "write-prompts": 14, "report": 3, "reproduce": 10},
}
"""Options without --help that the command had before options became families."""

MOST = 19
OLD_WORDS = re.compile(r"\b(picture|mend|beside|would not do|so many)", re.IGNORECASE)
PANELS = {None, DATA, CAPTIONS, DECISIONS, COMPUTATION, OUTPUT, TRAINING}


def leaves(group: Any = None, path: str = "") -> Iterator[tuple[str, Command]]:
    """Every command with its path, such as "data check"."""
    group = group or get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{path}{name} ")
        elif not command.hidden:
            yield f"{path}{name}", command


LEAVES = dict(leaves())
PAIRS = [(command, name) for command in MAKES_RUNS for name in FIELDS]


def reasons(command: str) -> dict[str, str]:
    """Why the command has no use for a field."""
    return COMMANDS[command][0].left_out  # type: ignore[attr-defined]


def options_of(command: str) -> list[RunOption]:
    """The options of a run that the command has, old spellings too."""
    flags = {flag for parameter in LEAVES[command].params for flag in parameter.opts}
    return [one for one in (*RUN_OPTIONS, *OLD_SPELLINGS) if one.flag in flags]


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """The runs that commands describe. Commands stop there."""
    described: list[RunSpec] = []
    spec, specs = GivenRun.spec, GivenRun.specs

    def one(self: GivenRun, **own: object) -> RunSpec:
        described.append(spec(self, **own))
        raise UsageError("described")

    def several(self: GivenRun) -> list[RunSpec]:
        described.extend(specs(self))
        raise UsageError("described")

    monkeypatch.setattr(GivenRun, "spec", one)
    monkeypatch.setattr(GivenRun, "specs", several)
    return described


# -- the table and RunSpec ---------------------------------------------------------------------------------------


def test_the_commands_that_make_runs_are_known() -> None:
    assert {name for name, (command, _) in COMMANDS.items() if hasattr(command, "left_out")} == set(MAKES_RUNS)
    assert set(WAYS) <= set(FIELDS)
    assert {name for one in RUN_OPTIONS for name in one.sets} == set(FIELDS)


@pytest.mark.parametrize(("command", "name"), PAIRS)
def test_every_field_can_be_set_or_there_is_a_reason(
    command: str, name: str, cli: Cli, described: list[RunSpec]
) -> None:
    if name in reasons(command):
        assert len(reasons(command)[name]) > 15
        return
    for words, value in ways(name):
        described.clear()
        done = cli(command, *MAKES_RUNS_WITH.get((command, name), MAKES_RUNS[command]), *words)
        assert one_line(done.stderr) == "error: described\n"
        assert getattr(described[-1], name) == value


@pytest.mark.parametrize(
    ("command", "name"), [pair for pair in PAIRS if pair[1] in reasons(pair[0])], ids=lambda value: value
)
def test_a_field_without_use_is_refused_in_one_line(command: str, name: str, cli: Cli) -> None:
    flags = {one.flag for one in options_of(command)}
    for words, _ in ways(name):
        done = cli(command, *MAKES_RUNS[command], *words)
        if words[0] in flags:
            assert done.returncode == 1
            assert reasons(command)[name] in one_line(done.stderr)
            assert name.replace("_", " ") in one_line(done.stderr)
        else:
            assert done.returncode == 2
            assert f"No such option: {words[0]}" in done.stderr
            assert "Traceback" not in done.stderr


def test_reasons_are_of_fields_of_a_run() -> None:
    for command in MAKES_RUNS:
        assert set(reasons(command)) <= set(FIELDS)


@pytest.mark.parametrize("one", RUN_OPTIONS, ids=lambda one: one.name)
def test_an_option_sets_no_other_fields_than_it_says(one: RunOption) -> None:
    for name in FIELDS:
        for words, _ in ways(name):
            if words[0] == one.flag:
                assert set(one.read(words[1] if len(words) > 1 else True)) <= set(one.sets)


@pytest.mark.parametrize(
    "words", [["--sample", "3", "--dataset", "scenes,sample=3"], ["--dataset", "scenes,sample=3,sample=4"]]
)
def test_a_field_that_is_set_twice_is_refused(words: list[str], cli: Cli) -> None:
    assert "sample" in one_line(cli("run", "--strategy", "top-all", *words).stderr)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--dataset", "scenes,size=3"], "unknown field of --dataset 'size'"),
        (["--dataset", "scenes,limit"], "expected field=value in 'scenes,limit', found 'limit'"),
        (["--dataset", "scenes,limit=few"], "expected limit to be a whole number or none, found 'few'"),
        (["--dataset", "scenes,skip_bad=perhaps"], "expected skip_bad to be yes or no or none, found 'perhaps'"),
        (["--sample", "0"], "expected a whole number of at least 1 for --sample, found '0'"),
        (["--sample", "3,sed=1"], "Did you mean 'seed'?"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--device", "cpu,precision=half"], "unknown precision 'half'"),
        (["--device", "cpu,batch_size=all"], "expected batch_size to be a whole number or none, found 'all'"),
        (["--dataset", "scenes,names=old"], "unknown names 'old'"),
        (["--dataset", "scenes,difficult=no"], "unknown difficult 'no'"),
        (["--llm", "a,max_calls=few"], "expected max_calls to be a whole number or none, found 'few'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_value_that_cannot_be_meant_is_one_line(words: list[str], text: str, cli: Cli) -> None:
    done = cli("run", "--strategy", "llm", "--dataset", "scenes", *words)
    assert done.returncode == 1
    assert text in one_line(done.stderr)


def test_one_batch_size_holds_for_all_rows_of_an_ablation(cli: Cli) -> None:
    devices = ("--device", "cpu,batch_size=4", "--device", "cpu,batch_size=8")
    done = cli("ablate", "--strategy", "top-all", "--dataset", "scenes", *devices, "--out", "t")
    assert "expected one batch_size for all runs, found 4 and 8" in one_line(done.stderr)


# -- --help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LEAVES)
def test_a_command_has_few_options_in_known_panels(path: str) -> None:
    shown = [one for one in LEAVES[path].params if one.param_type_name == "option" and not one.hidden]
    assert len(shown) <= min(MOST, BEFORE.get(path, MOST))
    assert {getattr(one, "rich_help_panel", None) for one in shown} <= PANELS
    assert all(one.help for one in shown)


@pytest.mark.parametrize("path", ["", "data", "cache", *LEAVES])
def test_help_is_whole_and_in_todays_words(path: str, cli: Cli) -> None:
    shown = cli(*path.split(), "--help").stdout
    assert not OLD_WORDS.search(shown)
    squeezed = "".join(shown.split())
    for parameter in LEAVES[path].params if path in LEAVES else ():
        if parameter.help and not parameter.hidden:
            assert "".join(parameter.help.split()) in squeezed


NARROW = 40
EVERY_HELP = ["", "data", "cache", *LEAVES, *OLD_COMMANDS]


@pytest.mark.parametrize("path", EVERY_HELP)
def test_help_fits_a_narrow_terminal_and_breaks_no_word(path: str, cli: Cli) -> None:
    wide, narrow = (cli(*path.split(), "--help", env={"COLUMNS": str(width)}).stdout for width in (200, NARROW))
    for line in narrow.splitlines():
        assert len(line) <= NARROW or len(line.split()) == 1, line
    assert narrow.split() == wide.split()
    assert max(map(len, wide.splitlines())) <= 80


@pytest.mark.parametrize("width", [1, 20, 79])
def test_help_is_whole_at_any_width(width: int, cli: Cli) -> None:
    assert cli("run", "--help", env={"COLUMNS": str(width)}).stdout.split() == cli("run", "--help").stdout.split()


def test_a_fields_list_names_what_a_command_uses(cli: Cli) -> None:
    assert "difficult" in cli("run", "--help").stdout
    assert "difficult" not in cli("train", "--help").stdout


def test_no_help_loads_what_is_slow() -> None:
    script = (
        "import sys\n"
        "from zsprompt.cli import app\n"
        f"for path in {['', 'data', 'cache', *LEAVES]}:\n"
        "    app([*path.split(), '--help'], standalone_mode=False)\n"
        "slow = {'numpy', 'torch', 'pandas', 'sklearn', 'scipy', 'PIL', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(f'loaded {slow}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(ROOT), env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
