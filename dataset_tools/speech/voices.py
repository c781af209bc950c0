"""Voice assignment: voices of an engine for each person in the footage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from dataset_tools.core.seeds import seed_of
from dataset_tools.speech.engine_interface import Voice


@dataclass(frozen=True)
class VoiceAssignment:
    """Which voices each person has.

    Attributes:
        voices: by person; at least one each.
        apart: no voice belongs to two persons. It is false only where an engine has fewer voices than there are
            persons; then a split by person cannot keep the voices apart.
    """

    voices: Mapping[str, tuple[Voice, ...]]
    apart: bool


def assign_voices(persons: Iterable[str], voices: Sequence[Voice], *, per_person: int = 4) -> VoiceAssignment:
    """Give each person voices of their own, by hash and not by order.

    Timbres are assigned, each with all its accents; with more persons than timbres, single voices are. Of all
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
        raise ValueError("there are no voices to assign")
    people = sorted(set(persons))
    timbres: dict[str, list[Voice]] = {}
    for voice in voices:
        timbres.setdefault(voice.timbre, []).append(voice)
    if len(timbres) < len(people):
        timbres = {voice.id: [voice] for voice in voices}
    if len(timbres) < len(people):
        shared = {person: (_pick(voices, person),) for person in people}
        return VoiceAssignment(shared, apart=False)
    quota = max(1, min(per_person, len(timbres) // max(1, len(people))))
    pairs = sorted((seed_of(0, "voices", person, timbre), person, timbre) for person in people for timbre in timbres)
    assigned: dict[str, list[Voice]] = {person: [] for person in people}
    count = dict.fromkeys(people, 0)
    free = set(timbres)
    for _, person, timbre in pairs:
        if timbre in free and count[person] < quota:
            free.remove(timbre)
            count[person] += 1
            assigned[person] += timbres[timbre]
    return VoiceAssignment({person: tuple(own) for person, own in assigned.items()}, apart=True)


_T = TypeVar("_T")


def _pick(choices: Sequence[_T], *names: str) -> _T:
    return choices[seed_of(0, *names) % len(choices)]
