"""Expectations: BS.1770-4's calibration tone, its gating rules, pyloudnorm, and ffmpeg's ebur128 filter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from dataset_tools.core.audio_decoding import decode
from dataset_tools.speech.audio.loudness import SILENT_LUFS, fast_length, integrated_loudness

Sine = Callable[[float, float, float, int], np.ndarray]


def test_lengths_of_transforms_have_small_prime_factors() -> None:
    smooth = sorted(2**a * 3**b * 5**c for a in range(18) for b in range(12) for c in range(8))
    for least in (*range(1, 2000), 49_871, 92_363, 16_000 * 60 + 1):
        length = fast_length(least)
        assert length in smooth
        assert least <= length <= least * 9 / 8 + 1


@pytest.mark.parametrize("sample_rate_hz", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("peak_dbfs", [0.0, -20.0])
def test_the_calibration_tone(sine: Sine, sample_rate_hz: int, peak_dbfs: float) -> None:
    # A full-scale sine of 997 Hz in one channel is -3.01 LUFS (BS.1770-4, Annex 1).
    tone = sine(997, peak_dbfs, 2.0, sample_rate_hz)
    assert integrated_loudness(tone, sample_rate_hz) == pytest.approx(peak_dbfs - 3.01, abs=0.05)


def test_silence_does_not_count(sine: Sine) -> None:
    tone = sine(997, -20, 3.0, 16000)
    padded = np.concatenate([np.zeros(48000), tone, np.zeros(48000)])
    # 27 blocks lie in the tone, three at each end have a quarter, a half, three quarters of it; silent ones are gated.
    expected = -23.01 + 10 * np.log10((27 + 2 * 1.5) / 33)
    assert integrated_loudness(padded, 16000) == pytest.approx(expected, abs=0.06)


def test_what_is_ten_units_quieter_does_not_count(sine: Sine) -> None:
    loud, quiet = sine(997, -20, 3.0, 16000), sine(997, -45, 3.0, 16000)
    assert integrated_loudness(np.concatenate([loud, quiet]), 16000) == pytest.approx(-23.0, abs=0.3)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(16000), np.full(16000, 1e-5)])
def test_nothing_above_the_gate_is_silent(samples: np.ndarray) -> None:
    assert integrated_loudness(samples, 16000) == SILENT_LUFS


def test_a_sound_shorter_than_a_block_has_a_loudness(sine: Sine) -> None:
    assert integrated_loudness(sine(997, -20, 0.2, 16000), 16000) == pytest.approx(-23.0, abs=0.3)


@pytest.mark.parametrize("sample_rate_hz", [16000, 22050, 48000])
@pytest.mark.parametrize("seed", range(4))
def test_against_pyloudnorm(sample_rate_hz: int, seed: int) -> None:
    import pyloudnorm

    rng = np.random.default_rng(seed)
    # Words of noise, high and low, loud and quiet, with pauses between: both gates have something to do.
    words = [
        np.cumsum(rng.normal(size=sample_rate_hz)) / 100 if low else rng.normal(size=sample_rate_hz)
        for low in rng.random(8) < 0.5
    ]
    samples = np.concatenate([word * 10 ** rng.uniform(-4, -1) for word in words])
    expected = pyloudnorm.Meter(sample_rate_hz, filter_class="DeMan").integrated_loudness(samples)
    assert integrated_loudness(samples, sample_rate_hz) == pytest.approx(expected, abs=1e-6)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cards", "people"])
def test_real_speech_against_ffmpeg(real_speech: Path, name: str) -> None:
    path = sorted((real_speech / name).glob("*.wav"))[0]
    run = subprocess.run(
        [get_ffmpeg_exe(), "-nostats", "-i", path, "-filter_complex", "ebur128", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = float(re.findall(r"I:\s+(-[\d.]+) LUFS", run.stderr)[-1])
    sound = decode(path)
    assert integrated_loudness(sound.mono(), sound.sample_rate_hz) == pytest.approx(expected, abs=0.15)
