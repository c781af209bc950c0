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
        id: characters a-z, 0-9, ``+`` and ``-``; used in file names and manifests.
        language: its code, ``en``.
        timbre: shared by voices that sound like the same speaker; two accents of one timbre are two voices. If the
            engine has enough timbres, each is used for only one person of the footage.
    """

    id: str
    language: str
    timbre: str

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is not a voice id: only a-z, 0-9, + and - are allowed")


class Engine(Protocol):
    """Text-to-speech engine. It is pickled to worker processes, so it may hold settings, but no open resources.

    Sentences on the licenses of its voices, in an attribute ``licences: tuple[str, ...]``, are shown and recorded.
    """

    @property
    def name(self) -> str:
        """Name of the engine, such as ``espeak``."""
        ...

    @property
    def version(self) -> str:
        """Everything that affects the audio except the arguments of `speak`, ``1.52.0``; part of the cache key."""
        ...

    def voices(self, language: str) -> tuple[Voice, ...]:
        """Returns the voices that speak ``language``, always in the same order; may be empty."""
        ...

    def speak(self, text: str, voice: Voice, *, path: Path, seed: int) -> None:
        """Writes ``text`` as spoken by ``voice`` to ``path``, a 16-bit PCM WAV file of any sample rate.

        Deterministic: the same arguments produce the same bytes in any process and order. ``seed`` varies utterances of
        one voice slightly (rate, pitch); an engine without variation ignores it.

        Raises:
            SampleError: this text cannot be spoken.
        """
        ...
