"""Clips become tasks of a real Label Studio server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from made_up_answers import MEDIA_URL, verdict
from made_up_rows import THREE, clips_of

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide
from dataset_tools.label_studio.projects import remembered
from dataset_tools.label_studio.pull import pull
from dataset_tools.manifests import PredictionRow, UtteranceRow, read_rows, write_rows

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
MakeWorkspace = Callable[..., Workspace]


def change_clip(workspace: Workspace, number: int, **changes: Any) -> None:
    """What a later build might do to a clip."""
    clips = clips_of(workspace)
    clips[number] = msgspec.structs.replace(clips[number], **changes)
    write_rows(workspace.manifests / "clips.jsonl", clips)


def test_pushing_makes_one_task_a_clip_and_pushing_again_none(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    planned = label_studio.push_all(workspace, dry_run=True)
    assert (planned.created, planned.project) == (3, None)
    assert remembered(workspace, label_studio.target.url) is None

    done = label_studio.push_all(workspace)
    assert (done.created, done.updated, done.unchanged) == (3, 0, 0)
    tasks = label_studio.tasks_of(done.project)
    clip = clips_of(workspace)[2]
    task = tasks[clip.id]
    assert set(tasks) == {one.id for one in clips_of(workspace)}
    assert task.data["video"] == f"{MEDIA_URL}/{clip.path}"
    assert (task.data["clip_sha256"], task.data["first_frame"], task.data["fps"]) == (clip.sha256, 101, 29.4)
    assert task.data["sentence"] == "A sentence about take-out_frying-pan_plate."
    prefilled = {one["from_name"]: one["value"]["taxonomy"] for one in task.predictions[0]["result"]}
    assert prefilled == {"action": [["take-out"]], "subject": [["frying-pan"]], "object": [["plate"]]}

    again = label_studio.push_all(workspace)
    assert (again.created, again.updated, again.unchanged, again.project) == (0, 0, 3, done.project)
    assert {task.id for task in label_studio.tasks_of(done.project).values()} == {task.id for task in tasks.values()}

    (workspace.annotations / "label-studio" / "projects.json").unlink()
    found = label_studio.push_all(workspace)
    assert (found.project, found.created) == (done.project, 0)


def test_the_instructions_are_those_of_the_workspace_where_it_has_some(
    label_studio: Any, make_workspace: MakeWorkspace
) -> None:
    def shown(project: int | None) -> str:
        return str(label_studio.client().projects.get(project).expert_instruction)

    workspace = make_workspace(THREE)
    assert "<b>Ctrl+Enter</b>" in shown(label_studio.push_all(workspace).project)
    own = workspace.annotations / "instructions.html"
    own.write_text("<p>Only hands.</p>")
    assert shown(label_studio.push_all(workspace, project="with its own").project) == "<p>Only hands.</p>"


def test_a_push_killed_halfway_is_completed_and_doubled_tasks_go(
    label_studio: Any, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(THREE)
    monkeypatch.setattr("dataset_tools.label_studio.push._TASKS_PER_REQUEST", 1)

    def killed(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_studio.push_all(workspace, progress=killed)
    completed = label_studio.push_all(workspace)
    assert (completed.created, completed.unchanged) == (1, 2)

    # the server went on with a request whose sender was killed: a task is there twice
    task = label_studio.tasks_of(completed.project)[clips_of(workspace)[0].id]
    label_studio.client().projects.import_tasks(completed.project, request=[{"data": task.data}])
    assert label_studio.push_all(workspace).removed == 1
    assert len(list(label_studio.client().tasks.list(project=completed.project))) == 3


KILLED_PUSH = """
import sys
from pathlib import Path
from dataset_tools.classes.reader import load_classes
from dataset_tools.label_studio import push as pushing; from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.workspace_server import Target
from dataset_tools.core.workspace import Workspace

