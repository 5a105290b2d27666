"""The layout of the package: rooms whose imports point down, quick to import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import ROOT, environment
from typer.core import TyperCommand, TyperGroup

PACKAGE = ROOT / "zsprompt"

# Rooms from the ground up: each may import the rooms before it, and itself.
ROOMS = (
    *("_version", "errors", "_utils", "metrics", "prompts", "encoders", "data", "store", "llm", "adapters"),
    *("strategies", "evaluation", "experiments", "report", "testing", "cli"),
)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if room(path) not in ("__init__", "__main__")]


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports anywhere, inside functions and for type checkers too."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "zsprompt":
            parts = node.module.split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("zsprompt.")}
    return rooms


def test_the_top_holds_rooms_and_nothing_else() -> None:
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir() if not path.name.startswith("__pycache__")}
    assert entries - {"__init__", "__main__", "py.typed"} <= set(ROOMS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    assert imported_rooms(path) <= set(ROOMS[: ROOMS.index(room(path)) + 1])


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_package_re_exports_and_holds_no_logic(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return
    allowed = (ast.ImportFrom, ast.Import, ast.Assign, ast.Expr)
    assert all(isinstance(node, allowed) for node in ast.parse(path.read_text(encoding="utf-8")).body)


NETWORKS = PACKAGE / "adapters" / "networks"
LOSSES = PACKAGE / "adapters" / "losses.py"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_lives_in_encoders_and_adapters_and_only_networks_import_it_at_the_top(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    heavy = re.compile(r"^([ \t]*)(?:import|from) (torch|clip|pandas|transformers|torchvision)\b", re.MULTILINE)
    found = heavy.findall(source)
    at_the_top = {module for indent, module in found if not indent}
    assert at_the_top <= ({"torch"} if NETWORKS in path.parents or path == LOSSES else set())
    allowed = {"encoders": {"torch", "clip", "pandas", "transformers", "torchvision"}, "adapters": {"torch", "pandas"}}
    assert {module for _, module in found} <= allowed.get(room(path), {"pandas"})


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_networks_are_imported_inside_functions(path: Path) -> None:
    """They import torch at the top: who imports them there would load it too."""
    if NETWORKS in path.parents or path == LOSSES:
        return
    named = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert not [name for name in named if name.startswith(("zsprompt.adapters.networks", "zsprompt.adapters.losses"))]


@pytest.mark.parametrize(
    "code", ["import zsprompt", "import zsprompt; zsprompt.run; zsprompt.predict", "import zsprompt.adapters"]
)
def test_importing_loads_neither_torch_nor_pandas(code: str) -> None:
    check = f"{code}\nimport sys; assert not {{'torch', 'pandas', 'clip'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, env=environment())


def test_help_loads_neither_torch_nor_pandas_nor_numpy() -> None:
    check = (
        "import sys; sys.argv = ['zsprompt', '--help']\n"
        "from zsprompt.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'pandas', 'clip', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL)


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_has_no_blanks_and_the_commands_that_ci_runs() -> None:
    assert not re.findall(r"@[A-Z]+@|TODO|TBD", readme())
    for name, said in (("run", "zsprompt run --strategy top-all"), ("test", "pytest")):
        block = readme().split(f"<!-- ci: {name} -->\n```sh\n")[1].split("```")[0]
        assert said in block


def test_every_option_that_the_readme_names_exists() -> None:
    from typer.main import get_command

    from zsprompt.cli import app

    known = {option for command in commands_of(get_command(app)) for p in command.params for option in p.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", readme())) - {"--torch-backend"}
    assert named
    assert named <= known


def commands_of(command: TyperCommand | TyperGroup) -> Iterator[TyperCommand]:
    """A command's own, or those of a group and of the groups in it."""
    if not isinstance(command, TyperGroup):
        yield command
        return
    for below in command.commands.values():
        yield from commands_of(below)


def toml_after(words: str) -> str:
    return readme().split(words)[1].split("```toml\n")[1].split("```")[0]


def test_the_readmes_plan_loads(tmp_path: Path) -> None:
    from zsprompt.experiments.ablation import read_plan

    (tmp_path / "rows.toml").write_text(toml_after("a TOML file lists the rows"), encoding="utf-8")
    rows = read_plan(tmp_path / "rows.toml")
    assert [(row.strategy, row.prompts) for row in rows[:2]] == [("per-label", "photo"), ("per-label", "ensemble")]
    assert len(rows) == 5


def test_the_readmes_prompt_file_loads(tmp_path: Path) -> None:
    from zsprompt.prompts import load_prompts

    path = tmp_path / "mine.toml"
    path.write_text(toml_after("Your own is a small file"), encoding="utf-8")
    prompts = load_prompts(path)
    assert prompts.texts([("owl", "scissors")]) == ["a photo of an owl and scissors"]
    assert prompts.absent(["owl"]) == ["a photo without an owl"]
    assert len(prompts.ensemble(["owl"])[0]) == 2
