"""A real HTTP server on loopback that speaks OpenAI-style chat completions, well or badly as a test wishes."""

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
    """What goes back over the wire.

    Attributes:
        content: the body.
        status: of HTTP.
        headers: besides Content-Length and Content-Type.
        latency: seconds before the first byte.
        pause: seconds after every byte of the body.
        keep: bytes of the body that are sent before the connection is dropped; None for all, and no drop.
        head: whether status line and headers are sent; without, the connection is dropped before any answer.
    """

    content: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    latency: float = 0.0
    pause: float = 0.0
    keep: int | None = None
    head: bool = True


Behaviour = Callable[[Body, int], Reply]
"""(the request's body, the number of the request from 1) -> what to do."""


@dataclass(frozen=True)
class Request:
    """What came."""

    path: str
    headers: Mapping[str, str]
    body: Body
    time: float


def plain_connections(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No proxy between a client and this server, and one certificate to load for each client instead of them all."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    end = "-----END CERTIFICATE-----\n"
    one = folder / "one.pem"
    one.write_text(Path(certifi.where()).read_text(encoding="utf-8").split(end)[0] + end, encoding="utf-8")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(one))


# -- what a question asks for ------------------------------------------------------------------------------------


def question(body: Body) -> str:
    """The text of the first turn of a person, with or without a picture beside it."""
    (first, *_) = (turn["content"] for turn in body["messages"] if turn["role"] == "user")
    return first if isinstance(first, str) else "".join(part["text"] for part in first if part["type"] == "text")


