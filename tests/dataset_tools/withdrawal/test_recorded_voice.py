"""Which voice a name means: a speaker who withdraws never takes the recordings of another along."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.recordings.consent_rows import ConsentRow, read_consents, write_consents
from dataset_tools.speech.recordings.consents import CONSENT, Consents, withdraw
from dataset_tools.withdrawal.recorded_voice import RecordedVoice, find_voice


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def booth(place: Workspace) -> Consents:
    return Consents(place, CONSENT)


def admitted_earlier(place: Workspace, voice: str, name: str) -> None:
    """The consent that an earlier version stored."""
    row = ConsentRow(id=voice, name=name, text=CONSENT, time="2026-01-02T03:04:05Z")
    write_consents(place, {**read_consents(place), voice: row})


def test_a_name_of_two_speakers_is_refused_and_a_voice_is_not(place: Workspace, booth: Consents) -> None:
    assert booth.admit("Anna", agreed=True) == "anna"
    assert booth.admit("Anna", agreed=True, other=True) == "anna-2"
    for name in ("Anna", " ANNA "):
        with pytest.raises(InputError, match=r"anna \(0 recordings\), anna-2 \(0 recordings\)") as refused:
            find_voice(place, name)
        assert "speech forget anna" in str(refused.value.next_step)
    assert find_voice(place, "anna").name == "anna"
    assert find_voice(place, "anna-2").name == "anna-2"
    withdraw(place, "anna")  # and was killed: which of the two the name means is still open
    with pytest.raises(InputError, match=r"anna \(0 recordings\), anna-2"):
        find_voice(place, "Anna")
    withdraw(place, "anna-2")
    assert find_voice(place, "Anna").name == "anna"


def test_a_name_that_was_written_by_another_speaker_than_that_of_its_voice_is_refused(
    place: Workspace, booth: Consents
) -> None:
    assert booth.admit("Jose", agreed=True) == "jose"
    assert booth.admit("José", agreed=True, other=True) == "jose-2"
    with pytest.raises(InputError, match="jose-2"):
        find_voice(place, unicodedata.normalize("NFD", "José"))
    assert find_voice(place, "Jose").name == "jose"


@pytest.mark.parametrize(
    ("voice", "name"),
    [
        ("2", "王芳 2"),
        ("wang", "Wang 芳"),
        ("o-brien-d37dc21d", "OʼBrien"),
        ("s-ren", "Søren"),
        ("speaker-cc078195", "Иван"),
    ],
)
def test_a_voice_of_an_earlier_version_is_that_of_its_speaker(
    place: Workspace, booth: Consents, voice: str, name: str
) -> None:
    admitted_earlier(place, voice, name)
    assert find_voice(place, name).name == voice
    assert booth.known(name) == name
    assert booth.admit(name, agreed=True) == voice
    withdraw(place, voice)
    assert find_voice(place, name).name == voice, "a killed command is completed by the same command"
    assert booth.known(name) is None
    assert booth.withdrawn(name) is not None
    with pytest.raises(InputError, match=f"recordings of {voice} were removed when consent was withdrawn"):
        booth.admit(name, agreed=True)
    assert booth.withdrawn(booth.admit(name, agreed=True, anew=True)) is None


def test_a_voice_that_an_earlier_version_may_have_given_to_the_name_is_only_proposed(place: Workspace) -> None:
    admitted_earlier(place, "wang", "wang")
    with pytest.raises(InputError, match="may have named it wang") as refused:
        find_voice(place, "Wang 芳")
    assert "speech forget wang" in str(refused.value.next_step)
    admitted_earlier(place, "wang", "Wang")
    with pytest.raises(InputError, match=r"No recordings of the voice 'Wang 芳'\n"):
        find_voice(place, "Wang 芳")
    booth = Consents(place, CONSENT)
    assert booth.known("Wang 芳") is None
    assert booth.admit("Wang 芳", agreed=True) == "wang-a1674b35"


def test_upper_and_lower_case_are_one_name_in_every_script(place: Workspace, booth: Consents) -> None:
    voice = booth.admit("Иван", agreed=True)
    assert booth.known("ИВАН") == "Иван"
    assert booth.admit("иван", agreed=True) == voice
    withdraw(place, voice)
    assert booth.withdrawn("иван") is not None
    assert find_voice(place, "ИВАН").name == voice


def test_a_name_that_was_shortened_is_found_as_it_was_entered(place: Workspace, booth: Consents) -> None:
    name = "Maria " + "de la Cruz " * 10
    voice = booth.admit(name, agreed=True)
    assert len(voice) <= 80
    assert find_voice(place, name).name == voice
    withdraw(place, voice)
    assert find_voice(place, name).name == voice


@pytest.mark.parametrize(
    ("name", "text", "is_named"),
    [
        ("Anna", "takes/Anna_9.wav", True),
        ("Anna", "by_ANNA_today", True),
        ("Anna", "Annabel and Hanna", False),
        ("Jürgen Müller", "Ju\u0308rgen Mu\u0308ller_01.wav", True),
        ("001", "take 001_a.wav", True),
        ("001", "frame 100123", False),
        ("李雷", "这是李雷的录音", True),
        ("李雷 2", "李雷 23", False),
    ],
)
def test_names_in_texts_are_found_as_words(name: str, text: str, is_named: bool) -> None:
    voice = RecordedVoice("voice-1", frozenset(), frozenset(), frozenset(), frozenset([name]))
    assert voice.is_named_in(text.encode()) == is_named
