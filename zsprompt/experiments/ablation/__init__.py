"""Ablations: rows that vary strategy, prompts, model or data set, each measured once and compared with the first."""

from __future__ import annotations

from zsprompt.experiments.ablation.outcome import COLUMNS, ROWS, Ablation, Entry, Measured
from zsprompt.experiments.ablation.plan import Row, grid, read_plan, title
from zsprompt.experiments.ablation.work import ablate

__all__ = ["COLUMNS", "ROWS", "Ablation", "Entry", "Measured", "Row", "ablate", "grid", "read_plan", "title"]
