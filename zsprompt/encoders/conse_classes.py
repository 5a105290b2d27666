"""The class vectors of conse: the sentence embeddings of ImageNet's 1,000 class names, which zsprompt includes.

They depend on the sentence encoder and the names alone, so no process computes them. benchmarks/class_vectors.py
makes the file again.
"""

from __future__ import annotations

import hashlib
import io
from importlib.resources import files

import numpy as np

from zsprompt._utils.arrays import Floats
from zsprompt.errors import ModelError

FILE = "conse_classes.npy"
SHA256 = "74578bcb0a4777bf948fdb8f8f664dce1454c1e27990c2aabbc3dcb7ff6f9d8a"
TEXT = "a photo of a {}"
"""What the sentence encoder embedded, with the name of a class. Chosen by benchmarks/constants.py."""


def class_vectors() -> Floats:
    """[1000, 384] float32, unit rows, in the order of ImageNet's classes.

    Raises:
        ModelError: the file is missing or not the pinned one.
    """
    try:
        content = files(__package__).joinpath(FILE).read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {FILE} ({error.strerror or error}); install zsprompt again") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != SHA256:
        raise ModelError(f"expected {FILE} to have sha256 {SHA256}, found {sha256}; install zsprompt again")
    vectors: Floats = np.load(io.BytesIO(content), allow_pickle=False)
    return vectors
