"""Fetching one large file whose checksum is known: resumed, verified, never left looking whole when it is not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from zsprompt.errors import ModelError
from zsprompt.progress import Progress

_CHUNK = 1 << 20
_TRANSIENT = (httpx.TransportError,)


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    progress: Progress,
    transport: httpx.BaseTransport | None = None,
    attempts: int = 4,
) -> None:
    """Fetch `url` into `target`, continuing a `.part` file that an earlier try left.

    Transport errors are tried again with growing waits; HTTP errors are not. Proxies and certificates come from the
    environment, as httpx reads it.

    Raises:
        httpx.HTTPError: the server cannot be reached or refuses.
        ModelError: what came is not what was promised; it is deleted.
        OSError: the folder cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    for attempt in Retrying(
        retry=retry_if_exception_type(_TRANSIENT),
        stop=stop_after_attempt(attempts),
        wait=wait_exponential_jitter(max=10),
        reraise=True,
    ):
        with attempt, httpx.Client(transport=transport, follow_redirects=True, timeout=30) as client:
            _fetch(client, url, part, progress)
    found = sha256_file(part)
    if found != sha256:
        part.unlink()
        raise ModelError(f"expected {url} to have sha256 {sha256}, found {found}; the download was deleted, try again")
    part.replace(target)


def _fetch(client: httpx.Client, url: str, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
        if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the part is already whole, or its checksum will say that it is not
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        total = int(response.headers.get("Content-Length", 0)) + (have if resumed else 0)
        with part.open("ab" if resumed else "wb") as file, progress(f"download {part.stem}", total, "bytes") as advance:
            advance(have if resumed else 0)
            for chunk in response.iter_bytes():
                file.write(chunk)
                advance(len(chunk))
