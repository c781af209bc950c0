"""Speaker metadata: accent, age band and recording device, as far as a speaker says them; all optional."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

AGE_BANDS = ("under 18", "18-29", "30-44", "45-59", "60 and over")
_LONGEST = 80  # characters


class SpeakerFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a speaker says of themselves; empty where it was not said.

    Attributes:
        accent: in their own words, ``Scottish``. device: what they record with, ``headset``.
        age_band: one of `AGE_BANDS`.
    """

    accent: str = ""
    age_band: str = ""
    device: str = ""

    def __post_init__(self) -> None:
        if self.age_band not in ("", *AGE_BANDS):
            raise ValueError(f"the age band is {self.age_band!r}, expected one of {', '.join(AGE_BANDS)}, or nothing")
        for name in ("accent", "device"):
            text = getattr(self, name)
            if len(text) > _LONGEST or not text.isprintable():
                raise ValueError(f"{name} is {text[:_LONGEST]!r}, expected a line of at most {_LONGEST} characters")

    def filled_from(self, earlier: SpeakerFacts) -> SpeakerFacts:
        """These facts, and of ``earlier`` ones what is not said here."""
        return SpeakerFacts(*(getattr(self, name) or getattr(earlier, name) for name in self.__struct_fields__))


NOTHING_SAID = SpeakerFacts()


def facts_by_voice(said: Iterable[tuple[str, SpeakerFacts]]) -> tuple[dict[str, SpeakerFacts], list[str]]:
    """What is said of each voice (of those of whom anything is), and contradictions; what was said first counts."""
    found: dict[str, SpeakerFacts] = {}
    contradictions = []
    for voice, facts in said:
        before = found.get(voice, NOTHING_SAID)
        for name in facts.__struct_fields__:
            one, other = getattr(before, name), getattr(facts, name)
            if one and other and one != other:
                contradictions.append(f"speaker {voice}: {name} is {one!r} and {other!r}; the first counts")
        found[voice] = before.filled_from(facts)
    return {voice: facts for voice, facts in found.items() if facts != NOTHING_SAID}, contradictions


def count_speakers(voices: Iterable[str], facts: Mapping[str, SpeakerFacts]) -> dict[str, dict[str, int]]:
    """How many of the voices have each accent, age band and device; empty where nothing is said of any of them."""
    of_voices = [facts.get(voice, NOTHING_SAID) for voice in sorted(set(voices))]
    if all(one == NOTHING_SAID for one in of_voices):
        return {}
    return {
        name.replace("_", " "): dict(Counter(getattr(one, name) or "not said" for one in of_voices))
        for name in SpeakerFacts.__struct_fields__
    }
