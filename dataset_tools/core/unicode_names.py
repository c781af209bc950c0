"""Names of files in Unicode: the spelling of letters with accents, and bytes that are not UTF-8."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

from dataset_tools.core.errors import InputError


def composed(name: str) -> str:
    """Returns a name in Unicode's composed form (NFC): file systems and archives of macOS decompose letters like ü."""
    return unicodedata.normalize("NFC", name)


def in_unicode(path: str) -> str:
    """Makes a path, or a text with a path, valid UTF-8; other bytes are escaped with a backslash."""
    return path.encode("utf-8", "surrogateescape").decode(errors="backslashreplace")


def require_unicode(path: Path) -> None:
    """Refuses a path that JSON cannot store, and that the libraries for media and weights cannot open.

    Raises:
        InputError: some bytes of the path are not UTF-8, or the locale has another encoding.
    """
    if in_unicode(str(path)) != str(path):
        raise InputError(
            "The path is not valid UTF-8",
            where=in_unicode(str(path)),
            expected="a path in UTF-8",
            next_step="rename the folder or file; if its name is right, use a UTF-8 locale: export LC_ALL=C.UTF-8",
        )


def not_encodable(error: UnicodeEncodeError) -> InputError:
    """Returns the error of the name of a file that the encoding of the locale lacks."""
    encoding = sys.getfilesystemencoding()
    return InputError(
        f"The locale has the encoding {encoding}, in which the name of a file cannot be written",
        where=error.object.encode(encoding, "backslashreplace").decode(encoding),
        expected="a UTF-8 locale: names may have letters of any language",
        next_step="set one with: export LC_ALL=C.UTF-8, and unset PYTHONUTF8; then run the same command again",
    )
