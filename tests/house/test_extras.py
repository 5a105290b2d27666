"""The extras of pyproject.toml: which the tests install, which the docs list, and the benchmark that measures them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from command_line import ROOT
from scripts import script

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


INSTALL = script("benchmarks/install.py")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the environments that were made; none really is, and pip cannot install heif."""
    titles: list[str] = []

    def measure_one(environment: object) -> dict[str, object]:
        titles.append(environment.title)
        if environment.extras == ("heif",):
            raise INSTALL.InstallError("ERROR: no matching distribution")
        extras, first = environment.key
        return dict.fromkeys(INSTALL.COLUMNS, 1) | {"extras": extras, "first": first, "pip_check": "clean"}

    monkeypatch.setattr(INSTALL, "measured", measure_one)
    return titles


def test_the_tests_install_every_extra_for_users() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (own,) = [line for line in extras["test"] if line.startswith("zsprompt[")]
    assert set(re.findall(r"[a-z0-9-]+", own.removeprefix("zsprompt"))) == set(INSTALL.user_extras())


def test_the_docs_list_every_extra_for_users() -> None:
    assert list(script("benchmarks/results_pages.py").EXTRAS) == INSTALL.user_extras()
    page = (ROOT / "docs" / "install.md").read_text("utf-8")
    assert all(f"`{extra}`" in page for extra in (*INSTALL.user_extras(), "test", "docs", "dev"))


def test_each_extra_is_measured_alone_and_with_all_others() -> None:
    made = INSTALL.environments(["a", "b"], ["torch==1+cpu"])
    titles = ["no extra", "a", "b", "a+b", "no extra, without CUDA", "a+b, without CUDA"]
    assert [one.title for one in made] == titles
    assert made[2].commands == [[f"{ROOT}[b]"]]
    assert made[4].commands == [["torch==1+cpu"], [str(ROOT)]]


def test_a_stopped_measurement_continues_and_tries_failures_again(measured: list[str], tmp_path: Path) -> None:
    wanted = INSTALL.environments(["heif", "parquet"], ["torch==1+cpu"])
    out = tmp_path / "results" / "install.csv"
    assert INSTALL.measure(wanted[:3], out) == ["heif"]
    with out.open("a") as file:
        file.write("heif parquet,,63")  # a kill cut this row short
    measured.clear()
    assert INSTALL.measure(wanted[:4], out) == ["heif"]
    assert measured == ["heif", "heif+parquet"]
    rows = out.read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["", "parquet", "heif parquet"]


def test_a_file_of_another_benchmark_is_not_continued(measured: list[str], tmp_path: Path) -> None:
    out = tmp_path / "other.csv"
    out.write_text("tool,version\nuv,1\n")
    with pytest.raises(SystemExit, match=r"expected the columns of this benchmark in .*other\.csv, found others"):
        INSTALL.measure(INSTALL.environments([], ["torch"]), out)
    assert measured == []
    assert out.read_text() == "tool,version\nuv,1\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("pass", "clean"),
        ("print('a 1 needs b'); print('a 1 needs c'); raise SystemExit(1)", "a 1 needs b; a 1 needs c"),
        ("raise OSError('libcudart.so.13: not found')", "OSError: libcudart.so.13: not found"),
        ("raise SystemExit(3)", "status 3"),
    ],
)
def test_an_outcome_is_the_last_line(code: str, said: str, tmp_path: Path) -> None:
    assert INSTALL.outcome(INSTALL.run(str(tmp_path), sys.executable, "-c", code), "clean") == said
