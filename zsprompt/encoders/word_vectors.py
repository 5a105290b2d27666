"""The word vectors that ML-Decoder and CLIP-Decoder query NUS-WIDE's labels with (wordvec_array.pth).

Source: Ridnik et al. 2021, ML-Decoder: Scalable and Versatile Classification Head; train_zsl_nus.py.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from zsprompt.arrays import Floats
from zsprompt.encoders.openai_clip import UNREADABLE
from zsprompt.errors import DataError


def read_word_vectors(path: Path, labels: int) -> Floats:
    """[C, D] float32, one row a label, in the alphabetical order of data.csv's labels (split "all:gzsl").

    The file holds them as columns, [D, C]. Nothing in it is executed: tensors alone are read.

    Args:
        path: wordvec_array.pth.
        labels: C, the number of labels that data.csv has.

    Raises:
        DataError: missing, no tensor file, another number of labels, or values that are not finite.
    """
    import torch

    try:
        # weights_only: a file from a stranger must not run code
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"expected word vectors at {path}, found none") from None
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:120] or type(error).__name__
        raise DataError(f"cannot read {path} as a file of tensors ({reason})") from None
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or found.shape[1] != labels:
        shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise DataError(f"expected a tensor of shape [D, {labels}] in {path}, found {shape}")
    vectors: Floats = np.ascontiguousarray(found.float().numpy().T)
    if not np.isfinite(vectors).all():
        raise DataError(f"expected finite word vectors in {path}, found others")
    return vectors
