"""What people install: a wheel with its prompts, and what a broken installation says."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip install .` would build."""
    if not find_spec("hatchling"):
        pytest.skip("hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_prompts_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {f"zsprompt/_prompts/{path.name}" for path in (ROOT / "prompts").glob("*.toml")}
    assert shipped
    assert shipped <= set(names)
    assert "zsprompt/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks"))]
    data = {path for path in (ROOT / "zsprompt").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert {f"{path.relative_to(ROOT)}" for path in data} <= set(names)
    conse = {f"zsprompt/encoders/conse/{name}" for name in ("class_vectors.npy", "classes.txt", "classes.LICENSE")}
    assert {"zsprompt/encoders/clip/tiny.safetensors", *conse} <= set(names)
    assert wheel.stat().st_size < 7_500_000


@pytest.mark.parametrize("layout", [pytest.param("wheel", marks=pytest.mark.slow), "checkout"])
def test_prompts_are_found_in_the_wheel_and_beside_the_package(
    layout: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In an unpacked wheel, and in a checkout as an editable install uses it."""
    where = ROOT
    if layout == "wheel":
        zipfile.ZipFile(request.getfixturevalue("wheel")).extractall(tmp_path)
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

    monkeypatch.setattr(
        "zsprompt.prompts.prompt_set.__file__", str(tmp_path / "zsprompt" / "prompts" / "prompt_set.py")
    )
    with pytest.raises(PromptError, match="install zsprompt again"):
        prompts_folder()
