"""Reports: results as terminal output, tables for papers, figures and HTML pages."""

from __future__ import annotations

from zsprompt.report.terminal import predictions_dict, predictions_table, printable, result_table

__all__ = ["predictions_dict", "predictions_table", "printable", "result_table"]
