"""README and docs: commands and options exist, files and examples work, generated pages are up to date."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from command_line import ROOT
from scripts import script
from typer.main import get_command

from zsprompt.cli import app

DOCS = ROOT / "docs"
GENERATED = {DOCS / "cli.md", DOCS / "python.md"}
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")} - GENERATED)
OTHER_PROGRAMS = {
    "--index-url",
    "--torch-backend",
    "--strict",
    "--check",
    "--help",
    "--slow",
}  # of pip, uv, mkdocs, ruff, pytest and our scripts; of every command
EXAMPLE = re.compile(r"^<!-- test: ([a-z ]+) -->\n```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUN_BY_CI = re.compile(r"^<!-- ci: ([a-z-]+) -->\n```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path | str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def visible(group: Any) -> Iterator[tuple[str, Any]]:
    """Every command that --help shows, with its words ("data list")."""
    for name, command in group.commands.items():
        if not command.hidden:
            yield name, command
            if hasattr(command, "commands"):
                yield from ((f"{name} {below}", inner) for below, inner in visible(command))


def test_the_readme_is_short_and_has_the_blocks_that_ci_runs() -> None:
    assert len(text("README.md").splitlines()) <= 160
    blocks = dict(RUN_BY_CI.findall(text("README.md")))
    assert set(blocks) == {"run", "photos", "test"}
    assert "pip install . && zsprompt run --strategy top-all --dataset scenes" in blocks["run"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_mark_stands_before_a_block(page: Path) -> None:
    marks = re.findall(r"^<!-- (?:ci|test): ", text(page), re.MULTILINE)
    assert len(marks) == len(RUN_BY_CI.findall(text(page))) + len(EXAMPLE.findall(text(page)))
    assert not re.findall(r"TODO|TBD|labels\.csv.*--out|--out labels\.csv", text(page))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_option_that_a_page_names_is_one_that_help_shows(page: Path) -> None:
    root = get_command(app)
    parameters = [p for command in (root, *dict(visible(root)).values()) for p in command.params]
    shown = {option for p in parameters if not getattr(p, "hidden", False) for option in p.opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", text(page))) - OTHER_PROGRAMS
    assert named <= shown, sorted(named - shown)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_is_one_that_help_shows(page: Path) -> None:
    words = {name.split()[0] for name, _ in visible(get_command(app))}
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text(page), re.DOTALL))
    named = set(re.findall(r"^(?:.*&& )?zsprompt ([a-z][a-z-]*)", blocks, re.MULTILINE))
    named |= set(re.findall(r"(?:`|\$ )zsprompt ([a-z][a-z-]*)", text(page)))
    assert named <= words, sorted(named - words)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Those of docs/ are checked by `mkdocs build --strict`."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text(page)):
        assert (ROOT / target).exists(), target


EXAMPLES = {name: code for page in PAGES for name, code in EXAMPLE.findall(text(page))}


def test_each_kind_of_extension_has_an_example() -> None:
    assert set(EXAMPLES) == {"strategy", "encoder", "data set", "metric"}


def test_an_encoder_of_your_own_is_short() -> None:
    assert len(EXAMPLES["encoder"].splitlines()) <= 30


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSPROMPT_CACHE", str(tmp_path / "cache"))
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    exec(compile(EXAMPLES[name], f"the example {name!r}", "exec"), vars(module))


def toml_below(page: str, heading: str) -> str:
    return text(page).split(heading)[1].split("```toml\n")[1].split("```")[0]


def test_the_plan_in_the_docs_loads(tmp_path: Path) -> None:
    from zsprompt.experiments.ablation import read_plan

    (tmp_path / "rows.toml").write_text(toml_below("docs/compare.md", "## Ablations"), encoding="utf-8")
    rows = read_plan(tmp_path / "rows.toml")
    assert [(row.strategy, row.prompts) for row in rows[:2]] == [("per-label", "photo"), ("per-label", "ensemble")]
    assert len(rows) == 5


def test_the_prompt_files_in_the_docs_load(tmp_path: Path) -> None:
    from zsprompt.prompts import load_prompts

    path = tmp_path / "mine.toml"
    path.write_text(toml_below("docs/prompts.md", "## Your own"), encoding="utf-8")
    prompts = load_prompts(path)
    assert prompts.texts([("owl", "scissors")]) == ["a photo of an owl and scissors"]
    assert prompts.absent(["owl"]) == ["a photo without an owl"]
    assert len(prompts.ensemble(["owl"])[0]) == 2
    path.write_text(toml_below("docs/prompts.md", "## Texts per label"), encoding="utf-8")
    assert load_prompts(path).ensemble(["dog", "owl"])[0][0] == "a dog with floppy ears and a wet nose"


def test_the_result_pages_are_what_the_result_files_say() -> None:
    for path, written in script("benchmarks/results_pages.py").pages().items():
        assert path.read_text(encoding="utf-8") == written, f"{path.name} is stale: run benchmarks/results_pages.py"


def test_the_generated_pages_are_up_to_date() -> None:
    for path, written in script("docs/generate.py").generated().items():
        assert path.read_text(encoding="utf-8") == written, f"{path.name} is stale: run docs/generate.py"


def test_the_rooms_are_drawn_from_the_imports_and_no_arrow_points_up() -> None:
    generate = script("docs/generate.py")
    assert "in a circle: none" in generate.rooms_drawing(generate.imports_by_room(ROOT / "zsprompt"))


def test_rooms_in_a_circle_are_named() -> None:
    generate = script("docs/generate.py")
    drawing = generate.rooms_drawing({"roof": {"floor"}, "floor": {"cellar"}, "cellar": {"floor"}})
    assert "in a circle: cellar → floor, floor → cellar" in drawing
    assert drawing.index("roof") < drawing.index("floor")


def test_a_long_default_and_a_factory_are_no_part_of_a_signature() -> None:
    page = text("docs/python.md")
    assert not re.findall(r" at 0x|<factory>|<function", page)
