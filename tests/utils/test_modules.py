"""package.module:Object: where the module is searched, and what is said if it cannot be imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import one_line

from zsprompt.data import load_dataset
from zsprompt.encoders import load_encoder
from zsprompt.errors import UsageError, ZspromptError
from zsprompt.strategies import load_strategy

LOADERS: dict[str, Callable[[str], Any]] = {
    "strategy": load_strategy,
    "model": load_encoder,
    "data set": load_dataset,
}
every_loader = pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)

STRATEGY = """
from zsprompt import TopAll

Thing = TopAll()


class Later:
    def __init__(self, **options):
        import zs_neighbour
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, which is not on Python's path."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("zs_"):
            del sys.modules[name]


def refused(load: Callable[[str], Any], name: str) -> str:
    """The one line that refuses a name."""
    with pytest.raises(ZspromptError) as caught:
        load(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_module_in_the_working_folder_is_found(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    assert type(load_strategy("zs_mine:Thing")).__name__ == "TopAll"


def test_a_package_in_the_working_folder_is_found(folder: Path) -> None:
    (folder / "zs_pack").mkdir()
    (folder / "zs_pack" / "inner.py").write_text(STRATEGY)
    assert type(load_strategy("zs_pack.inner:Thing")).__name__ == "TopAll"


def test_the_working_folder_is_searched_last(folder: Path) -> None:
    before = list(sys.path)
    (folder / "zs_mine.py").write_text(STRATEGY)
    load_strategy("zs_mine:Thing")
    assert sys.path == [*before, str(folder)]


def test_a_module_finds_its_neighbours_when_it_is_used(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    (folder / "zs_neighbour.py").write_text("raise KeyError('neighbour')\n")
    assert "zs_neighbour.py, line 1: KeyError: 'neighbour'" in refused(load_encoder, "zs_mine:Later")


@every_loader
def test_an_installed_module_comes_first_and_is_named(load: Callable[[str], Any], folder: Path) -> None:
    (folder / "statistics.py").write_text(STRATEGY)
    text = refused(load, "statistics:Thing")
    assert "expected 'Thing' in module 'statistics' (" in text
    assert text.endswith("in the working folder has the name of an installed package, which comes first: rename it")


@every_loader
@pytest.mark.parametrize("name", ["zs_nowhere:Thing", "zs_no.such.module:Thing"])
def test_a_module_that_is_not_found_says_where_to_put_it(load: Callable[[str], Any], name: str) -> None:
    path = list(sys.path)
    file = name.partition(":")[0].replace(".", "/") + ".py"
    assert refused(load, name).endswith(f"found none; put {file} into the working folder, or install its package")
    assert sys.path == path


@every_loader
def test_a_file_name_is_recognised(load: Callable[[str], Any], folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    assert refused(load, "zs_mine.py:Thing").endswith("found a file name; write zs_mine:Thing")


def test_prompts_of_an_object_are_refused(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    with pytest.raises(UsageError, match="expected no prompts for zs_mine:Thing, which is already made"):
        load_strategy("zs_mine:Thing", prompts="photo")


@pytest.mark.parametrize("load", [load_strategy, load_dataset])
@pytest.mark.parametrize("name", ["./zs_mine.py:Thing", "zs_mine.py", "/tmp/zs_mine.py:Thing"])
def test_a_path_of_a_file_says_how_it_is_written(load: Callable[[str], Any], name: str, folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    assert "write mymod:Thing for Thing in mymod.py" in refused(load, name)


FAULTS = {
    "missing import": (
        "import numpy\n\nimport zs_absent\n",
        "line 3: ModuleNotFoundError: No module named 'zs_absent'",
    ),
    "missing name": ("from math import zs_none\n", "line 1: ImportError: cannot import name 'zs_none' from 'math'"),
    "syntax": ("x = 1\nclass Thing\n    pass\n", "line 2: SyntaxError: "),
    "indentation": ("def f():\npass\n", "line 2: IndentationError: "),
    "exception": ("def f():\n    return 1 / 0\n\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
    "inside a library": ("import numpy\nnumpy.zeros(-1)\n", "line 2: ValueError: "),
    "our own error": ("import zsprompt\nzsprompt.load_prompts('phto')\n", "line 2: UnknownName: unknown prompt set"),
    "several lines": ("raise ValueError('one\\ntwo')\n", "line 1: ValueError: one two; "),
    "the end of the program": ("import sys\nsys.exit(2)\n", "line 2: SystemExit: 2; put the code"),
    "no text": ("\0", "SyntaxError: source code "),
}


@every_loader
@pytest.mark.parametrize(("text", "said"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_the_module_is_one_line_with_its_place(
    load: Callable[[str], Any], text: str, said: str, folder: Path
) -> None:
    (folder / "zs_broken.py").write_text(text)
    path = list(sys.path)
    line = refused(load, "zs_broken:Thing")
    assert line.startswith("cannot import 'zs_broken:Thing': zs_broken.py")
    assert said in line
    assert sys.path == path


def test_an_error_in_a_neighbour_names_the_neighbour(folder: Path) -> None:
    (folder / "zs_mine.py").write_text("import zs_neighbour\n")
    (folder / "zs_neighbour.py").write_text("\n\nimport zs_absent\n")
    assert "zs_neighbour.py, line 3: ModuleNotFoundError" in refused(load_strategy, "zs_mine:Thing")


def test_a_missing_object_names_the_file(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(STRATEGY)
    text = refused(load_strategy, "zs_mine:Thng")
    assert text == "expected 'Thng' in module 'zs_mine' (zs_mine.py), found no such name"


def test_an_error_of_the_object_names_its_line(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Thing:\n    size: int = 1\n\n"
        "    def __post_init__(self):\n        raise ValueError(self.size)\n\n\n"
        "def load(root, *, split, names):\n    1 / 0\n"
    )
    assert "zs_mine.py, line 9: ValueError: 2" in refused(load_strategy, "zs_mine:Thing,size=2")
    assert "zs_mine.py, line 13: ZeroDivisionError" in refused(
        lambda name: load_dataset(name, root=folder), "zs_mine:load"
    )


def test_fields_of_types_that_are_not_imported_are_refused(folder: Path) -> None:
    (folder / "zs_mine.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
        "@dataclass(frozen=True)\nclass Thing:\n    size: Absent = 1\n"
    )
    with pytest.raises(UsageError, match="cannot set fields of Thing: name 'Absent' is not defined"):
        load_strategy("zs_mine:Thing,size=2")


# -- the command line --------------------------------------------------------------------------------------------

STRAY = ("numpy", "torch", "PIL", "typer", "clip", "pandas", "safetensors", "rich", "tomli", "platformdirs")


def _stray(folder: Path) -> None:
    """Modules of the user with names of installed packages."""
    for name in STRAY:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('the stray {name} was imported')\n")
    (folder / "zs_mine.py").write_text(STRATEGY)


START = {
    "python -m": [sys.executable, "-m", "zsprompt"],
    "console script": [str(Path(sys.executable).parent / "zsprompt")],
}


@pytest.mark.slow
@pytest.mark.parametrize("start", START.values(), ids=START)
def test_stray_modules_hide_nothing_and_ones_own_is_found(start: list[str], folder: Path) -> None:
    import subprocess

    from command_line import environment

    _stray(folder)
    options = ["run", "--strategy", "zs_mine:Thing", "--dataset", "scenes", "--limit", "4", "--json"]
    done = subprocess.run(
        [*start, *options], capture_output=True, text=True, cwd=folder, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"spec": "top-all"' in done.stdout


def test_the_command_line_says_it_in_one_line(cli: Callable[..., Any], folder: Path) -> None:
    done = cli("run", "--strategy", "zs_nowhere:Thing", "--dataset", "scenes")
    assert done.returncode == 1
    assert "put zs_nowhere.py into the working folder" in one_line(done.stderr)
