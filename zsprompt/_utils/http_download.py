"""Download of one large file with a known checksum: resumable, verified, and complete or not there."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import chain
from pathlib import Path

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from zsprompt._utils.http_environment import usable_environment
from zsprompt._utils.progress import Advance, Progress
from zsprompt._utils.text import in_bytes, without_number
from zsprompt.errors import DownloadError

_CHUNK = 1 << 20
_BUSY = frozenset((408, 429, 500, 502, 503, 504))  # statuses that are worth a retry
_SPACE_CHECK_EVERY = 64 << 20  # bytes written between two checks of the free disk space
_SLOWEST = 1000  # bytes per second; a slower connection counts as lost, and the next one resumes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200})", re.I)


class _Short(Exception):  # noqa: N818 - not an error yet: the download is retried
    """The connection ended without an error, but bytes are missing."""


def sha256_file(path: Path, advance: Advance = lambda _: None) -> str:
    """Hex sha256 of a file's content; `advance` is called with the size of every chunk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def require_room(folder: Path, needed: int, what: str) -> None:
    """Raise DownloadError unless the disk of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"expected {in_bytes(needed)} of free space in {folder} for {what}, found {in_bytes(free)}; "
            "free some space or choose another folder"
        )


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress,
    transport: httpx.BaseTransport | None = None,
    attempts: int = 4,
    timeout: float = 30.0,
) -> None:
    """Download `url` to `target`, continuing the `.part` file of an earlier attempt.

    Lost connections and busy servers are retried with growing waits, until `attempts` in a row have added no bytes.
    Other refusals are not retried. A part is continued only if the server's file has not changed (If-Range). Plain
    http is allowed for loopback addresses only, also after a redirect. httpx reads proxies and certificates from the
    environment.

    Args:
        url: address of the file.
        target: path to write; its folder is created.
        sha256: expected checksum of the whole file, hex.
        size: expected size in bytes, if known. A server that offers another size is refused at once.
        progress: reports the bytes downloaded, then the bytes verified.
        transport: replaces the network, as in httpx.
        attempts: attempts in a row that may add no bytes.
        timeout: seconds without data, or with hardly any, after which a connection counts as lost.

    Raises:
        DownloadError: the server cannot be reached or refuses, the file is not the expected one (it is deleted), or
            the disk is full.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_all(_Source(url, part, size, progress, timeout), transport, attempts)
        _require_checksum(url, part, sha256, progress)
        part.replace(target)
        _tag_file(part).unlink(missing_ok=True)
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise DownloadError(f"{url} answered {status} {error.response.reason_phrase}".rstrip()) from None
    except (httpx.HTTPError, httpx.InvalidURL, _Short) as error:
        reason = without_number(str(error)) or type(error).__name__
        raise DownloadError(f"cannot fetch {url} ({reason}); {_kept(part, size)}") from None
    except OSError as error:
        full = f"; {_kept(part, size)}" if error.errno == errno.ENOSPC else ""
        raise DownloadError(f"cannot write {part} ({error.strerror or error}){full}") from None


