"""What `pip install` of zsprompt takes: megabytes, seconds, and whether the result works, by extra and without CUDA.

    python benchmarks/install.py --out benchmarks/results/FILE.csv
    python benchmarks/install.py --out benchmarks/results/FILE.csv --cpu "torch==2.13.0+cpu torchvision==0.28.0"

Each environment is a new virtual environment in a temporary folder, removed before the next: without extras, with each
extra for users, with all of them, and the first and the last once more after an install of a PyTorch without CUDA. That
comes from PyTorch's own index; `--cpu` names other requirements where that index cannot be reached.

A row is written after each environment. A run that was stopped continues after the last complete row; delete the file
to measure again. An environment that pip cannot install gets no row and is tried again. `seconds` is the time of all
pip commands, without pip's cache. `mb` is the space on disk, in millions of bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
NOT_FOR_USERS = {"dev", "docs", "test"}
CPU = "torch torchvision --index-url https://download.pytorch.org/whl/cpu"
SHOWN = ("torch", "torchvision", "transformers", "setuptools")
COLUMNS = (
    *("extras", "first", "mb", "seconds", "packages", "pip_check", "version_command", "import_zsprompt"),
    *("import_torchvision", "python", *SHOWN),
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment: the extras of zsprompt, after an install of other requirements."""

    extras: tuple[str, ...] = ()
    first: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What the result file calls it."""
        return " ".join(self.extras), shlex.join(self.first)

    @property
    def title(self) -> str:
        """What the progress line calls it."""
        return f"{'+'.join(self.extras) or 'no extra'}{', without CUDA' if self.first else ''}"

    @property
    def commands(self) -> list[list[str]]:
        """The arguments of each `pip install`."""
        target = f"{ROOT}[{','.join(self.extras)}]" if self.extras else str(ROOT)
        return [*([list(self.first)] if self.first else []), [target]]


class InstallError(Exception):
    """pip could not install an environment. The text is pip's own."""


def main() -> None:
    """Measure what the result file lacks; exit with 1 if pip could not install something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="CSV file for the result; continued if it exists")
    parser.add_argument("--cpu", default=CPU, metavar="TEXT", help="what pip installs for a PyTorch without CUDA")
    parser.add_argument("--limit", type=int, help="measure only the first N environments")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # removes the environment
    failed = measure(environments(user_extras(), shlex.split(options.cpu))[: options.limit], options.out)
    if failed:
        sys.exit(f"not installed: {', '.join(failed)}")


def user_extras() -> list[str]:
    """The extras of pyproject.toml that are not for developers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [extra for extra in project["optional-dependencies"] if extra not in NOT_FOR_USERS]


def environments(extras: Sequence[str], cpu: Sequence[str]) -> list[Environment]:
    """Every environment that is measured."""
    every = tuple(extras)
    with_cuda = [Environment(), *(Environment((extra,)) for extra in extras), Environment(every)]
    return [*with_cuda, Environment(first=tuple(cpu)), Environment(every, tuple(cpu))]


def measure(wanted: Sequence[Environment], out: Path) -> list[str]:
    """Add a row to the file for each environment that it lacks. Returns the titles of those not installed."""
    done, failed = finished(out), []
    for n, environment in enumerate(wanted, start=1):
        progress = f"{n}/{len(wanted)} {environment.title}"
        if environment.key in done:
            print(f"{progress}: in {out.name} already", flush=True)
            continue
        try:
            row = measured(environment)
        except InstallError as error:
            failed.append(environment.title)
            print(f"{progress}: not installed: {error}", flush=True)
            continue
        append(row, out)
        print(f"{progress}: {row['mb']} MB, {row['seconds']} s, pip check {row['pip_check']}", flush=True)
    return failed


def finished(out: Path) -> set[tuple[str, str]]:
    """The environments that the file has. A row that a kill cut short is removed from the file."""
    if not out.exists():
        return set()
    whole, newline, _ = out.read_bytes().rpartition(b"\n")
    out.write_bytes(whole + newline)
    with out.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames and tuple(rows.fieldnames) != COLUMNS:
            sys.exit(f"expected the columns of this benchmark in {out}, found others; delete the file or name another")
        return {(row["extras"], row["first"]) for row in rows}


def append(row: dict[str, object], out: Path) -> None:
    """Add a row to the file, and the header to an empty one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)


def measured(environment: Environment) -> dict[str, object]:
    """Make an environment, look at it, and remove it. Raises InstallError."""
    with tempfile.TemporaryDirectory(prefix="zsprompt-install-") as folder:
        home = Path(folder) / "venv"
        venv.create(home, with_pip=True)
        bin_folder = home / ("Scripts" if os.name == "nt" else "bin")
        python = str(bin_folder / "python")
        start = time.perf_counter()
        for command in environment.commands:
            done = run(folder, python, "-m", "pip", "install", "--quiet", "--no-cache-dir", *command)
            if done.returncode:
                raise InstallError(" ".join(done.stderr.split())[-500:])
        seconds = time.perf_counter() - start
        size = megabytes(home)  # before anything else writes compiled modules
        versions = installed(folder, python)
        extras, first = environment.key
        return {
            **{"extras": extras, "first": first, "mb": size, "seconds": round(seconds)},
            "packages": len(versions),
            "pip_check": outcome(run(folder, python, "-m", "pip", "check"), "clean"),
            "version_command": outcome(run(folder, str(bin_folder / "zsprompt"), "--version")),
            "import_zsprompt": outcome(run(folder, python, "-c", "import zsprompt")),
            "import_torchvision": outcome(run(folder, python, "-c", "import torchvision")),
            "python": ".".join(map(str, sys.version_info[:3])),
            **{name: versions.get(name, "") for name in SHOWN},
        }


def run(folder: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the environment; neither the checkout nor this process's modules are on its path."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    clean |= {"TMPDIR": folder, "TEMP": folder}  # a pip that is stopped leaves files behind
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def outcome(done: subprocess.CompletedProcess[str], good: str = "works") -> str:
    """`good`, or the last line that the command printed; `pip check` prints its findings on stdout, a line each."""
    if done.returncode == 0:
        return good
    lines = done.stderr.strip().splitlines()[-1:] or done.stdout.strip().splitlines()
    return "; ".join(lines) or f"status {done.returncode}"


def installed(folder: str, python: str) -> dict[str, str]:
    """The version of each installed package, by its name in lower case."""
    listed = run(folder, python, "-m", "pip", "list", "--format", "json").stdout
    return {package["name"].lower(): package["version"] for package in json.loads(listed)}


def megabytes(folder: Path) -> int:
    """Space on disk; a file size is used where the system does not count blocks."""
    files = (path.lstat() for path in folder.rglob("*"))
    return round(sum(512 * f.st_blocks if hasattr(f, "st_blocks") else f.st_size for f in files) / 1e6)


if __name__ == "__main__":
    main()
