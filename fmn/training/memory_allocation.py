"""Memory allocator settings: the process keeps freed memory for torch's next tensors."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Configures glibc to return no memory to the system while the process runs; no effect with another libc.

    By default large tensors are mapped anew each time, and the kernel zeroes all their pages: a fifth of the training
    time of FMN on a CPU, half of that of MusiCNN. A process that trains several networks in succession must trim the
    heap between them (`give_back_freed_memory`), or fragmentation makes it grow with each network.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


def give_back_freed_memory() -> None:
    """Returns the memory freed since `keep_freed_memory` to the system."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function of glibc; None with another libc."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
