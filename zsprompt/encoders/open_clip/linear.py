"""The linear layers of any network, by the fastest kernel of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zsprompt.encoders.clip.products import Linear, Product, plain


def swap_linear(network: Any, product: Callable[[Linear], Product]) -> None:
    """Let each `torch.nn.Linear` of a network run by `product`, in place. Its weights stay readable.

    Args:
        network: a torch.nn.Module.
        product: see Layer.
    """
    from torch import nn

    if product is plain:
        return
    for module in list(network.modules()):
        if type(module) is nn.Linear:
            # its __call__, because a module that is assigned to another becomes a part of it
            module.forward = product(_with_bias(module)).__call__  # type: ignore[method-assign]


def _with_bias(linear: Linear) -> Linear:
    """A Linear that shares the weights and has a bias, as `product` expects."""
    import torch
    from torch import nn

    shared = nn.Linear(1, 1, device="meta")
    shared.weight = linear.weight
    bias = torch.zeros(len(linear.weight), dtype=linear.weight.dtype) if linear.bias is None else linear.bias
    shared.bias = bias if isinstance(bias, nn.Parameter) else nn.Parameter(bias, requires_grad=False)
    shared.in_features, shared.out_features = linear.in_features, linear.out_features
    return shared
