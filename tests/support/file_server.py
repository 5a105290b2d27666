"""A file server on loopback that can cut, stall and redirect, change its files, and send wrong lengths."""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from chat_server import plain_connections

_PIECE = 1 << 16


@dataclass
class Reply:
    """The response to one request; by default the file with this name, in the requested range.

    Attributes:
        status: another status, with `body`.
        body: replaces the file.
        cut: number of bytes after which the connection is closed.
        stall: number of bytes after which the server stops sending.
        trickle: seconds between single bytes after the stall; 0 for none.
        length: Content-Length; "true" for the correct one, None for none.
        headers: additional headers; they replace those with the same name.
        ranges: whether the server supports ranges.
    """

    status: int | None = None
    body: bytes | None = None
    cut: int | None = None
    stall: int | None = None
    trickle: float = 0.0
    length: int | str | None = "true"
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True


class FileServer:
    """Serves `files` by name. `replies` are the responses to the first requests; later ones succeed."""

    def __init__(self, files: dict[str, bytes], *replies: Reply, etag: str | None = '"1"') -> None:
        self.files = files
        self.replies = list(replies)
        self.etag = etag
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent = 0  # bytes of bodies written to the network
        self.pause = 0.0  # seconds before each piece of a body
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def ranges(self) -> list[str | None]:
        """The requested ranges."""
        return [headers.get("range") for _, headers in self.asked]

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append((self.path, headers))
                reply = server.replies.pop(0) if server.replies else Reply()
                server._answer(self, headers, reply)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler, asked: dict[str, str], reply: Reply) -> None:
        status, body, headers = self._file(handler.path, asked, reply)
        if reply.status or reply.body is not None:
            status, body, headers = reply.status or 200, reply.body or b"", {}
        if reply.length is not None:
            headers["Content-Length"] = str(len(body) if reply.length == "true" else reply.length)
        handler.send_response(status)
        for name, value in {**headers, **reply.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        end = reply.cut if reply.stall is None else reply.stall
        body, rest = body[:end], body[end:]
        try:
            for start in range(0, len(body), _PIECE):
                time.sleep(self.pause)
                handler.wfile.write(body[start : start + _PIECE])
                self.sent += len(body[start : start + _PIECE])
        except OSError:
            return  # the client left
        if reply.stall is not None and not reply.trickle:
            self._released.wait(30)
        elif reply.stall is not None:
            self._trickle(handler, rest, reply.trickle)

    def _trickle(self, handler: BaseHTTPRequestHandler, rest: bytes, seconds: float) -> None:
        with suppress(OSError):  # the client left
            for byte in rest:
                if self._released.wait(seconds):
                    return
                handler.wfile.write(bytes((byte,)))

    def _file(self, path: str, asked: dict[str, str], reply: Reply) -> tuple[int, bytes, dict[str, str]]:
        body = self.files.get(path.rsplit("/", 1)[-1])
        if body is None:
            return 404, b"<html><title>Not here</title></html>", {"Content-Type": "text/html"}
        headers = {"ETag": self.etag} if self.etag else {}
        wanted = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
        same = asked.get("if-range", self.etag) == self.etag
        if not (wanted and reply.ranges and same):
            return 200, body, headers
        start = int(wanted[1])
        if start >= len(body):
            return 416, b"", {"Content-Range": f"bytes */{len(body)}"}
        return 206, body[start:], headers | {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}


def quick_connections(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As `plain_connections`, without waiting between attempts."""
    plain_connections(monkeypatch, folder)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
