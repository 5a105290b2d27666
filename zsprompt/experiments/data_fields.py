"""The fields that may follow the name of a data set: NAME,field=value…"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DataFields:
    """Fields of RunSpec that may follow the name of a data set."""

    root: str | None = None
    split: str | None = None
    names: str | None = None
    difficult: str | None = None
    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    skip_bad: bool | None = None
