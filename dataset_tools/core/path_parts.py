"""Validated types for texts that become part of a path: file names, relative paths, content hashes.

Rows may come from somebody else. Whatever a path is formed of is checked where a row is read: no name leads out of its
folder, and no relative path out of the workspace. Letters of every script are allowed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MOST_BYTES = 251
"""Of an id, in UTF-8: the name of a file has 255 at most, and its suffix is one of them: ``.mp4``, ``.wav``."""

# Control characters (C0, DEL, C1) hide what a name is, and NUL ends it; `\Z` as `$` allows a line break at the end.
_PART = r"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f\x7f-\x9f]+"
_NAME, _PATH, _SHA256 = rf"\A{_PART}\Z", rf"\A{_PART}(?:/{_PART})*\Z", r"\A[0-9a-f]{64}\Z"

FileName = Annotated[str, Meta(pattern=_NAME, max_length=MOST_BYTES)]
"""An id, or another name that becomes part of the name of a file."""

RelativePath = Annotated[str, Meta(pattern=_PATH, max_length=4096)]
"""A POSIX path within the workspace."""

Sha256 = Annotated[str, Meta(pattern=_SHA256)]
"""The SHA-256 of a file's content: 64 hexadecimal digits, the letters small."""

_WORDS = {
    _NAME: "a name without / or \\ or control characters, and not . or ..",
    _PATH: "a POSIX path within the workspace: relative, without .. or \\ or control characters",
    _SHA256: "a SHA-256: 64 hexadecimal digits, the letters small",
}


def in_words(error: Exception) -> str:
    """What an error of msgspec says, with the meaning of a pattern in the place of the pattern."""
    said = str(error)
    for pattern, words in _WORDS.items():
        said = said.replace(f"`str` matching regex {pattern!r}", words)
    return said


def checked_length(name: str) -> None:
    """Refuses a name that is too long for a file system.

    Raises:
        ValueError: it has more than `MOST_BYTES` bytes in UTF-8.
    """
    if len(name) * 4 > MOST_BYTES and len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes as the name of a file: {name[:40]!r}…")
