"""nan and inf: refused in every number of an option or a field, by one mechanism."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click import Command, Context
from command_line import Cli, one_line
from typer.main import get_command

from zsprompt._utils.specs import construct, field_names
from zsprompt.adapters import Schedule, load_kind
from zsprompt.adapters.registry import ADAPTERS
from zsprompt.cli import app
from zsprompt.cli.given_run import read_family
from zsprompt.cli.thresholds import _Expectation, _Rule
from zsprompt.errors import UsageError
from zsprompt.llm.options import LlmOptions, parse_llm
from zsprompt.llm.server import find_server
from zsprompt.strategies import load_strategy
from zsprompt.strategies.adapter import Adapter
from zsprompt.strategies.registry import STRATEGIES, WRAPPERS

ODD = ("nan", "inf", "-inf", "NaN", "1e999")
LEAST = {
    "run": "--strategy top-all --dataset scenes",
    "predict": "x.png",
    "ablate": "--strategy top-all --dataset scenes --out table",
    "thresholds": "--dataset scenes --out t.json",
    "caption-labels": "",
    "train": "--adapter fc --dataset scenes --out adapter",
    "caption-images": "--out c.csv",
    "write-prompts": "random-words --out words.toml",
    "caption": "",
    "describe": "--out c.csv",
    "rewrite": "random-words --out words.toml",
}
"""The least that a command needs."""


def leaves(group: Any, path: str = "") -> Iterator[tuple[str, Command]]:
    for name in group.list_commands(Context(group)):
        command = group.get_command(Context(group), name)
        if hasattr(command, "commands"):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def kinds(command: Any, name: str) -> tuple[Any, ...]:
    """The types in the annotation of a parameter."""
    annotation = inspect.signature(command.callback).parameters[name].annotation
    hint = typing.get_args(annotation)[0] if typing.get_args(annotation) else annotation
    return hint, *typing.get_args(hint), *(part for one in typing.get_args(hint) for part in typing.get_args(one))


OPTIONS = [
    (path, parameter.opts[0])
    for path, command in leaves(get_command(app))
    for parameter in command.params
    if parameter.param_type_name == "option" and float in kinds(command, parameter.name)
]
"""Every option with a number that need not be whole, old spellings too."""


def test_the_options_with_such_a_number_are_found() -> None:
    assert {("predict", "--threshold"), ("train", "--fraction"), ("run", "--llm-timeout")} <= set(OPTIONS)
    assert {path for path, _ in OPTIONS} <= set(LEAST)


@pytest.mark.parametrize(("path", "flag"), OPTIONS, ids=" ".join)
@pytest.mark.parametrize("text", ["nan", "-inf", "1e999"])
def test_an_option_refuses_it(path: str, flag: str, text: str, cli: Cli) -> None:
    done = cli(*path.split(), *LEAST[path].split(), f"{flag}={text}")
    assert done.returncode == 1
    assert f"expected a finite number for {flag}, found" in one_line(done.stderr)


def family(flag: str, kind: type[Any]) -> Callable[[str], object]:
    return lambda text: read_family(text, kind, flag)


FAMILIES: dict[str, tuple[type[Any], Callable[[str], object]]] = {
    **{name: (kind, lambda text, name=name: load_strategy(f"{name},{text}")) for name, kind in STRATEGIES.items()},
    **{
        name: (kind, lambda text, name=name: load_strategy(f"{name}:top-all,{text}")) for name, kind in WRAPPERS.items()
    },
    **{
        f"--adapter {name}": (kind, lambda text, name=name: load_kind(f"{name},{text}"))
        for name, kind in ADAPTERS.items()
    },
    "adapter": (Adapter, lambda text: construct(Adapter, dict([text.split("=")]), {"trained": None})),
    "--llm": (LlmOptions, parse_llm),
    "--schedule": (Schedule, family("--schedule", Schedule)),
    "--rule": (_Rule, family("--rule", _Rule)),
    "--expect": (_Expectation, family("--expect", _Expectation)),
}
"""Every family of fields that a text sets, and how the text is read."""


def is_float(hint: Any) -> bool:
    return float in (hint, *typing.get_args(hint))


FIELDS = [
    (name, field)
    for name, (kind, _) in FAMILIES.items()
    for field in field_names(kind)
    if is_float(typing.get_type_hints(kind)[field])
]


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=" ".join)
@pytest.mark.parametrize("text", ODD)
def test_a_field_refuses_it(name: str, field: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"expected {field} to be a number.*, found '{text}'"):
        FAMILIES[name][1](f"{field}={text}")


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "run --strategy top-all --dataset scenes --model pyramid,keep={}:tiny",
            "expected keep of pyramid to be a number",
        ),
        ("caption-labels --labels dog --llm local:m --dry-run --price in={}", "expected in of --price to be a number"),
        ("train --adapter knn --dataset scenes --out a --validation {}", "share of the images for --validation"),
    ],
)
def test_a_number_inside_another_text_refuses_it(line: str, said: str, text: str, cli: Cli) -> None:
    done = cli(*line.format(text).split())
    assert done.returncode == 1
    assert said in one_line(done.stderr)


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("name", ["TIMEOUT", "CONCURRENCY", "REQUESTS_PER_MINUTE", "TOKENS_PER_MINUTE"])
def test_a_variable_refuses_it(name: str, text: str) -> None:
    environment = {"ZSPROMPT_LLM_MODEL": "m", f"ZSPROMPT_LLM_{name}": text}
    with pytest.raises(UsageError, match=f"expected a number in ZSPROMPT_LLM_{name}, found '{text}'"):
        find_server(environment=environment)
