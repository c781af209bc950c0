"""Interrupt and out-of-memory messages of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from dataset_tools.core.errors import StoppedError

GO_ON = "run the same command again: it resumes after the last complete epoch"


@contextmanager
def translate_errors(run: Path) -> Iterator[None]:
    """Turns an interrupt, and exhausted memory, into errors that say how to resume.

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
            f"Out of memory: {(str(error) or 'no room').splitlines()[0]}",
            where=run,
            expected="enough memory for all combinations of a batch",
            next_step="free memory, then "
            + GO_ON
            + "; or use another --run with smaller sizes: --set training.batch_size=32, "
            "--set model.head_hidden_size=256, on a GPU also --set training.amp=bf16",
        ) from error


def _is_full(error: Exception) -> bool:
    """Whether memory was exhausted: CUDA has an error of its own, the CPU's allocator only its words."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
