"""Number of torch threads on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

MOST_THREADS = 1024
"""More are refused: where the system has no more threads to give, torch ends the process."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch on the CPU for the time of a ``with`` block; None leaves them as they are."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(count or usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)
