"""The real command line, as tests run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
IMPORTABLE = (SUPPORT, TESTS / "adapters", TESTS / "contracts", TESTS / "data")

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*args: object) -> list[str]:
    """The command line of the real entry point beside this Python."""
    return [str(Path(sys.executable).parent / "zsprompt"), *map(str, args)]


def environment() -> dict[str, str]:
    """This process's environment, warnings off (they are errors here, users see none) and the fakes importable."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, IMPORTABLE)), "COLUMNS": "100"}
