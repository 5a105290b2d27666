"""Reports: results as lines of a terminal, tables for papers, figures and pages."""

from __future__ import annotations

from zsprompt.report.terminal import predictions_dict, predictions_table, printable, result_table

__all__ = ["predictions_dict", "predictions_table", "printable", "result_table"]
