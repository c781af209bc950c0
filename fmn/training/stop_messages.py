"""Error messages of training for an interrupt, exhausted memory, or the loss of another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.distributed import DistBackendError

from dataset_tools.core.errors import InputError, StoppedError
from fmn.training.process_launcher import OTHER_PROCESS_ENDED

GO_ON = "run the same command again: it resumes after the last complete epoch"


class OtherProcessEndedError(StoppedError):
    """Another process of this training has ended; the reason is in its output, not here."""

    exit_code = OTHER_PROCESS_ENDED


@contextmanager
def translate_errors(run: Path) -> Iterator[None]:
    """Converts an interrupt, exhausted memory and the end of another process to errors that state how to resume.

    Raises:
        StoppedError: one of them occurred.
        InputError: the system has no deterministic GPU kernels, and the configuration requires them.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("Training was interrupted", where=run, next_step=GO_ON) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, DistBackendError) or "gloo" in str(error).lower():
            found = "Another process of this training has ended"
            raise OtherProcessEndedError(found, where=run, next_step=GO_ON) from error
        if "does not have a deterministic implementation" in str(error):
            raise InputError(
                f"{str(error).split(',')[0]} on this device",
                where="training.deterministic",
                expected="a system all of whose operations have one",
                next_step="train with --device cpu, or into another --run without training.deterministic",
            ) from error
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
    """Whether memory was exhausted: CUDA has its own exception type, its libraries and the CPU allocator a message."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
