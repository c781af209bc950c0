"""The workspace's own server: installed and started as the session's fixture did it, with `serve`."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_up_answers import MEDIA_URL, verdict

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio import server as servers
from dataset_tools.label_studio.media_urls import Addresses, refuse_links_out
from dataset_tools.label_studio.projects import remembered_projects
from dataset_tools.label_studio.pull import pull
from dataset_tools.label_studio.push import PushOptions, push
from dataset_tools.label_studio.server import (
    Account,
    install,
    is_free,
    is_healthy,
    is_installed,
    knows,
    server_venv,
    start,
)
from dataset_tools.label_studio.workspace_server import Target, find_server, login_file, serve, stop

running = pytest.mark.label_studio
together = pytest.mark.xdist_group("label_studio")

CLASSES = load_classes()


@running
@together
def test_serving_again_gives_the_same_server(label_studio: Any) -> None:
    assert serve(label_studio.home) == label_studio.target
    assert find_server(label_studio.home, {}) == label_studio.target


@running
@together
def test_secrets_are_readable_by_the_owner_only_and_never_printed(label_studio: Any) -> None:
    home = label_studio.home.cache / "label-studio"
    for secret in (login_file(label_studio.home), home / "data" / "server.log"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    for folder in (home, home / "data"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    account = json.loads(login_file(label_studio.home).read_text())["account"]
    shown = repr(label_studio.target) + repr(Account(**account))
    log = (home / "data" / "server.log").read_text()
    for secret in (account["password"], account["api_key"]):
        assert secret not in shown
        assert secret not in log
    command = Path(f"/proc/{json.loads(login_file(label_studio.home).read_text())['pid']}/cmdline")
    if command.exists():
        assert account["api_key"].encode() not in command.read_bytes()


@running
@together
def test_the_server_listens_on_this_machine_only_and_takes_no_strangers(label_studio: Any) -> None:
    assert label_studio.target.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{label_studio.target.url}/api/projects/").status_code == 401
    signup = httpx.post(
        f"{label_studio.target.url}/user/signup/", data={"email": "x@example.com", "password": "long-enough-1"}
    )
    assert signup.status_code == 403
    # a name that somebody else's page has pointed to this machine (DNS rebinding)
    for host, code in (("evil.example", 400), ("127.0.0.1", 200), ("localhost", 200)):
        headers = {"Host": f"{host}:{label_studio.target.url.rsplit(':', 1)[1]}"}
        assert httpx.get(f"{label_studio.target.url}/user/login/", headers=headers).status_code == code
    assert not knows(label_studio.target.url, Account("stranger@localhost", "x", "0" * 40))
    assert sorted(path.name for path in label_studio.target.document_root.iterdir() if path.is_symlink()) == [
        "clips",
        "speech",
    ]


@running
@together
def test_a_taken_port_is_refused(label_studio: Any, tmp_path: Path) -> None:
    port = int(label_studio.target.url.rsplit(":", 1)[1])
    assert not is_free(port)
    account = Account("a@localhost", "b", "c")
    with pytest.raises(InputError, match=f"Port {port} is in use"):
        start(server_venv(), tmp_path / "data", tmp_path, account, port=port)


def test_without_permission_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FMN_LABEL_STUDIO_VENV", str(tmp_path / "venv"))
    with pytest.raises(InputError, match="is not installed"):
        serve(Workspace(tmp_path / "set"), may_install=False)
    assert not (tmp_path / "venv").exists()


def test_an_installation_is_known_by_the_program_in_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that the user made, with `python -m venv` and pip."""
    program = tmp_path / "bin" / "label-studio"
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    for folder in (program.parent, packages / "label_studio-1.22.0.dist-info"):
        folder.mkdir(parents=True)
    program.touch()
    (packages / "label_studio-1.22.0.dist-info" / "RECORD").touch()
    monkeypatch.setenv("FMN_LABEL_STUDIO_VENV", str(tmp_path))
    with pytest.raises(InputError, match="is not installed") as raised:
        serve(Workspace(tmp_path / "set"), may_install=False)
    assert "bin/label-studio of version 1.23.2" in str(raised.value)
    unfinished = packages / "label_studio-1.23.2.dist-info"
    unfinished.mkdir()
    assert not is_installed(tmp_path)
    (unfinished / "RECORD").touch()
    assert is_installed(tmp_path)


