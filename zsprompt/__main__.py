"""python -m zsprompt, and the entry point of the `zsprompt` command."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def main() -> None:
    """Run the command line; Control-C during its imports ends it as quietly as later."""
    try:
        from zsprompt.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


def _search_working_folder_last() -> None:
    """`python -m` puts the working folder first, where a numpy.py of the user would hide the installed one."""
    with suppress(FileNotFoundError):  # the folder was deleted
        if not getattr(sys.flags, "safe_path", False) and sys.path[:1] in ([""], [str(Path.cwd())]):
            sys.path.append(sys.path.pop(0))


if __name__ == "__main__":
    _search_working_folder_last()
    main()
