"""Number of torch threads on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dataset_tools.core.cores import usable_cores

MOST_THREADS = 1024
"""Upper limit of the number of threads: torch aborts the process if the system cannot create more."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Sets the number of torch threads on the CPU within a ``with`` block.

    None leaves it unchanged, but for the CPU quota of a container, which torch does not know.
    """
    import torch

    previous = torch.get_num_threads()
    torch.set_num_threads(count or min(previous, usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(previous)
