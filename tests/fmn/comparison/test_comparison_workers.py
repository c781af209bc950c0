"""The worker processes of a comparison."""

from __future__ import annotations

import subprocess
import sys
from contextvars import Context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fmn.comparison.comparison_runs
from dataset_tools.core.execution import Outcome, worker_died
from fmn.comparison.comparison_runs import RunResult, run_tasks
from fmn.features.config import VideoFeatureConfig
from fmn.features.encoder_facts import EncoderFacts, encoders_loaded_once, know_encoders, known_encoders

FORKED = """
import os
from pathlib import Path
import fmn.comparison.comparison_runs as runs

def look(task):
    parent = os.getppid()
    return parent, "libtorch" in Path(f"/proc/{parent}/maps").read_text()

look.system = "fmn"

if __name__ == "__main__":
    for parent, has_torch in runs.run_tasks([look, look], jobs=2):
        print(parent != os.getpid() and has_torch)
else:
    runs.run_task = lambda task: task(task)  # in the worker
"""


def test_a_run_whose_worker_dies_twice_fails_and_the_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    fails: Any = SimpleNamespace(run="runs/one", system="fmn")
    trained: Any = SimpleNamespace(run="runs/two", system="dcca")

    def outcomes(function: Any, items: Any, *, jobs: int, key: Any) -> Any:
        assert [key(item) for item in items] == ["fmn", "dcca"]
        yield Outcome(items[0], None, worker_died("was killed by signal 9 (SIGKILL)"))
        yield Outcome(items[1], Context().run(function, items[1]), None)  # a worker has no context of its parent

    monkeypatch.setattr(fmn.comparison.comparison_runs, "run_each", outcomes)
    monkeypatch.setattr(
        fmn.comparison.comparison_runs, "run_task", lambda task: RunResult(task, epochs=len(known_encoders()))
    )
    with encoders_loaded_once():
        know_encoders({VideoFeatureConfig(): EncoderFacts("i3d", 8, 1, None, "", "")})
        first, second = run_tasks([fails, trained], jobs=2)
    assert first.task is fails
    assert first.error is not None
    assert (first.error.found, first.error.where) == (
        "The process that worked on it was killed by signal 9 (SIGKILL)",
        "runs/one",
    )
    assert first.error.next_step == "run the same command again to retry; or leave the system out with --models"
    assert second == RunResult(trained, epochs=1)  # which knows the encoder


def test_workers_are_forks_of_a_process_that_has_imported_torch(tmp_path: Path) -> None:
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    found = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout == "True\nTrue\n"
    assert found.stderr == ""
