"""Counts in messages: ``1 clip``, ``1,000 clips``, ``a, b, and 1,000 more``."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice


def count_of(number: int, one: str, several: str | None = None) -> str:
    """Returns a number with its noun, and with a verb if given.

    Args:
        number: the count.
        one: text after 1: ``clip``, or ``clip is``.
        several: text after other numbers, if it is not ``one`` plus s: ``classes``, ``clips are``.
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def first_of(texts: Collection[str], most: int, others: str = "more") -> list[str]:
    """Returns the first texts, and the number of the others if there are any: ``["a", "b", "and 3 more"]``.

    Args:
        texts: all of them.
        most: maximum number of those that are shown.
        others: text after the number of the others.
    """
    rest = len(texts) - most
    return [*islice(texts, most), *([f"and {rest:,} {others}"] if rest > 0 else [])]
