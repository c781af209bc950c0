"""Letters of a text: whether they are Latin, and their reduction to a-z, for names in ids."""

from __future__ import annotations

import re
import unicodedata

_MARKS = re.compile("[\u0300-\u036f]")


def is_latin(text: str) -> bool:
    """Whether all letters of a text are Latin, with or without marks; other characters do not count."""
    return all(unicodedata.name(letter, "").startswith("LATIN ") for letter in without_marks(text) if letter.isalpha())


def ascii_slug(text: str) -> str:
    """Reduces a text to a-z, 0-9 and single hyphens: é becomes e, other characters such as ø and 李 a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", without_marks(text).lower()).strip("-")


def without_marks(text: str) -> str:
    """Removes marks such as accents from letters, and converts compatibility characters (NFKD)."""
    return _MARKS.sub("", unicodedata.normalize("NFKD", text))
