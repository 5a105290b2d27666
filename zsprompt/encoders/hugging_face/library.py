"""Calls of transformers: nothing from the network, no foreign code, no messages, and one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zsprompt._utils.text import reason
from zsprompt.encoders.torchvision_match import check_torchvision
from zsprompt.errors import ModelError, ZspromptError

LOCAL = {"local_files_only": True, "trust_remote_code": False}
"""For each `from_pretrained`."""


@contextmanager
def reading(what: str, folder: Path) -> Iterator[None]:
    """Raise ModelError for whatever transformers raises while it reads a folder. Its own messages are not shown."""
    from transformers.utils import logging

    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except ZspromptError:
        raise
    except Exception as error:  # torch, safetensors, pickle and tokenizers raise many kinds
        raise ModelError(f"cannot read {what} in {folder} ({reason(error)})") from None
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


def read_config(folder: Path) -> Any:
    """The `PreTrainedConfig` of a folder."""
    from transformers import AutoConfig

    with reading("the configuration", folder):
        return AutoConfig.from_pretrained(str(folder), **LOCAL)


def read_image_processor(folder: Path) -> Any:
    """The image processor of a folder, in the variant that resizes with Pillow.

    The models were trained with Pillow's resizing or TensorFlow's. The variant for tensors differs from Pillow's by up
    to one of 255 levels.
    """
    check_torchvision()
    from transformers import AutoImageProcessor

    is_new = find_spec("transformers.image_processing_backends") is not None
    variant: dict[str, Any] = {"backend": "pil"} if is_new else {"use_fast": False}
    with reading("the image processor", folder):
        return AutoImageProcessor.from_pretrained(str(folder), **LOCAL, **variant)
