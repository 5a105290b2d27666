"""What people install: a wheel with its prompts, quick to import, with one-way imports inside."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import ROOT, environment

import zsprompt

PACKAGE = ROOT / "zsprompt"

# Each room may import the rooms before it, and itself.
ORDER = [
    *("errors", "arrays", "files", "grammar", "ids", "lookup", "fields", "prompts", "metrics", "images", "progress"),
    *("download", "tars", "caption_rows", "rows", "sources"),
    *(
        "datasets",
        "encoders",
        "cache",
        "llm",
        "reading",
        "store",
        "thresholds",
        "adapters",
        "strategies",
        "embed",
        "recipe",
        "result",
        "evaluate",
        "prediction",
        "saved",
        "tuning",
        "comparison",
        "ablation",
        "report",
        "training",
        "repeats",
        "protocols",
        "reproduction",
        "options",
        "shell",
        "cli_llm",
        "cli_data",
        "cli_measure",
        "cli_reproduce",
        "cli_train",
        "cli",
    ),
]
ONLY_ERRORS_AND_PROMPTS = {
    "datasets": {"errors", "arrays", "grammar", "lookup", "images", "prompts", "files", "progress", "download"}
    | {"tars", "caption_rows", "rows"}  # what predict reads, data sets read too
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if room(path) not in ("__init__", "__main__")]


def imported_rooms(path: Path) -> set[str]:
    """Rooms that a module imports anywhere, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("zsprompt"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found - {"__version__"}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    allowed = set(ORDER[: ORDER.index(room(path)) + 1])
    if room(path) in ONLY_ERRORS_AND_PROMPTS:
        allowed = ONLY_ERRORS_AND_PROMPTS[room(path)] | {room(path)}
    assert imported_rooms(path) <= allowed


NETWORKS = PACKAGE / "adapters" / "networks"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_lives_in_encoders_and_adapters_and_only_networks_import_it_at_the_top(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    heavy = re.compile(r"^([ \t]*)(?:import|from) (torch|clip|pandas|transformers|torchvision)\b", re.MULTILINE)
    found = heavy.findall(source)
    at_the_top = {module for indent, module in found if not indent}
    assert at_the_top <= ({"torch"} if NETWORKS in path.parents else set())
    allowed = {"encoders": {"torch", "clip", "pandas", "transformers", "torchvision"}, "adapters": {"torch", "pandas"}}
    assert {module for _, module in found} <= allowed.get(room(path), {"pandas"})


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_networks_are_imported_inside_functions(path: Path) -> None:
    """They import torch at the top: who imports them there would load it too."""
    if NETWORKS in path.parents:
        return
    named = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert not [name for name in named if name.startswith("zsprompt.adapters.networks")]


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


@pytest.mark.parametrize("name", zsprompt.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(zsprompt, name)
    assert name == "__version__" or thing.__doc__
    assert name in dir(zsprompt)


def test_no_public_name_is_hidden_by_a_module() -> None:
    """Importing zsprompt.NAME would put the module where the function was."""
    modules = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_")}
    assert not modules & set(zsprompt.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        zsprompt.nonsense  # noqa: B018


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` would build."""
    if not find_spec("hatchling"):
        pytest.skip("hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_prompts_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {f"zsprompt/_prompts/{path.name}" for path in (ROOT / "prompts").glob("*.toml")}
    assert shipped
    assert shipped <= set(names)
    assert "zsprompt/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    assert {"zsprompt/encoders/tiny.safetensors", "zsprompt/datasets/scenes/words.toml"} <= set(names)
    assert wheel.stat().st_size < 6_000_000


@pytest.mark.parametrize("layout", ["wheel", "checkout"])
def test_prompts_are_found_in_the_wheel_and_beside_the_package(layout: str, wheel: Path, tmp_path: Path) -> None:
    """In an unpacked wheel, and in a checkout as an editable install uses it."""
    where = ROOT
    if layout == "wheel":
        zipfile.ZipFile(wheel).extractall(tmp_path)
        where = tmp_path
    code = (
        "import zsprompt.prompts as p\n"
        "print(p.prompts_folder()); print(len(p.available_prompts())); print(p.load_prompts('photo').ensemble(['owl']))"
    )
    # -S would lose the dependencies; PYTHONPATH goes before site-packages and before an editable install's finder
    env = os.environ | {"PYTHONPATH": str(where)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    folder, count, texts = done.stdout.splitlines()
    assert Path(folder) == (tmp_path / "zsprompt/_prompts" if layout == "wheel" else ROOT / "prompts")
    assert int(count) >= 8
    assert texts == "[['a photo of an owl']]"


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zsprompt.errors import PromptError
    from zsprompt.prompts import prompts_folder

    monkeypatch.setattr("zsprompt.prompts.__file__", str(tmp_path / "zsprompt" / "prompts.py"))
    with pytest.raises(PromptError, match="install zsprompt again"):
        prompts_folder()
