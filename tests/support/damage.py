"""Damaged files."""

from __future__ import annotations

import random


def damage(content: bytes, draw: random.Random) -> bytes:
    """The content with one random fault."""
    at, other = draw.randrange(len(content) + 1), draw.randrange(len(content) + 1)
    junk = draw.choice(
        [b"\0", b"\xff\xfe", b"\n", b'"', b",", b"[[", b"{", b"9" * 30, b"\\", b"\xef\xbb\xbf", b"-1", b"/"]
    )
    return draw.choice(
        [
            content[:at],
            content[:at] + junk + content[at:],
            content[:at] + junk + content[at + len(junk) :],
            content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :],
            content[: min(at, other)] + content[max(at, other) :],
            content[:at] + content[min(at, other) :],
            b"",
        ]
    )
