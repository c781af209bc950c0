"""The interface of a voice engine: text to speech in one of its voices."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_SLUG = re.compile(r"[a-z0-9+-]+")


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker.

    Attributes:
        id: a-z, 0-9, ``+`` and ``-``: it is part of file names and manifests.
        language: ``en`` or ``zh``.
        timbre: what makes voices sound like one throat; two accents of one timbre are two voices. As far as an engine
            has enough of them, a timbre belongs to one person of the footage only.
    """

    id: str
    language: str
    timbre: str

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is not a voice id: only a-z, 0-9, + and - are allowed")


class Engine(Protocol):
    """Turns text into sound. It is pickled to worker processes, so it holds settings and nothing that is open."""

    @property
    def name(self) -> str:
        """``espeak``."""
        ...

    @property
    def version(self) -> str:
        """All that the sound depends on beside the arguments of `speak`, ``1.52.0``: it is part of the cache key."""
        ...

    def voices(self, language: str) -> tuple[Voice, ...]:
        """The voices that speak ``language``, always in the same order; none if there are none."""
        ...

    def speak(self, text: str, voice: Voice, *, path: Path, seed: int) -> None:
        """Writes ``text`` as spoken by ``voice`` to ``path``, a 16-bit PCM wav of any rate.

        The same arguments give the same bytes, in whatever process and order. ``seed`` is for small differences
        between utterances of one voice (rate, pitch); an engine without any ignores it.

        Raises:
            SampleError: this text cannot be spoken.
        """
        ...
