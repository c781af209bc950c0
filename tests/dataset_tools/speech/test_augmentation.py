"""Copies of utterances: what is said to be done to them was done, and they stay with their originals."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from made_up_rows import clip_row

from dataset_tools.build.dataset_synthesis import synthesize_dataset
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import (
    Augmentation,
    SplitPairRow,
    UtteranceRow,
    read_rows,
    write_rows,
)
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.speech.audio.recording_quality import Limits, judge, measure
from dataset_tools.speech.augmentation import Ranges, augment, augmented
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.synthesis import SpeechOptions

CLASSES = load_classes()
RATE_HZ = 16000


def parameters(**values: float) -> Augmentation:
    """Nothing, unless it is said: no noise (200 dB below), a room without a tail."""
    return Augmentation(original="x", **({"speed": 1.0, "gain_db": 0.0, "room_s": 0.001, "snr_db": 200.0} | values))


def test_speed_gain_noise_and_room_are_what_is_stated(sine: Callable[..., np.ndarray]) -> None:
    tone = sine(1000, -20, 2.0, RATE_HZ)
    random = np.random.default_rng(0)
    faster = augmented(tone, parameters(speed=1.1), random)
    assert len(faster) == pytest.approx(len(tone) / 1.1, rel=0.01)
    peak_hz = np.abs(np.fft.rfft(faster[:16000], 160000)).argmax() / 10
    assert peak_hz == pytest.approx(1100, abs=1)
    louder = augmented(tone, parameters(gain_db=6.0), np.random.default_rng(0))
    plain = augmented(tone, parameters(), np.random.default_rng(0))
    assert 20 * np.log10(np.std(louder) / np.std(plain)) == pytest.approx(6, abs=0.01)
    noisy = augmented(tone, parameters(snr_db=10.0), np.random.default_rng(0))
    noise = noisy - plain[: len(noisy)]
    assert 10 * np.log10((plain**2).mean() / (noise**2).mean()) == pytest.approx(10, abs=0.1)

    click = np.zeros(RATE_HZ)
    click[100] = 0.5
    room = augmented(click, parameters(room_s=0.4), np.random.default_rng(0))
    levels = [10 * np.log10((room[start : start + 800] ** 2).mean()) for start in (600, 600 + 3200)]
    assert levels[0] - levels[1] == pytest.approx(60 * 0.2 / 0.4, abs=3)  # 0.2 s later


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Rows of eight clips of two classes, without their videos."""
    place = Workspace(tmp_path / "set")
    rows = [
        clip_row(f"s{number + 7:02d}-d20_000001-000050", ("cut_carrot_knife", "wash_apple")[number % 2])
        for number in range(8)
    ]
    write_rows(place.manifests / "clips.jsonl", rows)
    return place


def rows_of(place: Workspace) -> dict[str, UtteranceRow]:
    return {row.id: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}


def test_copies_are_marked_the_same_each_time_and_on_the_side_of_their_original(
    workspace: Workspace, tmp_path: Path
) -> None:
    synthesize_dataset(workspace, CLASSES, SpeechOptions(augment=2), jobs=2)
    first = rows_of(workspace)
    copies = {name: row for name, row in first.items() if row.augmented is not msgspec.UNSET}
    assert (len(first), len(copies)) == (24, 16)
    for name, row in copies.items():
        assert row.augmented is not msgspec.UNSET
        original = first[row.augmented.original]
        assert name.startswith(f"{original.id}_aug")
        assert (row.clip, row.text, row.class_id, row.voice) == (
            original.clip,
            original.text,
            original.class_id,
            original.voice,
        )
        assert 5 <= row.augmented.snr_db <= 25
        sound, rate_hz = soundfile.read(workspace.root / row.path)
        assert (rate_hz, sound.ndim) == (RATE_HZ, 1)
        assert np.abs(sound).max() <= 0.99
    files = {path: path.stat().st_mtime_ns for path in workspace.speech.iterdir()}
    content = (workspace.manifests / "utterances.jsonl").read_bytes()
    synthesize_dataset(workspace, CLASSES, SpeechOptions(augment=2), jobs=1)
    assert (workspace.manifests / "utterances.jsonl").read_bytes() == content
    assert {path: path.stat().st_mtime_ns for path in workspace.speech.iterdir()} == files

    make_pairs(workspace, CLASSES, PairOptions(test_share=0.5))
    sides: dict[str, set[str]] = {}
    for side in ("train", "test"):
        for pair in read_rows(workspace.manifests / f"{side}.jsonl", SplitPairRow):
            row = pair.utterance
            sides.setdefault(row.id if row.augmented is msgspec.UNSET else row.augmented.original, set()).add(side)
    assert len(sides) == 8
    assert {len(found) for found in sides.values()} == {1}

    replaced = next(row for row in first.values() if row.augmented is msgspec.UNSET)
    folder = tmp_path / "ann"
    folder.mkdir()
    time_s = np.arange(RATE_HZ) / RATE_HZ
    soundfile.write(folder / f"{replaced.clip}.wav", 0.3 * np.sin(900 * time_s) * (time_s % 0.3 < 0.2), RATE_HZ)
    import_dataset(workspace, folder, CLASSES)
    after = rows_of(workspace)
    assert replaced.id not in after
    assert not [row for row in after.values() if row.clip == replaced.clip and row.augmented is not msgspec.UNSET]
    synthesize_dataset(workspace, CLASSES, SpeechOptions())
    assert not [row for row in rows_of(workspace).values() if row.augmented is not msgspec.UNSET]
    with Ledger(workspace.ledger) as ledger:
        assert not [name for name in ledger.rows if name.startswith("copy/")]


def test_a_copy_that_would_clip_is_quieter_and_says_so(workspace: Workspace) -> None:
    synthesize_dataset(workspace, CLASSES, SpeechOptions())
    originals = list(rows_of(workspace).values())[:2]
    with Ledger(workspace.ledger) as ledger:
        copies, failures = augment(workspace, originals, copies=1, ranges=Ranges(gain_db=(30, 30)), ledger=ledger)
    assert not failures
    for row in copies:
        assert row.augmented is not msgspec.UNSET
        assert row.augmented.gain_db < 30
        sound, _ = soundfile.read(workspace.root / row.path)
        assert np.abs(sound).max() == pytest.approx(0.98, abs=0.001)


def test_a_wav_that_was_cut_off_is_doubted(tmp_path: Path, sine: Callable[..., np.ndarray]) -> None:
    path = tmp_path / "whole.wav"
    tone = sine(300, -20, 2.0, RATE_HZ) * (np.arange(2 * RATE_HZ) % 8000 < 5000)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    assert measure(decode(path)).missing_s == 0
    cut = tmp_path / "cut.wav"
    cut.write_bytes(path.read_bytes()[: 44 + 2 * RATE_HZ])
    quality = measure(decode(cut))
    assert quality.missing_s == pytest.approx(1.0)
    (warning,) = judge(quality, Limits(), where="cut.wav")
    assert warning == "cut off: 1.00 s of the duration stated in the file are missing or damaged"
    assert quality.as_dict((warning,))["missing_s"] == 1.0
    endless = tmp_path / "pipe.wav"  # as ffmpeg writes to a pipe
    endless.write_bytes(path.read_bytes()[:40] + b"\xff\xff\xff\xff" + path.read_bytes()[44:])
    assert measure(decode(endless)).missing_s == 0
