"""Optimizers that do not import the compiler of torch."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def eager(optimizer: type[Kind]) -> type[Kind]:
    """Subclass of an optimizer whose methods have no wrappers that serve only ``torch.compile``.

    At their first call these wrappers import ``torch._dynamo``, which takes about as long as ``import torch``. They
    carry what they wrap, as all that `functools.wraps` made, so that nothing here depends on how torch names them: a
    method without a wrapper stays as it is. The numbers are the same; whoever compiles the model uses the original.
    """
    methods = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    unwrapped = {name: inspect.unwrap(getattr(optimizer, name)) for name in methods}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))  # the wrapper of `step` disables gradients as well
    return type(optimizer.__name__, (optimizer,), unwrapped | {"step": step})
