"""Make the class vectors of conse again: the sentence embeddings of ImageNet's class names.

    python benchmarks/class_vectors.py --out zsprompt/encoders/conse_classes.npy

It needs the sentence encoder of the extra 'offline', and takes the names from torchvision. Put the sha256 that it
prints into zsprompt/encoders/conse_classes.py. Another machine may round the last bits differently, so its file can
have another sha256; a slow test of tests/encoders/test_conse.py compares the values.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np

from zsprompt.encoders.conse import Conse
from zsprompt.encoders.conse_classes import TEXT

_NAMES_SHA256 = "0b0f9fee7c952f257418d62aa701f023a9da13b443a14f5c4291e5724d92967c"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the .npy file to write")
    out = parser.parse_args().out
    np.save(out, Conse(device="cpu").encode_texts(class_texts()))
    print(f"{out}: sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


def class_texts() -> list[str]:
    """The 1,000 texts that the sentence encoder embeds, in the order of ImageNet's classes."""
    return [TEXT.format(name) for name in class_names()]


def class_names() -> list[str]:
    """ImageNet's 1,000 class names. Exits if those of this torchvision differ from the ones used so far."""
    from torchvision.models import EfficientNet_B0_Weights

    names = list(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
    sha256 = hashlib.sha256("\n".join(names).encode()).hexdigest()
    if sha256 != _NAMES_SHA256:
        raise SystemExit(f"expected class names with sha256 {_NAMES_SHA256}, found {sha256}; use another torchvision")
    return names


if __name__ == "__main__":
    main()
