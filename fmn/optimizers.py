"""Adam and AdamW of torch for training that is not compiled."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch

_Optimizer = TypeVar("_Optimizer", bound=torch.optim.Optimizer)


def _without_compiler(kind: type[_Optimizer]) -> type[_Optimizer]:
    """Returns the optimizer without the wrappers that torch puts around its methods for torch.compile.

    At the first call, a wrapper imports ``torch._dynamo``: a second of CPU time in every process that trains. The
    wrapper of ``step`` also disables gradients, so `torch.no_grad` takes its place.
    """
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(methods["step"])})


Adam = _without_compiler(torch.optim.Adam)
AdamW = _without_compiler(torch.optim.AdamW)
