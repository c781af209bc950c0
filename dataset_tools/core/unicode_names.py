"""Names of files in Unicode: the spelling of letters with accents, and bytes that are not UTF-8."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
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


def require_encodable(names: Iterable[str]) -> None:
    """Refuses names of files that the encoding of the locale lacks; a UTF-8 locale has all of them.

    Raises:
        InputError: there is such a name.
    """
    for name in names:
        try:
            os.fsencode(name)
        except UnicodeEncodeError as error:
            raise not_encodable(error) from error


def not_encodable(error: UnicodeEncodeError) -> InputError:
    """Returns the error of a name that the encoding of the locale lacks."""
    return InputError(
        f"The name of a file cannot be written in the encoding of the locale, {sys.getfilesystemencoding()}",
        where=error.object,
        expected="a UTF-8 locale: names and ids may have letters of any language",
        next_step="set one with: export LC_ALL=C.UTF-8, and unset PYTHONUTF8; then run the same command again",
    )
