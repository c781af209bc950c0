"""A speaker withdraws: nothing of the voice stays, everything of others does, and nothing brings it back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from dataset_tools.build.dataset_synthesis import synthesize_dataset
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.ledger import read_ledger
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.label_studio.withdrawn_tasks import without_withdrawn
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.earlier_speech import earlier_speech_path, made_speech
from dataset_tools.speech.recordings.consents import CONSENT, Consents, note_speakers
from dataset_tools.speech.recordings.import_in_progress import ImportOptions
from dataset_tools.speech.recordings.speaker_facts import SpeakerFacts
from dataset_tools.speech.recordings.withdrawn_recordings import withdrawn_utterances
from dataset_tools.speech.synthesis import SpeechOptions
from dataset_tools.withdrawal.forgetting import forget_voice
from dataset_tools.withdrawal.recorded_voice import find_voice

CLASSES = load_classes()
VOICE, OTHER = "annabel-q", "ben"
STONE = hashlib.sha256(VOICE.encode()).hexdigest()
SPEECH = SpeechOptions(augment=1)


def test_nothing_of_the_voice_stays_and_everything_of_others_does(place: Any) -> None:
    contents, before = place.contents_of(VOICE), place.rows()
    kept = [row for row in before if row.voice != VOICE]
    others = place.contents_of(OTHER)
    assert len(contents) == 6 * 2 + 4
    assert len(place.found(contents)) > 40
    forget_voice(place, find_voice(place, "Annabel Q"))
    assert place.found(contents) == []
    assert place.stones() == [STONE]
    assert place.rows() == kept
    assert place.contents_of(OTHER) == others
    assert [path.parent.name for path in (place.cache / "index").rglob("*.f32")] == ["fmn-demo-speech-test"]
    left = {path.stem for path in (place.cache / "features").rglob("*.npy")}
    assert left == {row.sha256 for row in kept} | {"b" * 64}
    assert [(row.item, row.label_studio.annotation) for row in read_reviews(reviews_path(place))] == [
        ("clip", 1),
        ("clip", 2),
        ("utterance", 2),
    ]
    sides = {name: list(read_rows(place.manifests / f"{name}.jsonl", SplitPairRow)) for name in ("train", "test")}
    split = json.loads((place.manifests / "split.json").read_text("utf-8"))
    assert {name: split[name] for name in sides} == {name: len(of_side) for name, of_side in sides.items()}
    assert [one["voice_sha256"] for one in split["withdrawn"]] == [STONE]
    assert [len(same) for same in split["merged"]] == [2]
    assert json.loads((place.manifests / "build.json").read_text("utf-8"))["failures"] == ["s00"]
    raw = json.loads(next((place.annotations / "label-studio").glob("*_project-1.json")).read_text("utf-8"))
    assert [one["data"]["utterance_id"] is None for one in raw] == [True, False]


def test_the_places_are_filled_again(place: Any) -> None:
    def counts() -> dict[str, int]:
        own = [row for row in place.rows() if "_aug" not in row.id]
        return {name: sum(row.class_id == name for row in own) for name in ("cut_carrot_knife", "wash_apple")}

    before = counts()
    forget_voice(place, find_voice(place, VOICE))
    assert counts() != before
    synthesize_dataset(place, CLASSES, SPEECH)
    assert counts() == before
    summary = make_pairs(place, CLASSES, PairOptions())
    assert summary.utterances == len(place.rows())
    assert not place.of(VOICE)


def test_what_the_same_file_made_under_an_earlier_name_goes_too(place: Any) -> None:
    own = place.of(VOICE)[0]
    earlier = place.speech / f"{own.id.replace(VOICE, 'ben')}.wav"  # its row was removed, and it was imported again
    earlier.write_bytes(b"the same words")
    forget_voice(place, find_voice(place, VOICE))
    assert not earlier.exists()


def test_files_of_users_in_its_folders_stay(place: Any) -> None:
    own = place.of(VOICE)[0]
    mine = [
        place.recordings / f"{own.id.rpartition('_')[2]}.txt",
        place.annotations / "label-studio" / "my_notes.json",
    ]
    for path in mine:
        path.write_text(json.dumps({"about": own.id}), "utf-8")
    forget_voice(place, find_voice(place, VOICE))
    assert all(path.is_file() for path in mine)


def test_speech_that_a_killed_synthesis_kept_goes_too(place: Any) -> None:
    contents = place.contents_of(VOICE)
    made = made_speech(read_ledger(place.ledger))
    write_rows(earlier_speech_path(place), made)
    assert any(row.voice == VOICE for row in made), "copies of recordings"
    forget_voice(place, find_voice(place, VOICE))
    assert place.found(contents) == []
    assert earlier_speech_path(place).is_file()


def test_what_was_recorded_after_the_voice_was_found_goes_too(place: Any, source: Path) -> None:
    voice = find_voice(place, "Annabel Q")
    Consents(place, CONSENT).admit("Annabel Q", agreed=True, other=True)  # the name alone would now be ambiguous
    sound, rate_hz = soundfile.read(source.parent / "0.wav")
    soundfile.write(source.parent / "late.wav", sound[::-1], rate_hz)
    (source.parent / "late.csv").write_text(f"path,class,voice\nlate.wav,wash_apple,{VOICE}\n", "utf-8")
    assert import_dataset(place, source.parent / "late.csv", CLASSES).added == 1
    contents = place.contents_of(VOICE)
    assert forget_voice(place, voice).ids > voice.ids
    left = place.found(contents)
    assert left == ["recordings/consents.jsonl"], "the consent of the other speaker of that name"


def test_what_is_said_of_a_speaker_without_recordings_goes(place: Any) -> None:
    note_speakers(place, {"zoe-quill": SpeakerFacts(accent="Welsh")})
    forget_voice(place, find_voice(place, "zoe-quill"))
    assert b"Welsh" not in (place.recordings / "consents.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["split.json", "build.json"])
def test_a_record_that_cannot_be_read_stops_it_before_it_begins(place: Any, name: str) -> None:
    (place.manifests / name).write_text("{", "utf-8")
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file() and path.suffix != ".lock"}
    for _ in range(2):
        with pytest.raises(InputError, match="record"):
            forget_voice(place, find_voice(place, VOICE))
    assert {path: path.read_bytes() for path in before} == before


def test_nobody_takes_the_voice_again_until_consent_is_given_anew(place: Any, source: Path) -> None:
    forget_voice(place, find_voice(place, VOICE))
    state = sorted((path, path.read_bytes()) for path in place.root.rglob("*.jsonl"))
    with pytest.raises(InputError, match=rf"withdrawn for the voice {VOICE}") as refused:
        import_dataset(place, source, CLASSES)
    assert refused.value.next_step is not None
    assert f"--renewed-consent {VOICE}" in refused.value.next_step
    assert sorted((path, path.read_bytes()) for path in place.root.rglob("*.jsonl")) == state
    with pytest.raises(InputError, match="No withdrawn consent to renew: ben"):
        import_dataset(place, source, CLASSES, ImportOptions(renewed=(OTHER,)))
    consents = Consents(place, CONSENT)
    with pytest.raises(InputError, match="removed when consent was withdrawn"):
        consents.admit("Annabel Q", agreed=True)
    assert consents.admit("Annabel Q", agreed=True, other=True) == f"{VOICE}-2", "who has the same name"
    again = ("speech", "import", str(source), "--renewed-consent", VOICE)
    before = {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()}
    code, said = place.run(*again, "--dry-run")
    assert code == 0, said
    assert {path: path.read_bytes() for path in place.root.rglob("*") if path.is_file()} == before
    code, said = place.run(*again)
    assert code == 0, said
    assert len(place.of(VOICE)) == 6
    assert place.stones() == [STONE]
    forget_voice(place, find_voice(place, VOICE))
    assert not place.of(VOICE)
    assert set(place.stones()) == {STONE}
    assert consents.admit("Annabel Q", agreed=True, anew=True) == VOICE
    assert consents.is_admitted(VOICE)


def test_blank_lines_of_an_edited_split_do_not_count(place: Any) -> None:
    test = place.manifests / "test.jsonl"
    others = [row for row in read_rows(test, SplitPairRow) if row.utterance.voice != VOICE]
    write_rows(test, others)  # so that it stays as it is
    test.write_text(f"{test.read_text('utf-8')}\n\n", "utf-8")
    forget_voice(place, find_voice(place, VOICE))
    assert json.loads((place.manifests / "split.json").read_text("utf-8"))["test"] == len(others) > 0


def test_what_label_studio_still_shows_comes_back_without_the_voice(place: Any) -> None:
    own, other = place.of(VOICE)[0], place.of(OTHER)[0]
    assert without_withdrawn(place.task(1, own), withdrawn_utterances(place)) == place.task(1, own)
    forget_voice(place, find_voice(place, VOICE))
    cleared = without_withdrawn(place.task(1, own), withdrawn_utterances(place))
    assert VOICE not in json.dumps(cleared)
    assert cleared["annotations"] == [{"id": 1}]
    assert without_withdrawn(place.task(2, other), withdrawn_utterances(place)) == place.task(2, other)
