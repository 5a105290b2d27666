"""Runs and predictions: results, their measures and provenance, comparisons and thresholds."""
