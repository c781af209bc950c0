"""Validated types for strings that become part of a path: file names, relative paths, content hashes.

Rows may come from somebody else. All parts of paths are checked when a row is read: no name can escape its folder, and
no relative path the workspace. Letters of every script are allowed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MOST_BYTES = 251
"""Longest id in UTF-8: a file name has at most 255 bytes, 4 of them for a suffix such as ``.mp4`` or ``.wav``."""

# Control characters (C0, DEL, C1) disguise a name, and NUL ends it; `\Z`, as `$` allows a line break at the end.
_PART = r"(?!\.\.?(?:/|\Z))[^/\\\x00-\x1f\x7f-\x9f]+"
_NAME, _PATH, _SHA256 = rf"\A{_PART}\Z", rf"\A{_PART}(?:/{_PART})*\Z", r"\A[0-9a-f]{64}\Z"

FileName = Annotated[str, Meta(pattern=_NAME, max_length=MOST_BYTES)]
"""An id, or another name that becomes part of a file name."""

RelativePath = Annotated[str, Meta(pattern=_PATH, max_length=4096)]
"""A POSIX path within the workspace."""

Sha256 = Annotated[str, Meta(pattern=_SHA256)]
"""The SHA-256 of a file's content: 64 lowercase hexadecimal digits."""

_WORDS = {
    _NAME: "a name without / or \\ or control characters, and not . or ..",
    _PATH: "a POSIX path within the workspace: relative, without .. or \\ or control characters",
    _SHA256: "a SHA-256: 64 lowercase hexadecimal digits",
}


def in_words(error: Exception) -> str:
    """The message of a msgspec error, with each pattern replaced by its meaning."""
    message = str(error)
    for pattern, words in _WORDS.items():
        message = message.replace(f"`str` matching regex {pattern!r}", words)
    return message


def checked_length(name: str) -> None:
    """Refuses a name that is too long for a file system.

    Raises:
        ValueError: it has more than `MOST_BYTES` bytes in UTF-8.
    """
    if len(name) * 4 > MOST_BYTES and len(name.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes as a file name: {name[:40]!r}…")
