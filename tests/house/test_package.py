"""The layout of the package: rooms whose imports point down, quick to import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT, environment

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
