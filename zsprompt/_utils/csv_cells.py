"""Cells of CSV files: texts that no spreadsheet takes for a formula, and numbers of few digits.

A spreadsheet evaluates a cell that begins with "=", "+", "-" or "@", also after a tab or a line end. Such a text gets
an apostrophe in front. A text of apostrophes before such a mark gets one more, so that `restored` is exact.

Source: OWASP, CSV Injection.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any

import numpy as np

DIGITS = 6
"""Significant digits of a number that people read."""

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_PROTECTED = re.compile("'" + _FORMULA.pattern)
_UP, _DOWN = Context(prec=DIGITS, rounding=ROUND_CEILING), Context(prec=DIGITS, rounding=ROUND_FLOOR)


def protected(text: str) -> str:
    """`text` as the content of a cell."""
    return f"'{text}" if _FORMULA.match(text) else text


def restored(cell: str) -> str:
    """The text that `protected` was given."""
    return cell[1:] if _PROTECTED.match(cell) else cell


def cell(value: object) -> str:
    """A value as the content of a cell: a text is protected, a number has 6 significant digits, None is empty."""
    if isinstance(value, str):
        return protected(value)
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.{DIGITS}g}"
    return "" if value is None else str(value)


def exact(number: np.floating[Any]) -> str:
    """The shortest text that reads back as the same number: up to 9 digits for a float32."""
    return np.format_float_positional(number, unique=True, trim="-")


def decided(score: float, present: bool) -> str:
    """A score with 6 significant digits, rounded up if its label is present, else down.

    So every threshold that separates the scores separates the texts too.
    """
    return format((_UP if present else _DOWN).create_decimal_from_float(score), "f")
