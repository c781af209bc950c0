"""Loudness normalization of utterances.

The WAV file of an utterance is mono, 16 kHz, 16-bit PCM, at -23 LUFS (EBU R128), with silence at both ends trimmed to a
fixed short padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_tools.core.audio_decoding import Sound
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ, leading_silence_ms, resampled, segment_of


@dataclass(frozen=True)
class Finish:
    """Settings of the normalization of every utterance.

    Attributes:
        loudness_lufs: target integrated loudness.
        peak_dbfs: maximum peak level, which limits the gain.
        silence_dbfs: level below which both ends are trimmed, after the gain.
        padding_s: silence that is added at both ends after trimming.
    """

    loudness_lufs: float = -23.0
    peak_dbfs: float = -1.0
    silence_dbfs: float = -50.0
    padding_s: float = 0.1


def finish(sound: Sound, settings: Finish, *, loudness_lufs: float) -> tuple[Any, float]:
    """Resamples decoded audio to 16 kHz, normalizes its loudness, and trims and pads both ends.

    Args:
        sound: decoded audio with finite samples.
        settings: normalization settings.
        loudness_lufs: integrated loudness of ``sound``.

    Returns:
        A pydub AudioSegment, mono, 16 kHz, 16-bit; and the gain that was applied, in dB.
    """
    samples = sound.mono()
    samples = resampled(samples - samples.mean(), sound.sample_rate_hz)
    peak_dbfs = 20 * np.log10(max(float(np.abs(samples).max(initial=0.0)), 1e-6))
    gain_db = float(min(settings.loudness_lufs - loudness_lufs, settings.peak_dbfs - peak_dbfs))
    segment = segment_of(samples * 10 ** (gain_db / 20))
    head_ms = leading_silence_ms(segment, settings.silence_dbfs)
    tail_ms = leading_silence_ms(segment.reverse(), settings.silence_dbfs)
    if head_ms + tail_ms < len(segment):
        segment = segment[head_ms : len(segment) - tail_ms]
    segment = segment.fade_in(3).fade_out(3)  # avoids clicks at the cuts
    padding = type(segment).silent(duration=round(1000 * settings.padding_s), frame_rate=SAMPLE_RATE_HZ)
    return padding + segment + padding, gain_db
