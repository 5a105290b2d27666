"""Ways to run the command line in tests: the installed command, or the same function in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

SUPPORT = Path(__file__).parent
ROOT = SUPPORT.parent.parent

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*args: object) -> list[str]:
    """The command line of the installed entry point of this Python."""
    return [str(Path(sys.executable).parent / "zsprompt"), *map(str, args)]


def environment() -> dict[str, str]:
    """This process's environment, in which tests/support is importable and lines are 100 characters wide."""
    others = filter(None, [os.environ.get("PYTHONPATH")])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), *others]), "COLUMNS": "100"}


def asking(llm: Sequence[str], **fields: object) -> list[str]:
    """`llm`, an --llm option, with more fields."""
    flag, text = llm
    return [flag, ",".join([text, *(f"{name}={value}" for name, value in fields.items())])]


def run_process(*args: object, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    line, env = command(*args), environment() | env
    return subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=cwd, env=env, check=False)


def run_here(*args: object, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the function of the installed command in this process, without its start and imports."""
    from zsprompt.__main__ import main

    line, home, program = ["zsprompt", *map(str, args)], Path.cwd(), sys.modules["__main__"]
    encoding = env.get("PYTHONIOENCODING", "utf-8")
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    streams = {"stdin": io.StringIO(), "stdout": out, "stderr": err, "argv": line}
    os.chdir(cwd)
    sys.modules["__main__"] = ModuleType("__main__")  # click takes the program's name from it and argv
    try:
        with mock.patch.multiple(sys, **streams), mock.patch.dict(os.environ, environment() | env):
            status = _status(main)
    finally:
        sys.modules["__main__"] = program
        os.chdir(home)
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(line, status, stdout, stderr)


def _status(main: Callable[[], None]) -> int:
    """The exit status of a program. Warnings are ignored, as in a user's process."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main()
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def one_line(stderr: str) -> str:
    """The single line of stderr, which must be an error, but for notes that a later option replaces an earlier one."""
    rest = "".join(line for line in stderr.splitlines(keepends=True) if "times; only the last one" not in line)
    assert rest.startswith("error: ")
    assert rest.count("\n") == 1, stderr
    return rest
