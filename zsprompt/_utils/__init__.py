"""Helpers that know nothing of labels, images or models."""
