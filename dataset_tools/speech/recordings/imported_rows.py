"""Rows of imported recordings: new ones, and known ones with what is stated of them now."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ
from dataset_tools.speech.audio.utterance_writer import Written
from dataset_tools.speech.recordings.import_tasks import ImportTask
from dataset_tools.speech.recordings.recording_files import FoundRecording
from dataset_tools.speech.recordings.recording_rows import RecordingRow
from dataset_tools.speech.recordings.voice_names import one_line


def new_row(
    task: ImportTask, written: Written, workspace: Workspace, language: str, licence: str, take: int
) -> RecordingRow:
    """Returns the row of a new recording."""
    recording = task.recording
    return RecordingRow(
        id=task.utterance_id,
        original=workspace.relative(task.original),
        original_sha256=task.sha256,
        name=recording.path.name,
        licence=recording.licence or licence,
        take=take,
        speaker_name=_speaker_name(recording),
        utterance=UtteranceRow(
            id=task.utterance_id,
            class_id=recording.class_id,
            clip=recording.clip_id,
            text=recording.text,
            text_source="recording",
            language=language,
            voice=recording.voice,
            source="recorded",
            engine=None,
            path=workspace.relative(task.target),
            sample_rate_hz=SAMPLE_RATE_HZ,
            duration_s=written.duration_s,
            sha256=written.sha256,
            quality=written.quality,
        ),
    )


def as_stated(row: RecordingRow, recording: FoundRecording, language: str | None, licence: str) -> RecordingRow:
    """Updates a known recording with the metadata stated now; missing values remain unchanged.

    Args:
        row: of the recording.
        recording: the file and what is stated of it.
        language: for files that do not state one; None: unchanged.
        licence: for files that do not state one; empty: unchanged.
    """
    utterance = row.utterance
    if recording.text not in ("", utterance.text):  # the text describes the current clip
        utterance = msgspec.structs.replace(utterance, text=recording.text, class_id=recording.class_id)
    utterance = msgspec.structs.replace(utterance, language=recording.language or language or utterance.language)
    licence, name = recording.licence or licence or row.licence, _speaker_name(recording)
    if name in (msgspec.UNSET, recording.voice):  # the voice may be stated instead of the name
        name = row.speaker_name
    return msgspec.structs.replace(row, licence=licence, speaker_name=name, utterance=utterance)


def _speaker_name(found: FoundRecording) -> str | msgspec.UnsetType:
    """Returns the name to store; not that of a folder whose name is not UTF-8."""
    name = one_line(found.named)
    return name if name and name == in_unicode(name) else msgspec.UNSET


def rewritten(row: RecordingRow, written: Written) -> RecordingRow:
    """Updates the row of a known recording whose WAV was written again."""
    utterance = msgspec.structs.replace(row.utterance, **asdict(written))
    return msgspec.structs.replace(row, utterance=utterance)
