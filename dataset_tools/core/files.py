"""Files that appear under their final name only when complete, and the hash that names their content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_tools.core.errors import InputError, StoppedError

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
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        # mkstemp makes files that only their owner reads; a data set is shared.
        partial.chmod(_FILE_MODE)
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except BaseException as error:
        if partial is not None:
            partial.unlink(missing_ok=True)
        stopped = disk_error(error, path)
        if stopped is not None:
            raise stopped from error
        raise


def disk_error(error: BaseException, path: str | Path | None = None) -> StoppedError | None:
    """``error`` as one of the toolkit's own where it says that the disk takes no more; else None.

    Writers in native code (safetensors, HDF5) raise exceptions of their own, which have no errno, only its text.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    texts = [os.strerror(code) for code in full]
    code = error.errno if isinstance(error, OSError) else None
    found = os.strerror(code) if code in full else next((text for text in texts if text in str(error)), None)
    if found is None or isinstance(error, StoppedError):
        return None
    return StoppedError(
        f"The file cannot be written: {found}",
        where=path,
        next_step="make room, then run the same command again: it goes on where it stopped",
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path`` as a whole (see `written_whole`)."""
    with written_whole(path) as partial:
        partial.write_bytes(content)


def read_input(path: Path) -> bytes:
    """The content of a file that a user names. It is read again later, for its hash, so it has to be one.

    Raises:
        InputError: it is a pipe or a device, which might never end.
        OSError: it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(
            "The path is a pipe or a device",
            where=path,
            expected="a file",
            next_step="write the content to a file first",
        )
    return path.read_bytes()


def clear_partial(folder: Path) -> None:
    """Removes what killed commands left half written in a folder; call it only while nobody else writes there."""
    for path in folder.glob(f"{PARTIAL}*"):
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of ``path``, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(text: str) -> str:
    """Letters, digits, dots and single hyphens: what a name can be in ids and in names of files."""
    return re.sub(r"[^\w.]+|_+", "-", text).strip("-.")
