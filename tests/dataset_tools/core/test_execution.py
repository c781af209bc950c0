"""run_each: outcomes for every item, whatever happens to the workers."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from dataset_tools.core import execution, worker_pool
from dataset_tools.core.errors import InputError, SampleError, StoppedError, WorkerDiedError
from dataset_tools.core.execution import Outcome, run_each
from dataset_tools.core.worker_pool import end_fork_server


def square(number: int) -> int:
    return number * number


def refuse_odd(number: int) -> int:
    if number == 3:
        raise InputError("It is three", where="here", next_step="take four")
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def die_on(item: tuple[int, str]) -> int:
    """Kills its process: always, or (``once``) only while a file is not there."""
    number, how = item
    if how == "always" or (how.startswith("/") and not Path(how).exists()):
        if how != "always":
            Path(how).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number


def fill_disk(number: int) -> int:
    if number == 2:
        raise OSError(28, "No space left on device", "clips/x.mp4")
    return number


def write_pid_and_wait(folder: str) -> None:
    encoder = subprocess.Popen(["sleep", "600"])
    Path(folder, f"{os.getpid()}").touch()
    Path(folder, f"{encoder.pid}").touch()
    time.sleep(600)


def start_a_child_and_be_terminated(folder: str) -> None:
    """What a pool that breaks does to the workers that are left: SIGTERM."""
    encoder = subprocess.Popen(["sleep", "600"])
    Path(folder, f"{encoder.pid}").touch()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_item_has_its_outcome(jobs: int) -> None:
    outcomes = list(run_each(square, range(20), jobs=jobs))
    assert sorted(outcomes, key=lambda one: one.item) == [Outcome(n, n * n, None) for n in range(20)]


def test_no_items_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(execution, "WorkerPool")
    assert list(run_each(square, [], jobs=2)) == []


def test_an_exception_fails_its_item_only() -> None:
    outcomes = {one.item: one for one in run_each(refuse_odd, range(6), jobs=2, key=lambda n: f"number {n}")}
    assert {item: one.result for item, one in outcomes.items()} == {0: 0, 1: None, 2: 2, 3: None, 4: 4, 5: None}
    assert all(one.error is None for item, one in outcomes.items() if item % 2 == 0)
    error = outcomes[5].error
    assert isinstance(error, SampleError)
    assert error.as_dict() == {"found": "ValueError: 5 is odd", "where": "number 5"}
    assert isinstance(error.__cause__, ValueError)
    told = outcomes[3].error
    assert isinstance(told, SampleError)
    assert told.as_dict() == {"found": "It is three", "where": "here", "next": "take four"}


def test_what_cannot_travel_fails_its_item_only() -> None:
    outcomes = {str(one.item)[:4]: one for one in run_each(repr, [1, (n for n in "ab")], jobs=1)}
    assert outcomes["1"].result == "1"
    assert "pickle" in outcomes["<gen"].error.found


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_dying_worker_fails_only_the_item_that_kills_it(jobs: int, tmp_path: Path) -> None:
    items = [(n, "no") for n in range(30)]
    items[2] = (2, "always")
    items[28] = (28, "always")
    outcomes = {one.item[0]: one for one in run_each(die_on, items, jobs=jobs)}
    assert sorted(outcomes) == list(range(30))
    assert [n for n, one in sorted(outcomes.items()) if one.error] == [2, 28]
    assert all(outcomes[n].result == n for n in outcomes if n not in (2, 28))
    assert "killed by signal 9 (SIGKILL)" in outcomes[2].error.found
    items = [(n, str(tmp_path / "once") if n == 15 else "no") for n in range(30)]  # the second attempt succeeds
    assert sorted(one.result for one in run_each(die_on, items, jobs=jobs)) == list(range(30))
    assert (tmp_path / "once").exists()


def count_and_meet_its_end(item: tuple[int, str, str]) -> int:
    """Notes the attempt, and which workers live beside it; then ends its process in the way asked for."""
    number, how, folder = item
    workers = Path(folder, "workers")
    Path(workers, str(os.getpid())).touch()
    with Path(folder, f"attempts-{number}").open("a") as attempts:
        attempts.write(f"{sum(alive(int(path.name)) for path in workers.iterdir())}\n")
    time.sleep(0.02)
    if how == "memory":
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (2**31, hard))
        try:
            bytearray(2**32)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    elif how == "exit":
        os._exit(7)
    elif how:
        os.kill(os.getpid(), getattr(signal, how))
    return number


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("how", "attempts", "said"),
    [
        ("SIGKILL", 2, "was killed by signal 9 (SIGKILL), with no other at work beside it: memory probably ran out"),
        ("SIGSEGV", 2, "was killed by signal 11 (SIGSEGV), with no other at work beside it: a library crashed on it"),
        ("exit", 2, "ended with exit code 7"),
        ("memory", 1, "There is not enough memory for it"),
    ],
)
def test_only_the_culprit_fails_and_it_is_tried_twice_at_most(
    jobs: int, how: str, attempts: int, said: str, tmp_path: Path
) -> None:
    (tmp_path / "workers").mkdir()
    items = [(n, how if n == 20 else "", str(tmp_path)) for n in range(40)]
    outcomes = list(run_each(count_and_meet_its_end, items, jobs=jobs, key=lambda item: f"sample {item[0]}"))
    assert sorted(one.item[0] for one in outcomes) == list(range(40))
    assert all(one.result == one.item[0] for one in outcomes if one.item[0] != 20)
    (culprit,) = (one for one in outcomes if one.item[0] == 20)
    assert said in culprit.error.found
    assert culprit.error.where == "sample 20"
    assert "fewer --jobs" in culprit.error.next_step
    assert isinstance(culprit.error, WorkerDiedError) == (how != "memory")
    beside = {n: (tmp_path / f"attempts-{n}").read_text().split() for n in range(40)}
    assert max(map(len, beside.values())) <= 2
    assert len(beside[20]) == attempts
    assert all(second == "1" for _, *others in beside.values() for second in others)  # itself, and no other


def dies_on_three(numbers: tuple[int, ...]) -> list[int]:
    if 3 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(numbers)


def test_of_an_item_with_parts_only_the_part_fails_that_kills() -> None:
    items = [(0, 1), (2, 3, 4), (5,)]
    outcomes = list(run_each(dies_on_three, items, jobs=1, parts=lambda item: [(n,) for n in item]))
    assert [one.item for one in outcomes if one.error is not None] == [(3,)]
    assert sorted(n for one in outcomes for n in one.result or ()) == [0, 1, 2, 4, 5]


def test_a_full_disk_stops_everything() -> None:
    seen = []
    with pytest.raises(StoppedError) as caught:
        for one in run_each(fill_disk, range(100), jobs=1):
            seen.append(one.item)
    assert caught.value.exit_code == 3
    assert caught.value.where == "clips/x.mp4"
    assert {0, 1} <= set(seen) <= {0, 1, 3, 4, 5}


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []

    def count():
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(run_each(square, count(), jobs=2)) as outcomes:
        for _ in range(10):
            next(outcomes)
    assert len(taken) <= 10 + 4


COMMAND = """
import sys
sys.path.insert(0, {tests!r})
from test_execution import write_pid_and_wait
from dataset_tools.core.execution import run_each
try:
    list(run_each(write_pid_and_wait, [{folder!r}] * 2, jobs=2))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_and_their_children_end_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    script = COMMAND.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    command = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 4)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert all(alive(pid) for pid in pids)
    command.send_signal(number)
    said, _ = command.communicate(timeout=20)
    assert said == ("interrupted\n" if number == signal.SIGINT else "")
    wait_for(lambda: not any(alive(pid) for pid in pids))


