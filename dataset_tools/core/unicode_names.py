"""Names of files in Unicode: the spelling of letters with accents, and bytes that are not UTF-8."""

from __future__ import annotations

import unicodedata


def composed(name: str) -> str:
    """Returns a name in Unicode's composed form (NFC): file systems and archives of macOS decompose letters like ü."""
    return unicodedata.normalize("NFC", name)


def in_unicode(path: str) -> str:
    """Makes a path, or a text with a path, valid UTF-8; other bytes are escaped with a backslash."""
    return path.encode("utf-8", "surrogateescape").decode(errors="backslashreplace")
