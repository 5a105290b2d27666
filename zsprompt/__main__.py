"""python -m zsprompt, and the entry point of the `zsprompt` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Control-C during its imports ends it as quietly as later."""
    try:
        from zsprompt.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
