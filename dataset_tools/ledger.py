"""ledger.jsonl: the status of every sample, so that nothing is done twice and nothing vanishes.

While a command runs, rows are appended as samples finish; when it ends, the file is written anew, sorted, one row per
sample. Killed in between, it is a journal whose last line may be torn: the next command reads it all the same.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import msgspec
from filelock import FileLock, Timeout

from dataset_tools.errors import ManifestError, StoppedError, ToolkitError
from dataset_tools.manifests import Row, write_rows
from dataset_tools.workspace import Workspace


class LedgerRow(Row, frozen=True, kw_only=True, tag="fmn.ledger/1"):
    """What became of one sample.

    Attributes:
        id: kind and id: ``clip/s13-d21_000194-000243``, ``utterance/…``, ``interval/…``.
        status: ``ok``, ``failed`` (`fmn-data retry` tries again) or ``skipped`` (trying again would change nothing).
        stage: what was being done: ``plan``, ``cut``, ``speak`` ….
        reason: found, where, expected, next; null when ok.
        key: hash of the inputs' contents and the options.
        path: the file made, relative to the workspace. size_bytes, sha256: of that file.
        values: what a manifest row needs, so that a rerun need not open the file.
    """

    status: Literal["ok", "failed", "skipped"]
    stage: str
    reason: dict[str, str] | None = None
    key: str = ""
    path: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    values: dict[str, Any] = msgspec.field(default_factory=dict)


class Ledger:
    """The ledger of a workspace, held by one command at a time.

    Use as a context manager. Entering takes the workspace's lock and reads the rows; leaving, also by an error, writes
    the file sorted.

    Raises:
        StoppedError: on entering: another command is writing in this workspace.
        ManifestError: on entering: a line that is not the last cannot be read.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.rows: dict[str, LedgerRow] = {}
        self._lock = FileLock(workspace.root / "ledger.lock")
        self._journal: BinaryIO | None = None

    def __enter__(self) -> Self:
        self.workspace.root.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise StoppedError(
                "Another command is writing in this workspace",
                where=self.workspace.root,
                expected="one fmn-data command at a time",
                next_step="wait for it to end, then run this command again",
            ) from error
        try:
            self.rows = read_ledger(self.workspace.ledger)
            self._write_sorted()  # so that a torn last line never ends up in the middle
            self._journal = self.workspace.ledger.open("ab")
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._journal is not None:
                self._journal.close()
            self._write_sorted()
        finally:
            self._lock.release()

    def _write_sorted(self) -> None:
        write_rows(self.workspace.ledger, [self.rows[name] for name in sorted(self.rows)])

    def finished(self, sample_id: str, key: str) -> LedgerRow | None:
        """The row of a sample that was done from the same inputs and whose file is still there, else None."""
        row = self.rows.get(sample_id)
        if row is None or row.status != "ok" or row.key != key:
            return None
        if row.path is not None:
            file = self.workspace.root / row.path
            if not file.is_file() or file.stat().st_size != row.size_bytes:
                return None
        return row

    def record(self, row: LedgerRow) -> None:
        """Notes what became of a sample; it is on disk when this returns."""
        if self._journal is None:
            raise RuntimeError("the ledger is not open")
        self.rows[row.id] = row
        self._journal.write(msgspec.json.encode(row) + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def fail(self, sample_id: str, stage: str, error: ToolkitError, key: str = "") -> None:
        """Notes that a sample failed, with the reason."""
        self.record(LedgerRow(id=sample_id, status="failed", stage=stage, reason=error.as_dict(), key=key))

    def keep_only(self, kind: str, names: Collection[str]) -> None:
        """Forgets the samples of a kind (``clip``) that are no longer part of the data set."""
        wanted = {f"{kind}/{name}" for name in names}
        self.rows = {
            sample_id: row
            for sample_id, row in self.rows.items()
            if not sample_id.startswith(f"{kind}/") or sample_id in wanted
        }

    def with_status(self, status: str) -> Mapping[str, LedgerRow]:
        """The rows that have a status, by id."""
        return {sample_id: row for sample_id, row in sorted(self.rows.items()) if row.status == status}


def read_ledger(path: Path) -> dict[str, LedgerRow]:
    """The latest row of every sample. A torn last line (the command was killed while it wrote) is passed over.

    Raises:
        ManifestError: another line cannot be read.
    """
    if not path.is_file():
        return {}
    decoder = msgspec.json.Decoder(LedgerRow)
    rows: dict[str, LedgerRow] = {}
    *lines, torn = path.read_bytes().split(b"\n")
    if torn:
        lines.append(torn)
    for number, line in enumerate(lines, start=1):
        try:
            row = decoder.decode(line)
        except msgspec.DecodeError as error:
            if torn and number == len(lines):
                break
            raise ManifestError(
                f"The ledger cannot be read: {error}",
                where=f"{path}, line {number}",
                expected="fmn.ledger/1 rows, one a line",
                next_step="move the file away and build again: what is there is recognised or redone, nothing is lost",
            ) from error
        rows[row.id] = row
    return rows
