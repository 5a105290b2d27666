"""A real HTTP server on loopback for OpenAI-style chat completions, with faults on request."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import certifi
import numpy as np
import pytest
from PIL import Image

Body = dict[str, Any]

_LISTED = re.compile(r"an image that contains (?!none of these)(.+?)\. Answer with the caption alone")
_NOTHING = "an empty grey wall"
_TYPES = {True: "application/json", False: "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Reply:
    """A response.

    Attributes:
        content: the body.
        status: HTTP status.
        headers: headers besides Content-Length and Content-Type.
        latency: seconds before the first byte.
        pause: seconds after each byte of the body.
        keep: bytes of the body before the connection is dropped; None sends all and does not drop it.
        head: whether status line and headers are sent; otherwise the connection is dropped before them.
    """

    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    pause: float = 0.0
    keep: int | None = None
    head: bool = True


Behaviour = Callable[[Body, int], Reply]
"""(body of the request, number of the request from 1) -> response."""


@dataclass(frozen=True)
class Request:
    """A received request."""

    path: str
    headers: Mapping[str, str]
    body: Body
    time: float


def plain_connections(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Use no proxy, and give each client one certificate to load instead of all."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    end = "-----END CERTIFICATE-----\n"
    one = folder / "one.pem"
    one.write_text(Path(certifi.where()).read_text(encoding="utf-8").split(end)[0] + end, encoding="utf-8")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(one))


# -- questions ---------------------------------------------------------------------------------------------------


def question(body: Body) -> str:
    """The text of the first user message, with or without an image."""
    (first, *_) = (turn["content"] for turn in body["messages"] if turn["role"] == "user")
    return first if isinstance(first, str) else "".join(part["text"] for part in first if part["type"] == "text")


def sent_bytes(body: Body) -> bytes | None:
    """The JPEG of a question, which must be its only image and follow the text; None if there is none."""
    (first, *_) = (turn["content"] for turn in body["messages"] if turn["role"] == "user")
    if isinstance(first, str):
        return None
    text, image = first
    assert (text["type"], image["type"]) == ("text", "image_url")
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    return base64.b64decode(data, validate=True)


def sent_picture(body: Body) -> Image.Image | None:
    """The image of a question; None if there is none."""
    data = sent_bytes(body)
    return None if data is None else Image.open(BytesIO(data), formats=["JPEG"])


def listed(body: Body) -> str | None:
    """The labels in a question of zsprompt.llm.writer, as one text; None for "none of these"."""
    match = _LISTED.search(question(body))
    return match[1] if match else None


def asked_set(body: Body) -> frozenset[str]:
    """The label set of a question of zsprompt.llm.writer."""
    text = listed(body)
    return frozenset(re.split(r", | and ", text)) if text else frozenset()


def again(body: Body) -> bool:
    """Whether it is a second question, after a rejected answer."""
    return len(body["messages"]) > 1


# -- answers -----------------------------------------------------------------------------------------------------


def completion(
    text: object, *, finish: str = "stop", tokens: object = 50, message: Mapping[str, object] | None = None
) -> Reply:
    """A complete answer. `message` adds fields to its message, or replaces them."""
    turn = {"role": "assistant", "content": text} | dict(message or {})
    return as_json(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "parrot-1",
            "choices": [{"index": 0, "message": turn, "finish_reason": finish}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": tokens},
        }
    )


def as_json(data: object, status: int = 200, **headers: str) -> Reply:
    """A JSON body. Underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(data).encode(), status, named)


def caption(body: Body, number: int = 1) -> Reply:
    """The default: a caption that names exactly the requested labels."""
    text = listed(body)
    return completion(f"A photo of {text}." if text else _NOTHING)


_STEP = 16  # between two shades, so that JPEG compression cannot confuse them


