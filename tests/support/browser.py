"""A headless Chromium that opens a page from disk and reports events, by the DevTools protocol over two pipes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)
_SECONDS = 60


def chromium() -> str:
    """The browser's program. Skips the test if there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return program or pytest.skip("Chromium is not installed (Debian's package is called chromium)")


class Browser:
    """One browser with one page."""

    def __init__(self, profile: Path) -> None:
        (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()

        def pipes() -> None:  # the protocol uses descriptors 3 and 4
            first, second = os.dup(their_in), os.dup(their_out)
            os.dup2(first, 3)
            os.dup2(second, 4)

        self._process = subprocess.Popen(
            [chromium(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4, their_in, their_out),
            preexec_fn=pipes,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._out, self._in = os.fdopen(our_out, "wb"), os.fdopen(our_in, "rb")
        os.set_blocking(self._in.fileno(), False)
        self._left, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.close()
        self._in.close()
        self._process.kill()
        self._process.wait()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method and wait for its result. Events in the meantime are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(
        self, page: Path, *, width: int = 1100, height: int = 900, dark: bool = False, media: str = "screen"
    ) -> float:
        """Open a file. Returns the seconds until everything is loaded."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.events.clear()
        start = time.monotonic()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait_for("Page.loadEventFired")
        return time.monotonic() - start

    def wait_for(self, method: str) -> dict[str, Any]:
        """The first event with this name since the page was opened."""
        while True:
            for event in self.events:
                if event.get("method") == method:
                    return event
            self.events.append(self._message())

    def run(self, script: str) -> Any:
        """The value of an expression in the page. A promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Console errors and warnings, exceptions, and violations of the page's policy."""
        self.run("new Promise((done) => setTimeout(done, 100))")  # wait for messages of pending work
        messages = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                messages.append(params["exceptionDetails"]["text"])
            if event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
                messages.append(str(params["args"]))
            if event.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                messages.append(params["entry"]["text"])
        return messages

    def requests(self) -> list[str]:
        """Requested URLs, without data URLs."""
        sent = [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in sent if not url.startswith("data:")]

    def _message(self) -> dict[str, Any]:
        end = time.monotonic() + _SECONDS
        while b"\0" not in self._left:
            assert time.monotonic() < end, "the browser does not answer"
            data = self._in.read(2**20)
            if data is None:
                time.sleep(0.005)
                continue
            assert data, "the browser ended"
            self._left += data
        first, _, self._left = self._left.partition(b"\0")
        return json.loads(first)
