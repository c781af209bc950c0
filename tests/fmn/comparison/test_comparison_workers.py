"""The worker processes of a comparison."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

import fmn.comparison.comparison_runs
from dataset_tools.core.errors import StoppedError
from fmn.comparison.comparison_runs import _kill, _pool, run_tasks

KILLED = """
import os, signal, time
from fmn.comparison.comparison_runs import _pool

if __name__ == "__main__":
    pool, started = _pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    os.kill(os.getpid(), signal.SIGKILL)
"""

FORKED = """
import os
from pathlib import Path
from fmn.comparison.comparison_runs import _pool

if __name__ == "__main__":
    pool, started = _pool(1)
    with started, pool:
        parent = pool.submit(os.getppid).result()
        print(parent != os.getpid() and "libtorch" in Path(f"/proc/{parent}/maps").read_text())
"""


def test_an_interrupt_while_workers_start_does_not_wait_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starting:
        _processes: ClassVar[dict[int, Any]] = {}
        calls: ClassVar[list[dict[str, bool]]] = []

        def __enter__(self) -> Starting:
            return self

        def __exit__(self, *_: object) -> None:
            """The executor's waits for what was submitted."""

        def submit(self, *_: object) -> Any:
            raise KeyboardInterrupt

        def shutdown(self, **options: bool) -> None:
            self.calls.append(options)

    monkeypatch.setattr(fmn.comparison.comparison_runs, "_pool", lambda jobs: (Starting(), nullcontext()))
    monkeypatch.setattr(
        fmn.comparison.comparison_runs, "end_fork_server", lambda: Starting.calls.append({"server": False})
    )
    task: Any = None
    with pytest.raises(KeyboardInterrupt):
        list(run_tasks([task, task], jobs=2))
    assert Starting.calls == [{"server": False}, {"wait": False, "cancel_futures": True}]


@pytest.mark.parametrize("has_begun", [False, True])
def test_only_a_worker_that_has_begun_can_have_died_of_its_run(
    has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(jobs: int) -> tuple[ThreadPoolExecutor, Connection]:
        started, start_signal = Pipe(duplex=False)
        if has_begun:
            start_signal.send_bytes(b"1")
        return ThreadPoolExecutor(jobs, initargs=(start_signal,)), started  # which keeps it open

    def dies(task: Any) -> Any:
        raise BrokenProcessPool  # as the executor's future does

    monkeypatch.setattr(fmn.comparison.comparison_runs, "_pool", pool)
    monkeypatch.setattr(fmn.comparison.comparison_runs, "_kill", lambda pool: None)  # of processes
    monkeypatch.setattr(fmn.comparison.comparison_runs, "run_task", dies)
    task: Any = SimpleNamespace(run="runs/one", system="fmn")
    if not has_begun:
        with pytest.raises(StoppedError, match="worker processes cannot start"):
            list(run_tasks([task], jobs=2))
        return
    [result] = run_tasks([task], jobs=2)
    assert result.error is not None
    assert result.error.found == "Its training process died twice"


def test_a_command_that_ends_takes_its_workers_with_it() -> None:
    pool, started = _pool(1)
    pool.submit(time.sleep, 60)
    processes = [*pool._processes.values()]
    _kill(pool)
    for process in processes:
        process.join(20)
        assert process.exitcode is not None
    pool.shutdown()
    started.close()


def test_ctrl_c_does_not_reach_the_workers() -> None:
    """In a terminal, it is sent to them, too: they would print a traceback, and the command kills them."""
    pool, started = _pool(1)
    with started, pool:
        assert signal.SIGINT in pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result()


def test_a_command_that_is_killed_takes_its_workers_with_it(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    killed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    worker = int(killed.stdout)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(200):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker lives on")


def test_workers_are_forks_of_a_process_that_has_imported_torch(tmp_path: Path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout == "True\n"
    assert found.stderr == ""
