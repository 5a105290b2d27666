"""OpenAI's CLIP, run with OpenAI's `clip` package, from named weights or a checkpoint file.

Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zsprompt._utils.arrays import Halves
from zsprompt._utils.http_download import download, sha256_file
from zsprompt._utils.progress import Progress, terminal
from zsprompt.encoders.base import Precision
from zsprompt.encoders.catalogue import download_text
from zsprompt.encoders.clip.clip_package import clip_tokenizer
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS, OPENAI_SIZES, weights_folder
from zsprompt.encoders.clip.products import check_precision
from zsprompt.encoders.clip.tokens import Tokeniser
from zsprompt.encoders.clip.towers import Towers
from zsprompt.encoders.devices import pick_device
from zsprompt.encoders.dual_encoder import DualEncoder, Sizes
from zsprompt.encoders.preprocessing import Preprocess
from zsprompt.encoders.registry import require_checkpoint
from zsprompt.encoders.windows import PLACES, STRIDE, WINDOW, Grid
from zsprompt.errors import DownloadError, ModelError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

logger = logging.getLogger(__name__)

_URL = "https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
# Texts per batch. A kill loses at most one batch: about one second of a ViT-B/32 text tower. See benchmarks/README.md.
_CPU_TEXTS, _GPU_TEXTS = 1024, 2**14
_LARGER = 5  # an image with windows has up to so many times the patches


class OpenAIClip(DualEncoder[Towers]):
    """An OpenAI CLIP model, made with a `from_` method. Weights are float16 on a GPU and float32 on a CPU.

    On a CPU the weights are OpenAI's float16 values widened, as in `clip.load`. The precisions "bfloat16" and "int8"
    (CPU only) round the transformers' matrix products: they are faster, and embeddings differ slightly.

    The weights of named models are read on first use. A run whose embeddings are all stored reads none.
    """

    def __init__(
        self,
        towers: Callable[[str], Towers],
        *,
        sizes: Sizes,
        name: str,
        sha256: str,
        is_residual: bool,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        device = pick_device(device)
        check_precision(device, precision)
        on_cpu = device == "cpu"
        effective = precision if precision != "auto" else "float32" if on_cpu else "float16"
        super().__init__(
            towers,
            lambda: Tokeniser(clip_tokenizer()),
            sizes=sizes,
            preprocess=Preprocess(sizes.image_size),
            name=name,
            fingerprint=f"openai-clip/2 {sha256} {effective}",
            text_batch=_CPU_TEXTS if on_cpu else _GPU_TEXTS,
            device=device,
        )
        self._side = math.isqrt(self.token_shape[0] - 1)  # patches on a side of the tower's square
        self.prefers_dense = is_residual  # its windows are embedded as crops are; a transformer's are not
        self.windows_key = f"clip-windows/1 {'pooled' if is_residual else 'values'}"

    @classmethod
    def from_state(
        cls,
        state: dict[str, torch.Tensor],
        *,
        name: str,
        sha256: str,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> OpenAIClip:
        """Build a model from its weights. Raises ModelError if they are not those of an OpenAI CLIP model."""
        towers = Towers(state, name, pick_device(device), precision)
        return cls(
            lambda _: towers,
            sizes=towers.sizes,
            name=name,
            sha256=sha256,
            is_residual=towers.is_residual,
            device=device,
            precision=precision,
        )

    @classmethod
    def from_file(cls, path: Path, *, device: str = "auto", precision: Precision = "auto") -> OpenAIClip:
        """Load OpenAI's JIT archive, a plain state dict, or a safetensors file.

        Raises:
            ModelError: the file is missing, damaged, or not an OpenAI CLIP checkpoint.
        """
        state = _read_state(path)
        return cls.from_state(state, name=path.name, sha256=sha256_file(path), device=device, precision=precision)

    @classmethod
    def from_name(
        cls, name: str, *, device: str = "auto", precision: Precision = "auto", progress: Progress = terminal
    ) -> OpenAIClip:
        """OpenAI's weights with this name, in the folder of the `clip` package; downloaded if they are missing.

        Raises:
            ModelError: the weights cannot be downloaded. On first use: the file is damaged.
        """
        sha256, file = OPENAI_MODELS[name]
        path = weights_folder() / file
        if not path.exists():
            _fetch(name, _URL.format(sha256=sha256, file=file), path, sha256, progress)

        def towers(device: str) -> Towers:
            actual = sha256_file(path)
            if actual != sha256:
                raise ModelError(f"expected {path} to have sha256 {sha256}, found {actual}; delete it and run again")
            return Towers(_read_state(path), name, device, precision)

        return cls(
            towers,
            sizes=OPENAI_SIZES[name],
            name=name,
            sha256=sha256,
            is_residual=name.startswith("RN"),
            device=device,
            precision=precision,
        )

    def grid(self, width: int, height: int) -> Grid:
        """See WindowEncoder: a place is a patch. A window has as many as the tower's square; see encoders.windows."""
        stride = max(1, round(self._side * STRIDE / WINDOW))
        places = self._side + (PLACES - WINDOW) // STRIDE * stride
        return Grid.of(width, height, places=places, window=self._side, stride=stride)

    def prepare_windows(self, image: Image, grid: Grid) -> Image:
        """The whole image with one patch per place of its grid, bicubic; see WindowEncoder."""
        from PIL import Image as Pillow

        patch = self.image_size // self._side
        size = patch * grid.columns, patch * grid.rows
        return image if image.size == size else image.resize(size, Pillow.Resampling.BICUBIC)

    def encode_windows(self, images: Sequence[Image], grids: Sequence[Grid]) -> list[Halves]:
        """See WindowEncoder.

        A residual network pools each window as it pools an image. A transformer's window is the mean of its patches'
        values in the last block; how well these suit the texts was not measured on real weights.
        """
        import torch
        import torch.nn.functional as F

        rows: list[Halves] = [np.empty((0, self.dim), dtype=np.float16)] * len(images)
        at_once = max(1, self._images_per_part // _LARGER)
        for grid in dict.fromkeys(grids):
            same = [i for i, one in enumerate(grids) if one == grid]
            with torch.inference_mode():
                parts = self._scaled([np.asarray(images[i]) for i in same], at_once)
                found = torch.cat([F.normalize(self.towers.windows(part, grid).float(), dim=-1) for part in parts])
            for i, vectors in zip(same, found.half().cpu().numpy(), strict=True):
                rows[i] = vectors
        return rows


def load_openai(name: str, *, device: str = "auto", precision: Precision = "auto") -> OpenAIClip:
    """Load the model that OpenAI published as `name`; see OpenAIClip.from_name."""
    return OpenAIClip.from_name(name, device=device, precision=precision)


def _fetch(name: str, url: str, path: Path, sha256: str, progress: Progress) -> None:
    logger.info(f"downloading {name} from OpenAI to {path}{download_text(name)}")
    try:
        download(url, path, sha256=sha256, progress=progress)
    except DownloadError as error:
        raise ModelError(
            f"cannot download {name} ({error}). Put {path.name} (sha256 {sha256}) into {path.parent}{os.sep}, "
            "or use --model conse (pip install 'zsprompt[offline]', no download) or --model FILE"
        ) from None


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    require_checkpoint(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if _is_torchscript(path):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch.jit is deprecated, but OpenAI's files are in its format
                return dict(torch.jit.load(str(path), map_location="cpu").state_dict())  # type: ignore[no-untyped-call]
        # weights_only: a checkpoint must not run code
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            f"expected {path} to hold {_KINDS}, found something else or objects other than tensors"
        ) from None
    except (*UNREADABLE, SafetensorError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:120] or type(error).__name__
        raise ModelError(f"cannot read {path} as a checkpoint ({reason}); expected {_KINDS}") from None
    if not isinstance(state, dict):
        raise ModelError(f"expected {path} to hold {_KINDS}, found a {type(state).__name__}")
    return state


# Errors that torch raises on files in other formats, collected by experiment.
UNREADABLE = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    AssertionError,
    struct.error,
)
_KINDS = "OpenAI's JIT archive, a plain state dict or safetensors"


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