class _Source:
    """A file on a server, and the part of it that has been downloaded."""

    def __init__(self, url: str, part: Path, size: int | None, progress: Progress, timeout: float) -> None:
        self.url, self.part, self.size, self.timeout = url, part, size, timeout
        self._progress = progress

    def have(self) -> int:
        """Bytes downloaded so far."""
        return self.part.stat().st_size if self.part.exists() else 0

    def fetch(self, client: httpx.Client) -> None:
        """One attempt. Raises httpx.HTTPError, _Short, DownloadError, OSError."""
        have = self.have()
        if have and have == self.size:
            return
        with client.stream("GET", self.url, headers=self._headers(have)) as response:
            if have and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                self._settle()
                return
            response.raise_for_status()
            start = self._start(response, have)
            chunks = response.iter_raw()
            first = next(chunks, b"")
            _refuse_page(self.url, response.headers.get("Content-Type", ""), first if not start else b"")
            total = self._total(response, start)
            self._remember(response)
            with self._progress(f"download {self.part.stem}", total, "bytes") as advance:
                advance(start)
                self._write(chain((first,), chunks), start, total, advance)
        if self.have() < total:
            raise _Short(f"the download stopped at {self.have():,} of {total:,} bytes")

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            tag = _tag_file(self.part)
            if tag.exists():
                headers["If-Range"] = tag.read_text(encoding="ascii")
        return headers

    def _settle(self) -> None:
        """The server has no more bytes: the part is complete (the checksum will tell) or belongs to another file."""
        if self.size is not None:
            self._start_over("the server's file ends before the downloaded part")

    def _start(self, response: httpx.Response, have: int) -> int:
        """The offset in the file at which the response begins."""
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            return 0
        match = _RANGE.fullmatch(response.headers.get("Content-Range", f"bytes {have}-0/*"))
        if not have or not match or int(match[1]) != have:
            self._start_over("the server sent a range that was not requested")
        return have

    def _start_over(self, why: str) -> None:
        self._forget()
        raise _Short(why)

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        _tag_file(self.part).unlink(missing_ok=True)

    def _total(self, response: httpx.Response, start: int) -> int:
        """Size of the whole file in bytes: the expected size, else the server's, else 0."""
        length = response.headers.get("Content-Length", "")
        match = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if start else None
        total = int(match[2]) if match and match[2] != "*" else start + int(length) if length.isdigit() else 0
        if self.size is not None and total and total != self.size:
            raise DownloadError(f"expected {self.size:,} bytes at {self.url}, found {total:,}: this is another file")
        return self.size if self.size is not None else total

    def _remember(self, response: httpx.Response) -> None:
        tag = response.headers.get("ETag", "")
        strong = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        if strong.isascii() and strong:
            _tag_file(self.part).write_text(strong, encoding="ascii")
        else:
            _tag_file(self.part).unlink(missing_ok=True)

    def _write(self, chunks: Iterator[bytes], start: int, total: int, advance: Advance) -> None:
        done = checked = start
        require_room(self.part.parent, total - start, self.part.stem)
        with self.part.open("ab" if start else "wb") as file:
            for chunk in self._at_pace(chunks):
                done += len(chunk)
                if total and done > total:
                    self._forget()
                    raise DownloadError(f"expected {total:,} bytes from {self.url}, found more: this is another file")
                file.write(chunk)
                advance(len(chunk))
                if done - checked > _SPACE_CHECK_EVERY:
                    require_room(self.part.parent, total - done, f"the rest of {self.part.stem}")
                    checked = done

    def _at_pace(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield `chunks`; raise _Short when they arrive too slowly."""
        since, received = time.monotonic(), 0
        for chunk in chunks:
            yield chunk
            received += len(chunk)
            if (elapsed := time.monotonic() - since) > self.timeout:
                if received < _SLOWEST * elapsed:
                    raise _Short(f"only {received:,} bytes received in {elapsed:.0f} s")
                since, received = time.monotonic(), 0


def _fetch_all(source: _Source, transport: httpx.BaseTransport | None, attempts: int) -> None:
    hooks = {"request": [_only_safe(source.url)]}
    with usable_environment(DownloadError):
        client = httpx.Client(transport=transport, follow_redirects=True, timeout=source.timeout, event_hooks=hooks)
    with client:
        Retrying(
            retry=retry_if_exception(_is_temporary),
            stop=_nothing_new(source, attempts),
            wait=wait_exponential_jitter(max=10),
            reraise=True,
        )(source.fetch, client)


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError | _Short)


def _nothing_new(source: _Source, attempts: int) -> Callable[[RetryCallState], bool]:
    """A stop rule: `attempts` attempts in a row have added no bytes."""
    most, idle = source.have(), 0

    def stop(_: RetryCallState) -> bool:
        nonlocal most, idle
        idle = 0 if source.have() > most else idle + 1
        most = max(most, source.have())
        return idle >= attempts

    return stop


def _only_safe(first: str) -> Callable[[httpx.Request], None]:
    """A hook that refuses unencrypted requests, unless both the first address and this one are loopback addresses."""
    local = _is_local(httpx.URL(first))

    def check(request: httpx.Request) -> None:
        if request.url.scheme != "https" and not (local and _is_local(request.url)):
            raise DownloadError(f"expected https, found {request.url}; unencrypted downloads are not allowed")

    return check


def _is_local(url: httpx.URL) -> bool:
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _refuse_page(url: str, kind: str, beginning: bytes) -> None:
    """Raise DownloadError if a response is a web page by its content type or its first bytes."""
    if not kind.startswith("text/html") and beginning.lstrip()[:1] != b"<":
        return
    title = _TITLE.search(beginning)
    quoted = f" {' '.join(title[1].decode(errors='replace').split())!r}" if title else ""
    raise DownloadError(f"expected a file at {url}, found a web page{quoted}; open it in a browser")


def _require_checksum(url: str, part: Path, sha256: str, progress: Progress) -> None:
    with progress(f"check {part.stem}", part.stat().st_size, "bytes") as advance:
        actual = sha256_file(part, advance)
    if actual != sha256:
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        raise DownloadError(
            f"expected {url} to have sha256 {sha256}, found {actual}; the download was deleted, try again"
        )


def _tag_file(part: Path) -> Path:
    """The file that stores the server's ETag or Last-Modified of a part."""
    return part.with_name(part.name + ".tag")


def _kept(part: Path, size: int | None) -> str:
    have = part.stat().st_size if part.exists() else 0
    if not have:
        return "nothing was downloaded"
    return f"{in_bytes(have)}{f' of {in_bytes(size)}' if size else ''} are kept; run the same command again to resume"
