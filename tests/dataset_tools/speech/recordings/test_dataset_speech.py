"""Recordings in the data set: utterances, speakers, and what an earlier import left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts, UtteranceRow, read_rows, write_rows
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.recordings.consents import read_speakers
from dataset_tools.speech.recordings.recording_rows import RecordingRow

CARROT = "cut_carrot_knife"
Ffmpeg = Callable[..., None]


def test_utterances_of_a_recorded_voice_have_what_its_speaker_says(
    workspace: Workspace, classes: ClassFile, clips: list[ClipRow], tmp_path: Path, take: Callable[..., Path]
) -> None:
    take(tmp_path / "in" / "a.wav", 200)
    take(tmp_path / "in" / "b.wav", 260)
    (tmp_path / "in" / "list.csv").write_text(
        f"path,class,voice,accent\na.wav,{clips[0].class_id},Ann,Scottish\nb.wav,{clips[0].class_id},Ben,\n"
    )
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    import_dataset(workspace, tmp_path / "in" / "list.csv", classes)
    rows = {row.voice: row for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)}
    assert rows["ann"].speaker == SpeakerFacts("Scottish")
    assert rows["ben"].speaker is msgspec.UNSET


def test_nothing_is_noted_of_a_speaker_without_a_recording(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    ffmpeg: Ffmpeg,
) -> None:
    take(tmp_path / "in" / "a.wav", 200)
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=2", tmp_path / "in" / "silence.wav")
    shutil.copy(tmp_path / "in" / "a.wav", tmp_path / "in" / "same.wav")
    (tmp_path / "in" / "list.csv").write_text(
        f"path,class,voice,accent\na.wav,{CARROT},Ann,Irish\nsilence.wav,{CARROT},Zoe,Scottish\n"
        f"same.wav,{CARROT},Eve,Welsh\n"
    )
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    import_dataset(workspace, tmp_path / "in" / "list.csv", classes)
    assert read_speakers(workspace) == {"ann": SpeakerFacts("Irish")}


@pytest.mark.parametrize("is_stopped", [True, False])
def test_nothing_stays_of_a_recording_under_the_voice_that_it_had_by_mistake(
    workspace: Workspace,
    tmp_path: Path,
    classes: ClassFile,
    clips: list[ClipRow],
    take: Callable[..., Path],
    is_stopped: bool,
) -> None:
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    for number, clip in enumerate(clips[:2]):
        take(tmp_path / "anna" / f"{clip.id}.wav", 200 + 50 * number)
    take(tmp_path / "eve" / f"{clips[2].id}.wav", 400)
    import_dataset(workspace, tmp_path / "eve", classes)

    def stopped(stage: str, done: int, total: int, note: str = "") -> None:
        if is_stopped and done == 1:
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        import_dataset(workspace, tmp_path / "anna", classes, progress=stopped)
    listing = workspace.recordings / "recordings.jsonl"
    others = [row for row in read_rows(listing, RecordingRow) if row.utterance.voice == "anna"]
    assert len(others) == (0 if is_stopped else 2)
    write_rows(listing, [row for row in read_rows(listing, RecordingRow) if row.utterance.voice == "eve"])
    with Ledger(workspace.ledger) as ledger:  # a copy, as speech synthesize --augment makes one
        (named, *_) = [name.partition("/")[2] for name in ledger.rows if "_anna_" in name]
        ledger.record(LedgerRow(id=f"copy/{named}_aug1", status="failed", stage="augment"))
    shutil.copy(workspace.speech / f"{named}.wav", workspace.speech / f"{named}_aug1.wav")

    import_dataset(workspace, (tmp_path / "anna").rename(tmp_path / "ben"), classes)
    voices = [path.stem.split("_")[-2] for path in workspace.speech.glob("*.wav")]
    assert sorted(voices) == ["ben", "ben", "eve"]
    with Ledger(workspace.ledger) as ledger:
        assert sorted(name.split("_")[-2] for name in ledger.rows) == ["ben", "ben", "eve"]


def test_an_import_with_fewer_classes_keeps_the_recordings_of_the_others(
    workspace: Workspace, tmp_path: Path, classes: ClassFile, clips: list[ClipRow], take: Callable[..., Path]
) -> None:
    write_rows(workspace.manifests / "clips.jsonl", sorted(clips, key=lambda clip: clip.id))
    take(tmp_path / "monday" / "squeeze_lemon" / "ann_1.wav", 200)
    take(tmp_path / "tuesday" / CARROT / "ben_1.wav", 250)
    import_dataset(workspace, tmp_path / "monday", classes)
    few = replace(classes, classes=tuple(one for one in classes.classes if one.id == CARROT))
    import_dataset(workspace, tmp_path / "tuesday", few)
    rows = list(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    assert {(row.class_id, row.voice) for row in rows} == {("squeeze_lemon", "ann"), (CARROT, "ben")}
