"""Utterances to make, by synthesis or as augmented copies: those that the ledger has are not made again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow


@dataclass(frozen=True)
class UtteranceTask:
    """One utterance to make, for a worker process.

    Attributes:
        kind: of its ledger row, ``utterance/<id>`` or ``copy/<id>``.
        key: cache key: SHA-256 of everything that the WAV depends on.
        target: path of the WAV.
        planned: its row, in which what only the WAV tells is not filled in: ``sha256`` is empty.
    """

    kind: Literal["utterance", "copy"]
    key: str
    target: Path
    planned: UtteranceRow

    def __str__(self) -> str:
        return self.planned.id

    @property
    def ledger_id(self) -> str:
        return f"{self.kind}/{self.planned.id}"


Task = TypeVar("Task", bound=UtteranceTask)


def make_utterances(
    make: Callable[[Task], UtteranceRow],
    tasks: Sequence[Task],
    stage: str,
    workspace: Workspace,
    *,
    jobs: int,
    ledger: Ledger,
    dry_run: bool,
    progress: Progress,
) -> tuple[list[UtteranceRow], dict[str, ToolkitError]]:
    """Makes the utterances that the ledger does not have yet, in worker processes; records the outcome of each in it.

    Args:
        make: writes the WAV of a task and returns its row; a module-level function.
        tasks: all utterances.
        stage: name of this stage in the ledger and in the progress.
        workspace: of the data set.
        jobs: number of processes; does not affect the output.
        ledger: open.
        dry_run: make nothing: missing utterances have their planned row, and are skipped in the ledger.
        progress: progress callback.

    Returns:
        The rows, sorted by id; and the errors of failed utterances, by id.

    Raises:
        StoppedError: the disk is full.
    """
    rows: list[UtteranceRow] = []
    failures: dict[str, ToolkitError] = {}
    missing: list[Task] = []
    for task in tasks:
        if (done := ledger.finished(task.ledger_id, task.key)) is not None:
            rows.append(done.value("row", UtteranceRow))
        elif (died := ledger.died(task.ledger_id, task.key)) is not None:
            failures[task.planned.id] = died
        else:
            missing.append(task)
    if dry_run:
        for task in missing:
            ledger.record(LedgerRow(id=task.ledger_id, status="skipped", stage=stage))
        rows += [task.planned for task in missing]
        missing = []
    progress(stage, len(rows) + len(failures), len(tasks))
    ledger.mark_for_replacement(task.ledger_id for task in missing)
    for outcome in run_each(make, missing, jobs=jobs):
        task, row = outcome.item, outcome.result
        if row is not None:
            values = msgspec.to_builtins(row)
            ledger.record(ok(task.ledger_id, stage, task.key, task.target, workspace.root, row.sha256, row=values))
            rows.append(row)
        elif outcome.error is not None:
            ledger.record(failed(task.ledger_id, stage, outcome.error, task.key))
            failures[task.planned.id] = outcome.error
        progress(stage, len(rows) + len(failures), len(tasks))
    return sorted(rows, key=lambda row: row.id), failures
