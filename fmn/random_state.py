"""Isolation of torch's random state, and deterministic kernels, during training."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# What deterministic sums of cuBLAS require. Torch reads it once, at the first matrix product of the process on a GPU,
# which may be in an encoder of features, long before training.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_LOCK = threading.RLock()


def _renew_lock() -> None:
    """Frees the lock in a forked process, which lacks the thread that may hold it."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def isolated_random_state(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Restores the caller's random state on exit; ``deterministic`` disallows nondeterministic kernels.

    The state is that of the process: another thread waits here until this one has finished.
    """
    with _LOCK:
        before = torch.get_deterministic_debug_mode()
        # Not use_deterministic_algorithms, which imports torch's compiler to tell it, a second or two of CPU time.
        torch.set_deterministic_debug_mode("error" if deterministic else before)
        try:
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                yield
        finally:
            torch.set_deterministic_debug_mode(before)
