"""Accent, age band and device: from the booth and from a CSV into the consents, counted, never lost."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import SpeakerFacts
from dataset_tools.speech.recordings.consents import Consents, note_speakers, read_speakers
from dataset_tools.speech.recordings.speaker_facts import count_speakers, facts_by_voice

BOOTH = Path(__file__).parents[4] / "dataset_tools" / "speech" / "booth" / "booth.html"


def test_what_is_not_a_fact_is_refused() -> None:
    for wrong in ({"age_band": "27"}, {"accent": "a" * 81}, {"device": "a\nb"}):
        with pytest.raises(msgspec.ValidationError, match=next(iter(wrong)).replace("_", " ")):
            msgspec.convert(wrong, SpeakerFacts)


def test_the_booth_offers_the_age_bands() -> None:
    assert all(f"<option>{band}</option>" in BOOTH.read_text() for band in SpeakerFacts.AGE_BANDS)


def test_the_first_of_two_contradicting_facts_counts() -> None:
    said = [("ann", SpeakerFacts("Scottish")), ("bob", SpeakerFacts()), ("ann", SpeakerFacts("Irish", "30-44"))]
    found, contradictions = facts_by_voice(said)
    assert found == {"ann": SpeakerFacts("Scottish", "30-44")}
    assert contradictions == ["speaker ann: accent is 'Scottish' and 'Irish'; the first is used"]


def test_consents_keep_what_was_said_once(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    Consents(place, "first text").admit("Ann", agreed=True, speaker=SpeakerFacts("Scottish", device="headset"))
    again = Consents(place, "second text")
    again.admit("Ann", agreed=True, speaker=SpeakerFacts(age_band="30-44"))
    assert read_speakers(place) == {"ann": SpeakerFacts("Scottish", "30-44", "headset")}
    assert again.is_admitted("ann")
    note_speakers(place, {"bob": SpeakerFacts("Irish")})  # imported: nobody agreed to anything here
    assert not again.is_admitted("bob")
    assert not Consents(place, "").is_admitted("bob")
    assert read_speakers(place)["bob"] == SpeakerFacts("Irish")


def test_consents_of_the_version_before_are_read(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    place.recordings.mkdir(parents=True)
    line = '{"schema":"fmn.consent/1","id":"ann","name":"Ann","text":"t","time":"2026-11-22T07:00:00Z"}\n'
    (place.recordings / "consents.jsonl").write_text(line)
    assert Consents(place, "t").is_admitted("ann")
    assert read_speakers(place) == {"ann": SpeakerFacts()}


def test_speakers_are_counted_once_each() -> None:
    facts = {"ann": SpeakerFacts("Scottish"), "bob": SpeakerFacts("Scottish", "18-29"), "eve": SpeakerFacts("Irish")}
    assert count_speakers(["ann", "bob", "ann", "dan"], facts) == {
        "accent": {"Scottish": 2, "not stated": 1},
        "age band": {"not stated": 2, "18-29": 1},
        "device": {"not stated": 3},
    }
    assert count_speakers(["dan"], facts) == {}
