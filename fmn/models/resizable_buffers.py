"""Buffers whose size depends on the data: class heads, projections, stored training items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ResizableBuffers(nn.Module):
    """Module whose own parameters and buffers are resized to the shapes in a checkpoint.

    A model is built before its data is seen, so a head for C classes, or a projection whose rank depends on the data,
    starts empty. In training, `RetrievalModel.prepare` and `fit_after_epoch` set its size; when a checkpoint is
    loaded, it takes the size stored there.
    """

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *others: Any) -> None:
        for name, tensor in [*self._parameters.items(), *self._buffers.items()]:
            stored = state.get(prefix + name)
            if tensor is not None and stored is not None and stored.shape != tensor.shape:
                self.resize(name, stored.shape)
        super()._load_from_state_dict(state, prefix, *others)

    def resize(self, name: str, shape: tuple[int, ...] | torch.Size) -> None:
        """Replaces the parameter or buffer ``name`` by zeros of another shape."""
        old = getattr(self, name)
        new = torch.zeros(shape, dtype=old.dtype, device=old.device)
        setattr(self, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)

    def keep(self, name: str, values: Tensor) -> None:
        """Sets the buffer ``name`` to these values and their shape; its dtype and device do not change."""
        old = getattr(self, name)
        setattr(self, name, values.detach().to(old.device, old.dtype))
