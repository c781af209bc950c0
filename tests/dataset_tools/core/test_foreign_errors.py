"""What stops a command is told with what to do, and without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from safetensors import SafetensorError

from dataset_tools.core.console import command_context


def interrupted_import() -> RuntimeError:
    """What Python 3.11 makes of an interrupt in a descriptor's ``__set_name__``."""
    error = RuntimeError("Error calling __set_name__ on 'Field' instance")
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError(28, "No space left on device", "a.bin"), "The file cannot be written: No space left on device"),
        (
            SafetensorError("I/O error: No space left on device (os error 28)"),
            "cannot be written: No space left on device",
        ),
        (
            PermissionError(13, "Permission denied", "clips"),
            "give this account access, or use another folder; then run",
        ),
        (MemoryError(), "There is not enough memory"),
        (ZeroDivisionError("division by zero"), "Unexpected error: ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), "Interrupted"),
        (interrupted_import(), "Interrupted"),
        (typer.Abort(), "Not confirmed: nothing was changed"),
        (OSError(37, "No locks available"), "The file system has no locks"),
    ],
)
def test_what_stops_a_command_is_told_without_a_traceback(
    raised: BaseException, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, command_context(as_json=False):
        raise raised
    assert ended.value.exit_code == 3
    told = capsys.readouterr()
    assert expected in told.err
    assert "next:" in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_an_account_without_a_home_directory_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 2)  # in no user database
    with pytest.raises(typer.Exit) as ended, command_context(as_json=False):
        Path.home()
    assert ended.value.exit_code == 2
    assert "set HOME to a folder that can be written to" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (np.linalg.LinAlgError("Singular matrix"), "Singular matrix"),
        (FloatingPointError("overflow"), "overflow"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
    ],
)
def test_what_another_run_would_not_mend_is_wrong_input(
    raised: BaseException, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended, command_context(as_json=False):
        raise raised
    assert ended.value.exit_code == 2
    assert expected in capsys.readouterr().err


OPENING = """
import os
from dataset_tools.core.console import command_context
with command_context(as_json=False):
    os.stat("caf\\u00e9")
"""


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_name_that_the_locale_cannot_encode_is_told_with_the_way_out(locale: str, tmp_path: Path) -> None:
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    command = [sys.executable, "-c", OPENING]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    expected = ("encoding ascii", r"caf\xe9", "LC_ALL=C.UTF-8") if locale == "C" else ("No such file or directory",)
    assert [part for part in expected if part not in done.stderr] == []
    assert "Unexpected error" not in done.stderr
