"""Loudness normalization of utterances.

The wav of an utterance is mono, 16 kHz, 16-bit PCM, at -23 LUFS (EBU R128), with the silence at its edges cut down to
a short one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dataset_tools.core.audio_decoding import Sound
from dataset_tools.speech.audio_io import SAMPLE_RATE_HZ, leading_silence_ms, resampled, segment_of


@dataclass(frozen=True)
class Finish:
    """What is done to every utterance before it is written.

    Attributes:
        loudness_lufs: integrated loudness after the gain.
        peak_dbfs: the gain is smaller where it would lift the highest sample over this.
        silence_dbfs: what counts as silence at the edges, after the gain.
        padding_s: silence that is put at both edges after they were trimmed.
    """

    loudness_lufs: float = -23.0
    peak_dbfs: float = -1.0
    silence_dbfs: float = -50.0
    padding_s: float = 0.1


def finish(sound: Sound, settings: Finish, *, loudness_lufs: float) -> tuple[Any, float]:
    """Makes of decoded sound what an utterance's wav holds.

    Args:
        sound: finite samples.
        settings: what to do.
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
    segment = segment.fade_in(3).fade_out(3)  # no click where it was cut
    padding = type(segment).silent(duration=round(1000 * settings.padding_s), frame_rate=SAMPLE_RATE_HZ)
    return padding + segment + padding, gain_db
