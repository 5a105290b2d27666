"""Short digests of image ids, to recognise images that were used for training or for choosing thresholds."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Sequence

_BYTES = 6
"""Length of a digest. Collisions among a million images are rare."""


def packed(ids: Sequence[str]) -> str:
    """Sorted digests of the ids as one base64 text, eight characters per id."""
    return b64encode(b"".join(sorted(map(_digest, ids)))).decode()


def count_shared(ids: Sequence[str], packed_ids: str) -> int:
    """Number of `ids` whose digest is in `packed_ids`, a result of `packed`.

    Raises:
        ValueError: `packed_ids` is damaged.
    """
    data = b64decode(packed_ids, validate=True)
    digests = {data[i : i + _BYTES] for i in range(0, len(data), _BYTES)}
    return sum(_digest(name) in digests for name in ids)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:_BYTES]
