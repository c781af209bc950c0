"""Names of recorded voices: those of their speakers, in letters that are safe in ids and file names."""

from __future__ import annotations

import hashlib

from dataset_tools.core.letters import ascii_slug, is_latin
from dataset_tools.core.unicode_names import composed


def one_line(name: str) -> str:
    """Collapses white space in a name and truncates it to 80 characters."""
    return " ".join(name.split())[:80]


def voice_slug(name: str) -> str:
    """Converts a speaker's name to a voice name for manifests: a-z, 0-9 and hyphens (é becomes e).

    Names with letters that are not Latin also get a hash of the name: 李雷 becomes ``speaker-3a47328a``, and 李雷 2 and
    王芳 2 are two voices. Empty names remain empty.
    """
    slug = ascii_slug(name)
    if not name.strip() or (slug and is_latin(name)):
        return slug
    digest = hashlib.sha256(one_line(composed(name)).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{slug or 'speaker'}-{digest[:8]}"


def voice_of(name: str) -> str:
    """Voice of a speaker's name, or ``unknown``."""
    return voice_slug(name) or "unknown"
