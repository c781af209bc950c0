from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dataset_tools.errors import InputError, SampleError, StoppedError
from dataset_tools.execution import Outcome, run_each


@pytest.fixture(autouse=True)
def importable_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of tasks that worker processes can import."""
    (tmp_path / "tasks_under_test.py").write_text(
        textwrap.dedent("""
        import os, pathlib, time
        from dataset_tools.errors import SampleError, StoppedError

        def square(number):
            if number == 3:
                raise SampleError("three is bad", where="3")
            if number == 5:
                raise ZeroDivisionError("five")
            if number == 7:
                os._exit(9)
            return number * number

        def once(path):
            if pathlib.Path(path).exists():
                return "second time"
            pathlib.Path(path).touch()
            os._exit(9)

        def full(number):
            raise StoppedError("the disk is full")

        def sleep(path):
            pathlib.Path(path).write_text(str(os.getpid()))
            time.sleep(60)
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("jobs", [1, 3])
def test_bad_items_fail_alone_and_the_others_come_back(jobs: int) -> None:
    import tasks_under_test

    outcomes = {outcome.item: outcome for outcome in run_each(tasks_under_test.square, range(12), jobs=jobs)}
    assert sorted(outcomes) == list(range(12))
    for number in set(range(12)) - {3, 5, 7}:
        assert outcomes[number] == Outcome(number, number * number, None)
    assert [type(outcomes[number].error) for number in (3, 5, 7)] == [SampleError] * 3
    assert outcomes[3].error.as_dict() == {"found": "three is bad", "where": "3"}
    assert "ZeroDivisionError: five" in outcomes[5].error.found
    assert "died" in outcomes[7].error.found


def test_a_process_that_dies_once_is_forgiven(tmp_path: Path) -> None:
    import tasks_under_test

    (outcome,) = run_each(tasks_under_test.once, [str(tmp_path / "mark")], jobs=2)
    assert outcome.result == "second time"


def test_a_full_disk_stops_everything() -> None:
    import tasks_under_test

    with pytest.raises(StoppedError, match="disk is full"):
        list(run_each(tasks_under_test.full, range(100), jobs=2))


def test_no_items_no_outcomes() -> None:
    assert list(run_each(InputError, [], jobs=2)) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path: Path, how: signal.Signals) -> None:
    mark = tmp_path / "worker"
    script = tmp_path / "command.py"
    script.write_text(
        "import tasks_under_test\nfrom dataset_tools.execution import run_each\n"
        f"if __name__ == '__main__':\n    list(run_each(tasks_under_test.sleep, [{str(mark)!r}], jobs=1))\n"
    )
    command = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    command.send_signal(how)
    command.wait(timeout=20)
    command.stderr.close()
    worker = int(mark.read_text())
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.05)
