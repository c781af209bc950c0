"""Pull of annotations: each decision once, including changed and deleted ones."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import msgspec

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import (
    MOST_CHARACTERS,
    ReviewRow,
    read_reviews,
    reviews_lock,
    reviews_path,
    utc,
)
from dataset_tools.decisions.majority_rule import live
from dataset_tools.decisions.unread import remember_unread
from dataset_tools.label_studio.annotation_queries import (
    Changes,
    annotation_ids,
    annotator_names,
    changes,
    tasks_with,
)
from dataset_tools.label_studio.annotation_rows import rows_of
from dataset_tools.label_studio.connection import connect
from dataset_tools.label_studio.labeled_tasks import is_ours
from dataset_tools.label_studio.labeling_config import control_targets
from dataset_tools.label_studio.projects import (
    Project,
    find_others,
    find_project,
    former_addresses,
    remember,
    remember_former_addresses,
)
from dataset_tools.label_studio.pull_summary import PullSummary
from dataset_tools.label_studio.pulled_rows import as_deleted, keep, new_rows
from dataset_tools.label_studio.withdrawn_tasks import without_withdrawn
from dataset_tools.label_studio.workspace_server import Target, addresses
from dataset_tools.speech.recordings.withdrawn_recordings import withdrawn_utterances

_STAGE = "pull"


def pull(
    workspace: Workspace,
    target: Target,
    *,
    project: str | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PullSummary:
    """Appends annotators' decisions since the last pull to annotations/reviews.jsonl.

    Pulling is idempotent. The server's response, without withdrawn speech, is stored in annotations/label-studio/
    before any row is written; after a kill at any point, the next pull completes the work. A decision that was changed
    or deleted in Label Studio gets another row.

    Args:
        workspace: the workspace.
        target: the server.
        project: title of the only project to pull from; None for all that the workspace was pushed to or pulled from.
        dry_run: only report what would be pulled; write nothing.
        progress: progress callback, called at the start and at the end.

    Raises:
        InputError: the address or the key is wrong, nothing was pushed, the project was deleted, or its page no longer
            has a verdict.
        StoppedError: the server cannot be reached, or the disk is full.
    """
    progress(_STAGE, 0, 1, "querying the server")
    url = target.url
    with connect(url, target.api_key) as client, nullcontext() if dry_run else reviews_lock(workspace):
        summary = _pull(client, workspace, url, _existing(client, workspace, url, project), dry_run=dry_run)
        if project is None:
            for other in find_others(client, workspace, url, dry_run=dry_run):
                more = _pull(client, workspace, url, _with_verdict(other, url), dry_run=dry_run)
                summary = summary.and_also(more)
    progress(_STAGE, 1, 1)
    return summary


def _pull(client: Any, workspace: Workspace, url: str, found: Project, *, dry_run: bool) -> PullSummary:
    """Pulls the decisions of one project."""
    own, former = addresses(workspace, url), former_addresses(workspace, url)
    reviews = read_reviews(reviews_path(workspace))
    # Not those of a former project with that id: a server that was set up anew counts from 1, at the same address.
    of_project = [
        row for row in reviews if row.label_studio.project == found.id and row.label_studio.created >= found.created
    ]
    earlier = _of_server(of_project, own, former)
    news = changes(client, url, found.id, found.link.cursor, max(_annotations(earlier), default=0))
    recognized = former | {
        name: max(time, former.get(name, ""))
        for name, time in _pulled_from(of_project, news).items()
        if name not in own
    }
    known = live(_of_server(of_project, own, recognized))
    withdrawn = withdrawn_utterances(workspace)
    tasks = {task_id: without_withdrawn(task, withdrawn) for task_id, task in news.tasks.items()}
    news = replace(news, tasks=tasks)
    gone = _gone_from_tasks(known, news)
    names = annotator_names(client, url)
    rows, unreadable = _read(news.tasks.values(), own[0], names)
    listed, late, missing = _annotations(known) | _annotations_of(news.tasks.values()), {}, 0
    # If anything is new, check for completeness: a deletion can hide from the count that something is missing.
    if gone or new_rows(rows, reviews, present=True) or len(listed) != news.annotations:
        ids = annotation_ids(client, url, found.id)
        gone += [row for row in known if row not in gone and row.label_studio.annotation not in ids]
        late = tasks_with(client, url, found.id, {one for one, ours in ids.items() if ours and one not in listed})
        missing = max(0, news.annotations - len(ids))
    sent = [without_withdrawn(task, withdrawn) for task in {**news.tasks, **late}.values()]
    if late:
        rows, unreadable = _read(sent, own[0], names)
    new = new_rows(rows, reviews, present=True)
    deleted = [as_deleted(row) for row in gone]
    summary = keep(workspace, f"project-{found.id}", sent, new, deleted, earlier=reviews, dry_run=dry_run)
    summary = replace(summary, problems=(*summary.problems, *unreadable), unread=missing + len(unreadable))
    if dry_run:
        return summary
    if recognized != former:
        remember_former_addresses(workspace, url, recognized)
    for name in (*own, *recognized):
        remember_unread(workspace, f"{name}/projects/{found.id}", summary.unread if name == own[0] else 0)
    if news.cursor != found.link.cursor:
        remember(workspace, url, msgspec.structs.replace(found.link, cursor=news.cursor), as_own=False)
    return summary


def watch(
    workspace: Workspace, target: Target, *, project: str | None = None, every_s: float = 10.0
) -> Iterator[PullSummary | StoppedError]:
    """Pulls repeatedly. While the server is unreachable, yields the error and continues."""
    while True:
        try:
            yield pull(workspace, target, project=project)
        except StoppedError as error:
            yield error
        time.sleep(every_s)


def _existing(client: Any, workspace: Workspace, url: str, title: str | None) -> Project:
    found = find_project(client, workspace, url, title)
    if found is None:
        raise InputError(
            "This workspace has no project on the server yet",
            where=url,
            expected="a project that fmn-data annotate push made",
            next_step="run fmn-data annotate push first, or name the project with --project",
        )
    return _with_verdict(found, url)


def _with_verdict(found: Project, url: str) -> Project:
    if "verdict" not in control_targets(found.page):
        raise InputError(
            "The page of the project no longer has the control `verdict`: decisions cannot be read",
            where=f"{url}/projects/{found.id}/settings/labeling",
            expected="the labeling configuration that was pushed",
            next_step="restore it with: fmn-data annotate push --replace-config",
        )
    return found


def _of_server(rows: Iterable[ReviewRow], own: Collection[str], former: Mapping[str, str]) -> list[ReviewRow]:
    """Returns the rows that were pulled from the server: from an address of its own, or from a former one, in time."""
    return [
        row for row in rows if (at := row.label_studio).server in own or at.created <= former.get(at.server or "", "")
    ]


def _pulled_from(rows: Iterable[ReviewRow], news: Changes) -> dict[str, str]:
    """Returns the addresses from which annotations in ``news`` were pulled before, and when the newest was created."""
    here = {(one["id"], utc(one["created_at"])) for task in news.tasks.values() for one in task["annotations"]}
    newest: dict[str, str] = {}
    for row in rows:
        name, created = row.label_studio.server, row.label_studio.created
        if name is not None and row.source[:2] in here:
            newest[name] = max(created, newest.get(name, ""))
    return newest


def _gone_from_tasks(known: Sequence[ReviewRow], news: Changes) -> list[ReviewRow]:
    """Returns the rows whose task was listed again and no longer has their annotation."""
    present = {
        task_id: {annotation["id"] for annotation in task["annotations"]} for task_id, task in news.tasks.items()
    }
    return [
        row
        for row in known
        if row.label_studio.task in present and row.label_studio.annotation not in present[row.label_studio.task]
    ]


def _annotations(rows: Iterable[ReviewRow]) -> set[int]:
    return {row.label_studio.annotation for row in rows}


def _annotations_of(tasks: Iterable[Mapping[str, Any]]) -> set[int]:
    return {annotation["id"] for task in tasks if is_ours(task) for annotation in task["annotations"]}


def _read(
    tasks: Iterable[Mapping[str, Any]], server: str, names: Mapping[int, str]
) -> tuple[list[ReviewRow], list[tuple[str, str, str]]]:
    """Returns the rows of the tasks made by a push, and the unreadable tasks in the form of `PullSummary.problems`.

    Any member of a project can change its tasks; a broken task does not affect the work of others.
    """
    rows: list[ReviewRow] = []
    unreadable: list[tuple[str, str, str]] = []
    for task in filter(is_ours, tasks):
        try:
            rows += rows_of(task, server=server, names=names)
        except ValueError as error:
            place = f"{server}/projects/{task['project']}/data?task={task['id']}"
            unreadable.append((str(task["data"].get("clip_id", "?"))[:MOST_CHARACTERS], "?", f"{error} ({place})"))
    return rows, unreadable
