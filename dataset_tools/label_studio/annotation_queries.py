"""Incremental queries for the annotations of a Label Studio project."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dataset_tools.decisions.journal import utc
from dataset_tools.label_studio.connection import answers, is_forbidden, list_tasks
from dataset_tools.label_studio.labeled_tasks import is_ours

_TASKS_PER_PAGE = 100
_IDS_PER_PAGE = 1000
_IDS_PER_REQUEST = 100
# Changes become visible in commit order, not in the order of their timestamps.
_LATE_S = 60.0


@dataclass(frozen=True)
class Changes:
    """Changes in a project.

    Attributes:
        tasks: tasks with annotations that changed since the cursor, by id: ``id``, ``project``, ``data``,
            ``annotations``, ``updated_at``, as in Label Studio's JSON.
        cursor: where to resume next time, or None as long as the project has no annotations.
        annotations: number of annotations (skips included) in the project now.
    """

    tasks: Mapping[int, dict[str, Any]]
    cursor: str | None
    annotations: int


def changes(client: Any, url: str, project: int, cursor: str | None, highest: int) -> Changes:
    """Returns the tasks with annotations that changed since ``cursor`` (UTC), or all of them if it is None.

    Label Studio writes an annotation first, and ``updated_at`` and the counters of its task later; if it is killed in
    between, these are never updated. Tasks are therefore queried by annotation id as well: those with an annotation id
    above ``highest``, the highest known one, are included whatever their ``updated_at``. Tasks without annotations are
    left out: after a push, all of them are new.
    """
    started = time.monotonic()
    since = [] if cursor is None else [_condition("updated_at", "Datetime", cursor)]
    tasks: dict[int, dict[str, Any]] = {}
    with answers(url):
        for conditions in ([*since, _with_annotations_above(0)], [_with_annotations_above(highest)]):
            for task in _tasks(client, project, conditions):
                tasks[task["id"]] = task
        counts = client.projects.get(project)
    newest = max((task["updated_at"] for task in tasks.values()), default=None)
    if newest is not None:
        margin = timedelta(seconds=_LATE_S + time.monotonic() - started)
        newest = utc(datetime.fromisoformat(newest) - margin)
        cursor = newest if cursor is None else max(cursor, newest)
    total = (counts.total_annotations_number or 0) + (counts.skipped_annotations_number or 0)
    return Changes(tasks, cursor, total)


def annotation_ids(client: Any, url: str, project: int) -> dict[int, bool]:
    """Returns the ids of all annotations of a project, each with whether its task was made by a push."""
    ids: dict[int, bool] = {}
    with answers(url):
        for task in list_tasks(
            client,
            project=project,
            fields="all",
            include="id,data,annotations_ids",
            query=_query([_with_annotations_above(0)]),
            page_size=_IDS_PER_PAGE,
        ):
            ours = is_ours({"data": task.data})
            ids.update((int(one), ours) for one in (task.annotations_ids or "").split(",") if one)
    return ids


def tasks_with(client: Any, url: str, project: int, annotations: Collection[int]) -> dict[int, dict[str, Any]]:
    """Returns the tasks that have these annotations, by id."""
    ids = sorted(annotations)
    tasks: dict[int, dict[str, Any]] = {}
    with answers(url):
        for start in range(0, len(ids), _IDS_PER_REQUEST):
            some = _condition("annotations_ids", "Number", ids[start : start + _IDS_PER_REQUEST], "in_list")
            tasks.update((task["id"], task) for task in _tasks(client, project, [some]))
    return tasks


def annotator_names(client: Any, url: str) -> dict[int, str]:
    """Returns the e-mail addresses of the server's users by id; none if the account may not list them."""
    with answers(url):
        try:
            return {user.id: user.email for user in client.users.list() if user.email}
        except Exception as error:
            if is_forbidden(error):
                return {}
            raise


def _tasks(client: Any, project: int, conditions: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in list_tasks(
        client,
        project=project,
        fields="all",
        query=_query(conditions),
        page_size=_TASKS_PER_PAGE,
    ):
        yield {
            "id": task.id,
            "project": project,
            "data": task.data,
            "annotations": task.annotations or [],
            "updated_at": utc(task.updated_at),
        }


def _with_annotations_above(annotation: int) -> dict[str, Any]:
    return _condition("annotations_ids", "Number", annotation)


def _condition(field: str, kind: str, value: str | int | list[int], operator: str = "greater") -> dict[str, Any]:
    return {"filter": f"filter:tasks:{field}", "operator": operator, "type": kind, "value": value}


def _query(conditions: list[dict[str, Any]]) -> str:
    # Ordered by id: a task that changes during pagination keeps its position, so that none is skipped.
    return json.dumps({"filters": {"conjunction": "and", "items": conditions}, "ordering": ["tasks:id"]})
