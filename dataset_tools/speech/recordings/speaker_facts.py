"""Speaker metadata: accent, age band and recording device; all optional."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from dataset_tools.manifests import SpeakerFacts

NOTHING_SAID = SpeakerFacts()


def facts_by_voice(stated: Iterable[tuple[str, SpeakerFacts]]) -> tuple[dict[str, SpeakerFacts], list[str]]:
    """Merges metadata by voice, omitting voices without any; the first value counts. Returns contradictions, too."""
    found: dict[str, SpeakerFacts] = {}
    contradictions = []
    for voice, facts in stated:
        before = found.get(voice, NOTHING_SAID)
        for name in facts.__struct_fields__:
            one, other = getattr(before, name), getattr(facts, name)
            if one and other and one != other:
                contradictions.append(f"speaker {voice}: {name} is {one!r} and {other!r}; the first is used")
        found[voice] = before.filled_from(facts)
    return {voice: facts for voice, facts in found.items() if facts != NOTHING_SAID}, contradictions


def count_speakers(voices: Iterable[str], facts: Mapping[str, SpeakerFacts]) -> dict[str, dict[str, int]]:
    """Counts voices by accent, age band and device; empty if there is no metadata of any of them."""
    of_voices = [facts.get(voice, NOTHING_SAID) for voice in sorted(set(voices))]
    if all(one == NOTHING_SAID for one in of_voices):
        return {}
    return {
        name.replace("_", " "): dict(Counter(getattr(one, name) or "not stated" for one in of_voices))
        for name in SpeakerFacts.__struct_fields__
    }
