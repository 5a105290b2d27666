"""Runs and predictions: scores against targets, measures, provenance, comparison, thresholds."""
