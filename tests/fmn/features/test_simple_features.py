from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from fmn.features.config import AudioFeatureConfig, VideoFeatureConfig
from fmn.features.extract import extract_audio, extract_video
from fmn.features.log_mel import LogMel
from fmn.features.media import Media


def test_mean_colour_is_that_of_all_frames(write_video: Callable[..., Path], as_media: Callable[[Path], Media]) -> None:
    frames = np.zeros((20, 48, 64, 3), np.uint8)
    frames[:10, :, :, 0] = 200  # red, then black: a mean of 100, a deviation of 100
    clip = as_media(write_video("clip.mp4", frames))
    found = extract_video([clip], VideoFeatureConfig(kind="mean_colour"), cache=clip.path.parent / "cache")
    value = found.values[clip.sha256]
    assert value.shape == (6,)
    assert value == pytest.approx([100 / 255, 0, 0, 100 / 255, 0, 0], abs=0.03)
    assert found.note is None


def test_lengths_and_sizes(write_video: Callable[..., Path], as_media: Callable[[Path], Media], tmp_path: Path) -> None:
    clip = as_media(write_video("clip.mp4", np.full((30, 48, 64, 3), 90, np.uint8), fps=20))
    soundfile.write(tmp_path / "a.wav", np.zeros(24_000), 16_000)
    speech = as_media(tmp_path / "a.wav")
    cache = tmp_path / "cache"
    video, audio = VideoFeatureConfig(kind="duration"), AudioFeatureConfig(kind="duration")
    assert np.exp(extract_video([clip], video, cache=cache).values[clip.sha256]) == pytest.approx([1.5], rel=1e-3)
    assert np.exp(extract_audio([speech], audio, cache=cache).values[speech.sha256]) == pytest.approx(1.5, rel=1e-6)
    sizes = extract_video([clip], replace(video, kind="file_size"), cache=cache)
    assert np.exp(sizes.values[clip.sha256]) == pytest.approx([clip.path.stat().st_size], rel=1e-5)
    wav = extract_audio([speech], replace(audio, kind="file_size"), cache=cache).values[speech.sha256]
    assert wav.shape == (1, 1)
    assert np.exp(wav) == pytest.approx(48_044, rel=1e-5)  # 24,000 samples of two bytes and a header of 44
    missing = Media("0" * 64, tmp_path / "none.mp4", "none")
    for config in (video, replace(video, kind="file_size"), replace(video, kind="mean_colour")):
        assert list(extract_video([missing], config, cache=cache).failures) == [missing.sha256]


def test_log_mel_has_the_published_sizes_and_follows_its_formula() -> None:
    config = AudioFeatureConfig(kind="log_mel", n_mels=96, n_mfcc=20, window_ms=32, hop_ms=16)
    time_s = torch.arange(16_000) / 16_000
    tone = torch.sin(2 * torch.pi * 1000 * time_s)
    found = LogMel(config)(tone)
    assert found.shape == (1 + (16_000 - 512) // 256, 96)
    assert (config.dim, config.band) == (96, None)
    assert torch.allclose(LogMel(config)(0.1 * tone), found, atol=1e-4)  # loudness does not count
    # By the formula: the power of a Hann window of 512 samples, seen through librosa's area-normalized filters.
    window = torch.hann_window(512)
    power = torch.fft.rfft(tone[:512] / tone.abs().max() * window).abs() ** 2
    points_mel = np.linspace(0, _slaney_mel(8000), 98)
    points_hz = np.array([_slaney_hz(mel) for mel in points_mel])
    bins_hz = np.arange(257) * 16_000 / 512
    band = int(found[0].argmax())
    low, center, high = points_hz[band : band + 3]
    triangle = np.clip(np.minimum((bins_hz - low) / (center - low), (high - bins_hz) / (high - center)), 0, None)
    expected = np.log10(10_000 * (power.numpy() @ (triangle * 2 / (high - low))) + 1)
    assert low < 1000 < high
    assert float(found[0, band]) == pytest.approx(expected, rel=1e-4)


def _slaney_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) * 27 / np.log(6.4)


def _slaney_hz(mel: float) -> float:
    return mel * 200 / 3 if mel < 15 else 1000 * np.exp((mel - 15) * np.log(6.4) / 27)
