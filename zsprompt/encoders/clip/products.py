"""Matrix products with fixed weights, which dominate a transformer's time, by the fastest kernel of the machine.

On a CPU `torch.nn.Linear` calls MKL, which reaches half the peak speed of some processors. torch also includes oneDNN.
Its float32 kernel gives the same product, up to rounding, at up to twice the speed. Its bfloat16 kernel is faster
still if the processor has instructions for it. Measured by benchmarks/precision.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from zsprompt.errors import ModelError

if TYPE_CHECKING:
    import torch

Linear = Any  # torch.nn.Linear, which torch leaves untyped
Product = Any  # torch.Tensor [..., in] -> torch.Tensor [..., out]
Run = Callable[["torch.Tensor"], "torch.Tensor"]


def products(device: str, precision: str) -> Callable[[Linear], Product]:
    """The function that turns a `torch.nn.Linear` into its fastest equivalent.

    Args:
        device: "cpu" or "cuda".
        precision: see encoders.Precision.

    Raises:
        ModelError: this machine cannot run the precision.
    """
    if device != "cpu":
        return plain  # the weights themselves are in the precision
    check_precision(device, precision)
    if precision != "auto":
        return int8 if precision == "int8" else Bfloat16
    return Float32 if _has_onednn() else plain


def convolutions(run: Run, precision: str) -> Run:
    """`run`, a convolutional network. With precision "bfloat16", its factors are rounded to bfloat16."""
    if precision != "bfloat16":
        return run
    import torch

    def rounded(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return run(pixels).float()

    return rounded


def check_precision(device: str, precision: str, *, on_gpu: Collection[str] = ()) -> None:
    """Raise ModelError if `precision` cannot run on this device, or is no faster than float32.

    Args:
        device: "cpu" or "cuda".
        precision: see encoders.Precision.
        on_gpu: precisions other than "auto" that the model has on a GPU.
    """
    if precision in ("auto", *(on_gpu if device != "cpu" else ())):
        return
    if device != "cpu":
        raise ModelError(
            f"expected a CPU for precision {precision}, found device {device}; "
            f"use --device cpu,precision={precision}, or leave out precision"
        )
    if precision == "bfloat16" and not _has_bfloat16():
        raise ModelError(
            "expected a processor with bfloat16 instructions (AVX-512 BF16 or AMX) for precision bfloat16, found none; "
            "leave out precision, or use int8 with a CLIP model"
        )


def plain(linear: Linear) -> Product:
    """torch's own product, in the precision of the weights."""
    return linear


class Float32:
    """The product by oneDNN's float32 kernel."""

    def __init__(self, linear: Linear) -> None:
        self._weight, self._bias, self._multiply = linear.weight, linear.bias, _onednn()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out] from [..., in], float32."""
        result: torch.Tensor = self._multiply(x, self._weight, self._bias, "none", [], "")
        return result


class Bfloat16(Float32):
    """Factors rounded to bfloat16, summed in float32. Everything else stays float32, to keep most of the accuracy."""

    def __init__(self, linear: Linear) -> None:
        super().__init__(linear)
        self._weight, self._bias = linear.weight.detach().bfloat16(), linear.bias.detach().bfloat16()

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out] from [..., in], float32."""
        return super().__call__(x.bfloat16()).float()


def int8(linear: Linear) -> Product:
    """8-bit integers: weights rounded once, activations per call."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch recommends a successor package, which has no CPU kernel for this yet
        wrapped = torch.nn.Sequential(linear)
        return torch.ao.quantization.quantize_dynamic(wrapped, {torch.nn.Linear}, dtype=torch.qint8)[0]  # type: ignore[no-untyped-call]


def _onednn() -> Any:
    import torch

    # torch.compile calls it too; torch has no public name for it
    return torch.ops.mkldnn._linear_pointwise


def _has_onednn() -> bool:
    """Whether torch includes the kernel and it computes the expected product."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        product = _onednn()(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4), "none", [], "")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((product == torch.full((2, 4), 4.0)).all())


def _has_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions. Without them, oneDNN emulates them more slowly than float32."""
    import torch

    instructions = ("avx512_bf16", "amx_tile")
    return _has_onednn() and any(getattr(torch.cpu, f"_is_{kind}_supported", bool)() for kind in instructions)
