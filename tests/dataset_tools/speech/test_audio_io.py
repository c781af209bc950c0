"""Decoding against files that ffmpeg made."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import SampleError

Ffmpeg = Callable[..., None]


def spectrum_peak_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * sample_rate_hz / len(samples))


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
