"""Files of models from Hugging Face's hub: from its cache, else downloaded."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from zsprompt._utils.http_environment import usable_environment
from zsprompt._utils.text import reason
from zsprompt.errors import ModelError

logger = logging.getLogger(__name__)

EXTRA = "open-clip"
"""The extra of zsprompt that brings open_clip, transformers and the hub's client."""

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
"""The files that can make up a tokeniser of transformers."""

VOCABULARY_FILES = (
    "tokenizer.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
)
"""Those of them that hold the words, best first; a tokeniser has at least one."""

_PATIENCE = 15.0  # seconds

T = TypeVar("T")


def require_packages(packages: Sequence[str], model: str) -> None:
    """Raise ModelError if one of these packages, which `model` needs, is not installed."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise ModelError(
            f"expected the package {missing[0]} for model {model}, found none: pip install 'zsprompt[{EXTRA}]'"
        )


def hub_file(repository: str, names: Sequence[str], *, model: str, about: str = "") -> Path:
    """The first of these files that a repository has.

    Args:
        repository: owner/name on the hub.
        names: alternatives, best first.
        model: the model that needs it, for messages.
        about: what else to say before a download, such as its size.

    Raises:
        ModelError: none is in the cache, and none can be downloaded. The message says where to put them by hand.
    """
    if present := _cached(repository, names):
        return present
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    logger.info(f"downloading {names[0]} of {repository} from Hugging Face to {constants.HF_HUB_CACHE}{about}")
    _require_connection(repository, names, model)
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except LocalEntryNotFoundError as error:
            raise _unreachable(repository, names, model, error) from None
        except EntryNotFoundError:
            continue  # the repository has another of them
        except Exception as error:  # the client raises its own errors, its transport's and the system's
            raise _unreachable(repository, names, model, error) from None
    raise ModelError(
        f"expected one of {', '.join(names)} in {repository} on Hugging Face for model {model}, found none"
    )


def hub_tokenizer(repository: str, *, model: str) -> Path:
    """The folder with the tokeniser of a repository. Raises ModelError, see `hub_file`."""
    present = _cached(repository, VOCABULARY_FILES)
    if present and _cached(repository, ("tokenizer_config.json",)):
        return present.parent
    try:
        return _download_tokenizer(repository, model)
    except ModelError:
        if present:  # few repositories have no tokenizer_config.json
            return present.parent
        raise


def _download_tokenizer(repository: str, model: str) -> Path:
    from huggingface_hub import snapshot_download

    logger.info(f"downloading the tokeniser of {repository} from Hugging Face")
    _require_connection(repository, TOKENIZER_FILES[:2], model)
    return _attempt(
        lambda: Path(snapshot_download(repository, allow_patterns=[*TOKENIZER_FILES, "config.json"])),
        lambda error: _unreachable(repository, TOKENIZER_FILES[:2], model, error),
    )


def content_digest(path: Path) -> str:
    """Hex sha256 of a file. A large file in the hub's cache is named by it."""
    blob = path.resolve()
    if blob.parent.name == "blobs" and len(blob.name) == 64:
        return blob.name
    from zsprompt._utils.http_download import sha256_file

    return sha256_file(path)


def _cached(repository: str, names: Sequence[str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        paths = [try_to_load_from_cache(repository, name) for name in names]
    except HFValidationError:
        raise ModelError(f"expected OWNER/NAME of a model on Hugging Face, found {repository!r}") from None
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _require_connection(repository: str, names: Sequence[str], model: str) -> None:
    """Raise ModelError if the hub cannot be reached at all. Its client would try again and again for half a minute."""
    import httpx
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise _unreachable(repository, names, model, OSError("HF_HUB_OFFLINE is set"))
    try:
        with usable_environment(ModelError):
            httpx.head(constants.ENDPOINT, timeout=_PATIENCE)
    except (httpx.ConnectError, httpx.TimeoutException) as error:
        if not isinstance(error.__context__, ssl.SSLError):  # the client may know other certificates
            raise _unreachable(repository, names, model, error) from None
    except httpx.HTTPError:
        return  # it is there, and the client knows better how to ask


def _attempt(work: Callable[[], T], refused: Callable[[Exception], ModelError]) -> T:
    try:
        return work()
    except Exception as error:  # see hub_file
        raise refused(error) from None


def _unreachable(repository: str, names: Sequence[str], model: str, error: Exception) -> ModelError:
    family = "hf" if model.startswith("hf:") else "local-dir"
    return ModelError(
        f"cannot download {names[0]} for model {model} ({reason(error)}). By hand: put the files of "
        f"https://huggingface.co/{repository} into a folder and use --model {family}:FOLDER, "
        "or use --model conse (pip install 'zsprompt[offline]', no download)"
    )
