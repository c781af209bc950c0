"""A workspace, four clips, and takes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.speech.recordings.import_in_progress import ImportOptions
from dataset_tools.speech.recordings.recording_import import ImportSummary, import_recordings

CARROT = "cut_carrot_knife"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def clips(make_clip: Callable[..., ClipRow]) -> list[ClipRow]:
    return [make_clip(CARROT, 7, 1, 100 * n + 1) for n in range(3)] + [make_clip("squeeze_lemon", 8, 2, 1)]


@pytest.fixture
def take(ffmpeg: Callable[..., None]) -> Callable[..., Path]:
    """Makes a recording: tones that come and go, of a pitch of its own; with ``options`` of ffmpeg, by it."""

    def make(path: Path, pitch_hz: int = 200, *options: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".wav" and not options:
            time_s = np.arange(66_150) / 44_100
            tone = 0.3 * np.sin(2 * np.pi * pitch_hz * time_s) * (np.sin(2 * np.pi * 2 * time_s) > -0.5)
            soundfile.write(path, tone, 44_100)
            return path
        expression = f"aevalsrc='0.3*sin(2*PI*{pitch_hz}*t)*gt(sin(2*PI*2*t),-0.5)':s=44100:d=1.5"
        ffmpeg("-f", "lavfi", "-i", expression, *options, path)
        return path

    return make


@pytest.fixture
def load(workspace: Workspace, classes: ClassFile, clips: list[ClipRow]) -> Callable[..., ImportSummary]:
    """Imports recordings as the command does; ``into`` and ``known_clips`` replace the workspace and its clips."""
    names = {field.name for field in fields(ImportOptions)}

    def load(
        source: Path, *, into: Workspace = workspace, known_clips: list[ClipRow] = clips, **options: Any
    ) -> ImportSummary:
        stated = ImportOptions(**{name: options.pop(name) for name in names & options.keys()})
        with Ledger(into.ledger) as ledger:
            return import_recordings(into, source, classes, known_clips, stated, ledger=ledger, **options)

    return load
