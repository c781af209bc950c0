"""Samples of 16 bits pass through pydub as they are."""

from __future__ import annotations

import numpy as np

from dataset_tools.speech.audio.audio_io import segment_of


def test_every_value_of_16_bits_stays() -> None:
    values = np.arange(-32768, 32768)
    assert segment_of(values / 32768).get_array_of_samples().tolist() == values.tolist()


def test_samples_beyond_full_scale_are_clipped() -> None:
    segment = segment_of(np.array([-1.5, -1.0, 1.0, 1.5]))
    assert segment.get_array_of_samples().tolist() == [-32768, -32768, 32767, 32767]
