"""OpenAI's CLIP, run with OpenAI's `clip` package, from named weights or a checkpoint file.

Source: Radford et al. 2021, Learning Transferable Visual Models From Natural Language Supervision.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zsprompt._utils.arrays import Bools, Bytes, Floats, Halves, unit_rows
from zsprompt._utils.http_download import download, sha256_file
from zsprompt._utils.progress import Progress, terminal
from zsprompt.encoders.base import Precision, ScaleOnUse
from zsprompt.encoders.clip.clip_package import clip_tokenizer
from zsprompt.encoders.clip.openai_models import OPENAI_MODELS, OPENAI_SIZES, Sizes
from zsprompt.encoders.clip.products import check_precision
from zsprompt.encoders.clip.tokens import Tokeniser, is_plain
from zsprompt.encoders.clip.towers import Towers
from zsprompt.encoders.devices import pick_device
from zsprompt.encoders.registry import require_checkpoint
from zsprompt.encoders.windows import PLACES, STRIDE, WINDOW, Grid
from zsprompt.errors import DownloadError, LabelError, ModelError

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_URL = "https://openaipublic.azureedge.net/clip/models/{sha256}/{file}"
_LONGEST_STRIP = 32  # long side over short side; less if images are prepared for a larger square
_NO_STRIP = 4

# Texts and images per batch. On a CPU, a block's hidden states should stay in the cache. A kill loses at
# most one batch of texts: about one second of a ViT-B/32 text tower. See benchmarks/README.md.
_CPU_TEXTS, _CPU_IMAGES = 1024, 32
_GPU_TEXTS, _GPU_IMAGES = 2**14, 2**12
_LARGER = 5  # an image with windows has up to so many times the patches


class OpenAIClip(ScaleOnUse):
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
        self.name = name
        self._device = pick_device(device)
        check_precision(self._device, precision)
        self._load_towers = towers
        self._sizes = sizes
        on_cpu = self._device == "cpu"
        self.text_batch = _CPU_TEXTS if on_cpu else _GPU_TEXTS
        self._images_per_part = _CPU_IMAGES if on_cpu else _GPU_IMAGES
        self.image_size, self.dim, self.context_length = sizes.image_size, sizes.dim, sizes.context_length
        self.token_shape = sizes.tokens, sizes.dim
        self._side = math.isqrt(sizes.tokens - 1)  # patches on a side of the tower's square
        self.prefers_dense = is_residual  # its windows are embedded as crops are; a transformer's are not
        self.windows_key = f"clip-windows/1 {'pooled' if is_residual else 'values'}"
        effective = precision if precision != "auto" else "float32" if on_cpu else "float16"
        self.fingerprint = f"openai-clip/2 {sha256} {effective}"

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
        path = Path("~/.cache/clip").expanduser() / file
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

    @cached_property
    def _towers(self) -> Towers:
        towers = self._load_towers(self._device)
        if towers.sizes != self._sizes:
            raise ModelError(f"expected {self._sizes} in the weights of {self.name}, found {towers.sizes}")
        return towers

    @cached_property
    def _tokens(self) -> Tokeniser:
        return Tokeniser(clip_tokenizer())

    def read_logit_scale(self) -> float:
        """See ScaleOnUse."""
        return self._towers.logit_scale

    def encode_texts(self, texts: Sequence[str]) -> Floats:
        """[T, D] float32, unit rows. Raises LabelError for a text that does not fit the context."""
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        sequences = self._tokens(texts)
        longest = max(range(len(texts)), key=lambda i: len(sequences[i]))
        if len(sequences[longest]) > self.context_length:
            raise LabelError(
                f"expected texts of at most {self.context_length} tokens, "
                f"found {len(sequences[longest])} in {texts[longest][:60]!r}…"
            )
        return unit_rows(self._towers.text(sequences).float().cpu().numpy())

    def encode_images(self, images: Sequence[Image]) -> Floats:
        """[N, D] float32, unit rows."""
        import torch

        if not images:
            return np.empty((0, self.dim), dtype=np.float32)
        with torch.inference_mode():
            rows = [self._towers.image(pixels) for pixels in self._pixels(images)]
            return unit_rows(torch.cat(rows).float().cpu().numpy())

    def encode_tokens(self, images: Sequence[Image]) -> tuple[Floats, Halves]:
        """See SpatialEncoder. D' is D, and every token lies in the space of the texts."""
        import torch
        import torch.nn.functional as F

        if not images:
            return np.empty((0, self.dim), dtype=np.float32), np.empty((0, *self.token_shape), dtype=np.float16)
        rows, tokens = [], []
        with torch.inference_mode():
            for pixels in self._pixels(images):
                part = self._towers.image_tokens(pixels).float()
                rows.append(part[:, 0])
                tokens.append(F.normalize(part, dim=-1).half().cpu())
            vectors, halves = unit_rows(torch.cat(rows).cpu().numpy()), torch.cat(tokens).numpy()
        halves[:, 0] = vectors
        return vectors, halves

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
                found = torch.cat([F.normalize(self._towers.windows(part, grid).float(), dim=-1) for part in parts])
            for i, vectors in zip(same, found.half().cpu().numpy(), strict=True):
                rows[i] = vectors
        return rows

    def _pixels(self, images: Sequence[Image]) -> Iterator[torch.Tensor]:
        """[n, 3, size, size] normalised pixels of images, part by part."""
        return self._scaled([np.asarray(self.prepare(image)) for image in images], self._images_per_part)

    def _scaled(self, arrays: Sequence[Bytes], at_once: int) -> Iterator[torch.Tensor]:
        """[n, 3, height, width] normalised pixels, part by part; copied as bytes and scaled on the device."""
        import torch

        pixels = torch.from_numpy(np.stack(arrays))
        if self._device != "cpu":
            pixels = pixels.pin_memory()  # otherwise the copy waits for the device
        for part in torch.split(pixels, at_once):
            on_device = part.to(self._device, non_blocking=True)
            yield self._towers.scaled(on_device)

    def fits(self, texts: Sequence[str]) -> Bools:
        """[T] whether each text has at most `context_length` tokens, the two end markers included."""
        # a token is at least one character of plain text, so most texts fit for certain and need no vocabulary
        surely = self.context_length - 2
        return np.array(
            [(len(t) <= surely and is_plain(t)) or len(self._tokens.ids(t)) <= self.context_length for t in texts],
            dtype=np.bool_,
        )

    def prepare(self, image: Image) -> Image:
        """Scale the short side to the tower's size (bicubic), crop the centre: [size, size] RGB, as `clip` does."""
        return self.prepare_at(image, self.image_size)

    def prepare_at(self, image: Image, size: int) -> Image:
        """As `prepare`, for a square of `size`; see Resizable."""
        from PIL import Image as Pillow

        if image.size == (size, size):
            return image
        image = _without_far_ends(image, max(_NO_STRIP, _LONGEST_STRIP * self.image_size // size))
        width, height = image.size
        short = min(width, height)
        scaled = (int(size * width / short), int(size * height / short))
        image = image.resize(scaled, Pillow.Resampling.BICUBIC)
        left = round((scaled[0] - size) / 2)
        top = round((scaled[1] - size) / 2)
        return image.crop((left, top, left + size, top + size))


def load_openai(name: str, *, device: str = "auto", precision: Precision = "auto") -> OpenAIClip:
    """Load the model that OpenAI published as `name`; see OpenAIClip.from_name."""
    return OpenAIClip.from_name(name, device=device, precision=precision)


def _without_far_ends(image: Image, ratio: int) -> Image:
    """The middle of a long strip. Only its centre square is used, and scaling all of it could take gigabytes."""
    width, height = image.size
    longest = ratio * min(width, height)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image


def _fetch(name: str, url: str, path: Path, sha256: str, progress: Progress) -> None:
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
