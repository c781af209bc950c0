"""Pull from a JSON export of Label Studio, for servers that cannot be reached."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_lock, reviews_path
from dataset_tools.label_studio.annotation_rows import rows_of
from dataset_tools.label_studio.context_videos import source_videos
from dataset_tools.label_studio.labeled_tasks import is_ours
from dataset_tools.label_studio.pull_summary import PullSummary
from dataset_tools.label_studio.pulled_rows import keep, new_rows
from dataset_tools.label_studio.withdrawn_tasks import without_withdrawn
from dataset_tools.manifests import ClipRow, read_rows
from dataset_tools.speech.recordings.withdrawn_recordings import withdrawn_utterances

_NUMBERED = re.compile(r"user \d+")


def pull_from_file(workspace: Workspace, export: Path, *, dry_run: bool = False) -> PullSummary:
    """Appends the decisions in a JSON export of Label Studio that reviews.jsonl lacks (``dry_run``: only counts them).

    An export does not show deletions since an earlier one, so no decision is marked as deleted. It has the numbers of
    annotators, not their names (see `_of_known_annotators`).

    Raises:
        InputError: the file is not a JSON export of tasks that a push of this data set made.
    """
    withdrawn = withdrawn_utterances(workspace)
    tasks = [without_withdrawn(task, withdrawn) for task in _exported(export)]
    rows = [row for task in tasks for row in _rows(export, task)]
    with nullcontext() if dry_run else reviews_lock(workspace):
        reviews = read_reviews(reviews_path(workspace))
        if rows and not _is_of_this_data_set(workspace, rows, reviews):
            raise _not_an_export(
                export,
                f"its {count_of(len(tasks), 'task is', 'tasks are')} of another data set: this one has none of "
                f"their clips, such as {rows[0].id}, and none of their videos",
            )
        rows = _of_known_annotators(rows, reviews)
        new = new_rows(rows, reviews, present=False)
        return keep(workspace, "export", tasks, new, earlier=reviews, dry_run=dry_run)


def _exported(export: Path) -> list[dict[str, Any]]:
    """Returns those tasks of the file that were made by a push; users may have added tasks of their own."""
    try:
        tasks = msgspec.json.decode(export.read_bytes(), type=list[dict[str, Any]])
    except FileNotFoundError as error:
        raise _not_an_export(export, "there is no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _not_an_export(export, str(error)) from error
    ours = [task for task in tasks if is_ours(task)]
    if tasks and not ours:
        if not any("data" in task for task in tasks):
            raise _not_an_export(export, "its rows have no `data`, like those of a JSON-MIN export")
        raise _not_an_export(export, f"none of its {count_of(len(tasks), 'task')} was made by fmn-data annotate push")
    if ours and not any("annotations" in task for task in ours):
        raise _not_an_export(export, "its tasks have no `annotations`: it holds tasks to import, not decisions")
    return ours


def _rows(export: Path, task: Mapping[str, Any]) -> list[ReviewRow]:
    try:
        return list(rows_of(task, server=None, names={}))
    except ValueError as error:
        raise _not_an_export(export, f"a field is missing or wrong: {error}", f", task {task.get('id')}") from error


def _of_known_annotators(rows: Sequence[ReviewRow], reviews: Sequence[ReviewRow]) -> list[ReviewRow]:
    """Returns the rows of an export with the names that its annotators have in the workspace.

    Annotations that are known tell who has a number: an export has all of a project. Otherwise, a number that is known
    from elsewhere is another person's: each server numbers its accounts from 1. Else two would have one vote.
    """
    known = {row.source[:2]: row.annotator for row in reviews}
    names = {row.annotator: known[row.source[:2]] for row in rows if row.source[:2] in known}
    taken = {row.annotator for row in reviews}
    for name in sorted({row.annotator for row in rows} - names.keys()):
        numbered = (f"{name} ({number})" for number in count(2))
        is_other = name in taken and _NUMBERED.fullmatch(name) is not None
        names[name] = next(one for one in numbered if one not in taken) if is_other else name
    return [msgspec.structs.replace(row, annotator=names[row.annotator]) for row in rows]


def _is_of_this_data_set(workspace: Workspace, rows: list[ReviewRow], reviews: list[ReviewRow]) -> bool:
    """Whether any row refers to a clip or video known to the workspace; True if it has no clips yet."""
    manifest = workspace.manifests / "clips.jsonl"
    if not manifest.is_file():
        return True
    clips = list(read_rows(manifest, ClipRow))
    known = {clip.id for clip in clips} | {row.id for row in reviews}
    videos = set(source_videos(workspace, clips).values())
    return any(row.id in known or row.shown.source_sha256 in videos for row in rows)


def _not_an_export(export: Path, why: str, place: str = "") -> InputError:
    return InputError(
        f"The export cannot be read: {why}",
        where=f"{export}{place}",
        expected="a file that Label Studio exported as JSON, of tasks that fmn-data annotate push made",
        next_step="export the project of this data set again as JSON (not JSON-MIN), then pull --from that file",
    )
