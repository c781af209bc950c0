"""How `make gpu` runs its steps and reports: nothing that fails, hangs or is missing takes the rest along."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import __main__ as check
from benchmarks.gpu.report import NOTHING, read_records, report
from benchmarks.gpu.running import run_step
from benchmarks.gpu.steps import PART_LIMIT_S, Step, steps
from benchmarks.gpu.wheels import LACKING, every_dependency, pins

PYTHON = Path(sys.executable)


def run(code: str, results: Path, limit_s: int = 60, python: Path = PYTHON) -> dict[str, Any]:
    record = run_step(Step("one", 1, limit_s, ("-c", code)), python, results, {"COLOR": "blue"}, "card")
    assert json.loads((results / "one.json").read_text()) == record
    return record


def test_the_steps_of_every_part_leave_a_minute_for_the_environment() -> None:
    for device in ("cuda", "cpu"):
        for part in {step.part for step in steps(device)}:
            assert sum(step.limit_s for step in steps(device) if step.part == part) + 60 <= PART_LIMIT_S <= 9 * 60
    assert [step.name for step in steps("cuda")] == [step.name for step in steps("cpu")]


def test_a_slow_step_shortens_the_last_ones_of_its_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, limits = 1000.0, {}

    def take_all_time(step: Step, *_: object) -> dict[str, Any]:
        nonlocal now
        now += step.limit_s
        limits[step.name] = step.limit_s
        return {"machine": "m", "status": "timed out", "seconds": 0.0, "log_tail": []}

    several = [Step(name, part, 300, ()) for name, part in (("first", 1), ("second", 1), ("third", 1), ("other", 2))]
    monkeypatch.setattr(check, "steps", lambda device: several)
    monkeypatch.setattr(check, "run_step", take_all_time)
    monkeypatch.setattr(check.time, "monotonic", lambda: now)
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", "--inputs", str(tmp_path), "--results", str(tmp_path)])
    assert check.main() == 1
    assert limits == {"environment": 240, "first": 300, "second": 1, "third": 1, "other": 300}


def test_a_step_keeps_its_figures_and_what_it_printed_last(tmp_path: Path) -> None:
    code = "import os; print('hello'); print('{\"speed\": 3}'); print('{no json'); print(os.environ['COLOR'])"
    record = run(code, tmp_path)
    assert record["status"] == "ok"
    assert record["figures"] == [{"speed": 3}]
    assert [line for line in record["log_tail"] if line] == ["hello", "blue"]
    assert (tmp_path / "one.log").read_text().splitlines() == ["hello", '{"speed": 3}', "{no json", "blue"]


def test_a_step_that_fails_says_so(tmp_path: Path) -> None:
    record = run("raise SystemExit('no room')", tmp_path)
    assert (record["status"], record["log_tail"]) == ("failed", ["no room"])
    assert run("", tmp_path, python=tmp_path / "nothing")["status"] == "failed"


def test_a_step_that_hangs_is_killed_with_its_children_and_keeps_its_figures(tmp_path: Path) -> None:
    child = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    for limit_s in (1, 5, 25):  # on a busy machine, it takes a while until the step prints its figure
        record = run(child + "\nprint('{\"child\": %d}' % p.pid, flush=True); time.sleep(60)", tmp_path, limit_s)
        assert record["status"] == "timed out"
        assert record["seconds"] < limit_s + 27
        if record["figures"]:
            break
    pid = record["figures"][0]["child"]
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.1)
    else:
        os.kill(pid, 9)
        pytest.fail("the child lives on")


def test_a_failing_step_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    several = [
        Step("bad", 1, 60, ("-c", "raise SystemExit('why')")),
        Step("good", 2, 60, ("-c", "print('{\"a\": 1}')")),
    ]
    monkeypatch.setattr(check, "steps", lambda device: several)
    monkeypatch.setattr(check, "VENV", Path(sys.prefix))
    (tmp_path / "inputs").mkdir()
    places = ["--inputs", str(tmp_path / "inputs"), "--results", str(tmp_path), "--wheels", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu", *places])
    monkeypatch.setattr(
        check, "prepare", lambda options: Step("environment", 0, 60, ("-c", 'print(\'{"machine": "m"}\')'))
    )
    assert check.main() == 1
    found = {name: record["status"] for name, record in read_records(tmp_path).items()}
    assert found == {"environment": "ok", "bad": "failed", "good": "ok"}
    assert "1 not: bad" in capsys.readouterr().out


def test_the_report_of_nothing_and_of_a_part() -> None:
    assert report({}).endswith(NOTHING)
    figures = [
        {"test": "a", "difference": 0.5},
        {"test": "b", "difference": 0.25},
        {"rows": [{"name": "x|y", "ms": 2.0}]},
    ]
    record = {
        "step": "agreement",
        "part": 1,
        "machine": "NVIDIA H100",
        "status": "timed out",
        "seconds": 9,
        "limit_s": 9,
    }
    text = report({"agreement": record | {"figures": figures}})
    assert "Measured on: NVIDIA H100" in text
    assert "| agreement | 1 | timed out | 9 | 9 | NVIDIA H100 |" in text
    assert "| a | 0.5 |\n| b | 0.25 |" in text
    assert "| x\\|y | 2 |" in text
    assert "| features |  | not run |" in text
    assert NOTHING not in text


def test_wheels_are_asked_for_by_the_pinned_versions() -> None:
    assert pins()["msgspec"].count(".") >= 1
    assert set(LACKING) <= pins().keys() | {"pytest"}
    everything = every_dependency()
    assert {"msgspec", "av", "fvcore", "pytest", "torchaudio"} <= set(everything)
    assert not {"torch", "numpy"} & set(everything)
