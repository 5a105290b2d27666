"""Fetching one large file whose checksum is known: resumed, verified, never left looking whole when it is not."""

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

from zsprompt._utils.progress import Advance, Progress
from zsprompt._utils.text import in_bytes
from zsprompt.errors import DownloadError

_CHUNK = 1 << 20
_BUSY = frozenset((408, 429, 500, 502, 503, 504))  # what a server says when it may do better in a moment
_LOOK_AGAIN = 64 << 20  # bytes between two looks at how much room there is
_SLOWEST = 1000  # bytes a second; a connection that brings less counts as lost, which costs nothing where it resumes
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,200})", re.I)


class _Short(Exception):  # noqa: N818 - no error yet: it is tried again
    """The connection ended as if all were well, but bytes are missing."""


def sha256_file(path: Path, advance: Advance = lambda _: None) -> str:
    """Hex sha256 of a file's content; `advance` is told of every piece that was read."""
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
            f"expected {in_bytes(needed)} free in {folder} for {what}, found {in_bytes(free)}; make room there or "
            "choose another folder"
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
    """Fetch `url` into `target`, continuing a `.part` file that an earlier try left.

    What stops in between is tried again with growing waits, until `attempts` in a row have brought nothing new; so is
    a busy server, but no other refusal. A part is continued only while the server's file is the same (If-Range).
    Plain http is used on this machine's own addresses alone, also when a server sends elsewhere. Proxies and
    certificates come from the environment, as httpx reads it.

    Args:
        url: where it is.
        target: the file to be; its folder is made.
        sha256: of the whole file, hex.
        size: of the whole file in bytes, where it is known: a server with another one is refused at once.
        progress: is told of bytes that came, then of bytes that were checked.
        transport: httpx's, in place of the network.
        attempts: tries in a row that may bring nothing new.
        timeout: seconds without a byte, or with hardly any, after which a connection counts as lost.

    Raises:
        DownloadError: the server cannot be reached or refuses, what came is not what was promised (it is deleted), or
            there is no room.
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
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"cannot fetch {url} ({reason}); {_kept(part, size)}") from None
    except OSError as error:
        full = f"; {_kept(part, size)}" if error.errno == errno.ENOSPC else ""
        raise DownloadError(f"cannot write {part} ({error.strerror or error}){full}") from None


class _Source:
    """A file on a server, and how much of it is here."""

    def __init__(self, url: str, part: Path, size: int | None, progress: Progress, timeout: float) -> None:
        self.url, self.part, self.size, self.timeout = url, part, size, timeout
        self._progress = progress

    def have(self) -> int:
        """Bytes that are here."""
        return self.part.stat().st_size if self.part.exists() else 0

    def fetch(self, client: httpx.Client) -> None:
        """One try. Raises httpx.HTTPError, _Short, DownloadError, OSError."""
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
            raise _Short(f"it stopped at {self.have():,} of {total:,} bytes")

    def _headers(self, have: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            tag = _tag_file(self.part)
            if tag.exists():
                headers["If-Range"] = tag.read_text(encoding="ascii")
        return headers

    def _settle(self) -> None:
        """The server has nothing behind what is here: it is whole, which its checksum will tell, or of another file."""
        if self.size is not None:
            self._start_over("the server has nothing behind the part that was here")

    def _start(self, response: httpx.Response, have: int) -> int:
        """Where in the file the answer begins."""
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            return 0
        found = _RANGE.fullmatch(response.headers.get("Content-Range", f"bytes {have}-0/*"))
        if not have or not found or int(found[1]) != have:
            self._start_over("the server sent another range than it was asked for")
        return have

    def _start_over(self, why: str) -> None:
        self._forget()
        raise _Short(why)

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        _tag_file(self.part).unlink(missing_ok=True)

    def _total(self, response: httpx.Response, start: int) -> int:
        """Bytes of the whole file, as the server says, else as is known, else 0."""
        length = response.headers.get("Content-Length", "")
        found = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if start else None
        total = int(found[2]) if found and found[2] != "*" else start + int(length) if length.isdigit() else 0
        if self.size is not None and total and total != self.size:
            raise DownloadError(f"expected {self.size:,} bytes at {self.url}, found {total:,}: it is another file")
        return self.size if self.size is not None else total

    def _remember(self, response: httpx.Response) -> None:
        tag = response.headers.get("ETag", "")
        strong = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
        if strong.isascii() and strong:
            _tag_file(self.part).write_text(strong, encoding="ascii")
        else:
            _tag_file(self.part).unlink(missing_ok=True)

    def _write(self, chunks: Iterator[bytes], start: int, total: int, advance: Advance) -> None:
        done = looked = start
        require_room(self.part.parent, total - start, self.part.stem)
        with self.part.open("ab" if start else "wb") as file:
            for chunk in self._at_pace(chunks):
                done += len(chunk)
                if total and done > total:
                    self._forget()
                    raise DownloadError(f"expected {total:,} bytes from {self.url}, found more: it is another file")
                file.write(chunk)
                advance(len(chunk))
                if done - looked > _LOOK_AGAIN:
                    require_room(self.part.parent, total - done, f"the rest of {self.part.stem}")
                    looked = done

    def _at_pace(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """`chunks`, until a server that only trickles has to be asked anew."""
        since, came = time.monotonic(), 0
        for chunk in chunks:
            yield chunk
            came += len(chunk)
            if (took := time.monotonic() - since) > self.timeout:
                if came < _SLOWEST * took:
                    raise _Short(f"only {came:,} bytes came in {took:.0f} s")
                since, came = time.monotonic(), 0


def _fetch_all(source: _Source, transport: httpx.BaseTransport | None, attempts: int) -> None:
    hooks = {"request": [_only_safe(source.url)]}
    with httpx.Client(transport=transport, follow_redirects=True, timeout=source.timeout, event_hooks=hooks) as client:
        Retrying(
            retry=retry_if_exception(_may_pass),
            stop=_nothing_new(source, attempts),
            wait=wait_exponential_jitter(max=10),
            reraise=True,
        )(source.fetch, client)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError | _Short)


def _nothing_new(source: _Source, attempts: int) -> Callable[[RetryCallState], bool]:
    """Whether `attempts` tries in a row have brought nothing that was not here before."""
    most, idle = source.have(), 0

    def stop(_: RetryCallState) -> bool:
        nonlocal most, idle
        idle = 0 if source.have() > most else idle + 1
        most = max(most, source.have())
        return idle >= attempts

    return stop


def _only_safe(first: str) -> Callable[[httpx.Request], None]:
    """Refuses to send a request in the clear, unless it stays on this machine, where it began."""
    local = _is_local(httpx.URL(first))

    def check(request: httpx.Request) -> None:
        if request.url.scheme != "https" and not (local and _is_local(request.url)):
            raise DownloadError(f"expected https, found {request.url}; nothing is fetched in the clear")

    return check


def _is_local(url: httpx.URL) -> bool:
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


def _refuse_page(url: str, kind: str, beginning: bytes) -> None:
    """Raise DownloadError if an answer calls itself a web page, or begins like one."""
    if not kind.startswith("text/html") and beginning.lstrip()[:1] != b"<":
        return
    title = _TITLE.search(beginning)
    said = f" {' '.join(title[1].decode(errors='replace').split())!r}" if title else ""
    raise DownloadError(f"expected a file at {url}, found a page of text{said}; look at it with a browser")


def _require_checksum(url: str, part: Path, sha256: str, progress: Progress) -> None:
    with progress(f"check {part.stem}", part.stat().st_size, "bytes") as advance:
        found = sha256_file(part, advance)
    if found != sha256:
        part.unlink()
        _tag_file(part).unlink(missing_ok=True)
        raise DownloadError(
            f"expected {url} to have sha256 {sha256}, found {found}; the download was deleted, try again"
        )


def _tag_file(part: Path) -> Path:
    """Holds what the server called this version of the file."""
    return part.with_name(part.name + ".tag")


def _kept(part: Path, size: int | None) -> str:
    have = part.stat().st_size if part.exists() else 0
    if not have:
        return "nothing came"
    return (
        f"{in_bytes(have)}{f' of {in_bytes(size)}' if size else ''} are kept, and the same command goes on from there"
    )
