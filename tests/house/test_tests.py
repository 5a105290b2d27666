"""How the tests are laid out: a test module shares through tests/support alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from command_line import ROOT, SUPPORT

TESTS = ROOT / "tests"
MODULES = sorted(path for path in TESTS.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_module_imports_a_test_module(path: Path) -> None:
    assert imported(path).isdisjoint({module.stem for module in MODULES if module.parent != SUPPORT})


def test_no_two_modules_have_the_same_name() -> None:
    """pytest imports them by their bare names."""
    names = [module.stem for module in MODULES]
    assert len(names) == len(set(names))


def test_every_folder_of_tests_is_a_room_or_one_of_four() -> None:
    rooms = {path.name.strip("_") for path in (ROOT / "zsprompt").iterdir() if path.is_dir()}
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert folders <= rooms | {"contracts", "golden", "house", "support"}
