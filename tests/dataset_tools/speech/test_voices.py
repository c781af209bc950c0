from __future__ import annotations

from dataset_tools.speech.engines.interface import Voice
from dataset_tools.speech.voices import assign_voices


def voices(timbres: int, accents: int) -> list[Voice]:
    return [
        Voice(f"{accent}+{timbre}", "en", str(timbre)) for accent in "abcdefgh"[:accents] for timbre in range(timbres)
    ]


def people(count: int) -> list[str]:
    return [f"s{number:02d}" for number in range(7, 7 + count)]


def test_no_timbre_belongs_to_two_persons() -> None:
    assignment = assign_voices(people(30), voices(62, 8))
    assert assignment.apart
    owners: dict[str, set[str]] = {}
    for person, own in assignment.voices.items():
        assert len({voice.timbre for voice in own}) == 2  # 62 // 30
        assert len({voice.id[0] for voice in own}) == 8  # with every accent
        for voice in own:
            owners.setdefault(voice.timbre, set()).add(person)
    assert all(len(persons) == 1 for persons in owners.values())


def test_few_persons_have_no_more_than_their_share() -> None:
    assignment = assign_voices(people(3), voices(62, 8))
    assert {len({voice.timbre for voice in own}) for own in assignment.voices.values()} == {4}


def test_order_does_not_matter() -> None:
    assert assign_voices(people(30), voices(62, 8)).voices == assign_voices(people(30)[::-1] * 2, voices(62, 8)).voices


def test_another_person_changes_few_of_the_others() -> None:
    before = assign_voices(people(10), voices(62, 1)).voices
    after = assign_voices([*people(10), "s99"], voices(62, 1)).voices
    assert sum(before[person] != after[person] for person in before) <= 4


def test_more_persons_than_timbres_get_single_voices() -> None:
    assignment = assign_voices(people(80), voices(20, 8))
    ids = [voice.id for own in assignment.voices.values() for voice in own]
    assert assignment.apart
    assert len(ids) == len(set(ids)) == 160


def test_too_few_voices_are_shared_and_said_to_be() -> None:
    assignment = assign_voices(people(30), voices(3, 1))
    assert not assignment.apart
    assert all(len(own) == 1 for own in assignment.voices.values())
    assert len({own[0].id for own in assignment.voices.values()}) == 3
