"""Single modules of OpenAI's `clip` package.

`import clip` also imports torchvision, for image transforms that zsprompt does not use. That takes longer than reading
the weights of ViT-B/32.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from zsprompt.errors import ModelError


def clip_model() -> Any:
    """`clip.model`, with the architectures."""
    return _module("model")


def clip_tokenizer() -> Any:
    """A `clip.simple_tokenizer.SimpleTokenizer`. It loads without torch."""
    return _module("simple_tokenizer").SimpleTokenizer()


@cache
def _module(name: str) -> ModuleType:
    if already := sys.modules.get(f"clip.{name}"):
        return already
    package = find_spec("clip")
    file = Path(package.origin).with_name(f"{name}.py") if package and package.origin else None
    spec = spec_from_file_location(f"clip.{name}", file) if file and file.is_file() else None
    if spec is None or spec.loader is None:
        raise ModelError(f"expected the package clip with a module {name}, found none: pip install clip-anytorch")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
