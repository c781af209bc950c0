"""Buffers whose size depends on the data: class heads, projections, stored training items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ResizableBuffers(nn.Module):
    """A module whose own tensors take the sizes that a checkpoint gives them.

    A model is built before its data is seen, so a head for C classes, or a projection to as many directions as there
    turn out to be, begins empty. `RetrievalModel.prepare` and `fit_after_epoch` give it its size in training; from a
    checkpoint it has the size that is stored there.
    """

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *others: Any) -> None:
        for name, tensor in [*self._parameters.items(), *self._buffers.items()]:
            stored = state.get(prefix + name)
            if tensor is not None and stored is not None and stored.shape != tensor.shape:
                self.resize(name, stored.shape)
        super()._load_from_state_dict(state, prefix, *others)

    def resize(self, name: str, shape: tuple[int, ...] | torch.Size) -> None:
        """Gives the parameter or buffer ``name`` another shape; its values are zeros then."""
        old = getattr(self, name)
        new = torch.zeros(shape, dtype=old.dtype, device=old.device)
        setattr(self, name, nn.Parameter(new) if isinstance(old, nn.Parameter) else new)

    def keep(self, name: str, values: Tensor) -> None:
        """Gives the buffer ``name`` these values and their shape; its own type and device stay."""
        old = getattr(self, name)
        setattr(self, name, values.detach().to(old.device, old.dtype))