pushing._TASKS_PER_REQUEST = 1
root, url, key, media = sys.argv[1:]
push(Workspace(Path(root)), Target(url, key), load_classes(), options=PushOptions(media_url=media),
     progress=lambda stage, done, total, note="": print(done, flush=True))
"""


def test_a_push_whose_process_dies_is_completed(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace([*THREE, *THREE])
    login = label_studio.login
    arguments = [str(workspace.root), login.url, login.api_key, MEDIA_URL]
    with subprocess.Popen([sys.executable, "-c", KILLED_PUSH, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"1\n":
            assert process.poll() is None
        process.kill()  # amid the second request
    time.sleep(1)  # which the server may still carry out
    done = label_studio.push_all(workspace)
    assert done.created > 0
    assert label_studio.push_all(workspace).unchanged == 6
    assert sorted(label_studio.tasks_of(done.project)) == [clip.id for clip in clips_of(workspace)]
    assert len(list(label_studio.client().tasks.list(project=done.project))) == 6


def test_a_clip_that_changes_is_updated_or_shown_again(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    tasks = label_studio.tasks_of(project)
    decided, untouched, _ = clips_of(workspace)
    label_studio.client().annotations.create(id=tasks[decided.id].id, result=[verdict("accept")])

    change_clip(workspace, 0, sha256="d" * 64)
    change_clip(workspace, 1, sha256="e" * 64, class_id="peel_orange_knife")
    before_pull = label_studio.push_all(workspace)
    assert (before_pull.waiting, before_pull.updated, before_pull.again) == (1, 1, 0)
    updated = label_studio.tasks_of(project)[untouched.id]
    assert (updated.id, updated.data["clip_sha256"]) == (tasks[untouched.id].id, "e" * 64)
    prefilled = {one["from_name"]: one["value"]["taxonomy"] for one in updated.predictions[0]["result"]}
    assert prefilled == {"action": [["peel"]], "subject": [["orange"]], "object": [["knife"]]}
    change_clip(workspace, 1, trim=(111, 130), sha256="f" * 64, decided_sha256="e" * 64)
    assert label_studio.push_all(workspace).updated == 1
    drawn = label_studio.tasks_of(project)[untouched.id].predictions[0]["result"][-1]["value"]
    assert drawn["ranges"] == [{"start": 1, "end": 20}]  # without its footage the clip is shown as it was cut

    pull(workspace, label_studio.login)
    shown_again = label_studio.push_all(workspace)
    assert (shown_again.again, shown_again.unchanged) == (1, 2)
    assert label_studio.push_all(workspace).again == 0
    looks = [task for task in label_studio.client().tasks.list(project=project) if task.data["clip_id"] == decided.id]
    assert sorted((task.data["look"], task.data["clip_sha256"]) for task in looks) == [
        (1, decided.sha256),
        (2, "d" * 64),
    ]

    (second_look,) = (task for task in looks if task.data["look"] == 2)
    label_studio.client().annotations.create(id=second_look.id, result=[verdict("reject")])
    pull(workspace, label_studio.login)
    decision = decide(read_reviews(reviews_path(workspace)), "clip")[decided.id]
    assert (decision.verdict, decision.content_sha256, decision.votes) == ("reject", "d" * 64, 1)


def test_without_speech_there_is_nothing_to_hear(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:1], speech=False)
    project = label_studio.push_all(workspace).project
    (task,) = label_studio.tasks_of(project).values()
    assert (task.data["speech"], task.data["sentence"]) == ("", "")
    label_studio.client().annotations.create(id=task.id, result=[verdict("accept")])
    assert pull(workspace, label_studio.login).rows == 1


def test_media_are_served_from_clips_and_speech_only(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    root = label_studio.target.document_root
    workspace = make_workspace(THREE[:1], root=root / "set with media", media=True)
    workspace.annotations.mkdir()
    (workspace.annotations / "private.txt").write_text("private")
    done = label_studio.push_all(workspace, media_url=None, document_root=root)
    (task,) = label_studio.tasks_of(done.project).values()
    headers = {"Authorization": f"Token {label_studio.target.api_key}"}
    url = label_studio.target.url
    clip = (workspace.root / clips_of(workspace)[0].path).read_bytes()
    assert httpx.get(url + task.data["video"], headers=headers).content == clip
    part = httpx.get(url + task.data["video"], headers={**headers, "Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, clip[10:20])
    utterance = next(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    assert (
        httpx.get(url + task.data["speech"], headers=headers).content == (workspace.root / utterance.path).read_bytes()
    )
    assert httpx.get(url + task.data["video"]).status_code in (401, 403)
    for private in ("annotations/private.txt", "manifests/clips.jsonl", "clips/../annotations/private.txt"):
        address = f"{url}/data/local-files/?d=set with media/{private}"
        assert httpx.get(address, headers=headers).status_code == 404


def test_a_models_predictions_prefill_the_page_and_order_the_tasks(
    label_studio: Any, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    clips = clips_of(workspace)
    project = label_studio.push_all(workspace).project
    run = tmp_path / "runs" / "fmn-demo"
    with pytest.raises(InputError, match="There is no such run"):
        label_studio.push_all(workspace, from_run=run)
    run.mkdir(parents=True)
    with pytest.raises(InputError, match="The run has no predictions") as raised:
        label_studio.push_all(workspace, from_run=run)
    assert f"fmn predict {run}" in str(raised.value)

    model, guessed, sureness = "fmn-demo@0123abcd", ("wash_apple", "wash_apple", "cut_carrot_knife"), (0.1, 0.9, 0.5)
    write_rows(
        run / "predictions.jsonl",
        [
            PredictionRow(
                id=clip.id,
                class_id=class_id,
                clip_sha256=clip.sha256,
                confidence=0.5,
                uncertainty=uncertainty,
                model=model,
            )
            for clip, class_id, uncertainty in zip(clips, guessed, sureness, strict=True)
        ],
    )
    for _ in range(2):
        pushed = label_studio.push_all(workspace, from_run=run)
        assert (pushed.unchanged, pushed.predicted) == (3, 3)
    tasks = label_studio.tasks_of(project)
    for clip, class_id in zip(clips, guessed, strict=True):
        (prediction,) = (one for one in tasks[clip.id].predictions if one["model_version"] == model)
        prefilled = [one["value"]["taxonomy"][0][0] for one in prediction["result"]]
        assert "_".join(prefilled).removesuffix("_(none)") == class_id

    def offered() -> str:
        address = f"{label_studio.target.url}/api/projects/{project}/next"
        headers = {"Authorization": f"Token {label_studio.target.api_key}"}
        return str(httpx.get(address, headers=headers).json()["data"]["clip_id"])

    order = []
    for _ in range(3):
        order.append(offered())
        label_studio.client().annotations.create(id=tasks[order[-1]].id, result=[verdict("accept")])
    assert order == [clips[1].id, clips[2].id, clips[0].id]


def test_a_models_predictions_change_nothing_once_everybody_has_answered(
    label_studio: Any, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    """The server refuses a project with a model that has no predictions."""
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    for task in label_studio.tasks_of(project).values():
        label_studio.client().annotations.create(id=task.id, result=[verdict("accept")])
    run = tmp_path / "runs" / "fmn-demo"
    run.mkdir(parents=True)
    rows = [
        PredictionRow(
            id=clip.id, class_id=THREE[0], clip_sha256=clip.sha256, confidence=0.5, uncertainty=0.5, model="fmn@1"
        )
        for clip in clips_of(workspace)
    ]
    write_rows(run / "predictions.jsonl", rows)
    pushed = label_studio.push_all(workspace, from_run=run)
    assert (pushed.unchanged, pushed.predicted) == (3, 0)
    assert label_studio.client().projects.get(id=project).model_version != "fmn@1"
    assert label_studio.push_all(workspace).predicted is None