def test_the_server_keeps_its_data_where_a_relative_workspace_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "venv" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho $LABEL_STUDIO_BASE_DATA_DIR\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoppedError, match=f"exited at once: {tmp_path}/set/data"):
        start(Path("venv"), Path("set/data"), tmp_path, Account("a@localhost", "b", "c"))


def test_a_link_out_of_the_served_folders_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "set")
    elsewhere = tmp_path / "disk"
    elsewhere.mkdir()
    (elsewhere / "a.mp4").touch()
    workspace.root.mkdir()
    workspace.clips.symlink_to(elsewhere)  # the folder itself may lie on another disk
    workspace.speech.mkdir()
    (workspace.speech / "a.mp4").symlink_to(workspace.clips / "a.mp4")
    (workspace.speech / "self").symlink_to("self")
    refuse_links_out(workspace)
    secret = workspace.cache / "server.json"
    secret.parent.mkdir()
    secret.write_text("secret")
    for target in (secret, tmp_path, Path("../../set/cache/server.json")):
        link = workspace.clips / "within"
        link.symlink_to(target)
        with pytest.raises(InputError, match="A link leads out of") as raised:
            refuse_links_out(workspace)
        assert raised.value.where is not None
        assert raised.value.where.endswith("/within")
        with pytest.raises(InputError, match="A link leads out of"):
            Addresses(workspace, media_url=None, document_root=None).storage_folders()
        link.unlink()


def test_an_installation_that_fails_says_why_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    venv.create(tmp_path / "venv")  # as one leaves it that was killed before pip was in it
    reported: list[tuple[str, int, int]] = []
    with pytest.raises(StoppedError, match="label-studio==") as raised:
        install(tmp_path / "venv", lambda stage, done, total, note="": reported.append((stage, done, total)))
    assert set(reported) == {("install", 0, 1)}
    assert len(reported) > 1, "every second, so that a log shows that it goes on"
    assert raised.value.where == str(tmp_path / "venv")
    assert not is_installed(tmp_path / "venv")


def test_the_environment_names_the_server(tmp_path: Path) -> None:
    workspace = Workspace(str(tmp_path))  # type: ignore[arg-type]
    assert find_server(workspace, {}) is None
    given = {"LABEL_STUDIO_URL": "http://studio:8080", "LABEL_STUDIO_API_KEY": "key"}
    assert find_server(workspace, given) == Target("http://studio:8080", "key", None)
    root = find_server(workspace, {**given, "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": os.sep})
    assert root is not None
    assert root.document_root == Path(os.sep)
    with pytest.raises(InputError, match="LABEL_STUDIO_API_KEY is not"):
        find_server(workspace, {"LABEL_STUDIO_URL": "http://studio:8080"})


@pytest.mark.parametrize(
    "address",
    ["http://ann:sesame@studio:8080", "http://ann:sesame@studio:port", "ann:sesame@studio", "http://[::sesame@"],
)
def test_no_message_shows_a_password_in_an_address(tmp_path: Path, address: str) -> None:
    for key in ({}, {"LABEL_STUDIO_API_KEY": "key"}):
        with pytest.raises(InputError, match="address") as raised:
            find_server(Workspace(tmp_path), {"LABEL_STUDIO_URL": address, **key})
        assert "sesame" not in str(raised.value)
    with pytest.raises(InputError, match="not a valid base URL") as raised:
        Addresses(Workspace(tmp_path), media_url=address, document_root=None)
    assert "sesame" not in str(raised.value)