def sent_bytes(body: Body) -> bytes | None:
    """The JPEG that a question shows, which is its only picture and stands after the text; None for none."""
    (first, *_) = (turn["content"] for turn in body["messages"] if turn["role"] == "user")
    if isinstance(first, str):
        return None
    text, picture = first
    assert (text["type"], picture["type"]) == ("text", "image_url")
    kind, _, data = picture["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    return base64.b64decode(data, validate=True)


def sent_picture(body: Body) -> Image.Image | None:
    """The picture that a question shows; None for none."""
    data = sent_bytes(body)
    return None if data is None else Image.open(BytesIO(data), formats=["JPEG"])


def listed(body: Body) -> str | None:
    """The labels that a question of zsprompt.llm.writer lists, as it lists them; None for "none of these"."""
    found = _LISTED.search(question(body))
    return found[1] if found else None


def asked_set(body: Body) -> frozenset[str]:
    """The label set that a question of zsprompt.llm.writer is about."""
    text = listed(body)
    return frozenset(re.split(r", | and ", text)) if text else frozenset()


def again(body: Body) -> bool:
    """Whether it is a second question: the first answer would not do."""
    return len(body["messages"]) > 1


# -- answers -----------------------------------------------------------------------------------------------------


def completion(
    text: object, *, finish: str = "stop", tokens: object = 50, message: Mapping[str, object] | None = None
) -> Reply:
    """A whole answer; `message` adds to, or replaces, what the message holds."""
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
    """Any JSON; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(json.dumps(data).encode(), status, named)


def caption(body: Body, number: int = 1) -> Reply:
    """The default: a caption that mentions just the labels asked for."""
    text = listed(body)
    return completion(f"A photo of {text}." if text else _NOTHING)


_STEP = 16  # between two shades, so that a JPEG cannot take one for the other


def halves(left: int, right: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture whose halves have shades 0 to 15, of which `seen` tells."""
    width, height = size
    pixels = np.full((height, width, 3), left * _STEP + _STEP // 2, dtype=np.uint8)
    pixels[:, width // 2 :] = right * _STEP + _STEP // 2
    return Image.fromarray(pixels)


def seen(picture: Image.Image) -> str:
    """What there is to say of a picture of `halves`."""
    pixels = np.asarray(picture.convert("L"))
    middle = pixels.shape[1] // 2
    left, right = (int(half.mean()) // _STEP for half in (pixels[:, :middle], pixels[:, middle:]))
    return f"a wall that is {left} on the left and {right} on the right"


def sighted(body: Body, number: int = 1) -> Reply:
    """A caption of the picture that is shown, by its pixels."""
    picture = sent_picture(body)
    return error(400, "expected a picture") if picture is None else completion(f"{seen(picture).capitalize()}.")


def error(status: int, message: str = "something is wrong", *, inside: int | None = None, **fields: object) -> Reply:
    """An error in JSON. `inside`: the code in it, where it is not said by `fields`."""
    return as_json({"error": {"message": message, "type": None, "param": None, "code": inside} | fields}, status)


def later(after: str, status: int = 429) -> Reply:
    """Too many requests, with a Retry-After header of seconds or a date."""
    return replace(error(status, "slow down"), headers={"Retry-After": after})


def page(status: int, text: str = "<html>\n<h1>Bad\tgateway</h1>\n</html>") -> Reply:
    """What a proxy in between says, in HTML."""
    return Reply(text.encode(), status)


def half(reply: Reply | None = None) -> Reply:
    """Half a JSON, sent as if it were whole."""
    content = (reply or completion("a cat")).content
    return Reply(content[: len(content) // 2])


DROPPED = Reply(head=False)
"""The connection ends before an answer."""


def dropped_midway(reply: Reply | None = None) -> Reply:
    """The connection ends in the middle of an answer."""
    reply = reply or completion("a cat")
    return replace(reply, keep=len(reply.content) // 2)


def slow(pause: float = 0.05, reply: Reply | None = None) -> Reply:
    """Byte by byte: never long between two, and long in all."""
    return replace(reply or completion("a cat"), pause=pause)


def huge(size: int = 2**21) -> Reply:
    """An answer that is much too long."""
    return completion("cat " * (size // 4))


# -- behaviours --------------------------------------------------------------------------------------------------


def always(reply: Reply) -> Behaviour:
    """The same to everyone."""
    return lambda body, number: reply


def first(*replies: Reply, then: Behaviour = caption) -> Behaviour:
    """These to the first requests, and `then` whatever it says."""
    return lambda body, number: replies[number - 1] if number <= len(replies) else then(body, number)


def late(seconds: float, then: Behaviour = caption) -> Behaviour:
    """`then`, after some seconds."""
    return lambda body, number: replace(then(body, number), latency=seconds)


# -- the server --------------------------------------------------------------------------------------------------


class ChatServer:
    """Serves /v1/chat/completions while it is entered; at the end it raises what went wrong within itself.

    Args:
        behaviour: may be set anew at any time.
        latency: seconds before every answer.

    Attributes:
        requests: all that came, in the order in which they came.
        sets: how often each label set was asked for.
        pictures: how often a question showed each JPEG.
        connections: how many were opened, with a request on them or not.
        most_at_once: the most requests under way at a time.
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
        """Count what is asked about: a picture, or a label set."""
        shown = sent_bytes(body)
        if shown is None:
            self.sets[asked_set(body)] += 1
        else:
            self.pictures[shown] += 1

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        """The base URL to give to a client."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def count(self) -> int:
        """How many requests came."""
        return len(self.requests)

    @property
    def bodies(self) -> list[Body]:
        """What was asked."""
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
    disable_nagle_algorithm = True  # head and body go in two pieces, and the second would wait for the first
    timeout = 5
    server: _Http

    def do_POST(self) -> None:
        owner = self.server.owner
        expected = int(self.headers["Content-Length"])
        content = self.rfile.read(expected)
        if len(content) < expected:  # who asked was killed
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
            known = self.path == "/v1/chat/completions"
            reply = owner.behaviour(body, number) if known else error(404, "no such address")
            owner.closing.wait(owner.latency + reply.latency)
        finally:
            with owner.lock:
                owner.under_way -= 1  # before the answer: its reader may ask the next thing at once
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
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye

    def log_message(self, format: str, *args: object) -> None:
        pass
