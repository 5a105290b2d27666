"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

# Expected numbers are those of a CPU, so a GPU is hidden before torch looks for one. Only test_cuda.py needs it.
if not os.environ.get("ZSPROMPT_TEST_CUDA"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest
from browser import Browser, chromium
from command_line import Cli, run_here, run_process
from fakes import PlantedEncoder

from zsprompt.store import EmbeddingStore

# Started in the background, a shell has its jobs ignore ^C, and they would hand that on to the commands under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW_FIXTURES = {"test_data", "browser"}
"""A test that uses one of them is slow, marked or not."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--slow", action="store_true", help="run slow tests too: those marked slow, on photographs or in a browser"
    )
    parser.addoption(
        "--installed", action="store_true", help="run `zsprompt` as the installed command, not in the tests' process"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, unless --slow or -m asks for some, or one is named as FILE::TEST."""
    for item in items:
        if isinstance(item, pytest.Function) and SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker("slow")
    if config.getoption("--slow") or config.getoption("-m") or any("::" in arg for arg in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture(scope="session")
def _folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A new folder per test, each in one folder. pytest's own numbered ones are listed again for every new one."""
    base = tmp_path_factory.mktemp("own")
    return (base / str(n) for n in count())


@pytest.fixture(autouse=True)
def _own_folders(_folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own cache or data, or asks a server the user pays for."""
    for name in os.environ:
        if name.startswith("ZSPROMPT_LLM_") or name in ("OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
            monkeypatch.delenv(name)
    folder = next(_folders)
    (folder / "data").mkdir(parents=True)
    monkeypatch.setenv("ZSPROMPT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("ZSPROMPT_DATA", str(folder / "data"))


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real photos, from ZSPROMPT_TEST_DATA."""
    folder = os.environ.get("ZSPROMPT_TEST_DATA")
    if not folder:
        pytest.skip("ZSPROMPT_TEST_DATA is not set: it names a folder with VOCdevkit/ and labels/")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For torch on tiny arrays: on busy cores, threads would only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def encoder() -> PlantedEncoder:
    return PlantedEncoder()


@pytest.fixture
def store(encoder: PlantedEncoder) -> EmbeddingStore:
    """A store that keeps nothing."""
    return EmbeddingStore(encoder, cache=None)


@pytest.fixture
def cli(tmp_path: Path, request: pytest.FixtureRequest) -> Cli:
    """Runs `zsprompt`, in this process or, with --installed, as the installed command.

    `--model fakes:PlantedEncoder` finds the planted world.
    """
    run = run_process if request.config.getoption("--installed") else run_here
    return lambda *args, env=None, cwd=tmp_path: run(*args, cwd=cwd, env=env or {})


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser with one page. Skips the test where there is none."""
    chromium()
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened
