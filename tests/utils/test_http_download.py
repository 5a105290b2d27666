"""Downloads: resumed, verified, and never left looking complete when they are not."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from file_server import FileServer, Reply, quick_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zsprompt._utils.http_download import download, require_room
from zsprompt._utils.progress import quiet
from zsprompt._utils.text import in_bytes, without_number
from zsprompt.errors import DownloadError

CONTENT = bytes(range(256)) * 8_000
SIZE = len(CONTENT)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    quick_connections(monkeypatch, tmp_path_factory.mktemp("certificate"))


def fetch(server: FileServer, folder: Path, **options: Any) -> bytes:
    """Download CONTENT into `folder` and return the content of the file."""
    options = {"sha256": SHA256, "size": SIZE, "progress": quiet, "timeout": 5.0} | options
    download(f"{server.url}/model.pt", folder / "model.pt", **options)
    return (folder / "model.pt").read_bytes()


def refusal(server: FileServer, folder: Path, **options: Any) -> str:
    """The one-line error of a failed download; no file may look complete."""
    with pytest.raises(DownloadError) as caught:
        fetch(server, folder, **options)
    assert "\n" not in str(caught.value)
    assert not (folder / "model.pt").exists()
    return str(caught.value)


def serve(*replies: Reply, content: bytes = CONTENT, etag: str | None = '"1"') -> FileServer:
    return FileServer({"model.pt": content}, *replies, etag=etag)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file(tmp_path: Path) -> None:
    with serve() as server:
        assert fetch(server, tmp_path / "new") == CONTENT
    assert names(tmp_path / "new") == ["model.pt"]


def test_without_a_known_size(tmp_path: Path) -> None:
    with serve(Reply(cut=5_000, length=None), Reply(cut=9_000)) as server:
        assert "sha256" in refusal(server, tmp_path, size=None)  # without a length, a cut connection looks complete
        assert fetch(server, tmp_path, size=None) == CONTENT
    assert server.ranges == [None, None, "bytes=9000-"]


def test_a_cut_connection_is_continued_where_it_stopped(tmp_path: Path) -> None:
    with serve(Reply(cut=300_000), Reply(cut=150_000)) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=450000-"]
    assert [headers.get("if-range") for _, headers in server.asked] == [None, '"1"', '"1"']
    assert {headers["accept-encoding"] for _, headers in server.asked} == {"identity"}
    assert names(tmp_path) == ["model.pt"]


def test_a_stalled_connection_is_given_up_and_continued(tmp_path: Path) -> None:
    with serve(Reply(stall=100_000)) as server:
        assert fetch(server, tmp_path, timeout=0.3) == CONTENT
    assert server.ranges == [None, "bytes=100000-"]


def test_a_server_that_only_trickles_is_asked_anew(tmp_path: Path) -> None:
    with serve(Reply(stall=100_000, trickle=0.02), Reply(stall=0, trickle=0.02)) as server:
        assert fetch(server, tmp_path, timeout=0.4) == CONTENT
    first, second, third = server.ranges
    assert (first, second is not None, third is not None) == (None, True, True)
    assert 100_000 <= int(second[6:-1]) <= int(third[6:-1]) < 100_100


def test_many_cuts_are_fine_while_something_new_comes(tmp_path: Path) -> None:
    with serve(*[Reply(cut=SIZE // 12 + 1)] * 11) as server:
        assert fetch(server, tmp_path, attempts=2) == CONTENT
    assert len(server.asked) == 12


def test_nothing_new_ends_it_and_says_what_is_kept(tmp_path: Path) -> None:
    with serve(Reply(cut=1_000_000), *[Reply(cut=0)] * 9) as server:
        text = refusal(server, tmp_path, attempts=3)
        assert "1 MB of 2.05 MB are kept; run the same command again to resume" in text
        assert len(server.asked) == 4
        server.replies.clear()
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges[-1] == "bytes=1000000-"


def test_an_interrupted_download_is_continued_by_the_next_run(tmp_path: Path) -> None:
    def interrupt(n: int) -> None:
        raise KeyboardInterrupt

    class Interrupting:
        def __init__(self, *args: object) -> None: ...
        def __enter__(self):
            steps = iter([None, None, None])
            return lambda n: interrupt(n) if next(steps, "end") == "end" else None

        def __exit__(self, *error: object) -> None: ...

    with serve() as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(server, tmp_path, progress=Interrupting)
        kept = (tmp_path / "model.pt.part").stat().st_size
        assert 0 < kept < SIZE
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(tmp_path: Path) -> None:
    """The part belongs to another version: with If-Range the server sends the whole new file."""
    with serve(Reply(cut=200_000), content=OTHER, etag='"old"') as server:
        server.replies.append(Reply(cut=0))
        refusal(server, tmp_path, attempts=1)
        server.files["model.pt"], server.etag = CONTENT, '"new"'
        assert fetch(server, tmp_path) == CONTENT
    assert server.asked[-1][1]["if-range"] == '"old"'


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_tag_the_checksum_decides(tmp_path: Path, etag: str | None) -> None:
    with serve(Reply(cut=1_000), etag=etag) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert "if-range" not in server.asked[-1][1]


def test_the_date_of_a_file_does_where_it_has_no_tag(tmp_path: Path) -> None:
    date = "Tue, 06 Nov 2007 10:00:00 GMT"
    with serve(Reply(cut=1_000, headers={"Last-Modified": date}), Reply(ranges=False), etag=None) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert server.asked[-1][1]["if-range"] == date


def test_a_server_without_ranges_starts_over(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT[:1000])
    with serve(Reply(ranges=False)) as server:
        assert fetch(server, tmp_path) == CONTENT


@pytest.mark.parametrize("content_range", ["bytes 0-9/2048000", "bytes 7-2047999/2048000", "lines 1-2/3", "bytes x"])
def test_another_range_than_asked_for_is_never_appended(tmp_path: Path, content_range: str) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT[:1000])
    with serve(Reply(headers={"Content-Range": content_range})) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [SIZE, None])
def test_a_part_that_is_already_whole_is_kept(tmp_path: Path, size: int | None) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT)
    with serve() as server:
        assert fetch(server, tmp_path, size=size) == CONTENT
        assert server.ranges == ([] if size else [f"bytes={SIZE}-"])


def test_a_part_that_is_too_long_is_fetched_anew(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(CONTENT + b"x")
    with serve() as server:
        assert fetch(server, tmp_path) == CONTENT


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"not the beginning")
    with serve() as server:
        text = refusal(server, tmp_path)
    assert f"to have sha256 {SHA256}, found" in text
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Reply(body=OTHER + b"more"), "expected 2,048,000 bytes", id="longer"),
        pytest.param(Reply(body=b"PK tiny"), "found 7: this is another file", id="shorter"),
        pytest.param(Reply(body=OTHER * 2, length=None), "found more: this is another file", id="endless"),
        pytest.param(Reply(length=SIZE + 5), "found 2,048,005: this is another file", id="promises too much"),
        pytest.param(Reply(length=100), "found 100: this is another file", id="promises too little"),
        pytest.param(
            Reply(body=b"<html><title>Log\n in</title>", headers={"Content-Type": "text/html; charset=utf-8"}),
            "found a web page 'Log in'; open it in a browser",
            id="page",
        ),
        pytest.param(Reply(body=b" \n<?xml version='1.0'?><Error/>"), "found a web page", id="XML"),
        pytest.param(Reply(body=b"", headers={"Content-Type": "text/html"}), "found a web page", id="empty page"),
        pytest.param(Reply(status=404, body=b"<html>"), "answered 404 Not Found", id="404"),
        pytest.param(Reply(status=403), "answered 403 Forbidden", id="403"),
    ],
)
def test_what_is_not_the_file_is_refused_at_once(tmp_path: Path, reply: Reply, reason: str) -> None:
    with serve(reply) as server:
        assert reason in refusal(server, tmp_path)
        assert len(server.asked) == 1
        assert fetch(server, tmp_path) == CONTENT


def test_a_length_that_is_a_lie_is_made_good(tmp_path: Path) -> None:
    """The right length with fewer bytes; then a response without a length."""
    with serve(Reply(cut=700_000, length=SIZE), Reply(cut=500_000, length=None)) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges == [None, "bytes=700000-", "bytes=1200000-"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(tmp_path: Path, status: int) -> None:
    with serve(Reply(status=status)) as server:
        assert fetch(server, tmp_path) == CONTENT
    with serve(*[Reply(status=status)] * 3) as server:
        (tmp_path / "model.pt").unlink()
        assert f"answered {status}" in refusal(server, tmp_path, attempts=2)
        assert len(server.asked) == 2


def test_redirects_are_followed(tmp_path: Path) -> None:
    with serve(Reply(status=302, headers={"Location": "/elsewhere/model.pt"})) as server:
        assert fetch(server, tmp_path) == CONTENT
    assert [path for path, _ in server.asked] == ["/model.pt", "/elsewhere/model.pt"]


def test_redirects_end(tmp_path: Path) -> None:
    with serve(*[Reply(status=302, headers={"Location": "/model.pt"})] * 30) as server:
        assert "redirects" in refusal(server, tmp_path)


@pytest.mark.parametrize("address", ["http://example.test/model.pt", "ftp://127.0.0.1/model.pt", "file:///etc/passwd"])
def test_nothing_is_fetched_in_the_clear(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match=r"unencrypted downloads are not allowed|unsupported protocol"):
        download(address, tmp_path / "model.pt", sha256=SHA256, progress=quiet, attempts=1)
    with serve(Reply(status=301, headers={"Location": address})) as server:
        text = refusal(server, tmp_path, attempts=1)
    assert "unencrypted downloads are not allowed" in text or "unsupported protocol" in text.lower(), text


def test_https_never_becomes_http_even_on_this_machine(tmp_path: Path) -> None:
    asked = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "http://127.0.0.1:1/model.pt"})

    transport = httpx.MockTransport(redirect)
    with pytest.raises(DownloadError, match="unencrypted downloads are not allowed"):
        download("https://a.test/m", tmp_path / "m", sha256=SHA256, progress=quiet, transport=transport)
    assert asked == ["https://a.test/m"]


def test_a_server_that_does_not_listen(tmp_path: Path) -> None:
    with serve() as server:
        pass
    assert "nothing was downloaded" in refusal(server, tmp_path, attempts=2)


Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 0, 1_000_000))
    with serve() as server:
        text = refusal(server, tmp_path)
    assert "expected 2.05 MB of free space" in text
    assert "found 1 MB; free some space or choose another folder" in text
    assert not (tmp_path / "model.pt.part").exists()


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes may fill the disk: free space is checked during the download, and the part is kept."""
    room = iter([10**9])
    with serve() as server:
        with monkeypatch.context() as filling:
            filling.setattr("zsprompt._utils.http_download._SPACE_CHECK_EVERY", 100_000)
            filling.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, next(room, 1_000)))
            assert "for the rest of model.pt, found 1 kB" in refusal(server, tmp_path)
        kept = (tmp_path / "model.pt.part").stat().st_size
        assert 100_000 < kept < SIZE
        assert fetch(server, tmp_path) == CONTENT
    assert server.ranges[-1] == f"bytes={kept}-"


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").symlink_to("/dev/full")
    with serve() as server:
        assert "No space left on device" in refusal(server, tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serve() as server, pytest.raises(DownloadError, match="cannot write"):
        fetch(server, tmp_path / "file" / "below")


def test_room_and_sizes(tmp_path: Path) -> None:
    require_room(tmp_path, 1, "a byte")
    with pytest.raises(DownloadError, match="expected 1e"):
        require_room(tmp_path, 10**30, "everything")
    assert [in_bytes(n) for n in (0, 999, 1_000, 451_020_800, 13_510_573_713)] == [
        *("0 bytes", "999 bytes", "1 kB", "451 MB", "13.5 GB")
    ]


replies = st.builds(
    Reply,
    status=st.sampled_from([None, None, None, 503]),
    cut=st.none() | st.integers(0, SIZE),
    ranges=st.booleans(),
    length=st.sampled_from(["true", "true", None]),
    headers=st.sampled_from([{}, {}, {"Content-Range": "bytes 5-9/10"}, {"ETag": '"2"'}]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(replies, max_size=6), start=st.integers(0, SIZE))
def test_whatever_a_server_does_the_file_is_right_or_not_there(
    tmp_path_factory: pytest.TempPathFactory, script: list[Reply], start: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "model.pt.part").write_bytes(CONTENT[:start])
    with serve(*script) as server:
        try:
            assert fetch(server, folder) == CONTENT
        except DownloadError:
            assert not (folder / "model.pt").exists()
    with serve() as server:
        with suppress(DownloadError):  # a part left by an odd response may be unusable, and is then deleted
            fetch(server, folder)
        assert fetch(server, folder) == CONTENT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[Errno -2] Name or service not known", "Name or service not known"),
        ("All connection attempts failed", "All connection attempts failed"),
        ("a\nb: [Errno 111] Connection refused", "a b: Connection refused"),
        ("", ""),
    ],
)
def test_errors_of_the_network_have_no_numbers(text: str, shown: str) -> None:
    assert without_number(text) == shown
