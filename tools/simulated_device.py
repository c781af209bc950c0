"""A torch device of the type ``simulated``, to test device placement without a GPU.

Its tensors hold their values on the CPU and compute there. But as on a GPU, an operation refuses tensors of both
devices, and ``numpy()`` refuses its tensors. CUDA's exceptions are allowed: on the CPU may be index tensors and, in
elementwise operations, tensors without dimensions. A GPU's kernels, random numbers, mixed precision and memory are not
simulated: ``make gpu`` tests these.

Torch's fake tensors check devices, too, but hold no values, and training depends on values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default, aten._foreach_copy_.default}
INDEXING = {
    *(aten.index.Tensor, aten._unsafe_index.Tensor),
    *(aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default, aten._unsafe_index_put.default),
}
TAKE_SCALARS = {*INDEXING, aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor}  # and elementwise ones


class _Backend(_DummyBackendModule):
    """What torch asks of the module of a device type."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


# Before the first backward pass of the process, since autograd knows only the devices of that time. Torch then takes it
# for the accelerator, even beside a GPU, which loses its pinned memory: its tests have a process of their own.
_setup_privateuseone_for_python_backend("simulated", _Backend())
DEVICE = torch.device("simulated:0")


class SimulatedTensor(Tensor):
    """A tensor on the simulated device; ``held`` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> SimulatedTensor:
        self: SimulatedTensor = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        self.held = held
        return self

    def __init__(self, held: Tensor) -> None: ...

    def __repr__(self) -> str:  # type: ignore[override]
        return f"simulated({self.held})"

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(operation, args, kwargs or {})


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, operation: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(operation, args, kwargs or {})


@contextmanager
def simulated_device() -> Iterator[torch.device]:
    """Inside, tensors can be created on, and moved to, the device that it yields, in threads that start there, too."""
    run, lifts = Thread.run, torch._C._only_lift_cpu_tensors()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()

    def run_in_mode(thread: Thread) -> None:
        with _Mode():
            run(thread)

    Thread.run = run_in_mode  # type: ignore[method-assign, assignment]
    # Otherwise Module.to() changes its parameters in place, and these cannot become simulated tensors.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor() moves what it created where the mode sees it
    try:
        with _Mode():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(lifts)
        Thread.run = run  # type: ignore[method-assign]
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def _run(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Computes an operation on the CPU; what it yields is on the device that a GPU would have it on.

    Raises:
        RuntimeError: its tensors are on both devices.
    """
    given, _ = pytree.tree_flatten((args, kwargs))
    _check_devices(operation, args, [value for value in given if isinstance(value, Tensor)])
    device = kwargs.get("device")
    simulated = any(isinstance(value, SimulatedTensor) for value in given)
    if device is not None:
        simulated = torch.device(device).type == DEVICE.type
        if simulated:
            kwargs = {**kwargs, "device": torch.device("cpu")}
    elif operation is aten.copy_.default:
        simulated = isinstance(args[0], SimulatedTensor)
    flat, structure = pytree.tree_flatten((args, kwargs))
    held = [value.held if isinstance(value, SimulatedTensor) else value for value in flat]
    held_args, held_kwargs = pytree.tree_unflatten(held, structure)
    yielded = _LSTM_CELL.get(operation, operation)(*held_args, **held_kwargs)
    itself = {id(inner): value for inner, value in zip(held, flat, strict=True) if isinstance(value, Tensor)}

    def placed(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        known = itself.get(id(value))  # what an operation in place yields is the tensor that it changed
        if known is not None and isinstance(known, SimulatedTensor) == simulated:
            return known
        return SimulatedTensor(value) if simulated else value

    return pytree.tree_map(placed, yielded)


def _check_devices(operation: Any, args: Sequence[Any], tensors: list[Tensor]) -> None:
    if operation in COPIES or not any(isinstance(tensor, SimulatedTensor) for tensor in tensors):
        return
    takes_scalars = operation in TAKE_SCALARS or torch.Tag.pointwise in operation.tags
    for tensor in tensors:
        if isinstance(tensor, SimulatedTensor) or (takes_scalars and tensor.dim() == 0):
            continue
        is_values = len(args) > 2 and tensor is args[2]
        if operation in INDEXING and isinstance(args[0], SimulatedTensor) and not is_values:
            continue
        shapes = [(str(each.device), tuple(each.shape)) for each in tensors]
        raise RuntimeError(f"Expected all tensors to be on the same device: {operation} got {shapes}")


def _lstm_cell(
    input_gates: Tensor,
    hidden_gates: Tensor,
    cell: Tensor,
    input_bias: Tensor | None = None,
    hidden_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of an LSTM, which torch computes by this operation on devices other than the CPU."""
    gates = input_gates + hidden_gates
    for bias in (input_bias, hidden_bias):
        gates = gates if bias is None else gates + bias
    entered, kept, added, shown = gates.chunk(4, 1)
    activated = entered.sigmoid(), kept.sigmoid(), added.tanh(), shown.sigmoid()
    new_cell = activated[1] * cell + activated[0] * activated[2]
    return activated[3] * new_cell.tanh(), new_cell, torch.cat(activated, 1)


def _lstm_cell_backward(
    hidden_gradient: Tensor | None,
    cell_gradient: Tensor | None,
    cell: Tensor,
    new_cell: Tensor,
    activated: Tensor,
    has_bias: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    if hidden_gradient is None and cell_gradient is None:
        return None, None, None
    entered, kept, added, shown = activated.chunk(4, 1)
    hidden = torch.zeros_like(new_cell) if hidden_gradient is None else hidden_gradient
    squashed = new_cell.tanh()
    inner = hidden * shown * (1 - squashed**2)
    inner = inner if cell_gradient is None else inner + cell_gradient
    gates = torch.cat(
        [
            inner * added * entered * (1 - entered),
            inner * cell * kept * (1 - kept),
            inner * entered * (1 - added**2),
            hidden * squashed * shown * (1 - shown),
        ],
        1,
    )
    return gates, inner * kept, gates.sum(0) if has_bias else None


_LSTM_CELL: dict[Any, Callable[..., Any]] = {
    aten._thnn_fused_lstm_cell.default: _lstm_cell,
    aten._thnn_fused_lstm_cell_backward_impl.default: _lstm_cell_backward,
}
