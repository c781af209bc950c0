"""The commands where no Label Studio runs: which of them start one, and which write nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.projects import ProjectLink, remember, remembered
from dataset_tools.manifests import ClipRow, read_rows


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is named, and starting one fails the test."""
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.setattr("dataset_tools.label_studio.workspace_server.serve", lambda *_, **__: pytest.fail("started"))


def run(workspace: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["annotate", *arguments, "--workspace", str(workspace)])


@pytest.mark.parametrize("arguments", [(), ("push",), ("push", "--dry-run"), ("pull",), ("pull", "--dry-run")])
def test_no_server_is_started_for_a_workspace_without_clips(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(tmp_path, *arguments)
    assert ended.exit_code == 2
    assert "There is no such manifest" in ended.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("--yes",), ("push", "--yes")])
def test_no_server_is_started_with_a_wrong_class_file(
    make_workspace: Callable[..., Workspace], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "wrong.yaml").write_text("classes: none\n")
    ended = run(make_workspace(("cut_carrot_knife",)).root, *arguments, "--class-file", str(tmp_path / "wrong.yaml"))
    assert ended.exit_code == 2, ended.output
    assert "wrong.yaml" in ended.output


@pytest.mark.parametrize("arguments", [("--yes",), ("push", "--yes"), ("pull",)])
def test_no_server_is_started_that_could_not_be_used_without_the_sdk(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "label_studio_sdk", None)
    ended = run(make_workspace(("cut_carrot_knife",)).root, *arguments)
    assert ended.exit_code == 2
    assert "The Label Studio SDK is not installed" in ended.output


@pytest.mark.parametrize("command", [(), ("push",), ("pull",)])
def test_a_dry_run_starts_no_server(make_workspace: Callable[..., Workspace], command: tuple[str, ...]) -> None:
    workspace = make_workspace(("cut_carrot_knife",))
    before = set(workspace.root.rglob("*"))
    ended = run(workspace.root, *command, "--dry-run")
    assert ended.exit_code == 2
    assert "fmn-data annotate serve" in ended.output
    assert set(workspace.root.rglob("*")) == before


def test_a_dry_run_writes_no_file_of_tasks(make_workspace: Callable[..., Workspace], tmp_path: Path) -> None:
    workspace = make_workspace(("cut_carrot_knife", "wash_apple"))
    before = set(tmp_path.rglob("*"))
    ended = run(workspace.root, "push", "--out", str(tmp_path / "tasks.json"), "--dry-run", "--json")
    assert ended.exit_code == 0, ended.output
    assert json.loads(ended.stdout)["tasks"] == 2
    assert set(tmp_path.rglob("*")) == before


def test_a_dry_run_does_not_watch(make_workspace: Callable[..., Workspace]) -> None:
    ended = run(make_workspace(("cut_carrot_knife",)).root, "pull", "--watch", "--dry-run")
    assert ended.exit_code == 2
    assert "a dry run pulls nothing" in ended.output


def test_options_of_a_server_are_refused_beside_a_file(
    make_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    root, out = make_workspace(("cut_carrot_knife",)).root, tmp_path / "tasks.json"
    for option in (
        ("--project", "7"),
        ("--replace-config",),
        ("--annotators", "2"),
        ("--resolve-conflicts",),
        ("--from-run", str(tmp_path)),
    ):
        ended = run(root, "push", "--out", str(out), *option)
        assert (ended.exit_code, out.exists()) == (2, False), option
        assert f"--out works without a server, and {option[0]} would be ignored" in ended.output
    ended = run(root, "pull", "--from", str(out), "--watch", "--project", "7")
    assert ended.exit_code == 2
    assert "--from works without a server, and --project and --watch would be ignored" in ended.output


def test_a_file_of_tasks_holds_those_of_the_named_clips(
    make_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = make_workspace(("cut_carrot_knife", "wash_apple"))
    clip = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))[1].id
    media = ("--media-url", "http://127.0.0.1:9/media")
    ended = run(workspace.root, "push", "--out", str(tmp_path / "tasks.json"), "--ids", clip, *media)
    assert ended.exit_code == 0, ended.output
    assert [task["data"]["clip_id"] for task in json.loads((tmp_path / "tasks.json").read_text())] == [clip]


def test_a_port_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "serve", "--port", "99999")
    assert ended.exit_code == 2
    assert "65535" in ended.output


def test_a_record_whose_cursor_is_no_time_is_refused(tmp_path: Path) -> None:
    workspace, url = Workspace(tmp_path), "http://127.0.0.1:8080"
    link = ProjectLink(project=1, title="kitchen", config="", cursor="2026-01-02T03:04:05.000006Z")
    remember(workspace, url, link)
    assert remembered(workspace, url) == link
    (record,) = workspace.annotations.rglob("projects.json")
    record.write_text(record.read_text().replace("2026-01-02T", "yesterday "))
    with pytest.raises(InputError, match=r"record of the Label Studio projects cannot be read: .*'yesterday "):
        remembered(workspace, url)
