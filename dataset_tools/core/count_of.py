"""Numbers of things in messages: ``1 clip``, ``1,000 clips``."""

from __future__ import annotations


def count_of(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun, and with the verb where there is one.

    Args:
        number: how many.
        one: what follows 1: ``clip``, or ``clip is``.
        several: what follows other numbers, if it is not ``one`` with an s: ``classes``, ``clips are``.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
