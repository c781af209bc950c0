"""Voice assignment: assigns voices of an engine to each person in the footage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataset_tools.core.seeds import seed_of
from dataset_tools.speech.engines.interface import Voice

_MOST_TIMBRES = 4
"""Of one person."""


@dataclass(frozen=True)
class VoiceAssignment:
    """Voices of each person.

    Attributes:
        voices: by person; at least one each.
        apart: whether each voice belongs to only one person. False only if the engine has fewer voices than there are
            persons; then a split by person cannot separate the voices.
    """

    voices: Mapping[str, tuple[Voice, ...]]
    apart: bool


def assign_voices(persons: Iterable[str], voices: Sequence[Voice]) -> VoiceAssignment:
    """Assigns disjoint sets of voices to persons, by hash and independent of the order.

    Timbres are assigned, each with all its accents; if there are more persons than timbres, single voices are. Pairs
    (person, timbre) are processed in the order of their hashes until every person has four timbres, or an equal
    share of them. Thus another person in the footage changes only few voices of the others.

    Args:
        persons: all persons of the data set, in any order.
        voices: voices of the engine.

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
        shared = {person: (voices[seed_of(0, person) % len(voices)],) for person in people}
        return VoiceAssignment(shared, apart=False)
    quota = max(1, min(_MOST_TIMBRES, len(timbres) // max(1, len(people))))
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
