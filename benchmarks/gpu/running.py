"""Step runner: runs one step under its time limit and writes RESULTS/NAME.log and RESULTS/NAME.json.

Every line of a step's output that is a JSON object is a figure. So a step that was killed keeps those it had printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.steps import Step

TAIL_LINES = 40
GRACE_S = 5.0


def run_step(step: Step, python: Path, results: Path, environment: Mapping[str, str], machine: str) -> dict[str, Any]:
    """Runs ``step`` in the current folder.

    Args:
        step: what to run.
        python: the interpreter.
        results: folder of the results, made when missing.
        environment: variables beside those of this process.
        machine: what the result says of where it was measured.

    Returns:
        What RESULTS/NAME.json says: the step, ``status`` (ok, failed, timed out, stopped; while it runs: running),
        ``seconds``, ``figures`` and ``log_tail``.
    """
    results.mkdir(parents=True, exist_ok=True)
    command = [str(python), *step.command]
    record: dict[str, Any] = {"step": step.name, "part": step.part, "machine": machine, "limit_s": step.limit_s}
    record |= {"command": " ".join(command), "status": "running"}
    log, path = results / f"{step.name}.log", results / f"{step.name}.json"
    path.write_text(json.dumps(record, indent=1))
    started = time.monotonic()
    record["status"] = "stopped"
    try:
        record["status"] = _status(command, log, step.limit_s, os.environ | environment)
    finally:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        record["seconds"] = round(time.monotonic() - started, 1)
        record["figures"] = figures_in(text)
        record["machine"] = next((figure["machine"] for figure in record["figures"] if "machine" in figure), machine)
        record["log_tail"] = [line for line in text.splitlines() if not line.startswith("{")][-TAIL_LINES:]
        path.write_text(json.dumps(record, indent=1))
    return record


def figures_in(text: str) -> list[dict[str, Any]]:
    """The lines of ``text`` that are JSON objects."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def _status(command: list[str], log: Path, limit_s: float, environment: Mapping[str, str]) -> str:
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
        except OSError as error:
            output.write(f"{error}\n".encode())
            return "failed"
        try:
            return "ok" if process.wait(limit_s) == 0 else "failed"
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all that it started, which have a process group of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_S)
