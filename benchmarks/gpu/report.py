"""Report generator: docs/benchmarks-gpu.md from the results of ``make gpu``, including steps that were not run.

python -m benchmarks.gpu.report gpu-results docs/benchmarks-gpu.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.steps import steps

Record = Mapping[str, Any]

HOW = """# Benchmarks on a GPU

This page is for users with a GPU: `make gpu` runs all tests and benchmarks that need one, on a machine with CUDA,
Python 3.11 to 3.13 and torch 2.11 or newer, without a network:

    make gpu-wheels gpu-inputs      # first, on a machine with a network: 59 MiB with the project
    make gpu                        # on the GPU machine: everything, in parts of at most nine minutes each
    make gpu STEP=1                 # one part: 1 tests, 2 commands and baselines, 3 benchmarks, 4 the paper's schedule
    make gpu DEVICE=cpu             # a rehearsal without a GPU, at tiny sizes

`PYTHON=…` (default: python3) selects the interpreter whose torch is used. Its environment is not changed: missing
packages are installed from the wheels into a separate environment, .cache/gpu-venv. Without make:
`python3 -m benchmarks.gpu --step 1`. Each step has a time limit and writes gpu-results/NAME.json and NAME.log at once;
this page is generated from them
(`python -m benchmarks.gpu.report gpu-results docs/benchmarks-gpu.md` regenerates it).
"""
NOTHING = """
**Nothing has been measured on a GPU yet**, for lack of one. That training, evaluation, search, fine-tuning and video
features mix no tensors of the CPU and of the GPU, and that no step of FMN's training waits for the GPU, is tested on a
simulated device (`tests/fmn/simulated_device/`).
"""


def write_report(results: Path, path: Path) -> None:
    """Writes the report of what lies in ``results`` to ``path``."""
    path.write_text(report(read_records(results)), encoding="utf-8")


def read_records(results: Path) -> dict[str, Record]:
    """The results by name of their step."""
    found = {}
    for path in sorted(results.glob("*.json")):
        record = json.loads(path.read_text())
        found[record["step"]] = record
    return found


def report(records: Mapping[str, Record]) -> str:
    """The report as Markdown.

    Args:
        records: what `benchmarks.gpu.running.run_step` wrote, by name of the step; any of them may be missing.
    """
    known = ["environment", *(step.name for step in steps("cuda"))]
    if not any(name in records for name in known):
        return HOW + NOTHING
    parts = [HOW, _machines(records), _statuses(known, records)]
    for name in known:
        figures = records.get(name, {}).get("figures", [])
        if figures and name != "environment":
            shown = figures[-1:] if name == "paper_schedule" else figures
            parts.append(f"\n## {name}\n\n" + _shown(shown))
    return "".join(parts)


def _machines(records: Mapping[str, Record]) -> str:
    facts = (records.get("environment", {}).get("figures") or [{}])[-1]
    machines = {str(record["machine"]) for record in records.values() if record["machine"] != "?"}
    line = f"\nMeasured on: {', '.join(sorted(machines)) or 'not known'}."
    if facts:
        versions = ", ".join(f"{name} {number}" for name, number in facts.get("packages", {}).items() if number)
        line += f" Last environment: {facts.get('machine')}, {facts.get('processor')}, {facts.get('cores')} cores, "
        line += f"CUDA {facts.get('cuda')}, cuDNN {facts.get('cudnn')}, Python {facts.get('python')}, {versions}."
    return line + "\n"


def _statuses(known: Sequence[str], records: Mapping[str, Record]) -> str:
    rows = ["", "| step | part | ended | seconds | limit, s | machine |", "|---|---|---|---|---|---|"]
    for name in known:
        record = records.get(name)
        cells = ["part", "status", "seconds", "limit_s", "machine"]
        values = [str(record.get(cell, "")) for cell in cells] if record else ["", "not run", "", "", ""]
        rows.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(rows) + "\n"


def _shown(figures: Sequence[Mapping[str, Any]]) -> str:
    """Figures with the same names as one table; one alone as a list, with what is a table in it below."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for figure in figures:
        groups.setdefault(tuple(figure), []).append(figure)
    return "\n".join(_table(group) if len(group) > 1 else _list(group[0]) for group in groups.values())


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_text(row.get(head)) for head in heads)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _list(figure: Mapping[str, Any]) -> str:
    tables = [value for value in figure.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    lines = [f"- {name}: {_text(value)}" for name, value in figure.items() if value not in tables]
    return "\n".join([*lines, "", *map(_table, tables)])


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value).replace("|", "\\|")


if __name__ == "__main__":
    write_report(Path(sys.argv[1]), Path(sys.argv[2]))
