"""Tasks out and decisions back, against a real Label Studio server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import httpx
import msgspec
import pytest

from dataset_tools.classes import load_classes
from dataset_tools.errors import InputError, StoppedError
from dataset_tools.manifests import ClipRow, PredictionRow, UtteranceRow, read_rows, write_rows
from dataset_tools.review import (
    PullSummary,
    PushSummary,
    decide,
    pull,
    pull_from_file,
    push,
    push_to_file,
    read_reviews,
    reviews_path,
    status,
    watch,
)
from dataset_tools.review.labeling import labeling_config
from dataset_tools.review.projects import remembered
from dataset_tools.workspace import Workspace

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
THREE = ("cut_carrot_knife", "wash_apple", "take-out_frying-pan_plate")
MEDIA_URL = "http://127.0.0.1:9/media"
MakeWorkspace = Callable[..., Workspace]


class Running(Protocol):
    """`RunningServer` of conftest.py."""

    home: Workspace
    target: Any
    login: dict[str, str]

    def client(self, api_key: str | None = None) -> Any: ...
    def second_annotator(self, email: str) -> str: ...


def push_all(server: Running, workspace: Workspace, **options: Any) -> PushSummary:
    options = {"media_url": MEDIA_URL, **options}
    return push(workspace, classes=CLASSES, **server.login, **options)


def tasks_of(server: Running, project: int | None) -> dict[str, Any]:
    """The tasks of a project by clip id, asked of the server in the plainest way."""
    answer = httpx.get(
        f"{server.target.url}/api/tasks",
        params={"project": project, "fields": "all", "page_size": 100},
        headers={"Authorization": f"Token {server.target.api_key}"},
    )
    return {task["data"]["clip_id"]: SimpleNamespace(**task) for task in answer.json()["tasks"]}


def result(name: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "video", "type": kind, "value": value}


def verdict(choice: str) -> dict[str, Any]:
    return result("verdict", "choices", choices=[choice])


def keep(start: int, end: int) -> dict[str, Any]:
    return result("trim", "timelinelabels", ranges=[{"start": start, "end": end}], timelinelabels=["keep"])


def clips_of(workspace: Workspace) -> list[ClipRow]:
    return list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))


def change_clip(workspace: Workspace, number: int, **changes: Any) -> None:
    """What a later build might do to a clip."""
    clips = clips_of(workspace)
    clips[number] = msgspec.structs.replace(clips[number], **changes)
    write_rows(workspace.manifests / "clips.jsonl", clips)


def test_pushing_makes_one_task_a_clip_and_pushing_again_none(
    label_studio: Running, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE)
    planned = push_all(label_studio, workspace, dry_run=True)
    assert (planned.created, planned.project) == (3, None)
    assert remembered(workspace, label_studio.target.url) is None

    done = push_all(label_studio, workspace)
    assert (done.created, done.updated, done.unchanged) == (3, 0, 0)
    tasks = tasks_of(label_studio, done.project)
    clip = clips_of(workspace)[2]
    task = tasks[clip.id]
    assert set(tasks) == {one.id for one in clips_of(workspace)}
    assert task.data["video"] == f"{MEDIA_URL}/{clip.path}"
    assert (task.data["clip_sha256"], task.data["first_frame"], task.data["fps"]) == (clip.sha256, 101, 29.4)
    assert task.data["sentence"] == "A sentence about take-out_frying-pan_plate."
    prefilled = {one["from_name"]: one["value"]["taxonomy"] for one in task.predictions[0]["result"]}
    assert prefilled == {"action": [["take-out"]], "subject": [["frying-pan"]], "object": [["plate"]]}

    again = push_all(label_studio, workspace)
    assert (again.created, again.updated, again.unchanged, again.project) == (0, 0, 3, done.project)
    assert {task.id for task in tasks_of(label_studio, done.project).values()} == {task.id for task in tasks.values()}

    (workspace.annotations / "label-studio" / "projects.json").unlink()
    found = push_all(label_studio, workspace)
    assert (found.project, found.created) == (done.project, 0)


def test_every_decision_comes_back_once_with_its_changes_and_deletions(
    label_studio: Running, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE)
    project = push_all(label_studio, workspace).project
    client = label_studio.client()
    tasks = tasks_of(label_studio, project)
    first, second, third = (clip.id for clip in clips_of(workspace))
    assert pull(workspace, **label_studio.login) == PullSummary(0, 0, 0, (), None)
    assert not reviews_path(workspace).exists()

    trimmed = client.annotations.create(id=tasks[first].id, result=[verdict("trim"), keep(6, 20)], lead_time=3.5)
    rejected = client.annotations.create(id=tasks[second].id, result=[verdict("reject")])
    client.annotations.create(id=tasks[third].id, result=[], was_cancelled=True)
    news = pull(workspace, **label_studio.login)
    assert (news.decided, news.deleted, news.rows, news.problems) == (3, 0, 6, ())
    assert news.raw is not None
    sent = json.loads(news.raw.read_text())
    assert {one["result"][0]["from_name"] for task in sent for one in task["annotations"] if one["result"]} == {
        "verdict"
    }
    rows = {row.id: row for row in read_reviews(reviews_path(workspace)) if row.item == "clip"}
    assert (rows[first].verdict, rows[first].trim, rows[first].lead_time_s) == ("trim", (106, 120), 3.5)
    assert rows[first].content_sha256 == clips_of(workspace)[0].sha256
    assert (rows[second].verdict, rows[third].verdict) == ("reject", "skip")
    assert rows[first].annotator == "owner@localhost"
    assert rows[first].label_studio.annotation == trimmed.id

    content = reviews_path(workspace).read_bytes()
    files = sorted((workspace.annotations / "label-studio").iterdir())
    assert pull(workspace, **label_studio.login).rows == 0
    assert reviews_path(workspace).read_bytes() == content
    assert sorted((workspace.annotations / "label-studio").iterdir()) == files

    client.annotations.update(id=trimmed.id, result=[verdict("accept")])
    client.annotations.delete(rejected.id)
    news = pull(workspace, **label_studio.login)
    assert (news.decided, news.deleted) == (1, 1)
    assert reviews_path(workspace).read_bytes().startswith(content)
    decisions = decide(read_reviews(reviews_path(workspace)), "clip")
    assert {clip_id: decision.verdict for clip_id, decision in decisions.items()} == {first: "accept"}
    assert pull(workspace, **label_studio.login).rows == 0

    client.tasks.delete(str(tasks[first].id))  # and with it, without a trace, what was said there
    assert pull(workspace, **label_studio.login).deleted == 1
    assert decide(read_reviews(reviews_path(workspace)), "clip") == {}
    assert pull(workspace, **label_studio.login).rows == 0


def test_a_pull_killed_before_or_amid_the_rows_ends_right(
    label_studio: Running, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(THREE)
    project = push_all(label_studio, workspace).project
    for task in tasks_of(label_studio, project).values():
        label_studio.client().annotations.create(id=task.id, result=[verdict("accept")])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataset_tools.review.pulling.append_reviews", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(workspace, **label_studio.login)
    with monkeypatch.context() as patched:  # all rows written, the cursor not
        patched.setattr("dataset_tools.review.pulling.remember", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(workspace, **label_studio.login)
    path = reviews_path(workspace)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])  # … or only some, and a torn one
    assert pull(workspace, **label_studio.login).rows > 0
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert pull(workspace, **label_studio.login).rows == 0


def test_a_push_killed_halfway_is_completed_and_doubled_tasks_go(
    label_studio: Running, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(THREE)
    monkeypatch.setattr("dataset_tools.review.pushing._TASKS_PER_REQUEST", 1)

    def killed(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        push_all(label_studio, workspace, progress=killed)
    completed = push_all(label_studio, workspace)
    assert (completed.created, completed.unchanged) == (1, 2)

    # the server went on with a request whose sender was killed: a task is there twice
    task = tasks_of(label_studio, completed.project)[clips_of(workspace)[0].id]
    label_studio.client().projects.import_tasks(completed.project, request=[{"data": task.data}])
    assert push_all(label_studio, workspace).removed == 1
    assert len(list(label_studio.client().tasks.list(project=completed.project))) == 3


KILLED_PUSH = """
import sys
from pathlib import Path
from dataset_tools.classes import load_classes
from dataset_tools.review import push, pushing
from dataset_tools.workspace import Workspace

