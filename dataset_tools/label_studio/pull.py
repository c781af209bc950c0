"""Brings people's decisions back: each once, whatever was pulled before, with what was deleted or changed since."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import (
    ReviewRow,
    append_reviews,
    read_reviews,
    reviews_lock,
    reviews_path,
    utc,
)
from dataset_tools.decisions.majority_rule import live
from dataset_tools.label_studio.annotation_queries import Changes, annotation_ids, annotator_names, changes
from dataset_tools.label_studio.annotation_rows import is_ours, rows_of
from dataset_tools.label_studio.connection import connect, server_name
from dataset_tools.label_studio.labeling_config import control_targets
from dataset_tools.label_studio.projects import Project, find_project, remember

_STAGE = "pull"


@dataclass(frozen=True)
class PullSummary:
    """What a pull brought.

    Attributes:
        decided: clips of which a decision came, new or changed. deleted: decisions found to be deleted.
        rows: rows appended to reviews.jsonl.
        problems: decisions that cannot be used, each as ``(clip id, annotator, why)``.
        raw: the file that keeps what the server sent, or None when nothing was new.
    """

    decided: int
    deleted: int
    rows: int
    problems: tuple[tuple[str, str, str], ...]
    raw: Path | None

    def text(self) -> str:
        """One line for people."""
        if not self.rows:
            return "nothing new"
        said = [f"{self.decided:,} decision{'' if self.decided == 1 else 's'}"]
        said += [f"{self.deleted:,} deleted"] if self.deleted else []
        said += [f"{len(self.problems):,} cannot be used"] if self.problems else []
        return ", ".join(said)

    def as_dict(self) -> dict[str, Any]:
        return {
            "decided": self.decided,
            "deleted": self.deleted,
            "rows": self.rows,
            "problems": [{"clip": clip, "annotator": who, "problem": why} for clip, who, why in self.problems],
            "raw": None if self.raw is None else str(self.raw),
        }


def pull(
    workspace: Workspace, *, url: str, api_key: str, project: str | None = None, progress: Progress = silent
) -> PullSummary:
    """Appends to annotations/reviews.jsonl what people decided since the last pull.

    Pulling twice adds nothing. What the server sent is kept as it came, in annotations/label-studio/, before a row is
    written; killed at any moment, the next pull ends right. A decision that was changed gets another row, and so does
    one that was deleted in Label Studio.

    Args:
        workspace: the workspace.
        url: address of the server.
        api_key: a token of it.
        project: title of the project; None for the workspace's own.
        progress: told when it starts and ends.

    Raises:
        InputError: the address or the key is wrong, nothing was pushed, the project was deleted, or its page has no
            verdict any more.
        StoppedError: the server cannot be reached, or the disk is full.
    """
    server = server_name(url)
    progress(_STAGE, 0, 1, "asks the server")
    with connect(url, api_key) as client, reviews_lock(workspace):
        reviews = read_reviews(reviews_path(workspace))
        found = _found(client, workspace, url, project)
        news = changes(client, url, found.id, found.link.cursor)
        tasks = [task for task in news.tasks.values() if is_ours(task)]
        known = [
            row for row in live(reviews) if (row.label_studio.server, row.label_studio.project) == (server, found.id)
        ]
        names = annotator_names(client, url) if tasks else {}
        rows = [row for task in tasks for row in rows_of(task, server=server, names=names)]
        new = _new(rows, reviews, present=True)
        gone = _gone_from_tasks(known, news)
        left = {row.label_studio.annotation for row in [*known, *rows]} - {row.label_studio.annotation for row in gone}
        if len(left) != news.annotations:
            present = annotation_ids(client, url, found.id)
            gone += [row for row in known if row not in gone and row.label_studio.annotation not in present]
        deleted = [_as_deleted(row) for row in gone]
        summary = _keep(workspace, f"project-{found.id}", tasks, new, deleted)
        if news.cursor != found.link.cursor:
            remember(workspace, url, msgspec.structs.replace(found.link, cursor=news.cursor))
    progress(_STAGE, 1, 1)
    return summary


def pull_from_file(workspace: Workspace, export: Path) -> PullSummary:
    """Appends what a JSON export of Label Studio holds and reviews.jsonl does not; for servers without API access.

    An export does not tell what was deleted since an earlier one, so nothing is taken for deleted.

    Raises:
        InputError: the file is not a JSON export of tasks that a push made.
    """
    with reviews_lock(workspace):
        reviews = read_reviews(reviews_path(workspace))
        tasks = [task for task in _exported(export) if is_ours(task)]
        try:
            rows = [row for task in tasks for row in rows_of(task, server=None, names={})]
        except (KeyError, TypeError, ValueError, AttributeError, msgspec.ValidationError) as error:
            raise _not_an_export(export, f"a field is missing or wrong: {error}") from error
        return _keep(workspace, "export", tasks, _new(rows, reviews, present=False), [])


def watch(
    workspace: Workspace, *, url: str, api_key: str, project: str | None = None, every_s: float = 10.0
) -> Iterator[PullSummary | StoppedError]:
    """Pulls again and again. While the server is away, yields the error and goes on."""
    while True:
        try:
            yield pull(workspace, url=url, api_key=api_key, project=project)
        except StoppedError as error:
            yield error
        time.sleep(every_s)


def _found(client: Any, workspace: Workspace, url: str, title: str | None) -> Project:
    found = find_project(client, workspace, url, title)
    if found is None:
        raise InputError(
            "This workspace has no project on the server yet",
            where=url,
            expected="a project that fmn-data annotate push made",
            next_step="run fmn-data annotate push first, or name the project with --project",
        )
    if "verdict" not in control_targets(found.page):
        raise InputError(
            "The page of the project has no control `verdict` any more: decisions cannot be read",
            where=f"{url}/projects/{found.id}/settings/labeling",
            expected="the labeling configuration that was pushed",
            next_step="bring it back with: fmn-data annotate push --replace-config",
        )
    return found


def _new(rows: Iterable[ReviewRow], reviews: Sequence[ReviewRow], *, present: bool) -> list[ReviewRow]:
    """The rows that reviews.jsonl does not have.

    When the annotations are ``present`` on a server right now, also those that it took for deleted: they are back.
    """
    keys = {row.key for row in reviews}
    standing = {row.source for row in live(reviews)}
    new = [row for row in rows if row.key not in keys]
    if present:
        back = [row for row in rows if row.key in keys and row.source not in standing]
        new += [msgspec.structs.replace(row, time=_now()) for row in back]
    return new


def _gone_from_tasks(known: Sequence[ReviewRow], news: Changes) -> list[ReviewRow]:
    """Rows whose annotation its task, which was listed anew, does not have any more."""
    present = {
        task_id: {annotation["id"] for annotation in task["annotations"]} for task_id, task in news.tasks.items()
    }
    return [
        row
        for row in known
        if row.label_studio.task in present and row.label_studio.annotation not in present[row.label_studio.task]
    ]


def _as_deleted(row: ReviewRow) -> ReviewRow:
    return msgspec.structs.replace(row, deleted=True, time=max(_now(), row.time))


def _keep(
    workspace: Workspace, source: str, tasks: Sequence[dict[str, Any]], new: list[ReviewRow], deleted: list[ReviewRow]
) -> PullSummary:
    """Writes what the server sent, then the rows."""
    raw = None
    if new or deleted:
        touched = {row.label_studio.task for row in [*new, *deleted]}
        raw = workspace.annotations / "label-studio" / f"{_now().replace(':', '-')}_{source}.json"
        sent = [task for task in tasks if task["id"] in touched]
        write_bytes(raw, msgspec.json.format(msgspec.json.encode(sent), indent=1))
        append_reviews(reviews_path(workspace), [*new, *deleted])
    return PullSummary(
        decided=len({row.id for row in new if row.item == "clip"}),
        deleted=len({row.label_studio.annotation for row in deleted}),
        rows=len(new) + len(deleted),
        problems=tuple((row.id, row.annotator, row.problem) for row in new if row.problem is not None),
        raw=raw,
    )


def _exported(export: Path) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(export.read_bytes(), type=list[dict[str, Any]])
    except FileNotFoundError as error:
        raise _not_an_export(export, "there is no such file") from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_an_export(export, str(error)) from error


def _not_an_export(export: Path, why: str) -> InputError:
    return InputError(
        f"The export cannot be read: {why}",
        where=export,
        expected="a file that Label Studio exported as JSON, of tasks that fmn-data annotate push made",
        next_step="export the project again as JSON (not JSON-MIN), then pull --from that file",
    )


def _now() -> str:
    return utc(datetime.now(UTC))
