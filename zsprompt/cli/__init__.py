"""The command line: a module for each group of commands, thin over the API."""

from __future__ import annotations

from zsprompt.cli.app import app, main

__all__ = [
    "app",
    "main",
]
