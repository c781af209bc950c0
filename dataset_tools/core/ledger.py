"""The ledger: status of every sample (ok, failed, skipped), so that a rerun redoes only what is missing.

``ledger.jsonl`` is a complete, sorted file of rows. While a command runs, each row is appended to a journal at once, so
that nothing is lost if the command is killed; the journal is merged when the ledger is opened or closed. One command at
a time holds the ledger of a workspace, and with it the right to write there. Not sqlite3: the ledger is a manifest like
the others, which can be read and compared as text, with the same bytes for the same inputs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from dataset_tools.core.errors import ManifestError, StoppedError, ToolkitError, WorkerDiedError
from dataset_tools.core.files import clear_partial, sha256_of, way_out
from dataset_tools.core.jsonl import Row, read_jsonl, write_jsonl
from dataset_tools.core.path_parts import RelativePath, Sha256, in_words
from dataset_tools.core.workspace_lock import workspace_lock

Value = TypeVar("Value")
_WORKER_DIED = "worker_died"


class LedgerRow(Row, frozen=True, kw_only=True, tag="fmn.ledger/1"):
    """Outcome of one sample.

    Attributes:
        id: kind and id of the sample: ``clip/s13-d21_000194-000243``, ``utterance/…``.
        status: ``ok``; ``failed``: it should exist, but does not; ``skipped``: it was left out for a reason.
        stage: the stage that decided it: ``plan``, ``cut``, ``speak``, …
        reason: why it failed or was skipped (the parts of the error), else None.
        key: hash of the inputs and options that it was made from.
        path, sha256, size_bytes: of the file that was made, else None; the path is relative to the workspace. A row
            with a path, but no size, is of a file that a command was about to replace (`Ledger.mark_for_replacement`).
        values: values of the manifest row, so that a rerun writes the same row without opening the file.
    """

    status: Literal["ok", "failed", "skipped"]
    stage: str
    reason: dict[str, str] | None = None
    key: str | None = None
    path: RelativePath | None = None
    sha256: Sha256 | None = None
    size_bytes: int | None = None
    values: dict[str, Any] = msgspec.field(default_factory=dict)

    def value(self, name: str, kind: type[Value]) -> Value:
        """Returns one of `values`.

        Raises:
            ManifestError: the row does not have it, or it has another type.
        """
        if name not in self.values:
            raise self._unusable(f"has no value `{name}`")
        return self._as(self.values[name], kind, f"the value `{name}`")

    def values_as(self, kind: type[Value]) -> Value:
        """Converts `values` to ``kind``, ignoring those that it does not have.

        Raises:
            ManifestError: some are missing, or have another type.
        """
        return self._as(self.values, kind, "`values`")

    def _as(self, value: Any, kind: type[Value], what: str) -> Value:
        try:
            return msgspec.convert(value, kind)
        except ValueError as error:
            raise self._unusable(f"cannot be used: {what}: {in_words(error)}") from error

    def _unusable(self, why: str) -> ManifestError:
        return ManifestError(
            f"The row {self.id!r} {why}",
            where="ledger.jsonl",
            expected="the row as the toolkit wrote it",
            next_step="remove that line from ledger.jsonl: its sample is then made again",
        )


def ok(row_id: str, stage: str, key: str, file: Path, root: Path, sha256: str, **values: Any) -> LedgerRow:
    """The row of a sample whose file was made; ``root`` is the workspace's folder."""
    return LedgerRow(
        id=row_id,
        status="ok",
        stage=stage,
        key=key,
        path=file.relative_to(root).as_posix(),
        sha256=sha256,
        size_bytes=file.stat().st_size,
        values=values,
    )


def failed(row_id: str, stage: str, error: ToolkitError, key: str | None = None, **values: Any) -> LedgerRow:
    """The row of a sample that could not be made; it records whether the sample killed its worker process."""
    if isinstance(error, WorkerDiedError):
        values[_WORKER_DIED] = True
    return LedgerRow(id=row_id, status="failed", stage=stage, key=key, reason=error.as_dict(), values=values)


