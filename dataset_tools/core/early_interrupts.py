"""Ctrl-C while a program starts or exits: ends it with a message; an interrupted import prints a traceback.

Programs call `end_at_interrupt` before their imports, which take half a second, so this module imports nothing large.
While a command runs, `dataset_tools.core.console.command_context` turns interrupts into exceptions.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

FOUND, NEXT_STEP = "Interrupted", "run the same command again: it resumes"
EXIT_CODE = 3


def end_at_interrupt() -> None:
    """Makes Ctrl-C end this process at once, with exit code 3, unless it is ignored (as in a background job)."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_now)


def end_now(signum: int, frame: FrameType | None) -> None:
    """Signal handler: reports the interrupt as `print_error` does, which may not be imported yet, and exits."""
    descriptor, text = 2, f"error: {FOUND}\n  next:     {NEXT_STEP}\n"
    if asks_for_json(sys.argv):
        error = f'{{"found": "{FOUND}", "next": "{NEXT_STEP}"}}'
        descriptor, text = 1, f'{{"ok": false, "exit_code": {EXIT_CODE}, "error": {error}}}\n'
    try:
        os.write(descriptor, text.encode())
    finally:
        os._exit(EXIT_CODE)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether ``--json`` is among the options of a command line."""
    return "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)