pushing._TASKS_PER_REQUEST = 1
root, url, key, media = sys.argv[1:]
push(Workspace(Path(root)), url=url, api_key=key, classes=load_classes(), media_url=media,
     progress=lambda stage, done, total, note="": print(done, flush=True))
"""


def test_a_push_whose_process_dies_is_completed(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace([*THREE, *THREE])
    login = label_studio.login
    arguments = [str(workspace.root), login["url"], login["api_key"], MEDIA_URL]
    with subprocess.Popen([sys.executable, "-c", KILLED_PUSH, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while process.stdout.readline() != b"1\n":
            assert process.poll() is None
        process.kill()  # amid the second request
    time.sleep(1)  # which the server may still carry out
    done = push_all(label_studio, workspace)
    assert done.created > 0
    assert push_all(label_studio, workspace).unchanged == 6
    assert sorted(tasks_of(label_studio, done.project)) == [clip.id for clip in clips_of(workspace)]
    assert len(list(label_studio.client().tasks.list(project=done.project))) == 6


def test_a_clip_that_changes_is_updated_or_shown_again(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    project = push_all(label_studio, workspace).project
    tasks = tasks_of(label_studio, project)
    decided, untouched, _ = clips_of(workspace)
    label_studio.client().annotations.create(id=tasks[decided.id].id, result=[verdict("accept")])

    change_clip(workspace, 0, sha256="d" * 64)
    change_clip(workspace, 1, sha256="e" * 64, class_id="peel_orange_knife")
    before_pull = push_all(label_studio, workspace)
    assert (before_pull.waiting, before_pull.updated, before_pull.again) == (1, 1, 0)
    updated = tasks_of(label_studio, project)[untouched.id]
    assert (updated.id, updated.data["clip_sha256"]) == (tasks[untouched.id].id, "e" * 64)
    prefilled = {one["from_name"]: one["value"]["taxonomy"] for one in updated.predictions[0]["result"]}
    assert prefilled == {"action": [["peel"]], "subject": [["orange"]], "object": [["knife"]]}
    change_clip(workspace, 1, trim=(111, 130), sha256="f" * 64, decided_sha256="e" * 64)
    assert push_all(label_studio, workspace).updated == 1
    drawn = tasks_of(label_studio, project)[untouched.id].predictions[0]["result"][-1]["value"]
    assert drawn["ranges"] == [{"start": 1, "end": 20}]  # without its footage the clip is shown as it was cut

    pull(workspace, **label_studio.login)
    shown_again = push_all(label_studio, workspace)
    assert (shown_again.again, shown_again.unchanged) == (1, 2)
    assert push_all(label_studio, workspace).again == 0
    looks = [task for task in label_studio.client().tasks.list(project=project) if task.data["clip_id"] == decided.id]
    assert sorted((task.data["look"], task.data["clip_sha256"]) for task in looks) == [
        (1, decided.sha256),
        (2, "d" * 64),
    ]

    (second_look,) = (task for task in looks if task.data["look"] == 2)
    label_studio.client().annotations.create(id=second_look.id, result=[verdict("reject")])
    pull(workspace, **label_studio.login)
    decision = decide(read_reviews(reviews_path(workspace)), "clip")[decided.id]
    assert (decision.verdict, decision.content_sha256, decision.votes) == ("reject", "d" * 64, 1)


def test_two_annotators_who_disagree_are_a_conflict(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    project = push_all(label_studio, workspace, annotators=2).project
    other = label_studio.client(label_studio.second_annotator("second@example.com"))
    first, second, third = tasks_of(label_studio, project).values()
    wrong_class = [
        result(name, "taxonomy", taxonomy=[[key]])
        for name, key in zip(("action", "subject", "object"), ("peel", "carrot", "knife"), strict=True)
    ]
    label_studio.client().annotations.create(id=first.id, result=[verdict("accept")])
    label_studio.client().annotations.create(id=second.id, result=[verdict("accept")])
    other.annotations.create(id=first.id, result=[verdict("accept"), *wrong_class])
    other.annotations.create(id=second.id, result=[verdict("accept")])
    other.annotations.create(id=third.id, result=[verdict("trim")])

    problems = pull(workspace, **label_studio.login).problems
    assert [(clip, who) for clip, who, _ in problems] == [(third.data["clip_id"], "second@example.com")]
    found = status(workspace)
    assert found.conflicts == (first.data["clip_id"],)
    rows = {row.class_id: row for row in found.classes}
    assert (rows[first.data["class"]].conflict, rows[first.data["class"]].corrected) == (1, 1)
    assert (rows[second.data["class"]].accepted, rows[third.data["class"]].to_do) == (1, 1)
    assert [(one.annotator, one.accepted, one.unusable) for one in found.annotators] == [
        ("owner@localhost", 2, 0),
        ("second@example.com", 2, 1),
    ]
    assert [task.overlap for task in tasks_of(label_studio, project).values()] == [2, 2, 2]
    third_key = label_studio.second_annotator("third@example.com")

    def offered_to_a_third() -> int:
        address = f"{label_studio.target.url}/api/projects/{project}/next"
        return int(httpx.get(address, headers={"Authorization": f"Token {third_key}"}).json()["id"])

    assert offered_to_a_third() == third.id
    label_studio.client(third_key).annotations.create(id=third.id, result=[], was_cancelled=True)
    assert push_all(label_studio, workspace, third_look=True).reopened == 1
    assert push_all(label_studio, workspace, third_look=True).reopened == 0
    assert offered_to_a_third() == first.id
    by_field = {one.field: one for one in found.agreement}
    assert (by_field["action"].measure, by_field["action"].items) == ("Cohen's kappa", 2)


def test_files_serve_those_without_access_to_the_server(
    label_studio: Running, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    client = label_studio.client()
    assert push_to_file(workspace, tmp_path / "tasks.json", classes=CLASSES, media_url=MEDIA_URL) == 3
    # what a person does in the browser: a project with that page, an import, decisions, an export
    project = client.projects.create(title="imported by hand", label_config=(tmp_path / "tasks.xml").read_text()).id
    client.projects.import_tasks(project, request=json.loads((tmp_path / "tasks.json").read_text()))
    tasks = tasks_of(label_studio, project)
    clip = clips_of(workspace)[0]
    client.annotations.create(id=tasks[clip.id].id, result=[verdict("trim"), keep(2, 9)])
    export = tmp_path / "export.json"
    export.write_bytes(b"".join(client.projects.exports.download_sync(project, export_type="JSON")))

    assert pull_from_file(workspace, export).rows == 2
    decision = decide(read_reviews(reviews_path(workspace)), "clip")[clip.id]
    assert (decision.verdict, decision.trim) == ("trim", (102, 109))
    assert pull_from_file(workspace, export).rows == 0
    # the same decisions through the API are the same decisions
    assert pull(workspace, **label_studio.login, project="imported by hand").rows == 0

    (tmp_path / "no.json").write_text('{"a": 1}')
    for wrong in (tmp_path / "no.json", tmp_path / "absent.json"):
        with pytest.raises(InputError, match="The export cannot be read"):
            pull_from_file(workspace, wrong)


def test_media_are_served_from_clips_and_speech_only(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    root = label_studio.target.document_root
    workspace = make_workspace(THREE[:1], root=root / "set with media", media=True)
    workspace.annotations.mkdir()
    (workspace.annotations / "private.txt").write_text("private")
    done = push_all(label_studio, workspace, media_url=None, document_root=root)
    (task,) = tasks_of(label_studio, done.project).values()
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


def test_without_speech_there_is_nothing_to_hear(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:1], speech=False)
    project = push_all(label_studio, workspace).project
    (task,) = tasks_of(label_studio, project).values()
    assert (task.data["speech"], task.data["sentence"]) == ("", "")
    label_studio.client().annotations.create(id=task.id, result=[verdict("accept")])
    assert pull(workspace, **label_studio.login).rows == 1


def test_what_the_server_refuses_is_said_and_nothing_is_half_done(
    label_studio: Running, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    login = label_studio.login
    with pytest.raises(InputError, match="refuses the API key"):
        push(workspace, classes=CLASSES, url=login["url"], api_key="0" * 40, media_url=MEDIA_URL)
    with pytest.raises(InputError, match="no project on the server yet"):
        pull(workspace, **login)
    projects = {project.id for project in label_studio.client().projects.list()}
    (workspace.root / "clips").mkdir(exist_ok=True)
    with pytest.raises(InputError, match="does not serve the folder clips/") as raised:
        push(workspace, classes=CLASSES, **login)  # its folder is not below the server's document root
    assert f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={workspace.root}" in str(raised.value)
    with pytest.raises(InputError, match="3 to 50 characters"):
        push_all(label_studio, workspace, project="ab")
    with pytest.raises(InputError, match="is not Label Studio"):
        pull(workspace, url=f"{login['url']}/projects/1", api_key=login["api_key"])
    assert {project.id for project in label_studio.client().projects.list()} == projects
    assert not reviews_path(workspace).exists()


def test_a_deleted_project_takes_no_decision_with_it(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:2])
    project = push_all(label_studio, workspace).project
    first, second = clips_of(workspace)
    label_studio.client().annotations.create(
        id=tasks_of(label_studio, project)[first.id].id, result=[verdict("accept")]
    )
    pull(workspace, **label_studio.login)
    content = reviews_path(workspace).read_bytes()
    label_studio.client().projects.delete(project)
    for command in (lambda: pull(workspace, **label_studio.login), lambda: push_all(label_studio, workspace)):
        with pytest.raises(InputError, match="is gone from the server") as raised:
            command()
        assert "--project" in str(raised.value.next_step)
    anew = push_all(label_studio, workspace, project="a second try")
    assert (anew.created, anew.decided) == (1, 1)
    assert list(tasks_of(label_studio, anew.project)) == [second.id]
    assert pull(workspace, **label_studio.login).rows == 0
    assert reviews_path(workspace).read_bytes() == content


def test_a_page_changed_in_the_browser_is_not_overwritten_unasked(
    label_studio: Running, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE[:1])
    project = push_all(label_studio, workspace).project
    client = label_studio.client()
    config = labeling_config(CLASSES)
    by_hand = config.replace('<Choice value="broken video" hotkey="7" />', "")
    client.projects.update(id=project, label_config=by_hand)
    with pytest.raises(InputError, match="was changed in the browser"):
        push_all(label_studio, workspace)
    assert client.projects.get(project).label_config == by_hand
    push_all(label_studio, workspace, replace_config=True)
    assert client.projects.get(project).label_config == config

    # a page of one's own replaces the one that was pushed, without more ado
    (workspace.annotations / "labeling.xml").write_text(by_hand)
    push_all(label_studio, workspace)
    assert "broken video" not in client.projects.get(project).label_config

    without_verdict = config.replace('name="verdict"', 'name="opinion"').replace('whenTagName="verdict"', "")
    client.projects.update(id=project, label_config=without_verdict)
    with pytest.raises(InputError, match="no control `verdict` any more"):
        pull(workspace, **label_studio.login)


def test_tasks_that_people_made_themselves_are_left_alone(label_studio: Running, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE[:1])
    project = push_all(label_studio, workspace).project
    client = label_studio.client()
    data = {"title": "mine", "video": "x", "fps": 25, "sentence": "", "speech": ""}
    mine = client.projects.import_tasks(project, return_task_ids=True, request=[{"data": data}]).task_ids[0]
    client.annotations.create(id=mine, result=[verdict("accept")])
    assert pull(workspace, **label_studio.login).rows == 0
    again = push_all(label_studio, workspace)
    assert (again.unchanged, again.gone) == (1, 0)
    assert client.tasks.get(str(mine)).data["title"] == "mine"


def test_a_models_guesses_prefill_the_page_and_order_the_tasks(
    label_studio: Running, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    clips = clips_of(workspace)
    project = push_all(label_studio, workspace).project
    run = tmp_path / "runs" / "fmn-demo"
    with pytest.raises(InputError, match="There is no such run"):
        push_all(label_studio, workspace, from_run=run)
    run.mkdir(parents=True)
    with pytest.raises(InputError, match="The run has no predictions") as raised:
        push_all(label_studio, workspace, from_run=run)
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
        assert push_all(label_studio, workspace, from_run=run).unchanged == 3
    tasks = tasks_of(label_studio, project)
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


def test_watching_goes_on_while_the_server_restarts(
    make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = PullSummary(0, 0, 0, (), None)
    answers = iter([nothing, StoppedError("down"), nothing])

    def one_pull(*_: object, **__: object) -> PullSummary:
        answer = next(answers)
        if isinstance(answer, StoppedError):
            raise answer
        return answer

    monkeypatch.setattr("dataset_tools.review.pulling.pull", one_pull)
    seen = watch(make_workspace(THREE), url="http://127.0.0.1:9", api_key="0" * 40, every_s=0)
    assert [type(next(seen)) for _ in range(3)] == [PullSummary, StoppedError, PullSummary]


def test_a_stopped_server_is_said_to_be_down(
    label_studio: Running, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_sdk.core.http_client.INITIAL_RETRY_DELAY_SECONDS", 0.01)
    workspace = make_workspace(THREE[:1])
    with pytest.raises(StoppedError, match="No server can be reached"):
        pull(workspace, url="http://127.0.0.1:9", api_key="0" * 40)
