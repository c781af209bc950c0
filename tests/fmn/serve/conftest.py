"""A run that hears and sees real files: tones of one pitch a class, and clips of one brightness a class."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.training.train import train

RATE_HZ = 16_000


def spoken(number: int, seed: int) -> np.ndarray:
    """Two seconds of syllables of the pitch of a class."""
    random = np.random.default_rng([number, seed])
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    syllables = 0.2 * np.sin(np.pi * 4 * time_s) ** 2 + 0.1
    tone = np.sin(2 * np.pi * (300 + 600 * number) * time_s)
    return syllables * tone + 0.003 * random.normal(size=len(time_s))


_RUNS: list[Path] = []


@pytest.fixture
def trained(request: pytest.FixtureRequest, small: Config) -> Path:
    """A run on the workspace `files`, whose utterances are `spoken` anew; one for all tests."""
    if not _RUNS:
        _RUNS.append(_trained(request.getfixturevalue("files"), small))
    return _RUNS[0]


def _trained(files: Path, small: Config) -> Path:
    hashes: dict[str, str] = {}
    for name in ("train", "test"):
        path = files / "manifests" / f"{name}.jsonl"
        rows = []
        for row in read_rows(path, SplitPairRow):
            sound = files / row.utterance.path
            if row.utterance.id not in hashes:
                soundfile.write(sound, spoken(int(row.label.id[-1]), len(hashes)), RATE_HZ)
                hashes[row.utterance.id] = sha256_of(sound)
            utterance = msgspec.structs.replace(row.utterance, sha256=hashes[row.utterance.id])
            rows.append(msgspec.structs.replace(row, utterance=utterance))
        write_rows(path, rows)
    run = files / "runs" / "one"
    changes = {"video.kind": "mean_colour", "audio.cmvn": False, "training.epochs": 60}
    train(files / "manifests" / "train.jsonl", with_values(small, changes), run, jobs=1)
    return run
