"""Downloads: resumed, verified, and never left looking whole when they are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from zsprompt.encoders.download import download
from zsprompt.errors import ModelError
from zsprompt.progress import quiet

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = "https://weights.test/model.pt"


class Server:
    """Serves CONTENT with ranges; drops the connection after `cuts[i]` bytes of the i-th request."""

    def __init__(self, *cuts: int | None, ranges: bool = True) -> None:
        self.cuts = list(cuts)
        self.ranges = ranges
        self.asked: list[str | None] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(CONTENT):
            return httpx.Response(416)
        cut = self.cuts.pop(0) if self.cuts else None
        body = CONTENT[start:]
        headers = {"Content-Length": str(len(body))}
        return httpx.Response(206 if start else 200, headers=headers, stream=Cut(body, cut))


class Cut(httpx.SyncByteStream):
    def __init__(self, body: bytes, cut: int | None) -> None:
        self.body, self.cut = body, cut

    def __iter__(self):
        yield self.body[: self.cut]
        if self.cut is not None:
            raise httpx.ReadError("connection reset")


def fetch(server: Server, target: Path, attempts: int = 4) -> None:
    transport = httpx.MockTransport(server)
    download(URL, target, sha256=SHA256, progress=quiet, transport=transport, attempts=attempts)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def test_whole_file(tmp_path: Path) -> None:
    fetch(Server(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_cut_connection_is_continued_where_it_stopped(tmp_path: Path) -> None:
    server = Server(3_000_000, 1_500_000)
    fetch(server, tmp_path / "model.pt")
    assert server.asked == [None, "bytes=3000000-", "bytes=4500000-"]
    assert (tmp_path / "model.pt").read_bytes() == CONTENT


def test_a_killed_download_is_continued_by_the_next_run(tmp_path: Path) -> None:
    with pytest.raises(httpx.ReadError):
        fetch(Server(2_000_000), tmp_path / "model.pt", attempts=1)
    assert not (tmp_path / "model.pt").exists()
    server = Server()
    fetch(server, tmp_path / "model.pt")
    assert server.asked == ["bytes=2000000-"]


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT[:1000])
    fetch(Server(ranges=False), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_kept(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT)
    fetch(Server(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"not the beginning")
    with pytest.raises(ModelError, match="sha256"):
        fetch(Server(), tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


def test_an_http_error_is_not_tried_again(tmp_path: Path) -> None:
    asked = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(403)

    with pytest.raises(httpx.HTTPStatusError):
        download(URL, tmp_path / "m.pt", sha256=SHA256, progress=quiet, transport=httpx.MockTransport(refuse))
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == []
