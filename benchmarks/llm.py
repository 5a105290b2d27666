"""Captions from a server: time against the ideal, the cost of SIGKILLs, and an independent server.

    python benchmarks/llm.py --out benchmarks/results/FILE.csv [--litellm FOLDER/bin/litellm]

`captions`: 1,000 label sets from a loopback server with --latency seconds at concurrency 16; `over_ideal` is the time
divided by sets / 16 × latency. `warm` repeats this and must send no request. `killed`: `zsprompt run --strategy llm` on
drawn scenes with a server, stopped with SIGKILL at --kills random moments and restarted each time. `lost` counts
repeated requests; only requests in flight at a kill may repeat (eight per kill). Scores are compared with an
undisturbed run. `litellm`: captions through the proxy of LiteLLM with a mocked answer, if its command is given
(pip install 'litellm[proxy]', in a separate environment).
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsprompt.llm import Answers, ChatClient, Server, Writer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from chat_server import ChatServer, asked_set, late

CONCURRENCY = 16
KEY = f"sk-{secrets.token_hex(32)}"
CONFIG = """
model_list:
  - model_name: captioner
    litellm_params:
      model: openai/none
      api_key: none
      mock_response: "a dog beside a cat on a lawn"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--limit", type=int, default=60, help="number of scenes of the killed runs")
    parser.add_argument("--litellm", type=Path, help="the command of LiteLLM")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = fetch(options.captions, options.latency)
    rows.append(kills(options.kills, options.limit))
    if options.litellm:
        rows.append(third_party(options.litellm))
    table = pd.DataFrame(rows)
    table.to_csv(options.out, index=False, float_format="%.4g", lineterminator="\n")
    print(table.to_string(index=False))


def fetch(count: int, latency: float) -> list[dict[str, Any]]:
    labels = [f"thing{n}" for n in range(60)]
    sets = [frozenset(pair) for pair in combinations(labels, 2)][:count]
    with tempfile.TemporaryDirectory() as folder, ChatServer(late(latency)) as server:
        rows = []
        for state in ("captions", "warm"):
            before = server.count
            writer = Writer(client(server.url), Answers(Path(folder) / "answers"))
            start = time.perf_counter()
            written = writer.write(sets, labels, fits)
            taken = time.perf_counter() - start
            if len(written.captions) != len(sets):
                raise SystemExit(f"{len(sets) - len(written.captions)} captions are missing: {written.failed}")
            row = {"what": state, "sets": len(sets), "requests": server.count - before, "seconds": taken}
            rows.append(
                row | ({"over_ideal": taken / (len(sets) / CONCURRENCY * latency)} if state == "captions" else {})
            )
    return rows


def kills(count: int, limit: int) -> dict[str, Any]:
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as name, ChatServer(late(0.05)) as server:
        folder = Path(name)
        run(server.url, folder / "whole", limit)
        expected = asked(server)
        start = len(server.requests)
        killed = 0
        while killed < count:
            process = subprocess.Popen(
                command(server.url, folder / "broken", limit), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(chance.uniform(2.0, 5.0))
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                raise SystemExit(f"the run ended before kill {killed + 1}; use a larger --limit")
            killed += 1
        run(server.url, folder / "broken", limit)
        requested = asked(server, start)
        one, two = (pd.read_csv(folder / name / "out" / "scores.csv") for name in ("whole", "broken"))
    apart = np.abs(one.iloc[:, 4:].to_numpy(float) - two.iloc[:, 4:].to_numpy(float)).max()
    if set(requested) != set(expected):
        raise SystemExit("expected requests for the same label sets, found others")
    requests = sum(requested.values())
    lost = requests - len(requested)
    row = {"what": "killed", "sets": len(expected), "requests": requests, "kills": count, "lost": lost}
    return row | {"most_lost_possible": count * 8, "largest_score_difference": apart}


def third_party(litellm: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG, encoding="utf-8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {"LITELLM_MASTER_KEY": KEY}
        proxy = subprocess.Popen([litellm, "--config", config, "--port", str(port)], cwd=folder, env=environment)
        try:
            wait_for(port, proxy)
            writer = Writer(client(f"http://127.0.0.1:{port}/v1"), Answers(None))
            start = time.perf_counter()
            written = writer.write([frozenset(("dog", "cat")), frozenset(("car",))], ["dog", "cat", "car"], fits)
            taken = time.perf_counter() - start
        finally:
            proxy.terminate()
            proxy.wait()
    # the mocked caption names a dog and a cat: right for the first set, refused twice for the second
    if [caption.caption for caption in written.captions.values()] != ["a dog beside a cat on a lawn"]:
        raise SystemExit(f"expected the mocked caption, found {written}")
    if list(written.failed) != [frozenset(("car",))]:
        raise SystemExit(f"expected the caption to be refused for a car, found {written}")
    return {"what": "litellm", "sets": 2, "requests": writer.client.requests, "seconds": taken}


def wait_for(port: int, proxy: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if proxy.poll() is not None:
            raise SystemExit("the proxy of LiteLLM ended")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)
    raise SystemExit("the proxy of LiteLLM did not start to listen")


def client(url: str) -> ChatClient:
    return ChatClient(Server(url, "captioner", KEY, concurrency=CONCURRENCY))


def fits(texts: Any) -> Any:
    return np.ones(len(texts), dtype=np.bool_)


def asked(server: ChatServer, start: int = 0) -> dict[frozenset[str], int]:
    """Number of first requests per label set."""
    counts: dict[frozenset[str], int] = {}
    for request in server.requests[start:]:
        if len(request.body["messages"]) == 1:
            key = asked_set(request.body)
            counts[key] = counts.get(key, 0) + 1
    return counts


def command(url: str, folder: Path, limit: int) -> list[str]:
    parts = [Path(sys.executable).parent / "zsprompt", "run", "--strategy", "llm"]
    parts += ["--dataset", f"scenes,limit={limit}", "--llm", f"url={url},model=captioner", "--captions", bank(folder)]
    return [*map(str, parts), "--cache", str(folder / "cache"), "--out", str(folder / "out"), "--json"]


def bank(folder: Path) -> Path:
    """An almost empty caption bank, so that all other captions come from the server."""
    path = folder / "mine.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"labels": [], "caption": "nothing"}\n', encoding="utf-8")
    return path


def run(url: str, folder: Path, limit: int) -> None:
    subprocess.run(command(url, folder, limit), stdout=subprocess.PIPE, check=True)


if __name__ == "__main__":
    main()
