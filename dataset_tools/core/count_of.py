"""Counts with their nouns in messages: ``1 clip``, ``1,000 clips``."""

from __future__ import annotations


def count_of(number: int, one: str, several: str | None = None) -> str:
    """Returns a number with its noun, and with a verb if given.

    Args:
        number: the count.
        one: text after 1: ``clip``, or ``clip is``.
        several: text after other numbers, if it is not ``one`` plus s: ``classes``, ``clips are``.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"
