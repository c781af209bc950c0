"""The worker pool: what its workers import, and what happens while it breaks."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing import forkserver
from pathlib import Path

import pytest

from dataset_tools.core import worker_pool
from dataset_tools.core.errors import StoppedError
from dataset_tools.core.execution import run_each
from dataset_tools.core.worker_pool import imported_by_workers

PROGRAM = """
import atexit, gc
atexit.register(lambda: print("frozen" if gc.get_freeze_count() else "visited"))
from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
from dataset_tools.core.execution import run_each
print("imported", flush=True)
app = CommandLine(is_program=True)
@app.command()
def modules(terminal: Terminal):
    for outcome in run_each(eval, ["'typer' in __import__('sys').modules"] * 2, jobs=2):
        print(outcome.error or outcome.result)
if __name__ == "__main__":
    try:
        app()
    finally:
        print(__file__)
"""


def test_workers_do_not_import_the_program_that_starts_them(tmp_path: Path) -> None:
    """A console script imports all commands, which would take longer than many a sample.

    As it exits, garbage collections leave out what it has imported, which takes as long if that includes torch.
    """
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    ended = subprocess.run([sys.executable, script, "modules"], capture_output=True, text=True, check=True)
    # a script that calls it keeps its own name
    assert ended.stdout == f"imported\nFalse\nFalse\n{script}\nfrozen\n"


def identity(item: str) -> str:
    return item


def test_workers_of_a_script_are_forked_with_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    imported = ("dataset_tools.core.execution", "fmn.config", "fmn.training.train")
    for name in imported:
        monkeypatch.setitem(sys.modules, name, worker_pool)
    assert set(imported) <= set(imported_by_workers(identity))
    monkeypatch.delattr(sys.modules["__main__"], "__file__")  # as in a command
    assert imported_by_workers(identity) == [identity.__module__]


def square(number: int) -> int:
    return number * number


@pytest.mark.parametrize(
    "error",
    [
        OSError("handle is closed"),  # before the descriptors were sent, or meanwhile
        OSError(errno.EBADF, "Bad file descriptor"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),  # of a fork server that was killed
        EOFError("unexpected EOF"),
    ],
)
def test_a_pool_that_breaks_while_it_is_given_work_is_made_anew(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These are what multiprocessing raises."""
    submit, calls, servers = ProcessPoolExecutor.submit, [], set()

    def closing_once(executor, function, item):
        calls.append(item)
        servers.add(vars(forkserver._forkserver)["_forkserver_pid"])
        if len(calls) == 2:
            raise error
        return submit(executor, function, item)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", closing_once)
    assert sorted(one.result for one in run_each(square, range(4), jobs=2)) == [0, 1, 4, 9]
    assert len(calls) > 4
    assert len(servers) == 2  # the first one has half a request


def test_another_error_of_the_system_while_work_is_given_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(executor, function, item):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        list(run_each(square, [1], jobs=1))


@pytest.mark.timeout(60)
def test_what_a_pool_forgets_while_it_breaks_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 forgets what is submitted while its thread ends the pool, whose futures then never finish."""
    submit, calls = ProcessPoolExecutor.submit, []

    def forgetting_once(executor, function, item):
        calls.append(item)
        if len(calls) == 1:
            future = submit(executor, os._exit, 3)
            wait([future])
            return Future()
        return submit(executor, function, item)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", forgetting_once)
    assert [one.result for one in run_each(square, [3], jobs=1)] == [9]


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EROFS, errno.ENOSYS])
def test_a_system_without_semaphores_is_named(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers without a /dev/shm that can be written to: the error of a lock names no file."""

    def no_semaphore(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", no_semaphore)
    with pytest.raises(StoppedError, match="Worker processes cannot be started") as raised:
        list(run_each(square, [1], jobs=1))
    assert raised.value.where == "/dev/shm"
