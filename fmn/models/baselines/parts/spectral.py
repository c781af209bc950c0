"""Log-mel audio features of MusiCNN and MuSimNet."""

from __future__ import annotations

from dataclasses import replace

from fmn.features.config import AudioFeatureConfig

BANDS = 96  # of MusiCNN: FFT 512, hop 256 at 16 kHz


def log_mel_audio(audio: AudioFeatureConfig) -> AudioFeatureConfig:
    """``audio`` with the input of MusiCNN: 96 log-mel bands at 16 kHz, windows of 32 ms, hop of 16 ms."""
    return replace(audio, kind="log_mel", sample_rate_hz=16_000, n_mels=BANDS, window_ms=32.0, hop_ms=16.0)
