from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import dataset_tools.speech.engines.espeak as espeak
from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.speech.engines.espeak import ACCENTS, VARIANTS, EspeakEngine, EspeakVoice, phonemes

TEXT = "The cook has just peeled the orange with a knife."


def spoken(tmp_path: Path, voice: EspeakVoice, text: str = TEXT, seed: int = 0) -> tuple[np.ndarray, int]:
    path = tmp_path / "spoken.wav"
    EspeakEngine().speak(text, voice, path=path, seed=seed)
    with wave.open(str(path)) as file:
        assert file.getparams()[:2] == (1, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
        return samples, file.getframerate()


def voice(voice_id: str) -> EspeakVoice:
    language = "zh" if voice_id.startswith("cmn") else "en"
    return next(one for one in EspeakEngine().voices(language) if one.id == voice_id)


def levels(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """RMS of 20 ms frames."""
    length = sample_rate_hz // 50
    frames = samples[: len(samples) // length * length].reshape(-1, length)
    return np.sqrt((frames**2).mean(axis=1))


def pitch_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    """Median over the loud 40 ms frames of the autocorrelation's highest peak between 60 and 450 Hz."""
    length = sample_rate_hz // 25
    pitches = []
    for start in range(0, len(samples) - length, length // 2):
        frame = samples[start : start + length]
        if np.sqrt((frame**2).mean()) < 0.3 * np.sqrt((samples**2).mean()):
            continue
        correlation = np.correlate(frame, frame, "full")[length - 1 :]
        lags = slice(sample_rate_hz // 450, sample_rate_hz // 60)
        if correlation[lags].max() > 0.5 * correlation[0]:
            pitches.append(sample_rate_hz / (lags.start + int(np.argmax(correlation[lags]))))
    return float(np.median(pitches)) if pitches else 0.0


@pytest.mark.parametrize(
    ("language", "count"),
    [("en", 8 * 62), ("zh", 62), ("fr", 62), ("no", 62), ("nb", 62), ("fo", 0), ("xh", 0)],
)
def test_voices_are_accents_times_variants(language: str, count: int) -> None:
    voices = EspeakEngine().voices(language)
    assert len({one.id for one in voices}) == count
    assert all(re.fullmatch(r"[a-z0-9+-]+", one.id) for one in voices)
    assert len({one.timbre for one in voices}) == (62 if count else 0)


def test_chinese_characters_are_not_spelled_out_in_japanese(tmp_path: Path) -> None:
    japanese = EspeakEngine().voices("ja")[0]
    assert len(spoken(tmp_path, japanese, "にんじんをきる。")[0])
    with pytest.raises(SampleError, match="cannot read Chinese characters in the language 'ja'"):
        spoken(tmp_path, japanese, "人参を切る。")
    assert len(spoken(tmp_path, EspeakEngine().voices("yue")[0], "她切胡萝卜。")[0])


def test_voices_spread_over_pitch_and_rate() -> None:
    voices = EspeakEngine().voices("en")
    assert {one.pitch // 10 for one in voices} == {3, 4, 5, 6}
    assert {one.rate_wpm // 10 for one in voices} == {14, 15, 16, 17, 18, 19}


def test_every_timbre_in_use_is_loud_voiced_and_whole(tmp_path: Path) -> None:
    for one in EspeakEngine().voices("en")[62:124]:
        samples, rate = spoken(tmp_path, one)
        assert 1.5 < len(samples) / rate < 5, one.id
        assert 20 * np.log10(np.sqrt((samples**2).mean())) > -50, one.id
        assert np.abs(samples).max() <= 1 - 2**-15 or one.id == "en-us+iven", one.id  # not clipped
        assert 55 < pitch_hz(samples, rate) < 400, one.id


def test_the_accents_differ(tmp_path: Path) -> None:
    sounds = {accent: spoken(tmp_path, voice(f"{accent}+m3"))[0].tobytes() for accent in ACCENTS["en"]}
    assert len(set(sounds.values())) == len(ACCENTS["en"])


def test_women_speak_higher_than_men(tmp_path: Path) -> None:
    low, high = (pitch_hz(*spoken(tmp_path, voice(f"en-us+{name}"))) for name in ("m1", "f2"))
    assert 60 < low < 140
    assert 150 < high < 300


def test_chinese_is_spoken_syllable_by_syllable(tmp_path: Path) -> None:
    short, _ = spoken(tmp_path, voice("cmn+f1"), "切萝卜。")
    long, rate = spoken(tmp_path, voice("cmn+f1"), "厨师正在用餐刀切萝卜。")
    assert 0.15 < (len(long) - len(short)) / rate / 7 < 0.4  # seven syllables more


SAY = """
import hashlib, sys
from pathlib import Path
from dataset_tools.speech.engines.espeak import EspeakEngine
engine = EspeakEngine()
voices = {voice.id: voice for voice in (*engine.voices("en"), *engine.voices("zh"))}
for line in sys.argv[2:]:
    voice, text = line.split(":")
    engine.speak(text, voices[voice], path=Path(sys.argv[1]), seed=7)
    print(line, hashlib.sha256(Path(sys.argv[1]).read_bytes()).hexdigest())
"""


def test_the_same_bytes_in_any_process_and_order(tmp_path: Path) -> None:
    # f2 and f3 have breath noise, which espeak-ng seeds with the time; klatt3 has a state that it carries over.
    names = ["en-us+f2", "en-gb-scotland+f3", "en+klatt3", "en-029", "en-us-nyc+m4", "cmn+victor"]
    said = [f"{name}:{text}" for name in names for text in ("Take out the plate.", "Wash it.", "切萝卜。")]
    outputs = []
    for order in (said, said[::-1], said[5:] + said[:5]):
        path = tmp_path / f"{len(outputs)}.wav"
        run = subprocess.run(
            [sys.executable, "-c", SAY, path, *order], capture_output=True, text=True, check=True, timeout=60
        )
        outputs.append(sorted(run.stdout.splitlines()))
    assert outputs[0] == outputs[1] == outputs[2]
    assert len({line.split()[-1] for line in outputs[0]}) == len(said)


def test_another_seed_is_another_rendering_of_the_same_voice(tmp_path: Path) -> None:
    one = voice("en-us+f3")
    sounds = [spoken(tmp_path, one, seed=seed) for seed in range(6)]
    assert len({hashlib.sha256(samples.tobytes()).digest() for samples, _ in sounds}) == 6
    durations_s = [len(samples) / rate for samples, rate in sounds]
    assert 1.005 < max(durations_s) / min(durations_s) < 1.2
    pitches = [pitch_hz(*sound) for sound in sounds]
    assert max(pitches) / min(pitches) < 1.2


@pytest.mark.parametrize("text", ["", "  "])
def test_what_cannot_be_spoken_is_a_failed_sample(tmp_path: Path, text: str) -> None:
    with pytest.raises(SampleError):
        spoken(tmp_path, voice("en-us"), text)
    spoken(tmp_path, voice("en-us"))  # and the next one is spoken


def test_an_unknown_voice_is_a_failed_sample(tmp_path: Path) -> None:
    gone = EspeakVoice(id="xx", language="en", timbre="xx", espeak_name="xx+none", pitch=50, rate_wpm=170)
    with pytest.raises(SampleError, match=re.escape("xx+none")):
        spoken(tmp_path, gone)


def test_a_server_that_died_fails_one_sample_and_is_replaced(tmp_path: Path) -> None:
    spoken(tmp_path, voice("en-us"))
    process = espeak._server(os.getpid())._process
    process.kill()
    process.wait()
    with pytest.raises(SampleError, match="espeak-ng crashed"):
        spoken(tmp_path, voice("en-us"))
    spoken(tmp_path, voice("en-us"))


def test_a_server_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espeak, "_TIMEOUT_S", 0.2)
    process = espeak._server(os.getpid())._process
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(SampleError, match="timed out"):
        spoken(tmp_path, voice("en-us"))
    monkeypatch.undo()  # its successor may take a while to start
    spoken(tmp_path, voice("en-us"))
    assert process.poll() is not None


def test_an_interrupt_and_other_threads_leave_each_sentence_its_own_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ("Wash it.", "Take out the plate.", "Cut the carrot.", "Peel an orange.")

    def speech(number: int) -> bytes:
        path = tmp_path / f"{number}.wav"
        EspeakEngine().speak(texts[number % 4], voice("en-us"), path=path, seed=0)
        return path.read_bytes()

    expected = [speech(number) for number in range(4)]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(espeak._Server, "_read_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            speech(1)
        close = espeak._Server.close
        patch.setattr(espeak._Server, "close", lambda server: (close(server), interrupted()))  # by another one
        with pytest.raises(KeyboardInterrupt):
            speech(2)
    assert speech(0) == expected[0]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(speech, range(4, 16))) == 3 * expected


@pytest.mark.parametrize(
    ("accent", "language", "of_another"),
    [("pt-br", "pt", "en"), ("fr-be", "fr", "nl"), ("es-419", "es", "pt"), ("en-us", "en", "es"), ("nb", "no", "da")],
)
def test_an_accent_speaks_its_language_only(accent: str, language: str, of_another: str) -> None:
    engine = EspeakEngine.from_options(accent)
    voices = engine.voices(language)
    assert len(voices) == len(VARIANTS)
    assert {voice.language for voice in voices} == {language}
    assert {voice.id.partition("+")[0] for voice in voices} == {accent}
    assert engine.voices(of_another) == ()


def test_an_accent_is_heard() -> None:
    """In Brazil and Latin America, these words are pronounced in another way."""
    for text, language, accent in (("leite quente", "pt", "pt-br"), ("cielo, zapato", "es", "es-419")):
        usual, regional = (
            phonemes(text, engine.voices(language)[0].espeak_name)
            for engine in (EspeakEngine(), EspeakEngine.from_options(accent))
        )
        assert usual != regional


def test_transliterations_are_no_accents() -> None:
    """They spell the letters of the usual script, or are silent."""
    for name in ("cmn-latn-pinyin", "fa-latn", "yue-latn-jyutping"):
        with pytest.raises(InputError, match="no accent"):
            EspeakEngine.from_options(name)
