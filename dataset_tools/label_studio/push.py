"""Push of clips and their utterances as Label Studio tasks: new ones and changed ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, read_reviews, reviews_lock, reviews_path, utc
from dataset_tools.decisions.verdicts import final_decisions
from dataset_tools.label_studio.annotation_queries import tasks_with
from dataset_tools.label_studio.connection import answers, connect, list_tasks
from dataset_tools.label_studio.expected_tasks import ExpectedTasks, expected_tasks
from dataset_tools.label_studio.predictions import read_predictions, show_predictions, with_predictions
from dataset_tools.label_studio.projects import (
    Project,
    default_title,
    find_others,
    find_project,
    make_project,
    remember,
    serve_folders,
    update_page,
)
from dataset_tools.label_studio.push_plan import PresentTask, PushPlan, plan_push
from dataset_tools.label_studio.push_summary import PushSummary
from dataset_tools.label_studio.tasks import PREFILL_FIELDS, PREFILL_VERSION, Prediction, Task
from dataset_tools.label_studio.withdrawn_tasks import without_speech
from dataset_tools.label_studio.workspace_server import Target
from dataset_tools.speech.recordings.consents import read_withdrawals
from dataset_tools.speech.recordings.withdrawn_recordings import withdrawn_utterances

_STAGE = "push"
_TASKS_PER_REQUEST = 1000
_TASKS_PER_PAGE = 1000
_LISTED_FIELDS = "id,data,total_annotations,cancelled_annotations,draft_exists,overlap"


@dataclass(frozen=True)
class PushOptions:
    """What a push sends to which project.

    Attributes:
        media_url: URL under which the workspace's folders can be reached; None for a server on this machine that may
            read them itself.
        project: title of the project to push to; None for the workspace's own.
        replace_config: also replace a labeling configuration that was edited in the browser.
        annotators: number of annotators per clip; None keeps the project's number (one in a new project).
        resolve_conflicts: show clips in conflict to one more annotator.
        from_run: folder of a trained run with predictions: pages are prefilled with the predicted classes, and the
            least certain clips are shown first. None keeps the project's prefill.
        ids: push only clips with these ids, or with utterances or pairs of these ids, and show them again if they are
            decided already. None: every clip.
    """

    media_url: str | None = None
    project: str | None = None
    replace_config: bool = False
    annotators: int | None = None
    resolve_conflicts: bool = False
    from_run: Path | None = None
    ids: Sequence[str] | None = None


DEFAULT_OPTIONS = PushOptions()


def push(
    workspace: Workspace,
    target: Target,
    classes: ClassFile,
    *,
    options: PushOptions = DEFAULT_OPTIONS,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PushSummary:
    """Updates the workspace's project to one current task per clip.

    Pushing is idempotent; a push that was killed is completed by the next one. What a decision refers to is never
    changed in a task with annotations: if its clip has changed since, other than by the decision itself, the clip gets
    another task. Other fields, such as URLs of media, are updated, and speech whose speaker withdrew is removed from
    every task.

    Args:
        workspace: with manifests/clips.jsonl and, if there is speech, utterances.jsonl.
        target: the server.
        classes: the class file of the data set.
        options: what to push to which project.
        jobs: number of processes that cut the videos to show.
        dry_run: only report what would be done.
        progress: progress callback, in videos cut and tasks written.

    Raises:
        InputError: an input, the address or the key is wrong, or the project was deleted.
        StoppedError: the server cannot be reached.
    """
    progress(_STAGE, 0, 1, "querying the server")
    url = target.url
    predictions = {} if options.from_run is None else read_predictions(options.from_run)
    with connect(url, target.api_key) as client, nullcontext() if dry_run else reviews_lock(workspace):
        expected = expected_tasks(
            workspace,
            classes,
            media_url=options.media_url,
            document_root=target.document_root,
            ids=options.ids,
            jobs=jobs,
            dry_run=dry_run,
            progress=progress,
        )
        if predictions:
            tasks = with_predictions(expected.tasks, expected.clips, predictions, classes, expected.controls)
            expected = replace(expected, tasks=tasks)
        project = find_project(client, workspace, url, options.project)
        present = [] if project is None else list(_present(client, url, project))
        is_withdrawn, predicted = withdrawn_utterances(workspace), None
        withdrawn = _without_withdrawn_speech(present, is_withdrawn)
        present = list({one.id: one for one in (*present, *withdrawn)}.values())
        plan = _plan(client, workspace, url, expected, project, present, options)
        if not dry_run:
            project = _prepare(client, workspace, url, project, expected, options)
            if read_withdrawals(workspace):
                for other in find_others(client, workspace, url):
                    withdrawn += _without_withdrawn_speech(_present(client, url, other), is_withdrawn)
            with answers(url):  # first, and even if annotated: withdrawn speech must no longer be heard
                for one in withdrawn:
                    client.tasks.update(str(one.id), data=dict(one.data))
            _write(client, url, project, plan, progress)
            if predictions:
                model = next(iter(predictions.values())).model
                predicted = show_predictions(client, url, project.id, _untouched(present, expected), model)
        progress(_STAGE, 1, 1)
    return PushSummary(
        project=project.id if project else None,
        title=project.title if project else options.project or default_title(workspace),
        address=f"{url.rstrip('/')}/projects/{project.id}/data" if project else url,
        **plan.counts(),
        withdrawn=len(withdrawn),
        without_margin=expected.without_margin,
        predicted=predicted,
        dry_run=dry_run,
    )


def _plan(
    client: Any,
    workspace: Workspace,
    url: str,
    expected: ExpectedTasks,
    project: Project | None,
    present: Sequence[PresentTask],
    options: PushOptions,
) -> PushPlan:
    """Compares the expected tasks with those of the project (None if there is none yet), given the decisions."""
    reviews = read_reviews(reviews_path(workspace))
    sources = {task.clip_id: task.data["source_sha256"] for task in expected.tasks}
    decisions = final_decisions(reviews, expected.clips, expected.utterances, sources)
    annotators = options.annotators or (project.annotators if project else 1)
    return plan_push(
        expected.tasks,
        present if options.ids is None else [one for one in present if one.clip_id in expected.clips],
        is_final=decisions.__contains__,
        pulled=lambda task_ids: _pulled(client, url, project, reviews, task_ids) if project else (),
        last_round={row.id: row.label_studio.review_round for row in reviews if row.item == "clip"},
        too_few={one.id for one in decisions.values() if one.votes < annotators},
        undecided={one.id: one.votes for one in decisions.values() if one.conflict and options.resolve_conflicts},
        show_again=options.ids is not None and not options.resolve_conflicts,  # that reopens the same task
    )


def _pulled(
    client: Any, url: str, project: Project, reviews: Iterable[ReviewRow], task_ids: Collection[int]
) -> list[int]:
    """Returns those of the tasks all of whose annotations, in their present state, are among the reviews.

    Annotations are compared by id and creation time: two servers give the same ids to projects and tasks, and a row may
    come from an export file, or from another address of this server.
    """
    times = {row.source[:2]: row.time for row in sorted(reviews, key=lambda row: row.time)}
    here = [row.label_studio for row in reviews if row.label_studio.project == project.id]
    found = tasks_with(client, url, project.id, {one.annotation for one in here if one.task in task_ids})
    return [
        task_id
        for task_id, task in found.items()
        if task_id in task_ids
        and all(
            times.get((one["id"], utc(one["created_at"])), "") >= utc(one["updated_at"]) for one in task["annotations"]
        )
    ]


def _untouched(present: Iterable[PresentTask], expected: ExpectedTasks) -> dict[int, Task]:
    """Returns the expected tasks of those that nobody has worked on, by id on the server."""
    by_clip = {task.clip_id: task for task in expected.tasks}
    return {one.id: by_clip[one.clip_id] for one in present if one.clip_id in by_clip and not one.worked_on}


def _without_withdrawn_speech(present: Iterable[PresentTask], is_withdrawn: Callable[[str], bool]) -> list[PresentTask]:
    """Returns those tasks whose utterance was withdrawn, each without its speech."""
    return [without_speech(one) for one in present if is_withdrawn(str(one.data.get("utterance_id")))]


def _present(client: Any, url: str, project: Project) -> Iterator[PresentTask]:
    """Yields the tasks of the project that were made by a push."""
    with answers(url):
        for task in list_tasks(
            client, project=project.id, fields="task_only", include=_LISTED_FIELDS, page_size=_TASKS_PER_PAGE
        ):
            data = task.data or {}
            if "clip_id" in data:
                yield PresentTask(
                    id=task.id,
                    clip_id=data["clip_id"],
                    review_round=data.get("look") or 1,
                    data=data,
                    worked_on=bool(task.total_annotations or task.cancelled_annotations or task.draft_exists),
                    wanted_annotators=task.overlap or 1,
                )


def _prepare(
    client: Any,
    workspace: Workspace,
    url: str,
    found: Project | None,
    expected: ExpectedTasks,
    options: PushOptions,
) -> Project:
    """Returns the project with the page, folders and annotators that the tasks need; creates it if there is none."""
    project = found or make_project(client, workspace, url, options.project, expected.config)
    try:
        update_page(client, url, project, expected.config, by_force=options.replace_config)
        serve_folders(client, url, project, expected.addresses.storage_folders())
        if options.annotators is not None:
            with answers(url):
                client.projects.update(id=project.id, maximum_annotations=options.annotators)
    except BaseException:
        if project.made:  # without tasks, so useless
            with answers(url):
                client.projects.delete(project.id)
        raise
    annotators = options.annotators or project.annotators
    remember(workspace, url, msgspec.structs.replace(project.link, config=expected.config, annotators=annotators))
    return project


def _write(client: Any, url: str, project: Project, plan: PushPlan, progress: Progress) -> None:
    """Writes the tasks of the plan to the server."""
    total = len(plan.create) + len(plan.update) + len(plan.remove) + len(plan.reopen)
    progress(_STAGE, 0, max(total, 1))
    done = 0
    with answers(url):
        for count in _written(client, project, plan):
            done += count
            progress(_STAGE, done, total)


def _written(client: Any, project: Project, plan: PushPlan) -> Iterator[int]:
    """Sends the requests of the plan; yields after each the number of tasks that it wrote."""
    for task_id in plan.remove:
        client.tasks.delete(str(task_id))
        yield 1
    for task_id, annotators in plan.reopen:
        client.tasks.update(str(task_id), overlap=annotators, is_labeled=False)
        yield 1
    for present, task in plan.update:
        client.tasks.update(str(present.id), data={**present.data, **task.data})
        if any(task.data[name] != present.data.get(name) for name in ("class", *PREFILL_FIELDS)):
            _update_prefill(client, project, present.id, task)
        yield 1
    for start in range(0, len(plan.create), _TASKS_PER_REQUEST):
        chunk = plan.create[start : start + _TASKS_PER_REQUEST]
        # A retry after a lost response would create the tasks twice.
        client.projects.import_tasks(
            project.id, request=[_request(task, project) for task in chunk], request_options={"max_retries": 0}
        )
        yield len(chunk)


def _request(task: Task, project: Project) -> dict[str, Any]:
    """Returns the task to import, with a prefill under the model version that the project shows."""
    if task.prediction is None and project.model_version != PREFILL_VERSION:
        task = replace(task, prediction=Prediction(project.model_version, 0.0, task.prefill))
    return task.request()


def _update_prefill(client: Any, project: Project, task_id: int, task: Task) -> None:
    for prediction in client.predictions.list(task=task_id, project=project.id):
        if prediction.model_version == PREFILL_VERSION:
            client.predictions.update(prediction.id, result=list(task.prefill))
