"""Decoding against files that ffmpeg made; finishing against what a wav of the data set must be."""

from __future__ import annotations

import struct
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.speech.audio_io import Finish, Sound, decode, finish, write_wav
from dataset_tools.speech.loudness import integrated_loudness

Sine = Callable[[float, float, float, int], np.ndarray]
Ffmpeg = Callable[..., None]


def spectrum_peak_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * sample_rate_hz / len(samples))


def finished(samples: np.ndarray, sample_rate_hz: int, settings: Finish | None = None) -> tuple[np.ndarray, float]:
    """The samples of the finished wav [n], and the gain."""
    sound = Sound(samples.reshape(len(samples), -1), sample_rate_hz)
    loudness = integrated_loudness(sound.mono(), sample_rate_hz)
    segment, gain_db = finish(sound, settings or Finish(), loudness_lufs=loudness)
    assert (segment.frame_rate, segment.channels, segment.sample_width) == (16000, 1, 2)
    return np.frombuffer(segment.raw_data, "<i2") / 32768, gain_db


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", ["-c:a", "pcm_s16le"]),
        ("a-24.wav", ["-c:a", "pcm_s24le"]),
        ("a-8.wav", ["-c:a", "pcm_u8"]),
        ("a-float.wav", ["-c:a", "pcm_f32le"]),
        ("a.flac", []),
        ("a.mp3", []),
        ("a.m4a", []),
        ("a.ogg", ["-c:a", "libvorbis"]),
        ("a.opus", ["-c:a", "libopus"]),
        ("a.webm", ["-c:a", "libopus"]),
    ],
)
def test_decodes_every_kind(tmp_path: Path, ffmpeg: Ffmpeg, name: str, options: list[str]) -> None:
    path = tmp_path / name
    # Left 440 Hz at half scale, right silent; a second and a half.
    expression = "aevalsrc='0.5*sin(2*PI*440*t)|0':s=48000:d=1.5"
    ffmpeg("-f", "lavfi", "-i", expression, *options, path)
    sound = decode(path)
    assert sound.sample_rate_hz == 48000
    assert sound.duration_s == pytest.approx(1.5, abs=0.06)  # lossy codecs pad
    assert sound.samples.shape[1] == 2
    left, right = sound.samples[4000:-4000].T
    assert spectrum_peak_hz(left, 48000) == pytest.approx(440, abs=2)
    assert np.sqrt((left**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    assert np.abs(right).max() < 0.02


def test_float_wav_keeps_what_is_no_number(tmp_path: Path) -> None:
    values = np.array([0.25, np.nan, -np.inf, 1.5] * 4000, dtype="<f4").tobytes()
    # RIFF, then the format (3: float; one channel, 16 kHz, 64,000 bytes a second, 4 bytes a frame, 32 bits), then data
    header = struct.pack("<4sI4s", b"RIFF", 36 + len(values), b"WAVE")
    header += struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32)
    header += struct.pack("<4sI", b"data", len(values))
    path = tmp_path / "a.wav"
    path.write_bytes(header + values)
    samples = decode(path).samples[:4, 0]
    np.testing.assert_array_equal(samples, [0.25, np.nan, -np.inf, 1.5])


def test_a_wav_that_was_cut_off_is_as_long_as_what_is_left(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "a.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2:r=16000", path)
    path.write_bytes(path.read_bytes()[:32001])  # in the middle of a sample; the header still says two seconds
    assert decode(path).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 100])
def test_what_is_no_sound_is_a_failed_sample(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(SampleError, match="cannot be decoded") as caught:
        decode(path)
    assert caught.value.where == str(path)


def test_a_silent_video_has_no_sound(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=0.2:size=64x64", path)
    with pytest.raises(SampleError, match="has no sound"):
        decode(path)


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


def test_the_wav_is_the_same_every_time(sine: Sine, tmp_path: Path) -> None:
    tone = sine(440, -12, 1.0, 44100)
    for name in ("a.wav", "b.wav"):
        sound = Sound(tone[:, None], 44100)
        write_wav(tmp_path / name, finish(sound, Finish(), loudness_lufs=-15)[0])
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:3] == (1, 2, 16000)
        assert file.getnframes() / 16000 == pytest.approx(1.2, abs=0.011)
