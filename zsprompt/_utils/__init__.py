"""Helpers that do not depend on labels, images or models."""
