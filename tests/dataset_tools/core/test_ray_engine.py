"""run_each on Ray: what kills its worker is tried once more, alone, and only that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from dataset_tools.core.execution import run_each
from dataset_tools.core.ray_engine import on_ray

folder = Path(sys.argv[1])

def work(numbers):
    for number in numbers:
        with (folder / f"attempts-{number}").open("a") as attempts:
            attempts.write("x")
    time.sleep(0.02)
    if 20 in numbers:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(numbers)

items = [(n,) for n in range(40) if n not in (20, 21)] + [(20, 21)]
with on_ray(None, 2):
    outcomes = list(run_each(work, items, jobs=2, parts=lambda item: [(n,) for n in item]))
failed = {str(one.item): [type(one.error).__name__, one.error.found] for one in outcomes if one.error}
print(json.dumps([failed, sorted(n for one in outcomes for n in one.result or ())]))
"""


def test_only_the_culprit_fails_and_it_is_tried_twice_at_most(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    failed, results = json.loads(ended.stdout.splitlines()[-1])
    assert list(failed) == ["(20,)"]
    kind, found = failed["(20,)"]
    assert kind == "WorkerDiedError"
    assert "WorkerCrashedError; memory probably ran out" in found
    assert results == [n for n in range(40) if n != 20]
    attempts = {n: len((tmp_path / f"attempts-{n}").read_text()) for n in range(40)}
    assert attempts == {n: 2 if n in (20, 21) else 1 for n in range(40)}
