"""What surrounds training: one command a folder, the caller's random state, messages for a stop from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import torch

from dataset_tools.core.errors import StoppedError

GO_ON = "run the same command again: it goes on after the last whole epoch"


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """Makes the folder ``run``, and keeps other commands from training into it; what stays empty is removed again.

    Raises:
        StoppedError: another command does.
    """
    run.mkdir(parents=True, exist_ok=True)
    lock = run / ".lock"
    try:
        with filelock.FileLock(lock, timeout=0):
            try:
                yield
            finally:
                if all(path == lock for path in run.iterdir()):
                    lock.unlink(missing_ok=True)
                    run.rmdir()
    except filelock.Timeout as error:
        raise StoppedError(
            "Another command is training into this folder",
            where=run,
            next_step="wait for it, or name another folder with --run",
        ) from error


@contextmanager
def seeded(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Gives the caller's random state back afterwards; refuses kernels that are not reproducible, if asked to."""
    before = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it before its first use
    torch.use_deterministic_algorithms(deterministic or before)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch on the CPU for the time of a ``with`` block; null leaves them as they are."""
    usual = torch.get_num_threads()
    torch.set_num_threads(count or usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


@contextmanager
def stops_explained(run: Path) -> Iterator[None]:
    """Turns an interrupt, and memory that is full, into errors that say how to go on.

    Raises:
        StoppedError: one of them happened.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("Training was interrupted", where=run, next_step=GO_ON) from error
    except (MemoryError, RuntimeError) as error:
        if not _is_full(error):
            raise
        raise StoppedError(
            f"The memory is full: {(str(error) or 'no room').splitlines()[0]}",
            where=run,
            expected="room for all combinations of a batch",
            next_step="free memory, then " + GO_ON + "; or take another --run and less: --set training.batch_size=32, "
            "--set model.head_units=256, on a GPU also --set training.amp=bf16",
        ) from error


def _is_full(error: Exception) -> bool:
    """Whether memory was exhausted: CUDA has an error of its own, the CPU's allocator only its words."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
