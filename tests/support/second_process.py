"""An encoder in another process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from command_line import ROOT, environment

from zsprompt.encoders import Encoder

TEXTS = ["a dog", "two cats"]

_CODE = f"""
import sys
from zsprompt import load_encoder

encoder = load_encoder(sys.argv[1], device="cpu")
print(encoder.encode_texts({TEXTS!r}).tobytes().hex(), encoder.fingerprint)
"""


def require_the_same(encoder: Encoder, model: str) -> None:
    """Assert that another process gives `model` the fingerprint and the vectors of `encoder`, but for rounding."""
    paths = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}
    line = [sys.executable, "-W", "ignore", "-c", _CODE, model]
    done = subprocess.run(line, capture_output=True, text=True, env=environment() | paths, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    vectors, fingerprint = done.stdout.strip().split(" ", 1)
    assert fingerprint == encoder.fingerprint
    found = np.frombuffer(bytes.fromhex(vectors), dtype=np.float32).reshape(len(TEXTS), -1)
    np.testing.assert_allclose(found, encoder.encode_texts(TEXTS), atol=1e-6)
