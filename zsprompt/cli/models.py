"""The command line of models: list them, and check the weights of one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zsprompt.cli.command import Command
from zsprompt.cli.help import SectionedGroup
from zsprompt.cli.model_check import check
from zsprompt.cli.options import Json, argument, option
from zsprompt.cli.session import note, refusals
from zsprompt.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from zsprompt.encoders.catalogue import KnownModel

models_app = typer.Typer(
    cls=SectionedGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List the models, or check the weights of one.",
)

_HEADER = ("--model", "family", "pixels", "tokens", "D", "parameters", "download", "licence", "here")
_LEFT = (0, 1, 7, 8)


@models_app.command("list", cls=Command)
def list_(
    text: Annotated[
        str | None, argument("Only models with this in their name, family or hf: name. [default: all]", "TEXT")
    ] = None,
    family: Annotated[str | None, option("Only this family, such as 'SigLIP 2'.")] = None,
    cached: Annotated[bool, option("Only models that load without the network.", "--cached")] = False,
    json: Json = False,
) -> None:
    """List the models that --model takes, and which of them are cached here.

    "tokens" is the longest text, "D" the width of an embedding, "download" the computed size of the weights.
    """
    with refusals():
        from zsprompt._utils.files import to_json
        from zsprompt.encoders.clip.openai_models import weights_folder
        from zsprompt.encoders.hub_cache import hub_folder, is_cached

        chosen = [(model, is_cached(model)) for model in _chosen(text, family)]
        shown = [(model, here) for model, here in chosen if here or not cached]
        folders = [str(weights_folder()), str(hub_folder())]
        if json:
            typer.echo(to_json({"folders": folders, "models": [_facts(model, here) for model, here in shown]}))
            return
        if shown:
            typer.echo(_table([_cells(model, here) for model, here in shown]))
        _say_what_else(shown, folders)


models_app.command("check", cls=Command)(check)


def _chosen(text: str | None, family: str | None) -> list[KnownModel]:
    """The models that were asked for. Raises UnknownName, UsageError if there are none."""
    from zsprompt._utils.text import quoted
    from zsprompt.encoders.catalogue import families, matching, near

    names = {name.lower(): name for name in families()}
    if family is not None and family.lower() not in names:
        raise UnknownName("family", family, names.values())
    matches = matching(text or "")
    found = [model for model in matches if family is None or model.family.lower() == family.lower()]
    if found:
        return found
    if matches:
        held = ", ".join(dict.fromkeys(model.family for model in matches))
        raise UsageError(
            f"expected models with {quoted(text or '')} of family {names[str(family).lower()]}, found some of {held}"
        )
    closest = near(text or "")
    meant = f"closest: {', '.join(closest)}" if closest else "`zsprompt models list` shows all"
    raise UsageError(f"expected a model with {quoted(text or '')} in its name, family or hf: name, found none; {meant}")


def _cells(model: KnownModel, here: bool) -> list[str]:
    from zsprompt._utils.text import in_bytes

    download = in_bytes(model.download_mb * 10**6) if model.download_mb else "–"
    return [
        *(model.name, model.family, str(model.image_size), str(model.context), str(model.dim)),
        *(f"{model.parameters:,.0f} M", download, model.licence, _place(model, here)),
    ]


def _place(model: KnownModel, here: bool) -> str:
    if model.download_mb:
        return "cached" if here else ""
    return "installed" if here else "not installed"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A row per model; on a terminal with fewer columns, what is known of a model stands below its name."""
    from zsprompt.report.terminal import text_table

    width = _width()
    table = text_table(_HEADER, rows, left=_LEFT)
    if not width or max(map(len, table.splitlines())) <= width:
        return table
    return "\n".join(line for cells in rows for line in _entry(cells, width))


def _width() -> int:
    """The width of the terminal; 0 for a pipe or a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _entry(cells: Sequence[str], width: int) -> Iterator[str]:
    from textwrap import wrap

    name, family, pixels, tokens, dim, parameters, download, licence, here = cells
    size = download if download == "–" else f"{download} to download"
    facts = [
        family,
        f"{pixels} pixels",
        f"{tokens} tokens",
        f"D {dim}",
        f"{parameters} parameters",
        size,
        licence,
        here,
    ]
    text = ", ".join(fact.replace(" ", "\0") for fact in facts if fact not in ("", "–"))  # a fact is not broken
    yield name
    yield from (
        line.replace("\0", " ") for line in wrap(text, max(width, 30), initial_indent="  ", subsequent_indent="  ")
    )


def _say_what_else(shown: Sequence[tuple[KnownModel, bool]], folders: Sequence[str]) -> None:
    """How many there are, where it was looked, and what some of them need."""
    from importlib.util import find_spec

    from zsprompt._utils.text import counted

    here = sum(here for _, here in shown)
    note(f"{counted(len(shown), 'model')}, {here} of which load without the network; looked in {' and '.join(folders)}")
    if any(model.extra == "open-clip" for model, _ in shown) and not find_spec("open_clip"):
        note("models named open_clip: need pip install 'zsprompt[open-clip]'")


def _facts(model: KnownModel, here: bool) -> dict[str, Any]:
    """A model as JSON types."""
    return asdict(model) | {"aliases": list(model.aliases), "extra": model.extra or None, "cached": here}
