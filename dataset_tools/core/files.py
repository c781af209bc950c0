"""Files that appear under their final name only when complete, and the hash that names their content."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_tools.core.errors import StoppedError

_UMASK = os.umask(0)
os.umask(_UMASK)
_FILE_MODE = 0o666 & ~_UMASK

PARTIAL = ".partial-"
"""How the names of files begin that are not complete."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; on a clean exit it is flushed to disk and takes the final name.

    The temporary name keeps the suffix of ``path`` (encoders choose the container by it) and starts with a
    dot. On an error, or an interrupt, it is removed and ``path`` is as it was.

    Raises:
        StoppedError: the disk is full or read-only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        # mkstemp makes files that only their owner reads; a data set is shared.
        partial.chmod(_FILE_MODE)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise StoppedError(
                f"The file cannot be written: {os.strerror(error.errno)}",
                where=path,
                next_step="make room, then run the same command again: it goes on where it stopped",
            ) from error
        raise
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path`` as a whole (see `written_whole`)."""
    with written_whole(path) as partial:
        partial.write_bytes(content)


def clear_partial(folder: Path) -> None:
    """Removes what killed commands left half written in a folder; call it only while nobody else writes there."""
    for path in folder.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of ``path``, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
