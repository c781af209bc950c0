"""Export folder: files are written atomically, so that a killed export resumes; SHA256SUMS is written last."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

import msgspec

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import PARTIAL, remove_partial, sha256_of, write_bytes, written_whole
from dataset_tools.core.json_record import record_bytes
from dataset_tools.exports.copy_batch import CopyBatch

RECORD = "export.json"
SUMS = "SHA256SUMS"


class OutputFolder:
    """Writes the files of one export, in a fixed order. Use it as a context manager.

    An existing file is not written again, since files are renamed into place only when complete. ``export.json``
    identifies the export; a folder with another record, or with other files, is refused. If the export fails before
    its first file, ``export.json`` is removed, and so are the folders that were made for it. ``SHA256SUMS`` (for
    ``sha256sum -c``) is written last: an export without it is incomplete.

    Args:
        root: the folder; created if missing.
        record: identifies the export: hashes of its inputs, options. The same record means the same bytes.

    Raises:
        InputError: the folder has other content (on entering).
        StoppedError: another command writes there, or the disk is full.
    """

    def __init__(self, root: Path, record: Mapping[str, Any]) -> None:
        self.root = root
        self.written = self.kept = 0
        self._record = dict(record)
        self._held = ExitStack()
        self._copies = CopyBatch(root)
        self._sums: TextIO | None = None
        self._known: Iterator[tuple[str, str]] = iter(())
        self._names = {RECORD, SUMS}
        self._made: list[Path] = []

    def __enter__(self) -> OutputFolder:
        self._made = [path for path in (self.root, *self.root.parents) if not path.exists()]
        with ExitStack() as entered:
            entered.push(self._remove_folders)  # exited last
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise self._no_folder() from error
            self._open(entered)
            entered.push(self._remove_record)
            if not (self.root / RECORD).is_file():
                write_bytes(self.root / RECORD, self._record_content())
            for path in self.root.rglob(f"{PARTIAL}*"):
                remove_partial(path)
            partial = entered.enter_context(written_whole(self.root / SUMS))
            self._sums = entered.enter_context(partial.open("w", encoding="utf-8"))
            entered.enter_context(self._copies)  # exited first: all copies are renamed before SHA256SUMS is
            self._held = entered.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._held.__exit__(*error)

    def _remove_record(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None and not self.written and not self.kept:
            (self.root / RECORD).unlink(missing_ok=True)  # nothing to resume: the folder can have any other export
            for folder in sorted(self.root.rglob("*"), reverse=True):  # of the first file
                with suppress(OSError):
                    folder.rmdir()

    def _remove_folders(self, error: type[BaseException] | None, *_: object) -> None:
        """Removes the folders that were made for nothing, if they are empty."""
        if error is not None:
            with suppress(OSError):
                for path in self._made:
                    path.rmdir()

    def add(self, name: str, write: Callable[[Path], object]) -> None:
        """Writes a file unless it exists.

        Args:
            name: POSIX path in the folder.
            write: writes the file to the path that is passed to it.

        Raises:
            InputError: the name is no path in the folder, or that of another file; nor does `copy` take such a name.
        """
        self._claim(name)

        def written() -> str:
            with written_whole(self.root / name) as partial:
                write(partial)
                return sha256_of(partial)

        self._add(name, written)

    def add_text(self, name: str, text: str) -> None:
        """Writes a text file; see `add`."""

        def write(partial: Path) -> None:
            partial.write_text(text, "utf-8")

        self.add(name, write)

    def copy(self, name: str, source: Path, sha256: str, check: Callable[[Path, str], None]) -> None:
        """Copies a file of the data set, and checks its content against that of its row.

        Args:
            name: POSIX path in the folder.
            source: the file to copy.
            sha256: SHA-256 in its row.
            check: called as ``check(source, digest)`` with the SHA-256 of the copied bytes, before the copy is renamed
                into place; raises if they are not those of the row.
        """
        self._claim(name)

        def copied() -> str:
            self._copies.copy(source, self.root / name, check)
            return sha256

        self._add(name, copied, sha256)

    def _claim(self, name: str) -> None:
        path = PurePosixPath(name)
        is_inside = path.as_posix() == str(name) != "." and not path.is_absolute() and ".." not in path.parts
        if not is_inside or str(name) in self._names:
            raise InputError(
                f"The export has two files of the name {name}"
                if is_inside
                else f"{str(name)!r} is no path in the folder",
                where=self.root,
                expected=f"a POSIX path in the folder for each file; README.md, {RECORD} and {SUMS} are the toolkit's",
                next_step="correct the export format (OutputFolder.add)",
            )
        self._names.add(str(name))

    def _add(self, name: str, write: Callable[[], str], sha256: str | None = None) -> None:
        """Records the SHA-256 of a file; writes the file unless it exists with ``sha256``, or as recorded before."""
        assert self._sums is not None
        digest = self._complete(name, sha256)
        if digest:
            self.kept += 1
        else:
            digest = write()
            self.written += 1
        self._sums.write(f"{digest}  {name}\n")

    def _complete(self, name: str, sha256: str | None) -> str:
        """Returns the SHA-256 of the next file if it is complete, else an empty text. Called in the order of files."""
        path = self.root / name
        known_name, known = next(self._known, (name, None))
        expected = sha256 or (known if known_name == name else None)
        digest = sha256_of(path) if path.is_file() and not path.is_symlink() else ""
        return digest if expected in (None, digest) else ""

    def _open(self, held: ExitStack) -> None:
        """Locks the existing folder for as long as ``held``, checks that it is of this export, and reads its sums."""
        handle = os.open(self.root, os.O_RDONLY)
        held.callback(os.close, handle)
        self._lock(handle)
        self._check_record()
        self._known = _recorded_sums(self.root / SUMS)

    def _no_folder(self) -> InputError:
        return InputError(
            "There is a file where the folder should be",
            where=self.root,
            expected="a folder, or an unused name",
            next_step="choose another folder",
        )

    def _lock(self, handle: int) -> None:
        with suppress(OSError):  # the file system does not support locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoppedError(
                    "Another command is writing to this folder",
                    where=self.root,
                    expected="one export at a time",
                    next_step="wait until it has finished, or choose another folder",
                ) from None

    def _record_content(self) -> bytes:
        return record_bytes(self._record)

    def _check_record(self) -> None:
        path = self.root / RECORD
        existing = path.read_bytes() if path.is_file() else None
        if existing is None and next((one for one in self.root.iterdir() if not one.name.startswith(PARTIAL)), None):
            raise InputError(
                "The folder has other files",
                where=self.root,
                expected="an empty folder, or an incomplete export of the same data set",
                next_step="choose a new folder",
            )
        if existing is not None and existing != self._record_content():
            raise InputError(
                f"The folder has another export: {_difference(existing, self._record)}",
                where=path,
                expected="the same data set in the same format with the same options",
                next_step="choose a new folder, or remove this one first",
            )


def _recorded_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Yields name and SHA-256 of each file of a completed earlier export, in the order of writing."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            digest, _, name = line.rstrip("\n").partition("  ")
            yield name, digest


def _difference(existing: bytes, record: Mapping[str, Any]) -> str:
    """Describes how two records differ: by their keys."""
    try:
        found = msgspec.json.decode(existing, type=dict[str, Any])
    except (ValueError, RecursionError):
        return "its record cannot be read"
    wanted = msgspec.json.decode(msgspec.json.encode(record), type=dict[str, Any])
    names = [
        name
        for name in (*wanted, *(name for name in found if name not in wanted))
        if found.get(name) != wanted.get(name)
    ]
    return f"{', '.join(names)} differ" if names else "its record is formatted differently"
