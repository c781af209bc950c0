"""MFCC with deltas, normalized over the utterance (paper, section 3.2; torchaudio)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from dataset_tools.core import torch_compat
from fmn.features.config import AudioFeatureConfig

LOWEST_HZ = 20.0  # below lies hum
_NEGLIGIBLE = 1e-4  # a coefficient whose standard deviation is less does not move


class Mfcc:
    """Samples → sequence of coefficients.

    Sequences are computed one by one, so no result depends on padding or on what else is in a batch. Loudness does
    not matter: the floor lies 80 dB below the loudest moment of the utterance, a gain shifts the zeroth coefficient
    alone, and the normalization removes that.

    Raises:
        InputError: torchaudio cannot be imported.
    """

    def __init__(self, config: AudioFeatureConfig) -> None:
        self.config = config
        self.window = round(config.window_ms * config.sample_rate_hz / 1000)  # in samples
        self.hop = round(config.hop_ms * config.sample_rate_hz / 1000)
        audio: Any = torch_compat.torchaudio()
        self._differences = audio.functional.compute_deltas
        self._coefficients = audio.transforms.MFCC(
            config.sample_rate_hz,
            config.n_mfcc,
            melkwargs={
                "n_fft": self.window,
                "hop_length": self.hop,
                "n_mels": config.n_mels,
                "f_min": LOWEST_HZ,
                "center": False,  # no reflected samples at the ends
            },
        )

    def frames(self, samples: int) -> int:
        """Length of the sequence of an utterance: one frame for every whole window, at least one."""
        return 1 + max(0, samples - self.window) // self.hop

    def __call__(self, waveform: Tensor) -> Tensor:
        """[samples] -> [frames, n_mfcc · (1 + deltas)]: coefficients, their differences, the differences of these.

        An utterance shorter than a window is filled up with silence.
        """
        if len(waveform) < self.window:
            waveform = pad(waveform, (0, self.window - len(waveform)))
        peak = waveform.abs().max()
        if peak > 0:
            waveform = waveform / peak  # the floor of the logarithm is absolute: a gain must not move it
        orders = [self._coefficients(waveform)]  # [n_mfcc, frames]
        for _ in range(self.config.deltas):
            orders.append(self._differences(orders[-1], self.config.delta_frames))
        sequence = torch.cat(orders).T.double()  # [frames, dim]
        if self.config.cmvn:
            sequence = mean_variance_normalized(sequence)
        return sequence.float().contiguous()


def mean_variance_normalized(sequence: Tensor) -> Tensor:
    """[frames, dim] float64 -> the same, each column with mean 0 and variance 1 (CMVN); one that does not move is 0."""
    centered = sequence - sequence.mean(dim=0)
    deviation = centered.square().mean(dim=0).sqrt()
    return torch.where(deviation > _NEGLIGIBLE, centered / deviation.clamp_min(_NEGLIGIBLE), 0.0)
