"""Callbacks of long-running library functions: progress, and caveats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, the number of samples done, the total, and a short note."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None: ...


Warn = Callable[[str], object]
"""Called with caveats that are not part of a function's result."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Reports nothing."""
