"""Data-parallel training: one run by several processes, each on a GPU or a part of the cores (DDP, ``torchrun``).

All processes have the same model and random numbers, and each computes the loss of the whole batch, so that triplets,
softmaxes, balanced means and batch normalization see all its pairs. Only the slowest part is divided: in each process
the Bi-LSTM encodes a share of the utterances, and its vectors are gathered with their gradients.
The gradient with respect to a gathered vector is summed over the processes, each of which computes it once, and
parameter gradients are averaged over the processes: the result is the gradient of a single process with all data.
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
from torch.distributed.rendezvous import rendezvous

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, StoppedError
from fmn.data.loading import device_named, find_device
from fmn.data.sequences import Sequences
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.training.process_launcher import end_with_launcher

Values = TypeVar("Values")
LONGEST_WAIT = timedelta(days=7)
"""Timeout for another process, which may be computing features. Gloo notices at once that one has ended; processes
that wait for it in NCCL are ended by their launcher."""
LONGEST_WAIT_TO_JOIN = timedelta(minutes=30)  # containers of a cluster may start minutes apart


@dataclass(frozen=True)
class Processes:
    """The processes of a training run.

    Attributes:
        rank: rank of this process, from 0; only the first writes files and messages. count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """Returns the device of this process, given the name of the common one: each process has its own GPU.

        Raises:
            InputError: there is no such device, or there are more processes than GPUs.
        """
        is_alone = self.count == 1 or device_named(name).type != "cuda"
        if is_alone or not (gpus := torch.cuda.device_count()):
            return find_device(name)  # without any GPU, its error
        own = int(os.environ.get("LOCAL_RANK", "0"))  # Kubeflow sets none: each of its containers has a process
        if own >= gpus:
            raise InputError(
                f"There is no GPU for process {own + 1} of this machine, which has {count_of(gpus, 'GPU')}",
                where="--processes",
                expected="at most one process per GPU",
                next_step="use fewer --processes, or --device cpu",
            )
        torch.cuda.set_device(own)  # before its first tensor: otherwise every process takes memory of the first GPU
        return find_device(f"cuda:{own}")

    def divide(self, model: nn.Module) -> None:
        """Adds hooks by which utterance encoders encode a share of their input and return the vectors of all of it."""
        if self.count > 1:
            for module in model.modules():
                if isinstance(module, UtteranceEncoder):
                    divided = _Divided(self)
                    module.register_forward_pre_hook(divided.share)
                    module.register_forward_hook(divided.whole)

    def average_gradients(self, model: nn.Module) -> None:
        """Replaces each gradient by its mean over the processes."""
        if self.count > 1:
            gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            flat /= self.count
            for gradient, mean in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):  # type: ignore[no-untyped-call]
                gradient.copy_(mean.view_as(gradient))

    def copy_first(self, model: nn.Module) -> None:
        """Copies weights and memories from the first process, in case rounding has made them differ."""
        if self.count > 1:
            state = model.state_dict()
            for tensor in state.values():
                dist.broadcast(tensor, 0)
            model.load_state_dict(state)

    def of_first(self, values: Values) -> Values:
        """Broadcasts the value of the first process, so that decisions based on it agree in all processes."""
        if self.count == 1:
            return values
        held: list[Any] = [values]
        dist.broadcast_object_list(held, 0, device=torch.device("cpu"))
        return held[0]  # type: ignore[no-any-return]

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """Runs the block in the first process, then in the others, which find its results in a cache."""
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
        """The sequences of this process: every ``count``-th, since sequences of similar length are adjacent."""
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
    """Rows of all processes as one tensor [total, …]; the backward pass sums the gradients of all processes."""

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
    """Whether ``torchrun`` or ``--processes`` started this process as one of several."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys() and os.environ["WORLD_SIZE"] != "1"


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Joins the process group that this process was started in, if any; otherwise yields `ALONE`.

    Raises:
        StoppedError: the other processes did not start.
    """
    if not is_started_among_others():
        yield ALONE
        return
    end_with_launcher()
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        store, rank, count = next(rendezvous("env://", timeout=LONGEST_WAIT_TO_JOIN))
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=LONGEST_WAIT)
    except dist.DistError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise StoppedError(
            f"The other processes of this training did not join: {error}",
            where=f"{place} (environment variables MASTER_ADDR and MASTER_PORT)",
            expected=f"{os.environ['WORLD_SIZE']} processes (WORLD_SIZE)",
            next_step="start all of them, as torchrun does; or unset these variables to train with one process",
        ) from error
    try:
        yield Processes(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
