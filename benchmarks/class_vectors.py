"""Make the class vectors of conse again: the sentence embeddings of ImageNet's class names.

    python benchmarks/class_vectors.py --out zsprompt/encoders/conse/class_vectors.npy

It needs the sentence encoder of the extra 'offline', and reads the table that benchmarks/class_table.py makes. Put the
sha256 that it prints into zsprompt/encoders/conse/class_table.py. Another machine may round the last bits differently,
so its file can have another sha256; a slow test of tests/encoders/test_conse.py compares the values.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from zsprompt.encoders.conse.class_table import image_classes
from zsprompt.encoders.conse.encoder import Conse


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    out = parser.parse_args().out
    np.save(out, Conse(device="cpu").encode_texts(class_texts()))
    print(f"{out}: sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def class_texts() -> list[str]:
    """The 1,000 texts that the sentence encoder embeds, in the order of ImageNet's classes."""
    return [one.embedded for one in image_classes()]


def class_names() -> list[str]:
    """ImageNet's 1,000 class names."""
    return [one.name for one in image_classes()]


if __name__ == "__main__":
    main()
