"""Audio output: resampling to 16 kHz, pydub segments, WAV files. For input, see `dataset_tools.core.audio_decoding`.

The only module that imports pydub.
"""

from __future__ import annotations

import io
import os
import warnings
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.core.audio_decoding import Samples
from dataset_tools.core.files import write_bytes

SAMPLE_RATE_HZ = 16000


def write_wav(path: Path, segment: Any) -> None:
    """Writes a pydub segment as a PCM WAV file, atomically."""
    content = io.BytesIO()  # on a full disk, wave's writer prints a traceback when garbage-collected
    segment.export(content, format="wav")
    write_bytes(path, content.getvalue())


@lru_cache(maxsize=1)
def _audio_segment() -> Any:
    """Imports pydub's AudioSegment without warnings about ffmpeg (not needed here) and about the end of audioop."""
    os.environ.setdefault("PATH", os.defpath)  # the import fails without PATH
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    return AudioSegment


def segment_of(samples: Samples) -> Any:
    """Converts samples at 16 kHz to a mono segment; samples beyond full scale are clipped."""
    quantized = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    return _audio_segment()(data=quantized.tobytes(), sample_width=2, frame_rate=SAMPLE_RATE_HZ, channels=1)


def leading_silence_ms(segment: Any, silence_dbfs: float) -> int:
    """Duration of the silence (below a level) at the start of a pydub segment, in steps of 5 ms."""
    from pydub.silence import detect_leading_silence

    return int(detect_leading_silence(segment, silence_dbfs, chunk_size=5))


def resampled(samples: Samples, sample_rate_hz: int) -> Samples:
    """Resamples to 16 kHz; the spectrum ends at the lower Nyquist frequency, with a fade-out over its last sixteenth.

    pydub's resampling has no anti-aliasing filter.
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return samples
    # Zero padding prevents wrap-around from end to beginning, and makes the length divisible by the ratio.
    unit = sample_rate_hz // gcd(sample_rate_hz, SAMPLE_RATE_HZ)
    length = -(-(len(samples) + sample_rate_hz // 10) // unit) * unit
    new_length = length * SAMPLE_RATE_HZ // sample_rate_hz
    spectrum = np.fft.rfft(samples, length)[: new_length // 2 + 1]
    spectrum[-(len(spectrum) // 16) :] *= np.cos(np.linspace(0, np.pi / 2, len(spectrum) // 16)) ** 2
    result: Samples = np.fft.irfft(spectrum, new_length) * (new_length / length)
    return result[: -(-len(samples) * SAMPLE_RATE_HZ // sample_rate_hz)]