STARTING = """
from dataset_tools.core import execution, worker_pool
from dataset_tools.core.execution import run_each
context_with = worker_pool.worker_context
worker_pool.worker_context = lambda preload: context_with(["starts_slowly"])
if __name__ == "__main__":
    try:
        list(run_each(abs, range(2), jobs=2))
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_ctrl_c_while_workers_start_prints_no_traceback(tmp_path: Path) -> None:
    """In a terminal, it reaches all processes of the command."""
    script = tmp_path / "starting.py"
    script.write_text(STARTING)
    (tmp_path / "starts_slowly.py").write_text("import time\nprint('starting', flush=True)\ntime.sleep(15)")
    command = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "starting\n"
    os.killpg(command.pid, signal.SIGINT)
    assert command.communicate(timeout=20) == ("interrupted\n", "")


def test_work_can_begin_anew_right_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "imported_by_workers", lambda function: [])
    for number in range(5):
        assert [outcome.result for outcome in run_each(abs, [-number], jobs=1)] == [number]
        end_fork_server()  # as after an interrupt


def test_the_children_of_a_worker_that_is_terminated_end_with_it(tmp_path: Path) -> None:
    (outcome,) = run_each(start_a_child_and_be_terminated, [str(tmp_path)], jobs=1)
    assert outcome.error is not None
    assert "killed by signal 9 (SIGKILL)" in outcome.error.found
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) >= 2  # it was tried more than once
    wait_for(lambda: not any(alive(pid) for pid in pids))


SCRIPT = """
import sys
from dataset_tools.core.errors import StoppedError
from dataset_tools.core.execution import run_each
try:
    print(list(run_each(abs, [-1, -2], jobs=2)))
except StoppedError as error:
    sys.exit(f"{error.found} {error.next_step}")
"""


def test_a_script_on_standard_input_and_a_method_of_a_built_in_type() -> None:
    script = SCRIPT.replace("abs, [-1, -2]", "'a'.count, ['b']")
    ended = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("[Outcome(item='b', result=0, error=None)]\n", "")


def test_a_script_that_starts_the_work_when_it_is_imported_is_told_so_and_no_item_fails(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    # A worker that was ended while it printed its traceback left a line without an end.
    _, found, told = ended.stderr.partition("The worker processes cannot start")
    assert found, ended.stderr
    assert 'if __name__ == "__main__":' in told.splitlines()[0]


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie that its parent has not yet noticed does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
