"""A run that hears and sees real files: one spoken sentence a class, and clips of one brightness a class."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.search.text_query import speak_query
from fmn.training.train import train

SENTENCES = (
    "Somebody peels an orange.",
    "She pours milk into the pan.",
    "He takes out a knife.",
    "Wash the carrots now.",
)
SPEEDS = (20, 19, 21)  # twentieths

_RUNS: list[Path] = []


@pytest.fixture
def trained(request: pytest.FixtureRequest, small: Config, tmp_path: Path) -> Path:
    """A run on the workspace `files`, whose utterances are spoken anew; one for all tests.

    The voice is the one that speaks typed queries, so that 20 training utterances are enough.
    """
    if not _RUNS:
        _RUNS.append(_trained(request.getfixturevalue("files"), small, tmp_path))
    return _RUNS[0]


def _trained(files: Path, small: Config, folder: Path) -> Path:
    voice = [soundfile.read(speak_query(text, folder)[0]) for text in SENTENCES]
    hashes: dict[str, str] = {}
    for name in ("train", "test"):
        path = files / "manifests" / f"{name}.jsonl"
        rows = []
        for row in read_rows(path, SplitPairRow):
            sound, number = files / row.utterance.path, int(row.label.id[-1])
            if row.utterance.id not in hashes:
                samples, rate_hz = voice[number]
                noise = np.random.default_rng(len(hashes))
                samples = resample_poly(samples, SPEEDS[len(hashes) % len(SPEEDS)], 20)
                soundfile.write(sound, samples + 0.003 * noise.normal(size=len(samples)), rate_hz)
                hashes[row.utterance.id] = sha256_of(sound)
            utterance = msgspec.structs.replace(row.utterance, sha256=hashes[row.utterance.id], text=SENTENCES[number])
            rows.append(msgspec.structs.replace(row, utterance=utterance))
        write_rows(path, rows)
    run = files / "runs" / "one"
    changes = {"video.kind": "mean_colour", "audio.cmvn": False, "training.epochs": 60}
    train(files / "manifests" / "train.jsonl", with_values(small, changes), run, jobs=1)
    return run
