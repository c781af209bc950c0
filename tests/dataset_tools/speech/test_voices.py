from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.speech.voices import Voice, deal_voices, open_engine


def voices(timbres: int, accents: int) -> list[Voice]:
    return [
        Voice(f"{accent}+{timbre}", "en", str(timbre)) for accent in "abcdefgh"[:accents] for timbre in range(timbres)
    ]


def people(count: int) -> list[str]:
    return [f"s{number:02d}" for number in range(7, 7 + count)]


def test_no_timbre_belongs_to_two_persons() -> None:
    dealing = deal_voices(people(30), voices(62, 8))
    assert dealing.apart
    owners: dict[str, set[str]] = {}
    for person, own in dealing.voices.items():
        assert len({voice.timbre for voice in own}) == 2  # 62 // 30
        assert len({voice.id[0] for voice in own}) == 8  # with every accent
        for voice in own:
            owners.setdefault(voice.timbre, set()).add(person)
    assert all(len(persons) == 1 for persons in owners.values())


def test_few_persons_have_no_more_than_their_share() -> None:
    dealing = deal_voices(people(3), voices(62, 8), per_person=4)
    assert {len({voice.timbre for voice in own}) for own in dealing.voices.values()} == {4}


def test_order_does_not_matter() -> None:
    assert deal_voices(people(30), voices(62, 8)).voices == deal_voices(people(30)[::-1] * 2, voices(62, 8)).voices


def test_another_person_changes_few_of_the_others() -> None:
    before = deal_voices(people(10), voices(62, 1)).voices
    after = deal_voices([*people(10), "s99"], voices(62, 1)).voices
    assert sum(before[person] != after[person] for person in before) <= 4


def test_more_persons_than_timbres_get_single_voices() -> None:
    dealing = deal_voices(people(80), voices(20, 8))
    ids = [voice.id for own in dealing.voices.values() for voice in own]
    assert dealing.apart
    assert len(ids) == len(set(ids)) == 160


def test_too_few_voices_are_shared_and_said_to_be() -> None:
    dealing = deal_voices(people(30), voices(3, 1))
    assert not dealing.apart
    assert all(len(own) == 1 for own in dealing.voices.values())
    assert len({own[0].id for own in dealing.voices.values()}) == 3


def test_a_voice_id_can_stand_in_a_file_name() -> None:
    with pytest.raises(ValueError, match="Ben B"):
        Voice("Ben B", "en", "ben")


def test_an_engine_from_outside(plain_engine: Callable[[str], str]) -> None:
    engine = open_engine(plain_engine("plain"))
    assert engine.name == "plain"
    assert engine.voices("en")[0].id == "tone-0"


def test_an_engine_from_outside_gets_its_options(plain_engine: Callable[[str], str]) -> None:
    assert open_engine(plain_engine("plain") + ":7").version == "1 7"


def test_an_unknown_engine_is_refused_with_those_there_are(plain_engine: Callable[[str], str]) -> None:
    plain_engine("plain")
    with pytest.raises(InputError, match="festival") as caught:
        open_engine("festival")
    assert caught.value.expected == "one of espeak, coqui, plain"


def test_the_entry_point_of_the_docs_is_the_one_in_use() -> None:
    import dataset_tools.speech.voices as module

    assert module.__doc__ is not None
    assert f'"{module.ENTRY_POINT_GROUP}"' in module.__doc__
    assert Path(module.__file__).name == "voices.py"
