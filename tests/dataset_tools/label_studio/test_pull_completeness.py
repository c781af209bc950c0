"""No decision that is on a server is passed over in silence, and none about a voice that withdrew comes back."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from made_up_answers import answer, verdict
from made_up_rows import THREE
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import live
from dataset_tools.decisions.unread import unread_warning
from dataset_tools.label_studio import pulled_rows
from dataset_tools.label_studio.projects import ProjectLink, remember, remembered_projects, wanted_annotators
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.pulled_rows import as_deleted, new_rows
from dataset_tools.manifests import UtteranceRow, read_rows
from dataset_tools.speech.booth.sessions import Booth

CLASSES = load_classes()
MakeWorkspace = Callable[..., Workspace]

with_a_server = pytest.mark.label_studio
on_one_worker = pytest.mark.xdist_group("label_studio")


ACCEPT = verdict("accept")
LATER = "2099-01-01T00:00:00.000000Z"
GOOD_SPEECH = answer("speech_verdict", "choices", "speech", choices=["accept"])


def reviewed(workspace: Workspace, item: str) -> set[str]:
    return {row.id for row in read_reviews(reviews_path(workspace)) if row.item == item and not row.deleted}


@with_a_server
@on_one_worker
def test_decisions_on_tasks_that_lost_a_field_are_missed(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace((*THREE, "sprinkle_salt"))
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    tasks = list(label_studio.tasks_of(project).values())
    lost = dict(zip(("frames", "clip_sha256", "clip_id"), tasks, strict=False))
    for task in tasks:
        client.annotations.create(id=task.id, result=[ACCEPT])
    for field, task in lost.items():
        client.tasks.update(str(task.id), data={name: one for name, one in task.data.items() if name != field})
    news = pull(workspace, label_studio.login)
    assert (news.decided, news.unread) == (1, 3)
    for field, task in lost.items():
        (why,) = (why for _, _, why in news.problems if f"task={task.id})" in why)
        assert f"`{field}`" in why
    assert "3 decisions in" in str(unread_warning(workspace))

    for task in lost.values():
        client.tasks.update(str(task.id), data=task.data)
    assert pull(workspace, label_studio.login).decided == 3
    assert unread_warning(workspace) is None


@with_a_server
@on_one_worker
def test_decisions_of_a_former_project_come_as_well(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    former = label_studio.push_all(workspace).project
    client = label_studio.client()
    first, second, third = label_studio.tasks_of(former).values()
    now = label_studio.push_all(workspace, project="the second of one workspace").project
    assert now != former
    client.annotations.create(id=first.id, result=[ACCEPT])
    assert pull(workspace, label_studio.login).decided == 1
    # … whichever of them was asked in between; pushes go where they went
    client.annotations.create(id=second.id, result=[ACCEPT])
    title = client.projects.get(former).title
    assert pull(workspace, label_studio.login, project=title).decided == 1
    assert label_studio.push_all(workspace).project == now
    client.annotations.create(id=third.id, result=[ACCEPT])
    client.annotations.create(id=label_studio.tasks_of(now)[third.data["clip_id"]].id, result=[ACCEPT])
    news = pull(workspace, label_studio.login)
    assert (news.rows, news.decided) == (4, 1)  # one clip, in two projects
    assert reviewed(workspace, "clip") == {task.data["clip_id"] for task in (first, second, third)}
    assert pull(workspace, label_studio.login).rows == 0

    client.projects.delete(former)
    assert pull(workspace, label_studio.login).rows == 0
    assert remembered_projects(workspace) == [f"{label_studio.target.url}/projects/{now}"]
    assert len(reviewed(workspace, "clip")) == 3


def speech_bytes(path: Path, tone_hz: float) -> bytes:
    """A second of a tone that swells and fades, as a wav."""
    time_s = np.arange(16000) / 16000
    samples = 9000 * np.sin(2 * np.pi * tone_hz * time_s) * np.sin(2 * np.pi * 2 * time_s) ** 2
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())
    return path.read_bytes()


@with_a_server
@on_one_worker
def test_what_was_deleted_is_noticed_though_the_server_has_another_address_now(
    label_studio: Any, make_workspace: MakeWorkspace
) -> None:
    """Two decisions are deleted: one before the first pull from the new address, one after it."""
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace, annotators=2).project
    client = label_studio.client()
    tasks = label_studio.tasks_of(project).values()
    first, second, _ = (client.annotations.create(id=task.id, result=[ACCEPT]).id for task in tasks)
    pull(workspace, label_studio.login)
    records = (reviews_path(workspace), workspace.annotations / "label-studio" / "projects.json")
    for path in records:
        text = path.read_text("utf-8")
        path.write_text(text.replace(label_studio.target.url, "https://labels.example.org"), "utf-8")

    client.annotations.delete(first)
    assert pull(workspace, label_studio.login, dry_run=True).deleted == 1
    assert pull(workspace, label_studio.login).deleted == 1
    assert (label_studio.push_all(workspace, annotators=1).unchanged, wanted_annotators(workspace)) == (3, 1)
    client.annotations.delete(second)
    assert pull(workspace, label_studio.login).deleted == 1
    (left,) = (row for row in live(read_reviews(reviews_path(workspace))) if row.item == "clip")
    assert pull(workspace, label_studio.login).rows == 0

    # A new server at the former address gives the same ids again: its project and decisions are its own.
    ids = msgspec.structs.replace(left.label_studio, annotation=left.label_studio.annotation - 1, created=LATER)
    append_reviews(reviews_path(workspace), [msgspec.structs.replace(left, time=LATER, label_studio=ids)])
    remember(workspace, "https://labels.example.org", ProjectLink(project=project, title="set", config=""))
    client.annotations.create(id=label_studio.tasks_of(project)[left.id].id, result=[ACCEPT])
    found = pull(workspace, label_studio.login)
    assert (found.deleted, found.decided) == (0, 1)
    assert f"https://labels.example.org/projects/{project}" in remembered_projects(workspace)


@with_a_server
@on_one_worker
def test_a_voice_that_withdrew_leaves_all_tasks_and_never_comes_back(
    label_studio: Any, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    booth = Booth(workspace, CLASSES)
    voices = {"anna": 300.0, "bob": 500.0}
    for clip, (name, tone_hz) in zip(booth.clips, voices.items(), strict=False):
        voice = booth.consents.admit(name.title(), agreed=True)
        shown = {line["clip"]: line["sentence"] for line in booth.state(voice)["lines"]}
        booth.keep(clip, voice, shown[clip], speech_bytes(tmp_path / f"{name}.wav", tone_hz))
    spoken = {row.voice: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert set(spoken) == set(voices)
    client = label_studio.client()
    projects = [
        label_studio.push_all(workspace).project,
        label_studio.push_all(workspace, project="a second with voices").project,
    ]
    tasks = label_studio.tasks_of(projects[0])
    for row in spoken.values():  # before the withdrawal, pulled …
        client.annotations.create(id=tasks[row.clip].id, result=[ACCEPT, GOOD_SPEECH])
    pull(workspace, label_studio.login)
    assert reviewed(workspace, "utterance") == {row.id for row in spoken.values()}
    client.annotations.create(id=tasks[spoken["anna"].clip].id, result=[ACCEPT, GOOD_SPEECH])  # … and not

    command = ["speech", "forget", "anna", "--yes", "--workspace", str(workspace.root)]
    forgotten = CliRunner().invoke(app, command)
    assert forgotten.exit_code == 0, forgotten.output
    assert reviewed(workspace, "utterance") == {spoken["bob"].id}

    assert pull(workspace, label_studio.login).rows == 1  # what was said of the clip
    pushed = label_studio.push_all(workspace)
    assert pushed.withdrawn == 2
    for project in projects:
        data = {clip: task.data for clip, task in label_studio.tasks_of(project).items()}
        assert "anna" not in str(data)
        assert {data[spoken["anna"].clip][name] for name in ("utterance_id", "utterance_sha256")} == {None}
        assert data[spoken["anna"].clip]["speech"] == ""
        assert data[spoken["bob"].clip]["utterance_id"] == spoken["bob"].id
    assert label_studio.push_all(workspace).withdrawn == 0
    client.annotations.create(id=tasks[spoken["anna"].clip].id, result=[ACCEPT, GOOD_SPEECH])
    assert pull(workspace, label_studio.login).rows == 1
    assert pull(workspace, label_studio.login).rows == 0
    assert reviewed(workspace, "utterance") == {spoken["bob"].id}
    for path in workspace.annotations.rglob("*"):
        assert path.is_dir() or b"anna" not in path.read_bytes(), path


def test_a_decision_that_is_back_counts_though_the_clock_was_set_back(
    make_review: Callable[..., ReviewRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_review(minute=1, annotation=1)
    monkeypatch.setattr(pulled_rows, "_now", lambda: "2030-01-01T12:00:00.000000Z")
    deleted = as_deleted(row)
    monkeypatch.setattr(pulled_rows, "_now", lambda: "2030-01-01T11:00:00.000000Z")
    back = new_rows([row], [row, deleted], present=True)
    assert live([row, deleted, *back]) == back
    assert [msgspec.structs.replace(one, time=row.time) for one in back] == [row]
    assert new_rows([row], [row, deleted, *back], present=True) == []
