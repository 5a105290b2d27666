"""Commands that only count or look up: they need no model, no torch and no weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chat_server import ChatServer
from command_line import Cli, environment
from fakes import LABELS, draw_files

from zsprompt._utils.byte_cache import ByteCache

COUNT = 12


PROGRAM = """
import json, sys
from pathlib import Path
from command_line import run_here

for name, args in json.loads(sys.stdin.read()).items():
    done = run_here(*args, cwd=Path.cwd(), env={})
    print(json.dumps([name, done.returncode, done.stdout, done.stderr]))
assert not {"torch", "clip", "transformers", "torchvision"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer() as found:
        yield found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with images, their labels and an empty cache."""
    folder = tmp_path_factory.mktemp("counts")
    random = np.random.default_rng(3)
    sets = [tuple(label for label in LABELS if random.random() < 0.3) for _ in range(COUNT)]
    draw_files(folder / "photos", sets)
    rows = [f"{i:04}.png,{'|'.join(present)}" for i, present in enumerate(sets)]
    (folder / "photos" / "labels.csv").write_text("image,labels\n" + "\n".join(rows) + "\n")
    ByteCache(folder / "cache").close()
    return folder


@pytest.fixture(scope="module")
def counted(place: Path, server: ChatServer) -> dict[str, tuple[int, str, str]]:
    """Status, stdout and stderr of each command, in a process without torch and with a HOME without weights."""
    for name in ("torch", "clip", "transformers", "torchvision"):
        (place / "bare").mkdir(exist_ok=True)
        (place / "bare" / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")
    env = environment() | {"HOME": str(place), "ZSPROMPT_CACHE": str(place / "cache")}
    env["PYTHONPATH"] = f"{place / 'bare'}{os.pathsep}{env['PYTHONPATH']}"
    commands = {name: [str(part).replace("SERVER", server.url) for part in args] for name, args in COUNTS.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        cwd=place,
        env=env,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: (status, out, err) for name, status, out, err in map(json.loads, done.stdout.splitlines())}


FOLDER = ("--dataset", "folder", "--root", "photos")
LLM = ("--llm", "url=SERVER,model=captioner")
COUNTS: dict[str, tuple[object, ...]] = {
    "sets of labels": ("caption-labels", "--labels", "cat, dog, car", *LLM, "--dry-run"),
    "sets of list-all": ("caption-labels", *FOLDER, "--strategy", "list-all,max_labels=2", *LLM, "--dry-run"),
    "sets of llm": ("caption-labels", *FOLDER, "--strategy", "llm,base=list-all,max_labels=1", *LLM, "--dry-run"),
    "images of a data set": ("caption-images", *FOLDER, *LLM, "--dry-run"),
    "images of a folder": ("caption-images", "photos", *LLM, "--dry-run"),
    "a check of one's own data": ("data", "check", "folder", "--root", "photos"),
    "a check of scenes": ("data", "check", "scenes"),
    "data sets": ("data", "list"),
    "the cache": ("cache", "info"),
    "strategies": ("list", "strategies"),
    "models": ("list", "models"),
    "adapters": ("list", "adapters"),
    "prompts": ("list", "prompts"),
    "named data sets": ("list", "datasets"),
    "tables": ("reproduce",),
    "random words": ("write-prompts", "random-words", "--labels", "cat, dog", "--out", "words.toml"),
}
EXPECTED = {"sets of labels": "7", "sets of list-all": "37", "sets of llm": "9"} | dict.fromkeys(
    ("images of a data set", "images of a folder"), f"{COUNT}"
)


@pytest.mark.parametrize("name", COUNTS)
def test_a_count_needs_neither_torch_nor_weights(
    name: str, counted: dict[str, tuple[int, str, str]], server: ChatServer
) -> None:
    status, out, err = counted[name]
    assert status == 0, err
    assert "was imported" not in err
    if name in EXPECTED:
        assert out.strip() == EXPECTED[name]
    assert server.count == 0


def test_a_count_that_needs_the_model_says_why_and_how_many_there_are_at_most(
    place: Path, cli: Cli, server: ChatServer
) -> None:
    options = ("--model", "fakes:PlantedEncoder", "--llm", f"url={server.url},model=captioner", "--dry-run")
    done = cli("caption-labels", "--dataset", "folder", "--root", place / "photos", *options)
    assert done.returncode == 0, done.stderr
    first = done.stderr.splitlines()[0]
    assert first.startswith("the label sets depend on how fakes:PlantedEncoder ranks the labels of each image")
    assert f"at most {COUNT * len(LABELS) + 1}." in first
    assert 1 < int(done.stdout) <= COUNT * len(LABELS) + 1


def test_a_count_whose_model_is_missing_still_gives_the_bound(place: Path, cli: Cli, server: ChatServer) -> None:
    options = ("--model", "no/such.pt", "--llm", f"url={server.url},model=captioner", "--dry-run")
    done = cli("caption-labels", "--dataset", "folder", "--root", place / "photos", *options)
    assert done.returncode == 1
    bound, error = done.stderr.splitlines()
    assert f"at most {COUNT * len(LABELS) + 1}." in bound
    assert error.startswith("error: expected an OpenAI CLIP checkpoint at no/such.pt")
