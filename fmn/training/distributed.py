"""Data-parallel training: one run by several processes, each on a GPU or a part of the cores (DDP, ``torchrun``).

All processes have the same model and random numbers, and each computes the loss of the whole batch, so triplets,
softmaxes, balanced means and batch normalization see every pair of it. Only the slowest part is divided: in each
process the Bi-LSTM reads a part of the utterances, and its vectors are gathered with their gradients.
The gradient of the loss by a gathered vector is summed over the processes, which had it once each, and parameters get
the mean of all processes: together the gradient of one process that reads everything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from fmn.data.sequences import Sequences
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.training.process_launcher import end_with_launcher

Values = TypeVar("Values")
LONGEST_WAIT = timedelta(days=7)
"""For another process, which may compute the features of a data set; that one has ended is noticed at once."""


@dataclass(frozen=True)
class Processes:
    """The processes of a training.

    Attributes:
        rank: of this one, from 0; the first alone writes files and messages. count: of all.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device of this process where all of them were given this one: of GPUs each has its own."""
        if self.count == 1 or device.type != "cuda":
            return device
        own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(own)
        return own

    def divide(self, model: nn.Module) -> None:
        """From now on utterance encoders read a share of what they are given in each process, and give all of it."""
        if self.count > 1:
            for module in model.modules():
                if isinstance(module, UtteranceEncoder):
                    divided = _Divided(self)
                    module.register_forward_pre_hook(divided.share)
                    module.register_forward_hook(divided.whole)

    def average_gradients(self, model: nn.Module) -> None:
        """Each gradient becomes the mean over the processes."""
        if self.count > 1:
            gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            flat /= self.count
            for gradient, mean in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):  # type: ignore[no-untyped-call]
                gradient.copy_(mean.view_as(gradient))

    def copy_first(self, model: nn.Module) -> None:
        """Weights and memories become those of the first process, where rounding has made them differ."""
        if self.count > 1:
            state = model.state_dict()
            for tensor in state.values():
                dist.broadcast(tensor, 0)
            model.load_state_dict(state)

    def of_first(self, values: Values) -> Values:
        """What the first process has; decisions that follow from it are the same everywhere."""
        if self.count == 1:
            return values
        held: list[Any] = [values]
        dist.broadcast_object_list(held, 0, device=torch.device("cpu"))
        return held[0]  # type: ignore[no-any-return]

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The block is run by the first process, then by the others, which find in a cache what that has made."""
        if not self.is_first:
            self._meet()
        yield
        if self.is_first:
            self._meet()

    def _meet(self) -> None:
        if self.count > 1:
            dist.all_reduce(torch.zeros(1))


ALONE = Processes()


class _Divided:
    """The hooks around an utterance encoder."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._own: Tensor | None = None
        self._total = 0

    def share(self, module: nn.Module, arguments: tuple[Sequences]) -> tuple[Sequences] | None:
        """The sequences of this process: every so many-th, since those of like length lie together."""
        frames, lengths = arguments[0]
        self._total, self._own = len(lengths), None
        if self._total < self._processes.count:
            return None  # too few to divide: every process reads them all
        self._own = torch.arange(self._processes.rank, self._total, self._processes.count, device=lengths.device)
        return (Sequences(frames[self._own], lengths[self._own]),)

    def whole(self, module: nn.Module, arguments: tuple[Sequences], vectors: Tensor) -> Tensor:
        """The vectors of all processes, in order."""
        if self._own is None:
            return vectors
        gathered: Tensor = _Gathered.apply(vectors, self._own, self._total)  # type: ignore[no-untyped-call]
        return gathered


class _Gathered(torch.autograd.Function):
    """Rows of all processes as one tensor [total, …]; backwards the gradients of all processes are summed."""

    @staticmethod
    def forward(context: Any, rows: Tensor, own: Tensor, total: int) -> Tensor:
        context.save_for_backward(own)
        whole = rows.new_zeros((total, *rows.shape[1:]))
        whole[own] = rows
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (own,) = context.saved_tensors
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient[own], None, None


def is_started_among_others() -> bool:
    """Whether ``torchrun``, or ``--processes``, started this process as one of several."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() and os.environ["WORLD_SIZE"] != "1"


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """The processes that this one was started among; one that was not is alone."""
    if not is_started_among_others():
        yield ALONE
        return
    end_with_launcher()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=LONGEST_WAIT)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
