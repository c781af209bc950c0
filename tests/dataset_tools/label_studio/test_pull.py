"""Decisions come back from a real Label Studio server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_up_answers import MEDIA_URL, answer, keep, verdict
from made_up_rows import THREE, clips_of
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide
from dataset_tools.decisions.unread import unread_warning
from dataset_tools.label_studio.annotation_queries import annotation_ids
from dataset_tools.label_studio.export_file import pull_from_file
from dataset_tools.label_studio.pull import pull, watch
from dataset_tools.label_studio.pull_summary import PullSummary
from dataset_tools.label_studio.review_status import status
from dataset_tools.label_studio.task_file import push_to_file
from dataset_tools.label_studio.workspace_server import Target

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

CLASSES = load_classes()
MakeWorkspace = Callable[..., Workspace]


def test_every_decision_comes_back_once_with_its_changes_and_deletions(
    label_studio: Any, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    tasks = label_studio.tasks_of(project)
    first, second, third = (clip.id for clip in clips_of(workspace))
    assert pull(workspace, label_studio.login) == PullSummary()
    assert not reviews_path(workspace).exists()

    trimmed = client.annotations.create(id=tasks[first].id, result=[verdict("trim"), keep(6, 20)], lead_time=3.5)
    rejected = client.annotations.create(id=tasks[second].id, result=[verdict("reject")])
    client.annotations.create(id=tasks[third].id, result=[], was_cancelled=True)
    news = pull(workspace, label_studio.login)
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
    assert pull(workspace, label_studio.login).rows == 0
    assert reviews_path(workspace).read_bytes() == content
    assert sorted((workspace.annotations / "label-studio").iterdir()) == files

    client.annotations.update(id=trimmed.id, result=[verdict("accept")])
    client.annotations.delete(rejected.id)
    news = pull(workspace, label_studio.login)
    assert (news.decided, news.deleted) == (1, 1)
    assert reviews_path(workspace).read_bytes().startswith(content)
    decisions = decide(read_reviews(reviews_path(workspace)), "clip")
    assert {clip_id: decision.verdict for clip_id, decision in decisions.items()} == {first: "accept"}
    assert pull(workspace, label_studio.login).rows == 0

    client.tasks.delete(str(tasks[first].id))  # and with it, without a trace, what was said there
    assert pull(workspace, label_studio.login).deleted == 1
    assert decide(read_reviews(reviews_path(workspace)), "clip") == {}
    assert pull(workspace, label_studio.login).rows == 0


def test_a_dry_run_says_what_the_pull_adds_and_writes_nothing(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    former = label_studio.push_all(workspace).project
    current = label_studio.push_all(workspace, project="A new project").project
    client = label_studio.client()
    task, other, _ = label_studio.tasks_of(current).values()
    changed, removed = (client.annotations.create(id=one.id, result=[verdict("accept")]) for one in (task, other))

    def planned() -> PullSummary:
        before = {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()}
        summary = pull(workspace, label_studio.login, dry_run=True)
        assert {path: path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()} == before
        assert (summary.raw, summary.dry_run) == (None, True)
        return summary

    def pulled() -> PullSummary:
        return replace(pull(workspace, label_studio.login), raw=None, dry_run=True)

    said = planned()
    assert (said.decided, said.revised, said.deleted) == (2, 0, 0)
    assert pulled() == said
    client.annotations.update(id=changed.id, result=[verdict("reject")])
    client.annotations.delete(removed.id)
    client.projects.delete(former)  # its record stays until it is found missing
    said = planned()
    assert (said.decided, said.revised, said.deleted) == (1, 1, 1)
    assert said.text() == "would pull: decisions on 1 clip, changed ones on 1 of them, 1 deleted"
    assert pulled() == said
    assert planned().text() == "would pull: nothing new"


def test_a_decision_comes_though_its_task_seems_unchanged(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    """A server that is killed between the two leaves an annotation whose task has neither its time nor its count."""
    workspace = make_workspace((*THREE, "sprinkle_salt"))
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    first, second, third, fourth = label_studio.tasks_of(project).values()

    def as_killed(task: Any) -> None:
        database = label_studio.home.cache / "label-studio" / "data" / "label_studio.sqlite3"
        with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            old = "total_annotations = 0, cancelled_annotations = 0, updated_at = '2020-01-01 00:00:00'"
            assert connection.execute(f"UPDATE task SET {old} WHERE id = ?", (task.id,)).rowcount == 1

    def known() -> set[str]:
        return {row.id for row in read_reviews(reviews_path(workspace)) if row.item == "clip" and not row.deleted}

    client.annotations.create(id=first.id, result=[verdict("accept")])
    assert pull(workspace, label_studio.login).decided == 1
    client.annotations.create(id=second.id, result=[verdict("reject")])
    as_killed(second)
    assert pull(workspace, label_studio.login).decided == 1
    assert known() == {first.data["clip_id"], second.data["clip_id"]}
    assert pull(workspace, label_studio.login).rows == 0

    path = reviews_path(workspace)

    def forget(task: Any) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if task.data["clip_id"].encode() not in line))

    # … also one with a lower number than another that has come, which happens where several write at once
    client.annotations.create(id=third.id, result=[verdict("accept")])
    client.annotations.create(id=fourth.id, result=[verdict("accept")])
    assert pull(workspace, label_studio.login).decided == 2
    forget(third)
    as_killed(third)
    assert third.data["clip_id"] not in known()
    assert pull(workspace, label_studio.login).decided == 1
    assert len(known()) == 4

    # … and where as many were deleted, without a trace, as are missing
    forget(third)
    client.tasks.delete(str(second.id))
    client.annotations.update(id=client.annotations.list(id=first.id)[0].id, result=[verdict("reject")])
    news = pull(workspace, label_studio.login)
    assert (news.decided, news.deleted, news.unread) == (2, 1, 0)


def test_a_decision_made_while_a_pull_asks_comes_with_it_and_doubles_no_other(
    label_studio: Any, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    first, second, _ = label_studio.tasks_of(project).values()
    client.annotations.create(id=first.id, result=[verdict("accept")])

    def meanwhile(*arguments: Any) -> dict[int, bool]:
        for task in (first, second):  # another one on the same task, and one on another
            client.annotations.create(id=task.id, result=[verdict("reject")])
        return annotation_ids(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr("dataset_tools.label_studio.pull.annotation_ids", meanwhile)
        assert pull(workspace, label_studio.login).rows == 6
    rows = read_reviews(reviews_path(workspace))
    assert len({row.key for row in rows}) == len(rows) == 6
    assert pull(workspace, label_studio.login).rows == 0


def test_what_one_annotator_broke_keeps_no_other_decision_away(
    label_studio: Any, make_workspace: MakeWorkspace
) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    client = label_studio.client()
    first, second, third = label_studio.tasks_of(project).values()
    client.annotations.create(id=first.id, result=[verdict("trim"), {**keep(1, 2), "value": {"ranges": "x"}}])
    client.annotations.create(id=second.id, result=[verdict("accept")])
    client.tasks.update(str(second.id), data={**second.data, "frames": "sixty"})
    client.annotations.create(id=third.id, result=[verdict("accept")])
    for _ in range(2):
        news = pull(workspace, label_studio.login)
        assert news.unread == 1
        assert f"/projects/{project}/data?task={second.id})" in news.problems[-1][2]
        assert "$.data.frames" in news.problems[-1][2]
    rows = {row.id: row for row in read_reviews(reviews_path(workspace)) if row.item == "clip"}
    assert (rows[third.data["clip_id"]].verdict, second.data["clip_id"] in rows) == ("accept", False)
    assert "cannot be read" in str(rows[first.data["clip_id"]].problem)
    said = [
        CliRunner().invoke(app, [*command, "--workspace", str(workspace.root)]).output
        for command in (["annotate", "status"], ["pairs", "--reviewed"])
    ]
    for output in said:
        assert "1 decision in Label Studio is not in this workspace" in " ".join(output.split())

    client.tasks.update(str(second.id), data=second.data)
    news = pull(workspace, label_studio.login)
    assert (news.decided, news.unread) == (1, 0)
    assert unread_warning(workspace) is None


def test_a_pull_killed_before_or_amid_the_rows_ends_right(
    label_studio: Any, make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace).project
    for task in label_studio.tasks_of(project).values():
        label_studio.client().annotations.create(id=task.id, result=[verdict("accept")])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataset_tools.label_studio.pulled_rows.append_reviews", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(workspace, label_studio.login)
    with monkeypatch.context() as patched:  # all rows written, the cursor not
        patched.setattr("dataset_tools.label_studio.pull.remember", killed)
        with pytest.raises(KeyboardInterrupt):
            pull(workspace, label_studio.login)
    path = reviews_path(workspace)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])  # … or only some, and a torn one
    assert pull(workspace, label_studio.login).rows > 0
    assert sorted(path.read_bytes().splitlines()) == sorted(whole.splitlines())
    assert pull(workspace, label_studio.login).rows == 0


def test_two_annotators_who_disagree_are_a_conflict(label_studio: Any, make_workspace: MakeWorkspace) -> None:
    workspace = make_workspace(THREE)
    project = label_studio.push_all(workspace, annotators=2).project
    other = label_studio.client(label_studio.second_annotator("second@example.com"))
    first, second, third = label_studio.tasks_of(project).values()
    wrong_class = [
        answer(name, "taxonomy", taxonomy=[[key]])
        for name, key in zip(("action", "subject", "object"), ("peel", "carrot", "knife"), strict=True)
    ]
    label_studio.client().annotations.create(id=first.id, result=[verdict("accept")])
    label_studio.client().annotations.create(id=second.id, result=[verdict("accept")])
    other.annotations.create(id=first.id, result=[verdict("accept"), *wrong_class])
    other.annotations.create(id=second.id, result=[verdict("accept")])
    other.annotations.create(id=third.id, result=[verdict("trim")])

    problems = pull(workspace, label_studio.login).problems
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
    assert [task.overlap for task in label_studio.tasks_of(project).values()] == [2, 2, 2]
    third_key = label_studio.second_annotator("third@example.com")

    def offered_to_a_third() -> int:
        address = f"{label_studio.target.url}/api/projects/{project}/next"
        return int(httpx.get(address, headers={"Authorization": f"Token {third_key}"}).json()["id"])

    assert offered_to_a_third() == third.id
    label_studio.client(third_key).annotations.create(id=third.id, result=[], was_cancelled=True)
    assert label_studio.push_all(workspace, resolve_conflicts=True).reopened == 1
    assert label_studio.push_all(workspace, resolve_conflicts=True).reopened == 0
    assert offered_to_a_third() == first.id
    by_field = {one.field: one for one in found.agreement}
    assert (by_field["action"].measure, by_field["action"].items) == ("Cohen's kappa", 2)


def test_files_serve_those_without_access_to_the_server(
    label_studio: Any, make_workspace: MakeWorkspace, tmp_path: Path
) -> None:
    workspace = make_workspace(THREE)
    client = label_studio.client()
    assert push_to_file(workspace, tmp_path / "tasks.json", CLASSES, media_url=MEDIA_URL) == 3
    # what a person does in the browser: a project with that page, an import, decisions, an export
    project = client.projects.create(title="imported by hand", label_config=(tmp_path / "tasks.xml").read_text()).id
    client.projects.import_tasks(project, request=json.loads((tmp_path / "tasks.json").read_text()))
    tasks = label_studio.tasks_of(project)
    clip = clips_of(workspace)[0]
    client.annotations.create(id=tasks[clip.id].id, result=[verdict("trim"), keep(2, 9)])
    export = tmp_path / "export.json"
    export.write_bytes(b"".join(client.projects.exports.download_sync(project, export_type="JSON")))

    assert pull_from_file(workspace, export).rows == 2
    decision = decide(read_reviews(reviews_path(workspace)), "clip")[clip.id]
    assert (decision.verdict, decision.trim) == ("trim", (102, 109))
    assert pull_from_file(workspace, export).rows == 0
    # the same decisions through the API are the same decisions
    assert pull(workspace, label_studio.login, project="imported by hand").rows == 0

    (tmp_path / "no.json").write_text('{"a": 1}')
    for wrong in (tmp_path / "no.json", tmp_path / "absent.json"):
        with pytest.raises(InputError, match="The export cannot be read"):
            pull_from_file(workspace, wrong)


def test_watching_goes_on_while_the_server_restarts(
    make_workspace: MakeWorkspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = PullSummary()
    answers = iter([nothing, StoppedError("down"), nothing])

    def one_pull(*_: object, **__: object) -> PullSummary:
        outcome = next(answers)
        if isinstance(outcome, StoppedError):
            raise outcome
        return outcome

    monkeypatch.setattr("dataset_tools.label_studio.pull.pull", one_pull)
    seen = watch(make_workspace(THREE), Target("http://127.0.0.1:9", "0" * 40), every_s=0)
    assert [type(next(seen)) for _ in range(3)] == [PullSummary, StoppedError, PullSummary]
