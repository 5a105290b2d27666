"""Stored LLM answers. The cache key is the whole request except the API key, so no request is paid for twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zsprompt._utils.byte_cache import ByteCache
from zsprompt.llm.client import Answer


class Answers:
    """A folder of answers. Without a folder, they are kept in memory.

    Raises:
        CacheError: the folder is foreign, unwritable, full or damaged.
    """

    def __init__(self, folder: Path | None) -> None:
        self._disk = ByteCache(folder) if folder else None
        self._memory: dict[bytes, Answer] = {}

    def get(self, base_url: str, body: dict[str, Any]) -> Answer | None:
        """The stored answer to a request, if any."""
        key = _key(base_url, body)
        if key in self._memory or self._disk is None:
            return self._memory.get(key)
        (stored,) = self._disk.get_many([key])
        return Answer(**json.loads(stored)) if stored else None

    def put(self, base_url: str, body: dict[str, Any], answer: Answer) -> None:
        """Store an answer."""
        key = _key(base_url, body)
        if self._disk is None:
            self._memory[key] = answer
        else:
            self._disk.put_many({key: json.dumps(asdict(answer)).encode()})

    def close(self) -> None:
        """Close the folder. The answers stay."""
        if self._disk:
            self._disk.close()


def answers_folder(cache: Path) -> Path:
    """The folder of answers for a cache folder, next to it: clearing embeddings deletes no paid answer."""
    return cache.with_name(f"{cache.name}-answers")


def _key(base_url: str, body: dict[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps([base_url, body], sort_keys=True).encode()).digest()
