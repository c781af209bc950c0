from __future__ import annotations

from collections.abc import Callable

import pytest

THEIRS = """
import numpy as np
from fmn.features.encoders.interface import source_of

class Color:
    name, revision, licence, dim, size_px, frames = "color", "", "CC0", 3, 8, None

    def __init__(self, argument, *, device):
        self.source = source_of("color", "none", [])

    def encode(self, frames):
        return frames.mean(axis=(1, 2), dtype=np.float32)

class Energy:
    name, revision, licence, dim, sample_rate_hz = "energy", "", "CC0", 4, 16000

    def __init__(self, argument, *, device, layer):
        self.source = source_of("energy", "none", [], layer=layer)

    def encode(self, waveform):
        return np.abs(waveform[:8000]).reshape(20, 4, 100).mean(axis=2)
"""


@pytest.fixture
def their_package(install_package: Callable[[str, str], None]) -> None:
    """A package with one encoder of each kind, as pip would leave it."""
    install_package(
        THEIRS,
        "[fmn.video_encoders]\ncolor = their_package:Color\n[fmn.speech_encoders]\nenergy = their_package:Energy\n",
    )
