"""The lock of a workspace, also on file systems without flock, such as Lustre by default."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from dataset_tools.core.console import command_context
from dataset_tools.core.errors import StoppedError
from dataset_tools.core.workspace_lock import workspace_lock

KILLED = """
import errno, fcntl, os, signal, sys
def missing(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = missing
from pathlib import Path
from dataset_tools.core.workspace_lock import workspace_lock
with workspace_lock(Path(sys.argv[1])):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("has_flock", [True, False])
def test_one_command_at_a_time(
    has_flock: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    if not has_flock:

        def missing(*_: object) -> None:
            raise OSError(errno.ENOSYS, "Function not implemented")

        monkeypatch.setattr(fcntl, "flock", missing)
        subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False, timeout=60)
        assert (tmp_path / "cache" / "workspace.lock").exists()  # left behind, and taken over
    with command_context(as_json=False):
        with workspace_lock(tmp_path), pytest.raises(StoppedError, match="Another command"), workspace_lock(tmp_path):
            pass
        with workspace_lock(tmp_path):
            pass
    assert [str(warning.message) for warning in recwarn] == []


def test_no_locks_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with pytest.raises(typer.Exit), command_context(as_json=False), workspace_lock(tmp_path):
        pass
    assert "The file system has no locks" in capsys.readouterr().err
