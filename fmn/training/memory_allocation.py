"""Memory allocator setting: freed memory is kept for torch's next tensors."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Tells glibc to give nothing back to the system while the process lives; elsewhere nothing happens.

    By default large tensors are mapped again each time, and the system clears every page of them again: a fifth of the
    time of training FMN on a CPU, half of that of MusiCNN. A process that trains several networks one after the other
    gives back between them (`give_back_freed_memory`), else it grows by what each of them leaves scattered.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Gives the system what was freed since `keep_freed_memory`."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None where the system has another libc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
