"""Progress bars and questions appear only on a terminal at which somebody sits; all of these are pseudo-terminals."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
KERNEL = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "TERM": "xterm-color", "FORCE_COLOR": "1"}
SCRIPT = """
from dataset_tools.core.console import Terminal
terminal = Terminal(as_json=False)
for done in range(4):
    terminal.progress("videos", done, 3)
    terminal.progress("speech", done, 3)
terminal.close_bars()
print("asks" if terminal.can_ask() else "does not ask")
"""


@pytest.mark.parametrize(
    ("variables", "draws", "asks"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "dumb"}, False, True),  # Emacs
        (KERNEL, False, False),
        ({**KERNEL, "MPLBACKEND": "module://ipykernel.pylab.backend_inline"}, False, False),  # older kernels
        ({"TERM": "xterm", "MPLBACKEND": "agg"}, True, True),
    ],
    ids=["terminal", "dumb", "notebook", "older_notebook", "another_backend"],
)
def test_bars_and_questions_on_a_terminal(variables: dict[str, str], draws: bool, asks: bool) -> None:
    ours, its = pty.openpty()
    try:
        done = _run(variables, stdin=its, stderr=its)
        os.write(its, b"the end")
        shown = b""
        while not shown.endswith(b"the end"):
            shown += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(its)
    assert done.stdout == (b"asks\n" if asks else b"does not ask\n")
    assert (b"videos" in shown) == draws
    assert (b"\x1b" in shown) == draws


def test_colors_that_are_forced_draw_no_bars_in_a_log() -> None:
    done = _run({"FORCE_COLOR": "1", "TERM": "xterm"}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.stderr == b""
    assert done.stdout == b"does not ask\n"


def _run(variables: dict[str, str], stdin: int, stderr: int) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in (*KERNEL, "NO_COLOR")}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**kept, **variables, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=60,
        check=True,
    )