def test_a_record_that_cannot_be_read_is_not_replaced(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    login_file(workspace).parent.mkdir(parents=True)
    login_file(workspace).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        serve(workspace)
    assert login_file(workspace).read_text() == "{"


@running
@together
def test_projects_and_decisions_outlive_restarts_another_port_and_a_move(
    make_workspace: Callable[..., Workspace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Port A is recorded; the server restarts on B. Both projects are pulled, and a deletion is noticed."""
    monkeypatch.setattr(servers, "_LOOK_EVERY_S", 3600.0)  # else it may have ended by itself when it is moved
    workspace = make_workspace(["cut_carrot_knife", "wash_apple"])
    first, title = serve(workspace), "another project"
    try:
        project, other = (
            push(workspace, first, CLASSES, options=one)
            for one in (PushOptions(media_url=MEDIA_URL), PushOptions(media_url=MEDIA_URL, project=title))
        )
        tasks = {pushed.project: _tasks(first, pushed.project) for pushed in (project, other)}
        deleted = _post(first, f"/api/tasks/{tasks[project.project][0]}/annotations", {"result": [verdict("accept")]})[
            "id"
        ]
        pull(workspace, first)
        assert stop(workspace)
        assert not is_healthy(first.url)
        assert not stop(workspace)
        assert find_server(workspace, {}) is None
        record = login_file(workspace).read_bytes()
        login_file(workspace).write_bytes(record.replace(first.api_key.encode(), b"0" * 40))
        with pytest.raises(InputError, match="belong to another account"):
            serve(workspace)
        login_file(workspace).write_bytes(record)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        second = serve(workspace, port=port)
        assert second.url == f"http://127.0.0.1:{port}" != first.url
        with pytest.raises(InputError, match="is running at"):
            serve(workspace, port=port - 1)
        httpx.delete(f"{second.url}/api/annotations/{deleted}", headers=_key(second)).raise_for_status()
        _post(second, f"/api/tasks/{tasks[other.project][1]}/annotations", {"result": [verdict("accept")]})
        pulled = pull(workspace, second)
        assert (pulled.decided, pulled.deleted) == (1, 1)
        assert remembered_projects(workspace) == [f"{second.url}/projects/{n}" for n in sorted(tasks)]
        again = push(workspace, second, CLASSES, options=PushOptions(media_url=MEDIA_URL))
        assert (again.project, again.created) == (other.project, 0)

        # moved while it runs: that one finds no data in the earlier place, and answers every request with an error
        workspace = Workspace(workspace.root.rename(tmp_path / "moved"))
        assert not knows(second.url, Account(str(second.email), "", second.api_key))
        monkeypatch.setattr(servers, "_LOOK_EVERY_S", 0.1)
        third = serve(workspace)
        assert (third.url, third.replaced) == (second.url, str(second.document_root))
        assert third.document_root == workspace.cache / "label-studio" / "served"
        assert find_server(workspace, {}) is not None
        assert serve(workspace).replaced is None
        assert _tasks(third, other.project) == tasks[other.project]

        # moved once more, it ends by itself
        workspace = Workspace(workspace.root.rename(tmp_path / "moved-again"))
        ended_by = time.monotonic() + 60
        while not is_free(port):
            assert time.monotonic() < ended_by
            time.sleep(0.1)
        assert find_server(workspace, {}) is None
    finally:
        stop(workspace)


def _key(target: Target) -> dict[str, str]:
    return {"Authorization": f"Token {target.api_key}"}


def _post(target: Target, path: str, content: dict[str, Any]) -> Any:
    answer = httpx.post(target.url + path, json=content, headers=_key(target), timeout=60)
    return answer.raise_for_status().json()


def _tasks(target: Target, project: int | None) -> list[int]:
    answer = httpx.get(f"{target.url}/api/tasks?project={project}&page_size=10", headers=_key(target), timeout=60)
    return sorted(task["id"] for task in answer.json()["tasks"])


def test_a_start_that_fails_keeps_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "venv" / "bin" / "label-studio"
    packages = tmp_path / "venv" / "lib" / "python3.12" / "site-packages" / "label_studio-1.23.2.dist-info"
    packages.mkdir(parents=True)
    (packages / "RECORD").touch()
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("FMN_LABEL_STUDIO_VENV", str(tmp_path / "venv"))
    workspace = Workspace(tmp_path / "set")
    login_file(workspace).parent.mkdir(parents=True)
    account = {"email": "a@localhost", "password": "b", "api_key": "c"}
    record = {"schema": "fmn.server/1", "account": account, "url": "http://127.0.0.1:9", "pid": 1}
    login_file(workspace).write_text(json.dumps(record))
    with pytest.raises(StoppedError, match="exited at once"):
        serve(workspace)
    assert json.loads(login_file(workspace).read_text())["url"] == "http://127.0.0.1:9"
