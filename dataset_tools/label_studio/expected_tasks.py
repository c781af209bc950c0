"""Expected tasks: one for every clip of a workspace, or for every selected clip."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.connection import parsed_page, require_sdk
from dataset_tools.label_studio.context_videos import shown_videos
from dataset_tools.label_studio.labeling_config import control_targets, labeling_config
from dataset_tools.label_studio.media_urls import Addresses
from dataset_tools.label_studio.tasks import Task, classes_by_id, make_task, utterances_to_show
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.recordings.withdrawn_recordings import with_consent


def own_template(workspace: Workspace) -> Path | None:
    """Returns the workspace's own labeling.xml, if any."""
    path = workspace.annotations / "labeling.xml"
    return path if path.is_file() else None


def read_items(workspace: Workspace) -> tuple[list[ClipRow], list[UtteranceRow]]:
    """Reads the clips and utterances of a workspace; no utterances if it was built without speech.

    Raises:
        InputError: there are no clips, or a manifest cannot be read.
    """
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    if not clips:
        raise InputError(
            "The data set has no clips",
            where=workspace.manifests / "clips.jsonl",
            expected="at least one clip",
            next_step="run fmn-data build",
        )
    spoken = workspace.manifests / "utterances.jsonl"
    return clips, with_consent(workspace, read_rows(spoken, UtteranceRow, missing_ok=True))


def clips_of(ids: Sequence[str], clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> list[ClipRow]:
    """Returns the clips with these ids, or with an utterance or a pair of these ids, in the order of ``clips``.

    Raises:
        InputError: there is no item with one of the ids.
    """
    known = {clip.id for clip in clips}
    spoken = {row.id: row.clip for row in utterances}

    def clip_of(name: str) -> str | None:
        clip, _, utterance = name.partition("__")
        return name if name in known else spoken.get(name, clip if utterance in spoken else None)

    found = {name: clip_of(name) for name in ids}
    unknown = [name for name, clip in found.items() if clip not in known]
    if unknown or not found:
        raise InputError(
            f"The data set has no clip for: {', '.join(unknown)}" if unknown else "No ids are given",
            where="--ids",
            expected="ids of clips.jsonl, utterances.jsonl or pairs.jsonl, comma-separated",
            next_step="copy them from fmn serve, or from the manifests",
        )
    return [clip for clip in clips if clip.id in found.values()]


@dataclass(frozen=True)
class ExpectedTasks:
    """The expected tasks, one per clip, and their inputs.

    Attributes:
        tasks: the tasks. config: the labeling configuration. controls: its controls, each with its object.
        clips: by id. utterances: those that are shown, by clip id.
        addresses: maps paths of media to URLs.
        without_margin: number of clips shown without a margin because their footage is not available.
    """

    tasks: tuple[Task, ...]
    config: str
    controls: dict[str, str]
    clips: dict[str, ClipRow]
    utterances: dict[str, UtteranceRow]
    addresses: Addresses
    without_margin: int


def expected_tasks(
    workspace: Workspace,
    classes: ClassFile,
    *,
    media_url: str | None,
    document_root: Path | None,
    ids: Sequence[str] | None = None,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ExpectedTasks:
    """Returns the expected tasks of a workspace, and cuts the videos that they show; contacts no server.

    Args:
        workspace: with manifests/clips.jsonl.
        classes: the class file of the data set.
        media_url: see `Addresses`.
        document_root: see `Addresses`.
        ids: only tasks of these, see `clips_of`; None: of every clip.
        jobs: number of processes that cut videos.
        dry_run: write nothing.
        progress: progress callback, in videos cut.

    Raises:
        InputError: an input is wrong, or the SDK is not installed.
        StoppedError: the videos cannot be cut (a full disk, another command in the workspace).
    """
    require_sdk()
    clips, utterances = read_items(workspace)
    if ids is not None:
        clips = clips_of(ids, clips, utterances)
    config = labeling_config(classes, own_template(workspace))
    addresses = Addresses(workspace, media_url=media_url, document_root=document_root)
    by_id = classes_by_id(classes, clips)
    shown = utterances_to_show(utterances)
    controls = control_targets(config)
    videos = shown_videos(workspace, clips, jobs=jobs, dry_run=dry_run, progress=progress)
    tasks = tuple(
        make_task(clip, shown.get(clip.id), by_id[clip.class_id], controls, addresses, videos.by_clip[clip.id])
        for clip in clips
    )
    _check_prefill(config, tasks)
    return ExpectedTasks(
        tasks, config, controls, {clip.id: clip for clip in clips}, shown, addresses, videos.without_margin
    )


def _check_prefill(config: str, tasks: Sequence[Task]) -> None:
    """Validates each kind of prefill: Label Studio accepts any prediction, but the page then shows nothing.

    Raises:
        InputError: the page does not offer the prefill of a task.
    """
    page = parsed_page(config)
    for task in {json.dumps(task.prefill): task for task in tasks}.values():
        prediction = task.request()["predictions"][0] if task.prefill else None
        wrong = page.validate_prediction(prediction, return_errors=True) if prediction else []
        if wrong:
            raise InputError(
                f"The page cannot be prefilled with the class {task.data['class']}: {'; '.join(map(str, wrong))}",
                where="annotations/labeling.xml",
                expected="a Taxonomy that offers the words of the class file, or is empty",
                next_step="remove the choices of action, subject and object there: they are filled in automatically",
            )
