"""MFCC against the textbook, written in numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.fft import dct

from fmn.features.audio import read_audio
from fmn.features.config import AudioFeatureConfig
from fmn.features.mfcc import Mfcc

CONFIG = AudioFeatureConfig()
Array = NDArray[np.float64]


def textbook(samples: Array, config: AudioFeatureConfig = CONFIG) -> Array:
    """[frames, n_mfcc]: Hann window, power spectrum, triangular mel filters, decibels, orthonormal DCT-II."""
    window, hop, rate_hz = 400, 160, 16000
    samples = samples / np.abs(samples).max()
    starts = range(0, len(samples) - window + 1, hop)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    power = np.abs(np.fft.rfft(np.stack([samples[s : s + window] for s in starts]) * hann)) ** 2
    bins_hz = np.arange(window // 2 + 1) * rate_hz / window
    mels = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), config.n_mels + 2)
    edges_hz = 700 * (10 ** (mels / 2595) - 1)
    low, mid, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    filters = np.maximum(0, np.minimum((bins_hz - low) / (mid - low), (high - bins_hz) / (high - mid)))
    decibels = 10 * np.log10(np.maximum(power @ filters.T, 1e-10))
    decibels = np.maximum(decibels, decibels.max() - 80)
    return np.asarray(dct(decibels, type=2, norm="ortho", axis=1))[:, : config.n_mfcc]


def differences(sequence: Array, frames: int) -> Array:
    """sum n (c[t+n] - c[t-n]) / (2 sum n²), the ends repeated."""
    reach = frames // 2
    padded = np.pad(sequence, ((reach, reach), (0, 0)), mode="edge")
    total = sum(
        n * (padded[reach + n : len(padded) - reach + n] - padded[reach - n : len(padded) - reach - n])
        for n in range(1, reach + 1)
    )
    return np.asarray(total) / (2 * sum(n * n for n in range(1, reach + 1)))


@pytest.fixture
def noise() -> Array:
    rng = np.random.default_rng(0)
    return np.convolve(rng.normal(0, 0.1, 16000), np.ones(8) / 8, "same") * (1 + np.sin(np.arange(16000) / 900))


def test_coefficients_are_those_of_the_textbook(noise: Array) -> None:
    config = replace(CONFIG, deltas=0, cmvn=False)
    found = Mfcc(config)(torch.from_numpy(noise).float()).numpy()
    assert found.shape == (98, 20)
    assert np.allclose(found, textbook(noise), atol=0.02)


@pytest.mark.real_data
def test_on_real_speech_too(real_data: Path) -> None:
    samples = read_audio(sorted((real_data / "speech" / "people").glob("*.wav"))[0], 16000)
    found = Mfcc(replace(CONFIG, deltas=0, cmvn=False))(samples).numpy()
    assert np.allclose(found, textbook(samples.double().numpy()), atol=0.05)


def test_differences_follow_the_coefficients(noise: Array) -> None:
    found = Mfcc(replace(CONFIG, cmvn=False))(torch.from_numpy(noise).float()).double().numpy()
    first = differences(found[:, :20], 5)
    assert np.allclose(found[:, 20:40], first, atol=1e-3)
    assert np.allclose(found[:, 40:], differences(first, 5), atol=1e-3)


def test_every_coefficient_has_mean_0_and_variance_1_over_the_utterance(noise: Array) -> None:
    raw = Mfcc(replace(CONFIG, cmvn=False))(torch.from_numpy(noise).float()).double().numpy()
    found = Mfcc(CONFIG)(torch.from_numpy(noise).float()).numpy()
    assert np.allclose(found, (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=1e-3)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-5)
    assert np.allclose(found.std(axis=0), 1, atol=1e-4)


@pytest.mark.parametrize("gain", [0.001, 0.3, 2.0])
def test_loudness_does_not_matter(noise: Array, gain: float) -> None:
    mfcc = Mfcc(CONFIG)
    assert torch.allclose(
        mfcc(torch.from_numpy(noise * gain).float()), mfcc(torch.from_numpy(noise).float()), atol=1e-3
    )


def test_silence_behind_changes_no_frame_before_it(noise: Array) -> None:
    mfcc = Mfcc(replace(CONFIG, cmvn=False, deltas=0))
    samples = torch.from_numpy(noise).float()
    alone = mfcc(samples)
    padded = mfcc(torch.cat([samples, torch.zeros(8000)]))
    assert len(padded) == len(alone) + 50
    assert torch.allclose(padded[: len(alone)], alone, atol=1e-4)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (400, 1), (559, 1), (560, 2), (16000, 98)])
def test_one_frame_for_every_whole_window(samples: int, frames: int) -> None:
    mfcc = Mfcc(CONFIG)
    assert mfcc(torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5).shape == (frames, 60)


def test_silence_is_zero_and_not_nan() -> None:
    assert not Mfcc(CONFIG)(torch.zeros(4000)).any()
