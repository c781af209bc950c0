"""Plain text: texts and names as they compare equal, although Unicode writes one of them in several ways."""

from __future__ import annotations

import re
import unicodedata

from dataset_tools.core.unicode_names import composed

_INVISIBLE = re.compile("[\u00ad\u200b\ufeff]")  # soft hyphen, zero-width space, byte order mark
_JOINERS = frozenset("\u200c\u200d")  # Persian words and emoji need the zero-width joiners


def plain_text(text: str) -> str:
    """Returns a text in Unicode's composed form (NFC), with single spaces and without invisible characters.

    File names on macOS may be decomposed (ö as o and a diaeresis), and have a narrow no-break space before AM and PM.
    """
    return " ".join(_INVISIBLE.sub("", composed(text)).split())


def check_printable(text: str) -> None:
    """Checks that a text has only characters that can be shown, and zero-width joiners.

    Raises:
        ValueError: it has another one; the message names the first.
    """
    for character in text:
        if not (character.isprintable() or character in _JOINERS):
            name = unicodedata.name(character, "")
            code = f"U+{ord(character):04X}" + (f", {name}" if name else "")
            raise ValueError(f"{text.replace(character, '?')[:40]!r} has a nonprintable character ({code}): remove it")
