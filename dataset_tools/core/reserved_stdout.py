"""Reserved stdout: what a command, its libraries and its worker processes print goes to stderr instead."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def reserved_stdout() -> Iterator[None]:
    """Redirects stdout to stderr within the context, for the whole process and the processes that it starts.

    The file descriptor is redirected, too, since libraries in C and worker processes do not use `sys.stdout`.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what code in C has printed is in its buffer
        os.dup2(kept, 1)
        os.close(kept)
