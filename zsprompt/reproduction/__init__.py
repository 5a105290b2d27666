"""Reproductions: the tables of the four sources, their published numbers beside ours."""

from __future__ import annotations

from zsprompt.reproduction.outcome import Cell, Reproduction
from zsprompt.reproduction.random_texts import RandomTexts
from zsprompt.reproduction.shown import markdown, save, terminal_table
from zsprompt.reproduction.tables import Row, Settings, Table, find_table, tables
from zsprompt.reproduction.work import reproduce

__all__ = [
    "Cell",
    "RandomTexts",
    "Reproduction",
    "Row",
    "Settings",
    "Table",
    "find_table",
    "markdown",
    "reproduce",
    "save",
    "tables",
    "terminal_table",
]
