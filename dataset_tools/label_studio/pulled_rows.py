"""Rows that a pull appends to reviews.jsonl, and the archive of Label Studio's responses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from dataset_tools.core.files import write_bytes
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path, utc
from dataset_tools.decisions.majority_rule import live
from dataset_tools.label_studio.pull_summary import PullSummary


def new_rows(rows: Iterable[ReviewRow], reviews: Sequence[ReviewRow], *, present: bool) -> list[ReviewRow]:
    """Returns the rows that reviews.jsonl does not have.

    If the annotations are ``present`` on a server right now, also returns those recorded as deleted: they are back.
    """
    rows = {row.key: row for row in rows}.values()  # an export can hold a task twice
    keys = {row.key for row in reviews}
    present_sources = {row.source for row in live(reviews)}
    new = [row for row in rows if row.key not in keys]
    if present:
        back = [row for row in rows if row.key in keys and row.source not in present_sources]
        last = {row.source: row.time for row in reviews}  # for increasing times even if the clock was set back
        new += [msgspec.structs.replace(row, time=max(_now(), _after(last[row.source]))) for row in back]
    return new


def as_deleted(row: ReviewRow) -> ReviewRow:
    """Returns the row that marks a decision as deleted in Label Studio."""
    return msgspec.structs.replace(row, deleted=True, time=max(_now(), row.time))


def keep(
    workspace: Workspace,
    source: str,
    tasks: Iterable[dict[str, Any]],
    new: Sequence[ReviewRow],
    deleted: Sequence[ReviewRow] = (),
    *,
    earlier: Iterable[ReviewRow],
    dry_run: bool,
) -> PullSummary:
    """Writes the response of Label Studio to a file with ``source`` in its name, then appends the rows.

    Args:
        workspace: the workspace.
        source: part of the name of the file.
        tasks: the response.
        new: rows of new and changed decisions.
        deleted: rows of deleted decisions.
        earlier: the rows that reviews.jsonl has, to count the changed decisions.
        dry_run: only count; write nothing.
    """
    raw = None
    if (new or deleted) and not dry_run:
        touched = {row.label_studio.task for row in [*new, *deleted]}
        raw = workspace.annotations / "label-studio" / f"{_now().replace(':', '-')}_{source}.json"
        sent = [task for task in tasks if task["id"] in touched]
        write_bytes(raw, msgspec.json.format(msgspec.json.encode(sent), indent=1))
        append_reviews(reviews_path(workspace), [*new, *deleted])
    known = {row.source for row in earlier}
    return PullSummary(
        decided_clips=frozenset(row.id for row in new if row.item == "clip"),
        revised_clips=frozenset(row.id for row in new if row.item == "clip" and row.source in known),
        deleted=len({row.label_studio.annotation for row in deleted}),
        rows=len(new) + len(deleted),
        problems=tuple((row.id, row.annotator, f"{row.problem} ({_place(row)})") for row in new if row.problem),
        raw=raw,
        changed=tuple((row.id, row.annotator, f"{row.changed} ({_place(row)})") for row in new if row.changed),
        dry_run=dry_run,
    )


def _place(row: ReviewRow) -> str:
    """Returns where annotators find the task of a row, to answer it again."""
    at = row.label_studio
    return f"task {at.task}" if at.server is None else f"{at.server}/projects/{at.project}/data?task={at.task}"


def _after(time: str) -> str:
    return utc(datetime.fromisoformat(time) + timedelta(microseconds=1))


def _now() -> str:
    return utc(datetime.now(UTC))
