"""Reproductions: the tables of the four sources, their published numbers beside ours."""

from __future__ import annotations

from zsprompt.reproduce.outcome import Cell, Reproduction
from zsprompt.reproduce.random_texts import RandomTexts
from zsprompt.reproduce.shown import markdown, save, terminal_table
from zsprompt.reproduce.tables import Row, Settings, Table, find_table, tables
from zsprompt.reproduce.work import reproduce

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
