"""Audio reading: mono at a given sample rate, from any file that FFmpeg can read."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset_tools.core import torch_compat
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import SampleError

_MOST_TAPS = 10**7  # of torchaudio's resampling filter: product of both rates, each divided by their gcd


def read_audio(path: Path, sample_rate_hz: int) -> Tensor:
    """Reads an audio file, or the audio stream of a video, downmixed to mono and resampled.

    Returns:
        [samples] float32, full scale ±1, at least one.

    Raises:
        SampleError: the file is missing, has no audio stream or no sample, cannot be decoded, or exceeds the limits of
            `dataset_tools.core.audio_decoding`.
    """
    if not path.is_file():
        raise SampleError(
            "The audio file is missing", where=path, next_step="run fmn-data build again: it rebuilds missing files"
        )
    sound = decode(path)
    mono = torch.from_numpy(sound.mono().astype(np.float32))
    if sound.sample_rate_hz == sample_rate_hz:
        return mono
    if sound.sample_rate_hz * sample_rate_hz // gcd(sound.sample_rate_hz, sample_rate_hz) ** 2 > _MOST_TAPS:
        raise SampleError(
            f"The sample rate, {sound.sample_rate_hz} Hz, has no simple ratio to {sample_rate_hz} Hz",
            where=path,
            expected="a common sample rate, such as 16,000, 44,100 or 48,000 Hz",
            next_step=f"export it again at {sample_rate_hz} Hz",
        )
    return torch_compat.torchaudio().functional.resample(  # type: ignore[no-any-return]
        mono, sound.sample_rate_hz, sample_rate_hz
    )
