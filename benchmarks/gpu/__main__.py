"""``make gpu``: runs all GPU tests and benchmarks. Needs only the standard library.

    python -m benchmarks.gpu --device cuda --step all --wheels gpu-wheels --inputs gpu-inputs --results gpu-results

Every step runs, whatever became of those before it. The exit code is 1 when one did not end well. A part takes nine
minutes at most: a slow start, such as the first import of torch from a cold disk, shortens its last steps.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.report import write_report
from benchmarks.gpu.running import run_step
from benchmarks.gpu.steps import PART_LIMIT_S, Step, steps

ENVIRONMENT_LIMIT_S = 240
VENV = Path(".cache/gpu-venv")
DOCUMENT = Path("docs/benchmarks-gpu.md")


def main() -> int:
    """Runs the chosen part and gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a rehearsal at tiny sizes")
    parser.add_argument("--step", default="all", help="all, or the number of a part")
    parser.add_argument("--wheels", type=Path, default=Path("gpu-wheels"))
    parser.add_argument("--inputs", type=Path, default=Path("gpu-inputs"))
    parser.add_argument("--results", type=Path, default=Path("gpu-results"))
    options = parser.parse_args()
    chosen = [step for step in steps(options.device) if options.step in ("all", str(step.part))]
    if not chosen:
        parts = sorted({str(step.part) for step in steps(options.device)})
        parser.error(f"there is no STEP={options.step}; expected all or one of {', '.join(parts)}")
    if not options.inputs.is_dir():
        parser.error(
            f"there are no inputs in {options.inputs}; make gpu-inputs makes them, and they travel with the tree"
        )
    python = VENV / "bin" / "python"
    variables = {
        "FMN_GPU_DEVICE": options.device,
        "FMN_GPU_INPUTS": str(options.inputs.resolve()),
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(Path.cwd()),
        "PYTHONUNBUFFERED": "1",
    }
    machine, bad = "?", []
    part, end = chosen[0].part, time.monotonic() + PART_LIMIT_S
    for step in (prepare(options), *chosen):
        if step.part > part:
            part, end = step.part, time.monotonic() + PART_LIMIT_S
        step = replace(step, limit_s=max(1, min(step.limit_s, int(end - time.monotonic()))))
        interpreter = python if step.part else Path(sys.executable)
        record = run_step(step, interpreter, options.results, variables, machine)
        machine = record["machine"]
        print(f"{step.name:<20}{record['status']:<10}{record['seconds']:7.1f} s of {step.limit_s}", flush=True)
        if record["status"] != "ok":
            bad.append(step.name)
            print(*(f"    {line}" for line in record["log_tail"][-15:]), sep="\n", flush=True)
    measured = options.device != "cpu" and "environment" not in bad
    report = DOCUMENT if measured else options.results / "report.md"
    write_report(options.results, report)
    failed = f"{len(bad)} not: {', '.join(bad)}" if bad else "none failed"
    print(f"{len(chosen) + 1 - len(bad)} steps ok, {failed}  → {report}, {options.results}/")
    return 1 if bad else 0


def prepare(options: argparse.Namespace) -> Step:
    """The step that every part begins with: the environment over the installed torch."""
    places = ("--venv", str(VENV), "--wheels", str(options.wheels), "--device", options.device)
    return Step("environment", 0, ENVIRONMENT_LIMIT_S, ("-m", "benchmarks.gpu.environment", *places))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside: the step that runs is ended, too
    sys.exit(main())
