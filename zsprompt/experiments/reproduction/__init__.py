"""Reproductions: the tables of the four sources, with the published numbers next to ours."""

from __future__ import annotations

from zsprompt.encoders.random_texts import RandomTexts
from zsprompt.experiments.reproduction.outcome import Cell, Reproduction
from zsprompt.experiments.reproduction.tables import Row, Settings, Table, find_table, tables
from zsprompt.experiments.reproduction.work import reproduce

__all__ = [
    "Cell",
    "RandomTexts",
    "Reproduction",
    "Row",
    "Settings",
    "Table",
    "find_table",
    "reproduce",
    "tables",
]
