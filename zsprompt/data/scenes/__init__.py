"""Drawn scenes: what is on an image, how it is painted, and its caption."""