def halves(left: int, right: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """An image whose halves have shades 0 to 15; see `seen`."""
    width, height = size
    pixels = np.full((height, width, 3), left * _STEP + _STEP // 2, dtype=np.uint8)
    pixels[:, width // 2 :] = right * _STEP + _STEP // 2
    return Image.fromarray(pixels)


def seen(image: Image.Image) -> str:
    """The description of an image of `halves`."""
    pixels = np.asarray(image.convert("L"))
    middle = pixels.shape[1] // 2
    left, right = (int(half.mean()) // _STEP for half in (pixels[:, :middle], pixels[:, middle:]))
    return f"a wall that is {left} on the left and {right} on the right"


def sighted(body: Body, number: int = 1) -> Reply:
    """A caption of the image, from its pixels."""
    image = sent_picture(body)
    return error(400, "expected an image") if image is None else completion(f"{seen(image).capitalize()}.")


def error(status: int, message: str = "something is wrong", *, inside: int | None = None, **fields: object) -> Reply:
    """An error in JSON. `inside` is its code, unless `fields` has one."""
    return as_json({"error": {"message": message, "type": None, "param": None, "code": inside} | fields}, status)


def later(after: str, status: int = 429) -> Reply:
    """Too many requests, with a Retry-After header of seconds or a date."""
    return replace(error(status, "slow down"), headers={"Retry-After": after})


def page(status: int, text: str = "<html>\n<h1>Bad\tgateway</h1>\n</html>") -> Reply:
    """An HTML page of a proxy."""
    return Reply(text.encode(), status)


def half(reply: Reply | None = None) -> Reply:
    """Half a JSON body, sent as if it were complete."""
    content = (reply or completion("a cat")).content
    return Reply(content[: len(content) // 2])


DROPPED = Reply(head=False)
"""The connection ends before an answer."""


def dropped_midway(reply: Reply | None = None) -> Reply:
    """The connection ends in the middle of an answer."""
    reply = reply or completion("a cat")
    return replace(reply, keep=len(reply.content) // 2)


def slow(pause: float = 0.05, reply: Reply | None = None) -> Reply:
    """Byte by byte: short pauses, but a long response."""
    return replace(reply or completion("a cat"), pause=pause)


def huge(size: int = 2**21) -> Reply:
    """An answer far above the size limit."""
    return completion("cat " * (size // 4))


# -- behaviours --------------------------------------------------------------------------------------------------


def always(reply: Reply) -> Behaviour:
    """The same response to all requests."""
    return lambda body, number: reply


def first(*replies: Reply, then: Behaviour = caption) -> Behaviour:
    """These responses to the first requests, then those of `then`."""
    return lambda body, number: replies[number - 1] if number <= len(replies) else then(body, number)


def late(seconds: float, then: Behaviour = caption) -> Behaviour:
    """`then`, after some seconds."""
    return lambda body, number: replace(then(body, number), latency=seconds)


# -- the server --------------------------------------------------------------------------------------------------


class ChatServer:
    """Serves /v1/chat/completions as a context manager. On exit, it raises its own failures.

    Args:
        behaviour: may be changed at any time.
        latency: seconds before each response.

    Attributes:
        requests: all requests, in order.
        sets: number of requests per label set.
        pictures: number of questions per JPEG.
        connections: number of connections, with or without a request.
        most_at_once: maximum number of concurrent requests.
    """

    def __init__(self, behaviour: Behaviour = caption, *, latency: float = 0.0) -> None:
        self.behaviour = behaviour
        self.latency = latency
        self.requests: list[Request] = []
        self.sets: Counter[frozenset[str]] = Counter()
        self.pictures: Counter[bytes] = Counter()
        self.connections = 0
        self.most_at_once = 0
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.failures: list[BaseException] = []
        self.under_way = 0

    def __enter__(self) -> ChatServer:
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.005,), name="chat-server")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()  # waits for the handlers
        if self.failures:
            raise self.failures[0]

    def count_question(self, body: Body) -> None:
        """Count the question, by its image or label set."""
        jpeg = sent_bytes(body)
        if jpeg is None:
            self.sets[asked_set(body)] += 1
        else:
            self.pictures[jpeg] += 1

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def count(self) -> int:
        """Number of requests."""
        return len(self.requests)

    @property
    def bodies(self) -> list[Body]:
        """The bodies of the requests."""
        return [request.body for request in self.requests]


class _Http(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = False
    block_on_close = True

    def __init__(self, owner: ChatServer) -> None:
        self.owner = owner
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        taken = super().get_request()
        self.owner.connections += 1
        return taken

    def handle_error(self, request: object, client_address: object) -> None:
        raised = sys.exc_info()[1]
        if raised is not None and not isinstance(raised, ConnectionError | TimeoutError):
            self.owner.failures.append(raised)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent separately; the body would wait for the head
    timeout = 5
    server: _Http

    def do_POST(self) -> None:
        owner = self.server.owner
        expected = int(self.headers["Content-Length"])
        content = self.rfile.read(expected)
        if len(content) < expected:  # the client was killed
            self.close_connection = True
            return
        body = json.loads(content)
        with owner.lock:
            owner.requests.append(Request(self.path, dict(self.headers.items()), body, time.monotonic()))
            number = len(owner.requests)
            owner.under_way += 1
            owner.most_at_once = max(owner.most_at_once, owner.under_way)
            if "messages" in body:
                owner.count_question(body)
        try:
            served = self.path == "/v1/chat/completions"
            reply = owner.behaviour(body, number) if served else error(404, "no such address")
            owner.closing.wait(owner.latency + reply.latency)
        finally:
            with owner.lock:
                owner.under_way -= 1  # before the response: the client may send the next request at once
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        if not reply.head:
            self._drop()
            return
        self.send_response(reply.status)
        sent = {"Content-Type": _TYPES[reply.content[:1] in b"{["]} | dict(reply.headers)
        for name, value in (sent | {"Content-Length": str(len(reply.content))}).items():
            self.send_header(name, value)
        self.end_headers()
        content = reply.content[: reply.keep]
        if reply.pause:
            for i in range(len(content)):
                if self.server.owner.closing.wait(reply.pause):
                    break
                self.wfile.write(content[i : i + 1])
        else:
            self.wfile.write(content)
        if reply.keep is not None or self.server.owner.closing.is_set():
            self._drop()

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset on close

    def log_message(self, format: str, *args: object) -> None:
        pass
