"""Fetching and checking a data set of the size of VOC2007, against curl, sha256sum and tar; and the cost of SIGKILLs.

    python benchmarks/fetch.py --out benchmarks/results/FILE.csv

A loopback server with range requests serves a tar in the layout of VOC2007. The tar has as many images as the test
archive and about as many bytes; each image is different noise. Each row is a separate process with its seconds, its CPU
seconds (including children and start-up; the better measure on a shared machine) and its peak memory. "kills" fetches
from a server that takes about 4 s to send the archive. SIGKILL stops the fetch after a random time of 0.3 to 10 s,
repeatedly, until one fetch completes. `sent` is the total transfer as a multiple of the archive: 1 means no byte twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from file_server import FileServer

from zsprompt.data import load_dataset
from zsprompt.data.download.catalogue import CATALOGUE, Archive, Known
from zsprompt.data.download.check import check
from zsprompt.data.download.fetch import fetch

FILE = "VOCtest.tar"
BASE = "VOCdevkit/VOC2007"
ANNOTATION = b"<annotation><object><name>cat</name><difficult>0</difficult></object></annotation>"


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2], json.loads(sys.argv[3]))
        return
    from common import arguments, save

    options = arguments(__doc__, photos=4_952, kills=20)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = make_archive(options.photos)
        (home / FILE).write_bytes(data)
        facts = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "home": folder}
        with FileServer({FILE: data}) as server:
            facts["url"] = f"{server.url}/{FILE}"
            rows = [measure(what, facts, options.photos) for what in WAYS]
            rows.append(kills(server, facts, options.photos, options.kills))
    save(rows, options.out)


def make_archive(photos: int) -> bytes:
    """A tar in the layout of VOC2007, with 91 kB per image as in the official one."""
    noise = np.random.default_rng(0)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for n in range(photos):
            coarse = Image.fromarray(noise.integers(0, 256, (125, 167, 3), dtype=np.uint8))
            photo = io.BytesIO()
            coarse.resize((500, 375), Image.Resampling.BILINEAR).save(photo, "JPEG", quality=87)
            add(archive, f"{BASE}/JPEGImages/{n:06}.jpg", photo.getvalue())
            add(archive, f"{BASE}/Annotations/{n:06}.xml", ANNOTATION)
        names = "".join(f"{n:06}\n" for n in range(photos))
        add(archive, f"{BASE}/ImageSets/Main/test.txt", names.encode())
    return buffer.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def entry(facts: dict[str, Any]) -> Known:
    """The catalogue entry of the data set that is served."""
    archive = Archive(
        FILE, (facts["url"],), facts["size"], facts["sha256"], (BASE,), ("test",), f"{BASE}/ImageSets/Main/test.txt"
    )
    return replace(CATALOGUE["voc"], archives=(archive,), splits={})


def by_hand(facts: dict[str, Any]) -> None:
    """The commands that a careful user types."""
    root = Path(facts["home"]) / "by hand"
    root.mkdir()
    subprocess.run(["curl", "-sf", "-o", FILE, facts["url"]], check=True, cwd=root)
    subprocess.run(
        ["sha256sum", "--quiet", "-c"], input=f"{facts['sha256']}  {FILE}\n", text=True, check=True, cwd=root
    )
    subprocess.run(["tar", "xf", FILE], check=True, cwd=root)


def fetched(facts: dict[str, Any]) -> None:
    fetch(entry(facts), Path(facts["home"]) / "root")


def from_folder(facts: dict[str, Any]) -> None:
    fetch(entry(facts), Path(facts["home"]) / "folder", source=facts["home"])


def checked(facts: dict[str, Any], read: bool = True) -> None:
    root = Path(facts["home"]) / "root"
    report = check([load_dataset("voc", root=root)], root=root, read=read)
    if report.faults or report.doubles or report.extra:
        raise SystemExit(f"expected the data set that was served, found {report}")


def decoded(facts: dict[str, Any]) -> None:
    """The lower bound for a check: only Pillow, one thread."""
    for path in (Path(facts["home"]) / "root" / BASE / "JPEGImages").iterdir():
        Image.open(path).load()


WAYS: dict[str, Callable[[dict[str, Any]], None]] = {
    "curl, sha256sum, tar": by_hand,
    "fetch": fetched,
    "fetch --from a folder": from_folder,
    "check": checked,
    "check --quick": lambda facts: checked(facts, read=False),
    "Pillow alone, one thread": decoded,
}


def measure(what: str, facts: dict[str, Any], photos: int) -> dict[str, Any]:
    """Measure one way in a separate process."""
    done = subprocess.run(command(what, facts), stdout=subprocess.PIPE, text=True, check=True)
    row = {"what": what, "photos": photos, "archive_MB": facts["size"] / 1e6, **json.loads(done.stdout)}
    print(row, flush=True)
    return row


def command(what: str, facts: dict[str, Any]) -> list[str]:
    return [sys.executable, __file__, "one", what, json.dumps(facts)]


def one(what: str, facts: dict[str, Any]) -> None:
    start = time.perf_counter()
    WAYS[what](facts)
    took = {"seconds": time.perf_counter() - start, "cpu_seconds": sum(os.times()[:4])}
    print(json.dumps(took | {"peak_MB": peak_memory() if what != "curl, sha256sum, tar" else None}))


def peak_memory() -> float:
    """Peak memory of this process in MB, from /proc: getrusage would include the memory of its parent."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def kills(server: FileServer, facts: dict[str, Any], photos: int, times: int) -> dict[str, Any]:
    """Fetch under SIGKILL, and check that an incomplete data set never counts as present."""
    root = Path(facts["home"]) / "killed"
    chance, killed, rounds = random.Random(0), 0, 0
    before = server.sent
    server.pause = 0.0005  # otherwise few kills would hit the download
    script = f"import sys; sys.argv = ['fetch.py']; sys.path.insert(0, {str(Path(__file__).parent)!r}); import fetch\n"
    script += f"from pathlib import Path; fetch.fetch(fetch.entry({facts!r}), Path({str(root)!r}))"
    while killed < times:
        shutil.rmtree(root, ignore_errors=True)
        rounds += 1
        while True:
            started = subprocess.Popen([sys.executable, "-c", script])
            try:
                started.wait(chance.uniform(0.3, 1 + photos / 550))
                break
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()
                killed += 1
            whole = entry(facts).here(root) == ("test",)
            if whole and len(list((root / BASE / "JPEGImages").iterdir())) != photos:
                raise SystemExit("expected a complete data set, found an incomplete one that counts as complete")
        if started.returncode or len(list((root / BASE / "JPEGImages").iterdir())) != photos:
            raise SystemExit("expected the data set after a fetch that completed, found none")
    sent = (server.sent - before) / facts["size"] / rounds
    return {"what": "kills", "photos": photos, "archive_MB": facts["size"] / 1e6, "kills": killed, "sent": sent}


if __name__ == "__main__":
    main()
