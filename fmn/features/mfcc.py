"""MFCC with deltas, normalized over the utterance (paper, section 3.2; torchaudio)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from dataset_tools.core import torch_compat
from fmn.features.config import AudioFeatureConfig

LOWEST_HZ = 20.0  # lower frequencies are rumble, not speech
_NEGLIGIBLE = 1e-4  # a coefficient with a smaller standard deviation counts as constant


class Mfcc:
    """Samples → sequence of coefficients.

    Sequences are computed one by one, so results do not depend on padding or on the rest of a batch. They are invariant
    to loudness: the floor is 80 dB below the maximum of the mel spectrogram, and a gain shifts only coefficient 0,
    which the normalization removes.

    Raises:
        InputError: torchaudio cannot be imported.
    """

    def __init__(self, config: AudioFeatureConfig) -> None:
        self.config = config
        self.window = round(config.window_ms * config.sample_rate_hz / 1000)  # in samples
        audio: Any = torch_compat.torchaudio()
        self._differences = audio.functional.compute_deltas
        self._coefficients = audio.transforms.MFCC(
            config.sample_rate_hz,
            config.n_mfcc,
            melkwargs={
                "n_fft": self.window,
                "hop_length": round(config.hop_ms * config.sample_rate_hz / 1000),
                "n_mels": config.n_mels,
                "f_min": LOWEST_HZ,
                "center": False,  # no reflection padding
            },
        )

    def __call__(self, waveform: Tensor) -> Tensor:
        """[samples] -> [frames, n_mfcc · (1 + deltas)]: coefficients, deltas, delta-deltas.

        There is one frame for every complete window; an utterance shorter than a window is zero-padded.
        """
        orders = [self._coefficients(with_peak_1(waveform, self.window))]  # [n_mfcc, frames]
        for _ in range(self.config.deltas):
            orders.append(self._differences(orders[-1], self.config.delta_frames))
        sequence = torch.cat(orders).T.double()  # [frames, dim]
        if self.config.cmvn:
            sequence = mean_variance_normalized(sequence)
        return sequence.float().contiguous()


def with_peak_1(waveform: Tensor, least: int) -> Tensor:
    """Scales [samples] to a peak of 1, since logarithms have an absolute floor; zero-pads to ``least`` samples."""
    waveform = pad(waveform, (0, max(0, least - len(waveform))))
    peak = waveform.abs().max()
    return waveform / peak if peak > 0 else waveform


def mean_variance_normalized(sequence: Tensor) -> Tensor:
    """Normalizes each column of [frames, dim] float64 to mean 0 and variance 1 (CMVN); constant columns become 0."""
    centered = sequence - sequence.mean(dim=0)
    deviation = centered.square().mean(dim=0).sqrt()
    return torch.where(deviation <= _NEGLIGIBLE, 0.0, centered / deviation.clamp_min(_NEGLIGIBLE))
