"""Comparisons that raise ContractError."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zsprompt.errors import ContractError


def require(holds: bool, clause: str, expected: str, found: object) -> None:
    """Raise ContractError unless `holds`."""
    if not holds:
        raise ContractError(clause, f"expected {expected}, found {found}")


def require_array(array: object, clause: str, what: str, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """Raise ContractError unless `array` is a numpy array of this shape and dtype, and finite."""
    expected = f"{what} as a numpy array of shape {shape} and dtype {np.dtype(dtype)}"
    if not isinstance(array, np.ndarray):
        raise ContractError(clause, f"expected {expected}, found {type(array).__name__}")
    found = f"shape {array.shape} and dtype {array.dtype}"
    require(array.shape == shape and array.dtype == dtype, clause, expected, found)
    bad = int((~np.isfinite(array)).sum())
    require(not bad, "finite", f"finite {what}", f"{bad} of {array.size} values that are not")


def require_close(actual: NDArray[Any], expected: NDArray[Any], clause: str, what: str, tolerance: float) -> None:
    """Raise ContractError unless two arrays have one shape and agree within `tolerance`, absolute and relative."""
    require(actual.shape == expected.shape, clause, f"{what}, of shape {expected.shape}", f"shape {actual.shape}")
    if not np.allclose(actual, expected, rtol=tolerance, atol=tolerance):
        difference = float(np.abs(actual.astype(np.float64) - expected).max())
        raise ContractError(clause, f"expected {what}, within {tolerance:g}, found a difference of {difference:.3g}")


def require_unit_rows(vectors: NDArray[Any], what: str, tolerance: float) -> None:
    """Raise ContractError unless each row of [.., D] has length 1 within `tolerance`."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1)
    error = float(np.abs(lengths - 1).max(initial=0))
    require(error <= tolerance, "unit rows", f"{what} of length 1 within {tolerance:g}", f"an error of {error:.3g}")
