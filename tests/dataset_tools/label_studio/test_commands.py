"""The commands as a user runs them, against a real Label Studio server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from made_up_answers import MEDIA_URL, verdict
from typer.testing import CliRunner, Result

from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows

pytestmark = [pytest.mark.label_studio, pytest.mark.xdist_group("label_studio")]

ACCEPTED = verdict("accept")
Command = Callable[..., Result]


@pytest.fixture
def workspace(make_workspace: Callable[..., Workspace]) -> Workspace:
    return make_workspace(("cut_carrot_knife", "wash_apple"))


@pytest.fixture
def command(label_studio: Any, workspace: Workspace) -> Command:
    """Runs ``fmn-data annotate …`` in the workspace, the server and its key in the environment."""

    def run(*arguments: str, api_key: str = label_studio.target.api_key) -> Result:
        environment = {"LABEL_STUDIO_URL": label_studio.target.url, "LABEL_STUDIO_API_KEY": api_key}
        return CliRunner().invoke(app, ["annotate", *arguments, "--workspace", str(workspace.root)], env=environment)

    return run


def test_the_parts_say_what_they_did_as_json(label_studio: Any, command: Command) -> None:
    pushed = json.loads(command("push", "--media-url", MEDIA_URL, "--json").stdout)["push"]
    assert (pushed["created"], pushed["unchanged"]) == (2, 0)
    task, _ = label_studio.tasks_of(pushed["project"]).values()
    label_studio.client().annotations.create(id=task.id, result=[ACCEPTED])
    assert json.loads(command("pull", "--json").stdout)["pull"]["decided"] == 1
    assert json.loads(command("pull", "--json").stdout)["pull"]["decided"] == 0
    classes = {row["class_id"]: row for row in json.loads(command("status", "--json").stdout)["status"]["classes"]}
    assert (classes["cut_carrot_knife"]["accepted"], classes["wash_apple"]["to_do"]) == (1, 1)


def test_dry_runs_write_nothing_and_say_what_is_pushed_and_pulled(
    label_studio: Any, command: Command, workspace: Workspace, tree: Callable[..., Any]
) -> None:
    def dry(*arguments: str) -> Any:
        before = tree(workspace.root)
        ended = command(*arguments, "--media-url", MEDIA_URL, "--dry-run", "--json")
        assert tree(workspace.root) == before
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout)

    planned = dry()
    assert (planned["dry_run"], planned["push"]["created"], planned["push"]["project"]) == (True, 2, None)
    assert "pull" not in planned
    assert dry("push")["push"] == planned["push"]
    pushed = json.loads(command("push", "--media-url", MEDIA_URL, "--json").stdout)["push"]
    assert pushed["created"] == 2
    task, _ = label_studio.tasks_of(pushed["project"]).values()
    label_studio.client().annotations.create(id=task.id, result=[ACCEPTED])
    planned = dry()
    assert (planned["push"]["created"], planned["push"]["unchanged"], planned["pull"]["decided"]) == (0, 2, 1)
    assert json.loads(command("pull", "--json").stdout)["pull"]["decided"] == 1


def test_named_clips_alone_are_pushed_and_once_more_where_they_are_decided(
    label_studio: Any, command: Command, workspace: Workspace
) -> None:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    spoken = {row.clip: row.id for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    one, other = clips
    pair = f"{one.id}__{spoken[one.id]}"
    for unknown in ("s99", f"{one.id}__s99", ""):
        refused = command("push", "--media-url", MEDIA_URL, "--ids", f"{unknown}, {other.id}" if unknown else "")
        assert refused.exit_code == 2
        assert (unknown or "No ids are given") in refused.output
        assert "pairs.jsonl" in refused.output
    assert not (workspace.annotations / "label-studio").exists()

    def push(*ids: str) -> dict[str, Any]:
        return dict(json.loads(command("push", "--media-url", MEDIA_URL, "--ids", ",".join(ids), "--json").stdout))

    pushed = push(pair)["push"]
    assert (pushed["created"], pushed["gone"]) == (1, 0)
    (first,) = label_studio.client().tasks.list(project=pushed["project"])
    assert first.data["clip_id"] == one.id
    label_studio.client().annotations.create(id=first.id, result=[ACCEPTED])
    assert push(one.id)["push"]["waiting"] == 1  # its answer is to be pulled first
    assert command("pull").exit_code == 0
    assert json.loads(command("push", "--media-url", MEDIA_URL, "--json").stdout)["push"]["again"] == 0
    for again in (1, 0):  # once: then the task waits for an answer
        assert push(one.id, spoken[one.id])["push"]["again"] == again
    (second,) = (
        task
        for task in label_studio.client().tasks.list(project=pushed["project"])
        if task.data["clip_id"] == one.id and task.id != first.id
    )
    rejected = {**ACCEPTED, "value": {"choices": ["reject"]}}
    label_studio.client().annotations.create(id=second.id, result=[rejected])
    assert command("pull").exit_code == 0
    decision = decide(read_reviews(reviews_path(workspace)), "clip")[one.id]
    assert (decision.verdict, decision.votes, decision.conflict) == ("reject", 1, False)  # one annotator, the last word


def test_alone_it_pushes_pulls_counts_and_opens_the_page_on_request(
    label_studio: Any, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setenv("DISPLAY", ":0")
    first = command("--media-url", MEDIA_URL)
    assert (first.exit_code, opened) == (0, [])  # the server was there before
    assert all(part in first.output for part in ("2 new", "nothing new", "wash_apple", "2 clips to review"))
    assert command("--media-url", MEDIA_URL, "--open").exit_code == 0
    (address,) = opened
    assert address.startswith(f"{label_studio.target.url}/projects/")


def test_a_wrong_key_is_refused_and_never_shown(label_studio: Any, command: Command, workspace: Workspace) -> None:
    wrong = "0123456789abcdef" * 2
    refused = command("push", "--media-url", MEDIA_URL, api_key=wrong)
    assert refused.exit_code == 2
    assert "The server rejected the API key" in refused.output
    assert wrong not in refused.output
    assert not workspace.annotations.joinpath("label-studio", "projects.json").exists()
    done = command("push", "--media-url", MEDIA_URL, "--verbose", "--debug")
    assert done.exit_code == 0
    assert label_studio.target.api_key not in done.output
    written = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert written
    assert all(label_studio.target.api_key.encode() not in path.read_bytes() for path in written)
