"""Log-mel spectrogram of MusiCNN (Pons and Serra 2019): log10(10,000 x + 1) of the mel power spectrum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dataset_tools.core import torch_compat
from fmn.features.config import AudioFeatureConfig
from fmn.features.mfcc import with_peak_1


class LogMel:
    """Samples → sequence of mel bands; ``window_ms=32, hop_ms=16, n_mels=96`` are the published sizes.

    Published: 16 kHz, FFT 512, hop 256, 96 bands, the logarithm above (with the mel scale and area-normalized filters
    of librosa, which the published code calls). Our choice: an utterance is first normalized to a peak of 1, as
    published music is, because the logarithm has an absolute floor.

    Raises:
        InputError: torchaudio cannot be imported.
    """

    def __init__(self, config: AudioFeatureConfig) -> None:
        self.window = round(config.window_ms * config.sample_rate_hz / 1000)  # in samples
        hop = round(config.hop_ms * config.sample_rate_hz / 1000)
        audio: Any = torch_compat.torchaudio()
        self._mel = audio.transforms.MelSpectrogram(
            config.sample_rate_hz,
            n_fft=self.window,
            hop_length=hop,
            n_mels=config.n_mels,
            center=False,
            norm="slaney",
            mel_scale="slaney",
        )

    def __call__(self, waveform: Tensor) -> Tensor:
        """[samples] → [frames, n_mels]; an utterance shorter than a window is zero-padded."""
        bands: Tensor = self._mel(with_peak_1(waveform, self.window))  # [n_mels, frames]
        return torch.log10(10_000 * bands.T + 1).float().contiguous()
