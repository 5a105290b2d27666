"""Whether torchvision belongs to the installed torch. open_clip, timm and transformers import it.

torchvision contains compiled code for one build of torch. With another build its import fails with a message that names
neither, such as "operator torchvision::nms does not exist". A PyTorch without CUDA needs a torchvision without CUDA.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from importlib.util import find_spec

from zsprompt._utils.text import reason
from zsprompt.errors import ModelError

_INDEX = "https://download.pytorch.org/whl"


def require_torchvision() -> None:
    """Import torchvision. Call this before the first import of a library that needs it.

    Raises:
        ModelError: it is not installed, or cannot be imported with the installed torch.
    """
    if find_spec("torchvision") is None:
        raise ModelError(f"expected the package torchvision, found it not installed: {_install('torchvision')}")
    check_torchvision()


def check_torchvision() -> None:
    """As `require_torchvision`, for a library that works without torchvision but imports an installed one."""
    if find_spec("torchvision") is None or (fault := _fault()) is None:
        return
    import torch

    raise ModelError(
        f"expected a torchvision that matches torch, found torchvision {version('torchvision')} with "
        f"torch {torch.__version__} ({reason(fault)}); install both from one index: "
        f"pip uninstall -y torch torchvision && {_install('torch torchvision')}"
    )


@cache  # a second import would fail in another way: parts of the first one stay loaded
def _fault() -> Exception | None:
    """What the import of torchvision raises."""
    import torch  # noqa: F401 - a torch that cannot be imported is another fault

    try:
        import torchvision  # noqa: F401
    except Exception as error:  # RuntimeError, OSError, ImportError, AttributeError: it depends on the two versions
        return error
    return None


def _install(packages: str) -> str:
    """The command that installs packages from the index that torch came from: 2.13.0+cpu is not from PyPI."""
    build = version("torch").partition("+")[2]
    return f"pip install {packages}" + (f" --index-url {_INDEX}/{build}" if build else "")
