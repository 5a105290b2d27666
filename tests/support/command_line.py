"""The real command line, as tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parent.parent

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*args: object) -> list[str]:
    """The command line of the real entry point beside this Python."""
    return [str(Path(sys.executable).parent / "zsprompt"), *map(str, args)]


def environment() -> dict[str, str]:
    """This process's environment, in which tests/support is importable and lines are 100 characters wide."""
    others = filter(None, [os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *others]), "COLUMNS": "100"}


def asking(llm: Sequence[str], **fields: object) -> list[str]:
    """`llm`, an --llm option, with more fields."""
    flag, text = llm
    return [flag, ",".join([text, *(f"{name}={value}" for name, value in fields.items())])]


def one_line(stderr: str) -> str:
    """The only line of stderr, which is an error."""
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1, stderr
    return stderr
