"""Images that something was chosen or trained on, remembered by digests of their ids, and recognised again."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence

_BYTES = 6
"""Of a digest: enough that two of a million images are rarely taken for one."""


def packed(ids: Sequence[str]) -> str:
    """Digests of the ids, sorted, in one text of eight characters each."""
    return b64encode(b"".join(sorted(map(_digest, ids)))).decode()


def known_among(ids: Sequence[str], remembered: str) -> int:
    """How many of `ids` are among those `packed`.

    Raises:
        ValueError: damage.
    """
    digests = b64decode(remembered, validate=True)
    known = {digests[i : i + _BYTES] for i in range(0, len(digests), _BYTES)}
    return sum(_digest(name) in known for name in ids)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:_BYTES]
