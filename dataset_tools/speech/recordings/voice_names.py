"""Names of voices: conversion of a speaker's name, also as earlier versions converted it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable

from dataset_tools.core.letters import ascii_slug, without_marks
from dataset_tools.core.unicode_names import composed

_MOST_CHARACTERS = 80


def one_line(name: str) -> str:
    """Composes accents (NFC), collapses white space in a name and truncates it to 80 characters."""
    return " ".join(composed(name).split())[:_MOST_CHARACTERS]


def name_key(name: str) -> str:
    """Returns a key that is equal for two names if they differ only in case, white space or the form of accents."""
    return composed(one_line(name).casefold())


def different_names(names: Iterable[str]) -> dict[str, str]:
    """Returns names that differ by more than case, spaces and punctuation, by their letters and digits.

    The last one of those that are equal counts.
    """
    return {"".join(filter(str.isalnum, name_key(name))): name for name in names}


def voice_slug(name: str) -> str:
    """Converts a speaker's name to a voice name for manifests: a-z, 0-9 and hyphens (é becomes e).

    Names with letters that cannot be converted also get a hash of the name in lower case: 李雷 becomes
    ``speaker-3a47328a``, and 李雷 2 and 王芳 2, or Søren and Særen, are two voices each. Empty names remain empty.
    """
    name = one_line(name)
    letters = without_marks(name).casefold()
    slug = ascii_slug(letters)
    if not name or (slug and all("a" <= letter <= "z" or not _is_letter(letter) for letter in letters)):
        return slug
    return _with_hash(slug, name_key(name))


def voice_of(name: str) -> str:
    """Voice of a speaker's name, or ``unknown``."""
    return voice_slug(name) or "unknown"


def former_voices(name: str) -> tuple[str, ...]:
    """Returns the voice names that earlier versions gave to a name, except the current one.

    Those without a hash may also belong to another speaker: 0.1.0 converted both ``Wang`` and ``Wang 芳`` to ``wang``.
    """
    shortened, whole = (ascii_slug(text) for text in (one_line(name), name))
    forms = dict.fromkeys((hashed_before(name), shortened, whole))
    return tuple(form for form in forms if form not in ("", voice_slug(name))) if one_line(name) else ()


def hashed_before(name: str) -> str:
    """Returns the voice of a name with the hash of earlier versions, which distinguished upper and lower case."""
    name = one_line(name)
    return _with_hash(ascii_slug(name), name)


def _is_letter(character: str) -> bool:
    # Modifier letters are apostrophes in names such as OʼBrien (U+02BC) and Kaʻole.
    return character.isalpha() and unicodedata.category(character) != "Lm"


def _with_hash(slug: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{slug or 'speaker'}-{digest[:8]}"