class Ledger:
    """The rows of a workspace, locked for writing. Use as a context manager.

    Args:
        path: ``ledger.jsonl`` in the workspace's folder.
        retry_died: whether to retry samples that killed their worker process (see `died`).

    Raises:
        StoppedError: another command holds it (on entering), or the disk is full.
        ManifestError: the file cannot be read.
    """

    def __init__(self, path: Path, *, retry_died: bool = False) -> None:
        self.path = path
        self._retry_died = retry_died
        self.root = path.parent
        self.rows: dict[str, LedgerRow] = {}
        self._held = ExitStack()  # the lock of the workspace
        self._journal: FileIO | None = None
        self._changed = False

    def __enter__(self) -> Ledger:
        with ExitStack() as entered:
            entered.enter_context(workspace_lock(self.root))
            self._clear_partial()
            self._read()
            if self._journal_path.exists():
                self._compact()
            self._journal_path.unlink(missing_ok=True)  # in another user's workspace it may be a link to another file
            self._journal = self._journal_path.open("xb", buffering=0)
            self._held = entered.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._held:
            if self._journal is not None:
                self._journal.close()
                self._journal = None
            if self._changed or not self.path.exists():
                self._compact()
            self._journal_path.unlink(missing_ok=True)
            self._clear_partial()  # of workers that were killed, here or on a lost node

    def finished(self, row_id: str, key: str) -> LedgerRow | None:
        """The row of a sample that need not be made again: status ok, the same key, and its file exists; else None.

        A file is recognized by its size, or by its SHA-256 if a command that was to replace it has been interrupted.
        """
        row = self.rows.get(row_id)
        if row is None or row.status != "ok" or row.key != key:
            return None
        if row.path is not None:
            file = self.root / row.path
            try:
                size_bytes = file.stat().st_size
                if row.size_bytes is None and sha256_of(file) == row.sha256:
                    row = msgspec.structs.replace(row, size_bytes=size_bytes)
                    self._keep(row)
            except OSError:
                return None
            if size_bytes != row.size_bytes:
                return None
        return row

    def mark_for_replacement(self, row_ids: Iterable[str]) -> None:
        """Notes samples whose files will be replaced, before they are: a kill may leave the new file with the old row.

        Raises:
            StoppedError: the disk is full.
        """
        for row_id in row_ids:
            row = self.rows.get(row_id)
            if row is not None and row.path is not None:
                self._keep(msgspec.structs.replace(row, size_bytes=None))

    def died(self, row_id: str, key: str) -> WorkerDiedError | None:
        """The error of a sample that must not be retried: with the same inputs, it killed its worker process before."""
        row = self.rows.get(row_id)
        if row is None or row.status != "failed" or row.key != key:
            return None
        if row.reason is None or not row.values.get(_WORKER_DIED):
            return None
        context = {name: row.reason.get(name) for name in ("where", "expected")}
        return WorkerDiedError(row.reason.get("found", ""), **context, next_step=row.reason.get("next"))

    def record(self, row: LedgerRow) -> None:
        """Records the outcome of a sample; it is kept even if the command is killed.

        Raises:
            StoppedError: the disk is full.
        """
        self._keep(row)

    def _keep(self, row: LedgerRow) -> None:
        if self._journal is None:
            raise ValueError("the ledger is not open")
        if self.rows.get(row.id) == row:
            return
        try:
            line = msgspec.json.encode(row) + b"\n"
            while line:
                line = line[self._journal.write(line) :]
        except OSError as error:
            raise _disk_error(self.path, error) from error
        self.rows[row.id] = row
        self._changed = True

    def forget(self, row_ids: Iterable[str]) -> None:
        """Drops the rows of samples that are no longer needed; takes effect when the ledger is closed or saved."""
        for row_id in row_ids:
            self._changed |= self.rows.pop(row_id, None) is not None

    def save(self) -> None:
        """Writes all rows now; a kill does not bring back rows that were dropped before.

        Raises:
            StoppedError: the disk is full.
        """
        if self._changed:
            self._compact()
        if self._journal is not None:
            self._journal.seek(0)
            self._journal.truncate()
        self._changed = False

    def status(self, status: str, kind: str = "") -> list[LedgerRow]:
        """The rows with a status, sorted by id; ``kind`` is a prefix of the id, such as ``clip/``."""
        return [row for _, row in sorted(self.rows.items()) if row.status == status and row.id.startswith(kind)]

    def _read(self) -> None:
        self.rows = read_ledger(self.path)
        if self._retry_died:
            for row in self.status("failed"):
                self._changed |= row.values.pop(_WORKER_DIED, None) is not None

    def _clear_partial(self) -> None:
        for folder in ("", "clips", "clips/in-context", "speech", "manifests", "recordings", "cache", "cache/sources"):
            clear_partial(self.root / folder)

    @property
    def _journal_path(self) -> Path:
        return _journal_of(self.path)

    def _compact(self) -> None:
        write_jsonl(self.path, (row for _, row in sorted(self.rows.items())))


class DryRunLedger(Ledger):
    """The ledger of a dry run: it is read without a lock, and rows that are recorded are kept in memory only."""

    def __enter__(self) -> DryRunLedger:
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _keep(self, row: LedgerRow) -> None:
        self.rows[row.id] = row


def read_ledger(path: Path) -> dict[str, LedgerRow]:
    """The rows of a ledger by id, including those in the journal of a command that was killed or is still running.

    Raises:
        ManifestError: the file cannot be read.
    """
    while True:
        before = _version(path)
        rows = _read_once(path)
        if _version(path) == before:  # else a running command has moved rows from its journal to the file meanwhile
            return rows


def _read_once(path: Path) -> dict[str, LedgerRow]:
    next_step = f"correct the line, or remove {path.name}: its content is then computed again"
    rows = {row.id: row for row in read_jsonl(path, LedgerRow, next_step=next_step)} if path.exists() else {}
    decoder = msgspec.json.Decoder(LedgerRow)
    with suppress(FileNotFoundError, NotADirectoryError):
        for line in _journal_of(path).read_bytes().splitlines(keepends=True):
            try:
                row = decoder.decode(line)
            except (ValueError, RecursionError):
                continue  # the line that was being written when the command was killed
            rows[row.id] = row
    return rows


def _version(path: Path) -> tuple[int, int] | None:
    """Inode and time of change; None: there is no file."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_mtime_ns


def _journal_of(path: Path) -> Path:
    return path.parent / "cache" / "ledger.journal"


def _disk_error(path: Path, error: OSError) -> StoppedError | OSError:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return error
    return StoppedError(
        f"The ledger cannot be written: {os.strerror(error.errno)}",
        where=path,
        next_step=f"{way_out(error.errno)}, then run the same command again to resume",
    )
