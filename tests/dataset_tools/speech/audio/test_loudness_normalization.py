"""Finishing against what a wav of the data set must be."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.audio_decoding import Sound
from dataset_tools.speech.audio.audio_io import write_wav
from dataset_tools.speech.audio.loudness import integrated_loudness
from dataset_tools.speech.audio.loudness_normalization import Finish, finish

Sine = Callable[[float, float, float, int], np.ndarray]


def finished(samples: np.ndarray, sample_rate_hz: int, settings: Finish | None = None) -> tuple[np.ndarray, float]:
    """The samples of the finished wav [n], and the gain."""
    sound = Sound(samples.reshape(len(samples), -1), sample_rate_hz)
    loudness = integrated_loudness(sound.mono(), sample_rate_hz)
    segment, gain_db = finish(sound, settings or Finish(), loudness_lufs=loudness)
    assert (segment.frame_rate, segment.channels, segment.sample_width) == (16000, 1, 2)
    return np.frombuffer(segment.raw_data, "<i2") / 32768, gain_db


@pytest.mark.parametrize("gain_db", [-20.0, 0.0])
def test_loudness_is_that_of_r128(sine: Sine, gain_db: float) -> None:
    tone = sine(997, -6 + gain_db, 2.0, 22050)
    samples, gain = finished(tone, 22050)
    assert integrated_loudness(samples[1600:-1600], 16000) == pytest.approx(-23.0, abs=0.1)
    assert gain == pytest.approx(-23 - (-9.01 + gain_db), abs=0.1)


def test_no_sample_gets_over_the_peak(sine: Sine) -> None:
    tone = sine(997, -50, 2.0, 16000)
    tone[16000] = 0.5  # a click: with the gain for -23 LUFS it would have +22 dBFS
    samples, _ = finished(tone, 16000)
    assert 20 * np.log10(np.abs(samples).max()) == pytest.approx(-1.0, abs=0.05)


def test_silence_at_the_edges_is_cut_to_the_padding(sine: Sine) -> None:
    tone = sine(997, -20, 1.0, 16000)
    silence = np.zeros(16000)
    samples, _ = finished(np.concatenate([silence, tone, silence]), 16000, Finish(padding_s=0.1))
    assert len(samples) / 16000 == pytest.approx(1.2, abs=0.011)
    assert not samples[:1600].any()
    assert not samples[-1600:].any()
    assert np.abs(samples[1600:2000]).max() > 0.05


def test_pauses_inside_stay(sine: Sine) -> None:
    tone = sine(997, -20, 0.5, 16000)
    samples, _ = finished(np.concatenate([tone, np.zeros(16000), tone]), 16000)
    assert len(samples) / 16000 == pytest.approx(2.2, abs=0.011)


def test_what_16_khz_cannot_hold_does_not_come_back_as_another_tone(sine: Sine) -> None:
    # 10 kHz would fold to 6 kHz; it is 10 dB louder than the tone that stays.
    samples, _ = finished(sine(10000, -10, 1.0, 22050) + sine(500, -20, 1.0, 22050), 22050)
    spectrum = np.abs(np.fft.rfft(samples[1600:-1600]))
    frequencies = np.fft.rfftfreq(len(samples) - 3200, 1 / 16000)
    at = {hz: spectrum[np.abs(frequencies - hz) < 20].max() for hz in (500, 6000)}
    assert 20 * np.log10(at[6000] / at[500]) < -80


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 22050, 44100, 48000, 96000])
def test_a_tone_stays_the_tone_it_is(sine: Sine, sample_rate_hz: int) -> None:
    samples, gain_db = finished(sine(997, -20, 1.0, sample_rate_hz), sample_rate_hz, Finish(silence_dbfs=-200))
    inner = slice(1600 + 400, 1600 + 15600)
    expected = sine(997, -20 + gain_db, 1.0, 16000)[400:15600]
    assert len(samples) == 2 * 1600 + 16000
    assert np.abs(samples[inner] - expected).max() < 2e-4


def test_dc_offset_goes(sine: Sine) -> None:
    samples, _ = finished(sine(997, -20, 1.0, 16000) + 0.2, 16000)
    assert abs(samples[1600:-1600].mean()) < 1e-3


def test_channels_in_opposite_phase_do_not_end_in_silence(sine: Sine) -> None:
    tone = sine(997, -20, 1.0, 16000)
    both, _ = finish(Sound(np.stack([tone, -tone], axis=1), 16000), Finish(), loudness_lufs=-23)
    one, _ = finish(Sound(tone[:, None], 16000), Finish(), loudness_lufs=-23)
    assert both.raw_data == one.raw_data


def test_the_wav_is_the_same_every_time(sine: Sine, tmp_path: Path) -> None:
    tone = sine(440, -12, 1.0, 44100)
    for name in ("a.wav", "b.wav"):
        sound = Sound(tone[:, None], 44100)
        write_wav(tmp_path / name, finish(sound, Finish(), loudness_lufs=-15)[0])
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:3] == (1, 2, 16000)
        assert file.getnframes() / 16000 == pytest.approx(1.2, abs=0.011)


def test_on_a_full_disk_a_wav_is_refused_in_one_sentence(tmp_path: Path) -> None:
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np
from dataset_tools.core.errors import StoppedError
from dataset_tools.speech.audio.audio_io import segment_of, write_wav
segment = segment_of(np.zeros(16000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_wav(Path({str(tmp_path / "a.wav")!r}), segment)
except StoppedError as error:
    print(error.found)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot be written: File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []
