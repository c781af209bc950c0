from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from imageio_ffmpeg import get_ffmpeg_exe

from dataset_tools.core.errors import SampleError
from fmn.features.audio import read_audio


def tone(seconds: float, rate_hz: int, hertz: float = 440.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate_hz)) / rate_hz)


def test_a_wav_at_the_rate_comes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, 16000), 16000, subtype="PCM_16")
    samples = read_audio(path, 16000)
    assert samples.dtype.is_floating_point
    assert np.array_equal(samples.numpy() * 32768, soundfile.read(path, dtype="int16")[0])


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    left = tone(0.5, 16000)
    soundfile.write(path, np.stack([left, left / 2], axis=1), 16000, subtype="FLOAT")
    assert np.allclose(read_audio(path, 16000).numpy(), left * 3 / 4, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000])
def test_other_rates_are_resampled(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1, rate_hz), rate_hz, subtype="FLOAT")
    samples = read_audio(path, 16000).numpy()
    assert len(samples) == 16000
    assert np.abs(samples - tone(1, 16000))[500:-500].max() < 0.01


@pytest.mark.parametrize(("suffix", "codec", "rate_hz"), [("m4a", "aac", 44100), ("webm", "libopus", 48000)])
def test_what_libsndfile_does_not_read_comes_by_ffmpeg(tmp_path: Path, suffix: str, codec: str, rate_hz: int) -> None:
    path = tmp_path / f"query.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="stereo")
        stereo = np.repeat(tone(1, rate_hz)[None].astype(np.float32), 2, axis=0)
        frame = av.AudioFrame.from_ndarray(stereo, format="fltp", layout="stereo")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(format=stream.format, layout="stereo", rate=rate_hz, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    samples = read_audio(path, 16000).numpy()
    assert len(samples) == pytest.approx(16000, abs=1500)  # lossy codecs add silence at the ends
    middle = samples[4000:12000]
    assert np.abs(np.fft.rfft(middle)).argmax() * 16000 / len(middle) == pytest.approx(440, abs=3)
    assert np.sqrt((middle**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_channels_in_opposite_phase_do_not_silence_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([0.9 * tone(0.5, 16000), -tone(0.5, 16000)], axis=1), 16000, subtype="FLOAT")
    assert np.allclose(read_audio(path, 16000).numpy(), -tone(0.5, 16000), atol=1e-6)


def test_a_rate_that_would_need_a_filter_of_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(0.1, 47_999), 47_999, subtype="PCM_16")
    with pytest.raises(SampleError, match="no simple ratio"):
        read_audio(path, 16000)


@pytest.mark.real_data
def test_a_real_flac_keeps_its_duration(real_data: Path) -> None:
    path = real_data / "speech" / "people" / "whole.flac"
    info = soundfile.info(path)
    assert len(read_audio(path, 16000)) == pytest.approx(info.frames * 16000 / info.samplerate, abs=1)


def test_what_cannot_be_read_is_a_sample_error(tmp_path: Path) -> None:
    empty, text, silent = tmp_path / "empty.wav", tmp_path / "text.wav", tmp_path / "silent.wav"
    empty.write_bytes(b"")
    text.write_text("no audio")
    soundfile.write(silent, np.zeros(0), 16000)
    for path, part in (
        (empty, "cannot be decoded"),
        (text, "cannot be decoded"),
        (silent, "has no sound in it"),
        (tmp_path / "none.wav", "missing"),
    ):
        with pytest.raises(SampleError, match=part):
            read_audio(path, 16000)


def test_a_video_without_sound_is_a_sample_error(write_video: Callable[..., Path]) -> None:
    with pytest.raises(SampleError, match="has no sound"):
        read_audio(write_video("a.mp4", np.zeros((5, 32, 32, 3), np.uint8)), 16000)


@pytest.mark.real_data
def test_the_sound_of_a_video_is_read(real_data: Path) -> None:
    path = real_data / "video" / "sound.mkv"
    samples = read_audio(path, 16000)
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-ac", "1", "-ar", "16000", "-f", "s16le", "-"]
    expected = len(subprocess.run(command, capture_output=True, check=True).stdout) // 2
    assert len(samples) / 16000 == pytest.approx(expected / 16000, abs=0.2)
    assert samples.abs().max() > 0.01
