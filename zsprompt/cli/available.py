"""zsprompt list: the names that options take."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from zsprompt.cli.options import Json, argument
from zsprompt.cli.session import named_lines, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(str, Enum):
    """What can be listed."""

    strategies = "strategies"
    datasets = "datasets"
    prompts = "prompts"
    models = "models"
    adapters = "adapters"


def list_names(
    kind: Annotated[Kind, argument("strategies, datasets, prompts, models or adapters.", "KIND")], json: Json = False
) -> None:
    """List the strategies, data sets, prompt sets, models or adapters."""
    with refusals():
        from zsprompt._utils.files import to_json

        entries = _names(kind)
        typer.echo(to_json(dict(entries)) if json else named_lines(list(entries.items())))


def _names(kind: Kind) -> Mapping[str, str]:
    """Each name with a line about it."""
    if kind is Kind.strategies:
        from zsprompt.strategies import available_strategies

        return available_strategies()
    if kind is Kind.datasets:
        from zsprompt.data import available_datasets

        return available_datasets()
    if kind is Kind.models:
        from zsprompt.encoders import available_models

        return available_models()
    if kind is Kind.adapters:
        from zsprompt.adapters import available_adapters

        return available_adapters()
    from zsprompt.prompts import available_prompts, load_prompts

    return {name: load_prompts(name).about for name in available_prompts()}
