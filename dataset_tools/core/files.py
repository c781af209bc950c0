"""Atomic file writes, files that the user names, and SHA-256 of file contents."""

from __future__ import annotations

import codecs
import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.unicode_names import composed

_UMASK = os.umask(0)
os.umask(_UMASK)
_FILE_MODE = 0o666 & ~_UMASK

PARTIAL = ".partial-"
"""Name prefix of folders that hold incomplete files."""
_LOCK = ".lock"
MOST_INPUT_BYTES = 64 * 2**20
"""Size limit of a table or a text that is read as a whole; lists of intervals have a few million bytes."""


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path with the same file name; on a clean exit, the file is flushed and replaces ``path``.

    It is in a hidden folder beside ``path``, with any other files that the writer creates (safetensors first writes to
    a file of its own). On an error or an interrupt, that folder is removed and ``path`` is unchanged; the folders of
    killed commands are removed by `clear_partial`.

    Raises:
        StoppedError: the disk is full or read-only.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial_folder(path.parent) as folder:
            partial = folder / path.name
            yield partial
            # Some writers create files that only their owner can read; a data set is shared.
            partial.chmod(_FILE_MODE)
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
    except BaseException as error:
        stopped = disk_error(error, path)
        if stopped is not None:
            raise stopped from error
        raise


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """Creates a hidden folder in ``parent`` for temporary files, locked while this process needs it, then removed."""
    with ExitStack() as held:
        while True:
            folder = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=parent))
            held.callback(shutil.rmtree, folder, ignore_errors=True)
            with suppress(FileNotFoundError):
                handle = held.enter_context((folder / _LOCK).open("w"))
                with suppress(OSError):  # a file system without locks: `clear_partial` cannot lock it either
                    fcntl.flock(handle, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():  # else it was cleared before it was locked
                break
        yield folder


_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")
_WAYS_OUT = {errno.EROFS: "make it writable", errno.EFBIG: "raise the limit on file sizes, or use another disk"}


def way_out(code: int | None) -> str:
    """What to do about a disk that cannot be written to, by the ``errno`` of the error."""
    return _WAYS_OUT.get(code or 0, "make room")


def disk_error(error: BaseException, path: str | Path | None = None) -> StoppedError | None:
    """Converts an error about a full or read-only disk to a `StoppedError`; returns None for other errors.

    Writers in native code (safetensors, HDF5) raise exceptions of their own, which have no errno, only its text;
    NumPy's has neither, whatever the reason.
    """
    full = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
    code = error.errno if isinstance(error, OSError) else None
    if code not in full:
        code = next((one for one in full if os.strerror(one) in str(error)), None)
    if isinstance(error, StoppedError):
        return None
    if code is None:
        if not (isinstance(error, OSError) and _SHORT_WRITE.fullmatch(str(error))):
            return None
        return StoppedError(
            "The file cannot be written completely: the disk is full, or the limit on file sizes is reached",
            where=path,
            next_step="make room or raise the limit, then run the same command again to resume",
        )
    return StoppedError(
        f"The file cannot be written: {os.strerror(code)}",
        where=path,
        next_step=f"{way_out(code)}, then run the same command again to resume",
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path`` atomically (see `written_whole`)."""
    with written_whole(path) as partial:
        partial.write_bytes(content)


def read_input(path: Path, most_bytes: int = MOST_INPUT_BYTES) -> bytes:
    """Reads a file that the user named. It must be a regular file, as it is read again later for its hash.

    Raises:
        InputError: it is a pipe or a device, which might never end, or is larger than ``most_bytes``.
        OSError: it cannot be read.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise InputError(
            "The path is a pipe or a device",
            where=path,
            expected="a file",
            next_step="write the content to a file first",
        )
    if path.is_file() and (size_bytes := path.stat().st_size) > most_bytes:
        raise InputError(
            f"The file has {size_bytes:,} bytes",
            where=path,
            expected=f"at most {most_bytes:,} bytes: processing takes a multiple of that in memory",
            next_step="check that it is the right file; if it is, split it",
        )
    return path.read_bytes()


def decode_text(content: bytes) -> str:
    """Decodes a text file that the user named: UTF-8, or UTF-16 with a byte order mark, as Excel's “Unicode Text”.

    Raises:
        UnicodeDecodeError: it is neither, or has null characters, as UTF-16 without a byte order mark.
    """
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    text = content.decode(encoding)
    if "\0" in text:
        start = content.index(0)
        raise UnicodeDecodeError(encoding, content, start, start + 1, "null character")
    return text


def clear_partial(folder: Path, pattern: str = "") -> list[Path]:
    """Removes incomplete files of killed commands from a folder; those of running commands are locked, and stay.

    Args:
        folder: the folder to search; it need not exist.
        pattern: glob pattern of its subfolders to search instead, such as ``*/*/``.

    Returns:
        The removed paths.
    """
    return [path for path in folder.glob(f"{pattern}{PARTIAL}*") if remove_partial(path)]


def remove_partial(path: Path) -> bool:
    """Removes one `PARTIAL` folder (or file, of an earlier version), unless a running process writes to it."""
    if path.is_symlink():
        return False
    with suppress(OSError):
        if not path.is_dir():
            path.unlink()
            return True
        # In another user's workspace it may be a link to another file, or a pipe: neither is followed, both stay.
        with open(path / _LOCK, "a", opener=_plain_file) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
            return True
    return False


def _plain_file(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def sha256_of(path: Path) -> str:
    """SHA-256 of the content of ``path``, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def slug(text: str) -> str:
    """Reduces a text to letters, digits, dots and single hyphens, for use in ids and file names.

    Letters are composed (NFC) first: their marks alone are no letters, and file names on macOS may be decomposed.
    """
    return re.sub(r"[^\w.]+|_+", "-", composed(text)).strip("-.")
