"""What an engine is, what a voice is, and which voices belong to which person.

An engine turns text into sound in one of its voices. The toolkit has two, `espeak` and `coqui`. Another one from
outside is a class with the members of `Engine` in an installed package that declares it as an entry point::

    [project.entry-points."fmn_data.engines"]
    mine = "my_package.speech:MyEngine"

After that `--voices mine` finds it; `--voices mine:OPTIONS` passes OPTIONS to the class as its one argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, TypeVar, cast

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import seed_of

ENTRY_POINT_GROUP = "fmn_data.engines"
_SLUG = re.compile(r"[a-z0-9+-]+")


@dataclass(frozen=True)
class Voice:
    """A synthetic speaker.

    Attributes:
        id: a-z, 0-9, ``+`` and ``-``: it stands in file names and manifests.
        language: ``en`` or ``zh``.
        timbre: what makes voices sound like one throat; two accents of one timbre are two voices. As far as an engine
            has enough of them, a timbre belongs to one person of the footage only.
    """

    id: str
    language: str
    timbre: str

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.id):
            raise ValueError(f"{self.id!r} is no voice id: only a-z, 0-9, + and - may stand in it")


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


def open_engine(spec: str) -> Engine:
    """Finds an engine by its name, ``espeak``, or ``name:options``, ``coqui:tts_models/en/vctk/vits``.

    Raises:
        InputError: there is no such engine, or it cannot be used here (something it needs is not installed).
    """
    name, _, options = spec.partition(":")
    if name == "espeak":
        from dataset_tools.speech.espeak import EspeakEngine

        return EspeakEngine()
    if name == "coqui":
        from dataset_tools.speech.coqui import CoquiEngine

        return CoquiEngine.from_options(options)
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise InputError(
            f"There is no speech engine {name!r}",
            expected="one of " + ", ".join(["espeak", "coqui", *sorted(found)]),
            next_step=f"install the package that has it (entry point group {ENTRY_POINT_GROUP}), or choose another",
        )
    engine = found[name].load()
    return cast("Engine", engine(options) if options else engine())


@dataclass(frozen=True)
class Dealing:
    """Which voices each person has.

    Attributes:
        voices: by person; at least one each.
        apart: no voice belongs to two persons. It is false only where an engine has fewer voices than there are
            persons; then a split by person cannot keep the voices apart.
    """

    voices: Mapping[str, tuple[Voice, ...]]
    apart: bool


def deal_voices(persons: Iterable[str], voices: Sequence[Voice], *, per_person: int = 4) -> Dealing:
    """Gives each person voices of their own, by hash and not by order.

    Timbres are dealt, each with all its accents; where there are more persons than timbres, single voices are. Of all
    (person, timbre) pairs the one with the smallest hash is served first, until every person has ``per_person``, or as
    many as there are for each. So another person in the footage changes only few of the others' voices.

    Args:
        persons: all persons of the data set, in any order.
        voices: those of the engine.
        per_person: how many timbres, at most.

    Raises:
        ValueError: there are no voices.
    """
    if not voices:
        raise ValueError("there are no voices to deal")
    people = sorted(set(persons))
    timbres: dict[str, list[Voice]] = {}
    for voice in voices:
        timbres.setdefault(voice.timbre, []).append(voice)
    if len(timbres) < len(people):
        timbres = {voice.id: [voice] for voice in voices}
    if len(timbres) < len(people):
        shared = {person: (_pick(voices, person),) for person in people}
        return Dealing(shared, apart=False)
    quota = max(1, min(per_person, len(timbres) // max(1, len(people))))
    pairs = sorted((seed_of(0, "voices", person, timbre), person, timbre) for person in people for timbre in timbres)
    dealt: dict[str, list[Voice]] = {person: [] for person in people}
    count = dict.fromkeys(people, 0)
    free = set(timbres)
    for _, person, timbre in pairs:
        if timbre in free and count[person] < quota:
            free.remove(timbre)
            count[person] += 1
            dealt[person] += timbres[timbre]
    return Dealing({person: tuple(own) for person, own in dealt.items()}, apart=True)


_T = TypeVar("_T")


def _pick(choices: Sequence[_T], *names: str) -> _T:
    return choices[seed_of(0, *names) % len(choices)]
