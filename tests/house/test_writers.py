"""Files are written in one place, so that no output replaces what it must not."""

from __future__ import annotations

import ast
from pathlib import Path

import zsprompt

PACKAGE = Path(zsprompt.__file__).parent

WRITERS = {
    "_utils/outputs.py": "all outputs",
    "_utils/byte_cache.py": "the cache of embeddings and answers, which refuses another folder",
    "_utils/http_download.py": "downloads, under a name of their own until they are verified",
    "data/datasets/label_tables.py": "parsed tables next to the cache, named by a digest",
    "data/download/unpack.py": "archives, unpacked into a new folder",
}
"""The modules that write files, and what."""

METHODS = {"write_text", "write_bytes", "to_csv", "to_json", "to_parquet", "savetxt", "mkstemp", "NamedTemporaryFile"}


def writes(call: ast.Call) -> bool:
    """Whether a call writes a file."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    on_object = isinstance(call.func, ast.Attribute)
    if name in METHODS:
        return on_object and not (name == "write_text" and len(call.args) > 1)  # outputs.write_text has three
    modes = [part.value for part in [*call.args, *(k.value for k in call.keywords)] if isinstance(part, ast.Constant)]
    return name in ("open", "fdopen") and any(
        isinstance(m, str) and m[:1] in tuple("wax") and len(m) < 4 for m in modes
    )


def test_only_these_modules_write_files() -> None:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.Call) and writes(node) for node in ast.walk(tree)):
            found.add(path.relative_to(PACKAGE).as_posix())
    assert found == set(WRITERS)
