"""What a real Label Studio server refuses or lost, and what people changed there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_answers import MEDIA_URL, verdict
from made_up_rows import THREE, clips_of

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import reviews_path
from dataset_tools.label_studio.labeling_config import labeling_config
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.workspace_server import Target

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
MakeWorkspace = Callable[..., Workspace]


def test_what_the_server_refuses_is_said_and_nothing_is_half_done(
    label_studio: Any, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    login = label_studio.login
    with pytest.raises(InputError, match="rejected the API key"):
        push(workspace, Target(login.url, "0" * 40), CLASSES, options=PushOptions(media_url=MEDIA_URL))
    with pytest.raises(InputError, match="no project on the server yet"):
        pull(workspace, login)
    projects = {project.id for project in label_studio.client().projects.list()}
    (workspace.root / "clips").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="does not serve the folder clips/") as raised:
        push(workspace, login, CLASSES)  # its folder is not below the server's document root
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={workspace.root}" in str(raised.value)
    with pytest.raises(InputError, match="3 to 50 characters"):
        label_studio.push_all(workspace, project="ab")
    with pytest.raises(InputError, match="is not Label Studio"):
        pull(workspace, Target(f"{login.url}/projects/1", login.api_key))
    assert {project.id for project in label_studio.client().projects.list()} == projects
    assert not reviews_path(workspace).exists()


def test_a_deleted_project_takes_no_decision_with_it(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:2])
    project = label_studio.push_all(workspace).project
    first, second = clips_of(workspace)
    label_studio.client().annotations.create(id=label_studio.tasks_of(project)[first.id].id, result=[verdict("accept")])
    pull(workspace, label_studio.login)
    content = reviews_path(workspace).read_bytes()
    label_studio.client().projects.delete(project)
    for command in (lambda: pull(workspace, label_studio.login), lambda: label_studio.push_all(workspace)):
        with pytest.raises(InputError, match="no longer exists on the server") as raised:
            command()
        assert "--project" in str(raised.value.next_step)
    anew = label_studio.push_all(workspace, project="a second try")
    assert (anew.created, anew.decided) == (1, 1)
    assert list(label_studio.tasks_of(anew.project)) == [second.id]
    assert pull(workspace, label_studio.login).rows == 0
    assert reviews_path(workspace).read_bytes() == content


def test_a_page_changed_in_the_browser_is_not_overwritten_unasked(
    label_studio: Any, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE[:1])
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    config = labeling_config(CLASSES)
    by_hand = config.replace('<Choice value="broken video" hotkey="7" />', "")
    client.projects.update(id=project, label_config=by_hand)
    with pytest.raises(InputError, match="was changed in the browser"):
        label_studio.push_all(workspace)
    assert client.projects.get(project).label_config == by_hand
    label_studio.push_all(workspace, replace_config=True)
    assert client.projects.get(project).label_config == config

    # a page of one's own replaces the one that was pushed, without more ado
    (workspace.annotations / "labeling.xml").write_text(by_hand)
    label_studio.push_all(workspace)
    assert "broken video" not in client.projects.get(project).label_config

    without_verdict = config.replace('name="verdict"', 'name="opinion"').replace('whenTagName="verdict"', "")
    client.projects.update(id=project, label_config=without_verdict)
    with pytest.raises(InputError, match="no longer has the control `verdict`"):
        pull(workspace, label_studio.login)


def test_tasks_that_people_made_themselves_are_left_alone(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:1])
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    data = {"title": "mine", "video": "x", "fps": 25, "sentence": "", "speech": ""}
    mine = client.projects.import_tasks(project, return_task_ids=True, request=[{"data": data}]).task_ids[0]
    client.annotations.create(id=mine, result=[verdict("accept")])
    assert pull(workspace, label_studio.login).rows == 0
    again = label_studio.push_all(workspace)
    assert (again.unchanged, again.gone) == (1, 0)
    assert client.tasks.get(str(mine)).data["title"] == "mine"


def test_a_stopped_server_is_said_to_be_down(
    label_studio: Any, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_sdk.core.http_client.INITIAL_RETRY_DELAY_SECONDS", 0.01)
    workspace = make_workspace(THREE[:1])
    with pytest.raises(StoppedError, match="The server cannot be reached"):
        pull(workspace, Target("http://127.0.0.1:9", "0" * 40))
