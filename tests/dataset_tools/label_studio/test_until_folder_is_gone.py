"""A program runs with its own arguments, and its process ends when the folder is gone; another folder is not enough."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dataset_tools.label_studio import until_folder_is_gone

PROGRAM = """
import sys, threading, time
print(__name__, sys.argv, flush=True)
threading.Thread(target=time.sleep, args=(60,)).start()
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "data").mkdir()
    program = tmp_path / "label-studio"
    program.write_text(PROGRAM)
    watching = [sys.executable, "-I", until_folder_is_gone.__file__, "0.05", str(tmp_path / "data")]
    with subprocess.Popen([*watching, program, "start", "--port", "12"], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_the_program_ends_once_the_folder_is_gone(running: subprocess.Popen[str], tmp_path: Path) -> None:
    assert running.stdout is not None
    assert running.stdout.readline().split(maxsplit=1) == [
        "__main__",
        f"{[str(tmp_path / 'label-studio'), 'start', '--port', '12']}\n",
    ]
    (tmp_path / "data" / "server.log").touch()  # a change in it is none of it
    time.sleep(0.5)
    assert running.poll() is None
    (tmp_path / "data").rename(tmp_path / "moved")
    assert running.wait(timeout=10) == 0


@pytest.mark.parametrize(
    "replace", [lambda data: data.symlink_to(data.parent), lambda data: data.touch(), lambda data: data.mkdir()]
)
def test_the_program_ends_if_something_else_takes_the_folders_place(
    running: subprocess.Popen[str], tmp_path: Path, replace: Callable[[Path], None]
) -> None:
    assert running.stdout is not None
    running.stdout.readline()
    (tmp_path / "data").rename(tmp_path / "moved")
    replace(tmp_path / "data")
    assert running.wait(timeout=10) == 0


def test_the_program_is_not_started_for_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Nothing would end it."""
    program = tmp_path / "label-studio"
    program.write_text("print('started')")
    watching = [sys.executable, "-I", until_folder_is_gone.__file__, "0.05", tmp_path / "data"]
    ended = subprocess.run([*watching, program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
