"""Integrated loudness by ITU-R BS.1770-4 (EBU R128).

pyloudnorm is not used: it rejects audio shorter than a block of 0.4 s, and its default filter is off by up to 0.13 LU,
which would change the bytes of every WAV. The tests compare against its exact filter.
"""

from __future__ import annotations

from math import pi, tan

import numpy as np

from dataset_tools.core.audio_decoding import Samples

SILENT_LUFS = -120.0


def integrated_loudness(samples: Samples, sample_rate_hz: int) -> float:
    """Loudness of mono audio in LUFS; `SILENT_LUFS` if no block is above the absolute gate (-70 LUFS).

    Blocks of 0.4 s that overlap by three quarters, the absolute gate, then the relative gate 10 LU below the mean of
    the remaining blocks (BS.1770-4, Annex 1). Audio shorter than a block is one block.

    Args:
        samples: [n], full scale is ±1.
        sample_rate_hz: sample rate.
    """
    if not len(samples):
        return SILENT_LUFS
    power = _k_weighted(samples, sample_rate_hz) ** 2
    block = min(len(power), round(0.4 * sample_rate_hz))
    step = max(1, round(0.1 * sample_rate_hz))
    total = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, len(power) - block + 1, step)
    means = (total[starts + block] - total[starts]) / block
    loud = means[_lufs(means) > -70.0]
    if not len(loud):
        return SILENT_LUFS
    return float(_lufs(loud[_lufs(loud) > _lufs(loud.mean()) - 10.0].mean()))


def _lufs(power: Samples) -> Samples:
    result: Samples = -0.691 + 10 * np.log10(np.maximum(power, 1e-13))
    return result


def _k_weighted(samples: Samples, sample_rate_hz: int) -> Samples:
    """K-weighting: a high shelf for the head, then a high-pass filter (RLB), two biquads.

    The coefficients at 48 kHz are those of BS.1770-4, Tables 1 and 2; at other rates, they are derived from the same
    analog prototypes. The filters are applied in the frequency domain, with at least one second of zero padding for
    their tails.
    """
    length = fast_length(len(samples) + sample_rate_hz)
    spectrum = np.fft.rfft(samples, length)
    delay = np.exp(-2j * pi * np.arange(len(spectrum)) / length)  # z^-1
    for numerator, denominator in (
        _biquad(sample_rate_hz, 1681.974450955533, 0.7071752369554196, gain_db=3.999843853973347),
        _biquad(sample_rate_hz, 38.13547087602444, 0.5003270373238773),
    ):
        spectrum *= np.polyval(numerator[::-1], delay) / np.polyval(denominator[::-1], delay)
    result: Samples = np.fft.irfft(spectrum, length)[: len(samples)]
    return result


def fast_length(least: int) -> int:
    """Smallest length from ``least`` on, at most an eighth more, whose prime factors are 2, 3 and 5.

    Fourier transforms take ten times as long where a prime factor is large. Not by ``scipy.fft.next_fast_len``: every
    worker would have to import SciPy.
    """
    return min(odd << (-(-least // odd) - 1).bit_length() for odd in (1, 3, 5, 9, 15, 27, 45))


def _biquad(
    sample_rate_hz: int, frequency_hz: float, quality: float, gain_db: float | None = None
) -> tuple[list[float], list[float]]:
    """Numerator and denominator, in ascending powers of z^-1, of a high shelf with a gain, or of a high-pass filter."""
    k = tan(pi * frequency_hz / sample_rate_hz)
    scale = 1 + k / quality + k * k
    denominator = [1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale]
    if gain_db is None:
        return [1.0, -2.0, 1.0], denominator
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    return [
        (high + band * k / quality + k * k) / scale,
        2 * (k * k - high) / scale,
        (high - band * k / quality + k * k) / scale,
    ], denominator
