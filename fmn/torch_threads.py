"""Number of torch threads on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_THREADS = 1024
"""Upper limit of the number of threads: torch aborts the process if the system cannot create more."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Sets the number of torch threads on the CPU within a ``with`` block; None leaves it unchanged."""
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(count or previous)
    try:
        yield
    finally:
        torch.set_num_threads(previous)
