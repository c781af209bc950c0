from __future__ import annotations

import sys
from pathlib import Path

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
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with one encoder of each kind, as pip would leave it."""
    info = tmp_path / "installed" / "their_package-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "their_package.py").write_text(THEIRS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[fmn.video_encoders]\ncolor = their_package:Color\n[fmn.speech_encoders]\nenergy = their_package:Energy\n"
    )
    monkeypatch.syspath_prepend(info.parent)
    monkeypatch.delitem(sys.modules, "their_package", raising=False)
