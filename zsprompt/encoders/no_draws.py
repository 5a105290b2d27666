"""Building a network without random numbers, for networks whose weights are read from a file anyway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_draws() -> Iterator[None]:
    """Inside, tensors that are filled with random numbers in place keep their content.

    Drawing the first weights of ViT-B/32 takes longer than reading the real ones.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    init = torch.nn.init
    draws = {torch.Tensor.uniform_, torch.Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_}

    class NoDraws(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            named = kwargs or {}
            if func in draws:
                return args[0] if args else named["tensor"]
            return func(*args, **named)

    with NoDraws():
        yield
