"""Push of clips and their utterances as Label Studio tasks: new ones and changed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_lock, reviews_path
from dataset_tools.decisions.verdicts import standing
from dataset_tools.label_studio.connection import answers, connect
from dataset_tools.label_studio.expected_tasks import Wanted, wanted_tasks
from dataset_tools.label_studio.predictions import read_guesses, show_guesses, with_guesses
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
from dataset_tools.label_studio.tasks import PREFILL_FIELDS, PREFILL_VERSION, Guess, Task
from dataset_tools.label_studio.withdrawn_tasks import without_speech
from dataset_tools.speech.consents import read_withdrawals
from dataset_tools.speech.withdrawn_recordings import withdrawn_utterances

_STAGE = "push"
_TASKS_PER_REQUEST = 1000
_TASKS_PER_PAGE = 1000
_LISTED_FIELDS = "id,data,total_annotations,cancelled_annotations,draft_exists,overlap"


def push(
    workspace: Workspace,
    *,
    url: str,
    api_key: str,
    classes: ClassFile,
    media_url: str | None = None,
    document_root: Path | None = None,
    project: str | None = None,
    replace_config: bool = False,
    annotators: int | None = None,
    third_look: bool = False,
    from_run: Path | None = None,
    ids: Sequence[str] | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> PushSummary:
    """Makes the workspace's project hold one task per clip, up to date.

    Pushing twice changes nothing. Killed on the way, the next push completes it. A task with annotations is
    never changed: when its clip has changed since, other than by what was decided, the clip gets another task. Only
    speech whose speaker withdrew is taken out of every task.

    Args:
        workspace: with manifests/clips.jsonl and, if there is speech, utterances.jsonl.
        url: address of the server.
        api_key: a token of it.
        classes: the class file of the data set.
        media_url: address under which the workspace's folders can be reached; None for a server on this machine that
            may read them itself.
        document_root: the server's document root, when it is not the workspace.
        project: title of the project to push to; None for the workspace's own.
        replace_config: also replace a labeling configuration that was changed in the browser.
        annotators: how many annotators every clip is shown to; None leaves that as it is (at first one).
        third_look: show clips in conflict to one more annotator.
        from_run: folder of a trained run that made predictions: what it takes a clip for is what the page starts with,
            and the clips it is least certain of are shown first. None leaves that as it is.
        ids: push only the clips of these, of their utterances or of their pairs, and show them once more where people
            decided on them already. None: every clip.
        jobs: processes at once that cut the videos to show.
        dry_run: only say what would be done.
        progress: told about the videos cut and the tasks written.

    Raises:
        InputError: an input, the address or the key is wrong, or the project was deleted.
        StoppedError: the server cannot be reached.
    """
    progress(_STAGE, 0, 1, "asks the server")
    guesses = {} if from_run is None else read_guesses(from_run)
    with connect(url, api_key) as client, reviews_lock(workspace):
        wanted = wanted_tasks(
            workspace,
            classes,
            media_url=media_url,
            document_root=document_root,
            ids=ids,
            jobs=jobs,
            dry_run=dry_run,
            progress=progress,
        )
        if guesses:
            tasks = with_guesses(wanted.tasks, wanted.clips, guesses, classes, wanted.controls)
            wanted = replace(wanted, tasks=tasks)
        reviews = read_reviews(reviews_path(workspace))
        found = find_project(client, workspace, url, project)
        present = [] if found is None else list(_present(client, url, found))
        is_withdrawn = withdrawn_utterances(workspace)
        withdrawn = [without_speech(one) for one in present if is_withdrawn(str(one.data.get("utterance_id")))]
        present = list({one.id: one for one in (*present, *withdrawn)}.values())
        sources = {task.clip_id: task.data["source_sha256"] for task in wanted.tasks}
        decisions = standing(reviews, wanted.clips, wanted.utterances, sources)
        plan = plan_push(
            wanted.tasks,
            present if ids is None else [one for one in present if one.clip_id in wanted.clips],
            settled=decisions.__contains__,
            pulled={row.label_studio.task for row in reviews if found and row.label_studio.project == found.id},
            last_look={row.id: row.label_studio.look for row in reviews if row.item == "clip"},
            undecided={one.id: one.votes for one in decisions.values() if one.conflict} if third_look else {},
            once_more=ids is not None and not third_look,  # which asks one more annotator about the same task
        )
        if not dry_run:
            found = _prepare(client, workspace, url, found, project, wanted, replace_config, annotators)
            if read_withdrawals(workspace):
                for other in find_others(client, workspace, url):
                    there = _present(client, url, other)
                    withdrawn += [
                        without_speech(one) for one in there if is_withdrawn(str(one.data.get("utterance_id")))
                    ]
            with answers(url):  # first, and whoever worked on them: nobody is to hear them any more
                for one in withdrawn:
                    client.tasks.update(str(one.id), data=dict(one.data))
            _write(client, url, found, plan, progress)
            if guesses:
                by_clip = {task.clip_id: task for task in wanted.tasks}
                untouched = {
                    one.id: by_clip[one.clip_id] for one in present if one.clip_id in by_clip and not one.worked_on
                }
                show_guesses(client, url, found.id, untouched, next(iter(guesses.values())).model)
        progress(_STAGE, 1, 1)
    return PushSummary(
        project=found.id if found else None,
        title=found.title if found else project or default_title(workspace),
        address=f"{url.rstrip('/')}/projects/{found.id}/data" if found else url,
        created=sum(task.look == 1 for task in plan.create),
        again=sum(task.look > 1 for task in plan.create),
        updated=len(plan.update),
        unchanged=plan.unchanged,
        decided=plan.decided,
        waiting=plan.waiting,
        removed=len(plan.remove),
        reopened=len(plan.reopen),
        gone=plan.gone,
        withdrawn=len(withdrawn),
        without_margin=wanted.without_margin,
        dry_run=dry_run,
    )


def push_to_file(
    workspace: Workspace,
    path: Path,
    *,
    classes: ClassFile,
    media_url: str | None = None,
    document_root: Path | None = None,
    ids: Sequence[str] | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> int:
    """Writes all tasks, or those of ``ids``, as a JSON file that Label Studio imports, with the page as ``<name>.xml``.

    Returns:
        How many tasks were written, or would be with ``dry_run``.

    Raises:
        InputError: an input is wrong, or ``path`` is an .xml file, or ``<name>.xml`` is a file of something else.
    """
    page = path.with_suffix(".xml")
    if page == path or (page.exists() and not (page.is_file() and b'name="verdict"' in page.read_bytes())):
        raise InputError(
            "The page would replace the tasks" if page == path else "A file of something else is where the page goes",
            where=page,
            expected="a name for the tasks, such as tasks.json, beside which the page can be written as tasks.xml",
            next_step="choose another name for --out",
        )
    wanted = wanted_tasks(
        workspace,
        classes,
        media_url=media_url,
        document_root=document_root,
        ids=ids,
        jobs=jobs,
        dry_run=dry_run,
        progress=progress,
    )
    if dry_run:
        return len(wanted.tasks)
    write_bytes(page, wanted.config.encode())
    tasks = [task.request() for task in wanted.tasks]
    write_bytes(path, msgspec.json.format(msgspec.json.encode(tasks), indent=1))
    return len(tasks)


def _present(client: Any, url: str, project: Project) -> Iterator[PresentTask]:
    """The tasks of the project that a push made."""
    with answers(url):
        for task in client.tasks.list(
            project=project.id, fields="task_only", include=_LISTED_FIELDS, page_size=_TASKS_PER_PAGE
        ):
            data = task.data or {}
            if "clip_id" in data:
                yield PresentTask(
                    id=task.id,
                    clip_id=data["clip_id"],
                    look=data.get("look") or 1,
                    data=data,
                    worked_on=bool(task.total_annotations or task.cancelled_annotations or task.draft_exists),
                    wanted_annotators=task.overlap or 1,
                )


def _prepare(
    client: Any,
    workspace: Workspace,
    url: str,
    found: Project | None,
    title: str | None,
    wanted: Wanted,
    replace_config: bool,
    annotators: int | None,
) -> Project:
    """The project, with the page, folders and annotators that the tasks need; made when there is none."""
    project = found or make_project(client, workspace, url, title, wanted.config)
    try:
        update_page(client, url, project, wanted.config, by_force=replace_config)
        serve_folders(client, url, project, wanted.addresses.storage_folders())
        if annotators is not None:
            with answers(url):
                client.projects.update(id=project.id, maximum_annotations=annotators)
    except BaseException:
        if project.made:  # empty, and of no use
            with answers(url):
                client.projects.delete(project.id)
        raise
    remember(workspace, url, msgspec.structs.replace(project.link, config=wanted.config))
    return project


def _write(client: Any, url: str, project: Project, plan: PushPlan, progress: Progress) -> None:
    total = len(plan.create) + len(plan.update) + len(plan.remove) + len(plan.reopen)
    done = 0
    progress(_STAGE, done, max(total, 1))
    with answers(url):
        for task_id in plan.remove:
            client.tasks.delete(str(task_id))
            done += 1
            progress(_STAGE, done, total)
        for task_id, annotators in plan.reopen:
            client.tasks.update(str(task_id), overlap=annotators, is_labeled=False)
            done += 1
            progress(_STAGE, done, total)
        for there, task in plan.update:
            client.tasks.update(str(there.id), data={**there.data, **task.data})
            if any(task.data[name] != there.data.get(name) for name in ("class", *PREFILL_FIELDS)):
                _update_prefill(client, project, there.id, task)
            done += 1
            progress(_STAGE, done, total)
        for start in range(0, len(plan.create), _TASKS_PER_REQUEST):
            chunk = plan.create[start : start + _TASKS_PER_REQUEST]
            # Asking again after a lost answer would make the tasks twice.
            client.projects.import_tasks(
                project.id, request=[_request(task, project) for task in chunk], request_options={"max_retries": 0}
            )
            done += len(chunk)
            progress(_STAGE, done, total)


def _request(task: Task, project: Project) -> dict[str, Any]:
    """The task to import, with a prefill for the model that the project shows."""
    if task.guess is None and project.model_version != PREFILL_VERSION:
        task = replace(task, guess=Guess(project.model_version, 0.0, task.prefill))
    return task.request()


def _update_prefill(client: Any, project: Project, task_id: int, task: Task) -> None:
    for prediction in client.predictions.list(task=task_id, project=project.id):
        if prediction.model_version == PREFILL_VERSION:
            client.predictions.update(prediction.id, result=list(task.prefill))
