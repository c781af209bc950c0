"""The server of a workspace that was copied, or moved while it ran."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio import server as servers
from dataset_tools.label_studio.workspace_server import find_server, login_file, serve, stop


def test_a_copy_of_a_workspace_does_not_use_the_server_of_the_original(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would play the original's clips, and refuses the folders of the copy; `--stop` would stop it."""
    original, copy = Workspace(tmp_path / "set"), Workspace(tmp_path / "copy")
    served = original.cache / "label-studio" / "served"
    account = {"email": "a@localhost", "password": "b", "api_key": "c"}
    record = {"schema": "fmn.server/1", "account": account, "url": "http://127.0.0.1:9", "served": str(served)}
    for workspace in (original, copy):
        login_file(workspace).parent.mkdir(parents=True)
        login_file(workspace).write_text(json.dumps({**record, "pid": 2**30}))
    monkeypatch.setattr("dataset_tools.label_studio.workspace_server.knows", lambda *_: True)
    (tmp_path / "link").symlink_to(original.root, target_is_directory=True)
    for same in (original, Workspace(tmp_path / "link")):
        found = find_server(same, {})
        assert found is not None
        assert found.document_root == served  # as the server knows it, not by another name
    assert find_server(copy, {}) is None
    assert not stop(copy)
    assert stop(original)


def test_a_copy_of_a_workspace_leaves_the_port_to_the_original_and_a_moved_one_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have one account: on the original's port, the original would take the copy's server for its own."""
    original, copy = Workspace(tmp_path / "set"), Workspace(tmp_path / "copy")
    served = original.cache / "label-studio" / "served"
    account = {"email": "a@localhost", "password": "b", "api_key": "c"}
    record = {"schema": "fmn.server/1", "account": account, "url": "http://127.0.0.1:9", "served": str(served)}
    asked: list[int | None] = []

    def start(*_: object, port: int | None, **__: object) -> None:
        asked.append(port)
        raise StoppedError("Nothing is started here")

    def started(*_: object, port: int, **__: object) -> servers.Server:
        return servers.Server(f"http://127.0.0.1:{port}", 2**30)

    module = "dataset_tools.label_studio.workspace_server"
    monkeypatch.setattr(f"{module}.start", start)
    for name, result in (("knows", False), ("is_free", True), ("is_installed", True), ("install", None)):
        monkeypatch.setattr(f"{module}.{name}", lambda *_, result=result: result)
    for workspace in (original, copy):
        login_file(workspace).parent.mkdir(parents=True)
        login_file(workspace).write_text(json.dumps({**record, "pid": 1}))
        with pytest.raises(StoppedError, match="Nothing is started"):
            serve(workspace)
    (tmp_path / "set").rename(tmp_path / "elsewhere")
    with pytest.raises(StoppedError, match="Nothing is started"):
        serve(Workspace(tmp_path / "elsewhere"))
    assert asked == [9, None, 9]
    monkeypatch.setattr(f"{module}.start", started)
    monkeypatch.setattr(f"{module}.knows", lambda *_: True)
    moved = serve(Workspace(tmp_path / "elsewhere"))
    assert (moved.url, moved.replaced) == ("http://127.0.0.1:9", None)  # the earlier one had ended by itself


def test_the_server_of_a_place_that_a_workspace_was_moved_from_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a copy whose original is still there, and no other process that has its id by now."""
    original, copy = Workspace(tmp_path / "set"), Workspace(tmp_path / "copy")
    program = tmp_path / "label-studio"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    processes = [subprocess.Popen([program, "start", "--port", port]) for port in ("12", "123")]
    account = {"email": "a@localhost", "password": "b", "api_key": "c"}
    served = str(original.cache / "label-studio" / "served")

    def record(pid: int, **changed: str) -> str:
        content = {"schema": "fmn.server/1", "url": "http://127.0.0.1:12", "served": served, "pid": pid}
        return json.dumps({**content, "account": {**account, **changed}})

    try:
        for process in processes:
            monkeypatch.setitem(servers._started_here, process.pid, process)
        for workspace in (original, copy):
            login_file(workspace).parent.mkdir(parents=True)
            login_file(workspace).write_text(record(processes[0].pid))
        assert not stop(copy)
        login_file(original).unlink()
        login_file(copy).write_text(record(processes[1].pid))  # on port 123: another server
        assert not stop(copy)
        assert [process.poll() for process in processes] == [None, None]
        login_file(copy).write_text(record(processes[0].pid))
        login_file(original).write_text(record(1, api_key="d"))  # another workspace is in that place now
        assert stop(copy)
        assert [process.poll() is None for process in processes] == [False, True]
    finally:
        for process in processes:
            process.kill()
            process.wait()
