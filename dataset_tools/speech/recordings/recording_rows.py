"""Rows of recordings.jsonl: recordings of a workspace, and their merge with synthesized utterances."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import msgspec

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.jsonl import Row
from dataset_tools.core.path_parts import FileName, RelativePath, Sha256
from dataset_tools.core.seeds import seed_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import UtteranceRow, read_rows
from dataset_tools.speech.recordings.consent_rows import barred_voices

_SHOWN = 3


class RecordingRow(Row, frozen=True, kw_only=True, tag="fmn.recording/1"):
    """Row of recordings/recordings.jsonl: an imported recording.

    Attributes:
        id: of the utterance that was made from it.
        original: copy of the unmodified file, relative to the workspace. original_sha256: of that file.
        name: original file name.
        speaker_name: the speaker's name as written in the list, or in the name of the file or folder; earlier versions
            did not store it.
        licence: as stated at the import, or empty.
        take: number of the recording of the clip by the voice, from 1; the last one is used.
        utterance: row for the manifest.
    """

    id: FileName
    original: RelativePath
    original_sha256: Sha256
    name: str
    licence: str
    take: int
    utterance: UtteranceRow
    speaker_name: str | msgspec.UnsetType = msgspec.UNSET


def recordings_path(workspace: Workspace) -> Path:
    """Path of recordings/recordings.jsonl."""
    return workspace.recordings / "recordings.jsonl"


def read_recordings(workspace: Workspace) -> list[RecordingRow]:
    """Reads the recordings of a workspace that may be used (of voices that are not barred), sorted by id.

    Raises:
        ManifestError: recordings.jsonl cannot be read.
    """
    is_barred = barred_voices(workspace)
    return [row for row in listed_recordings(workspace) if not is_barred(row.utterance.voice)]


def listed_recordings(workspace: Workspace) -> list[RecordingRow]:
    """Reads all rows of recordings.jsonl, sorted by id; including those of barred voices.

    Raises:
        ManifestError: recordings.jsonl cannot be read.
    """
    path = recordings_path(workspace)
    return list(read_rows(path, RecordingRow, missing_ok=True))


def note_on_unused(
    workspace: Workspace, clips: Mapping[str, str], classes: Collection[str], utterances: Iterable[UtteranceRow]
) -> tuple[str, ...]:
    """Returns a warning if recordings are not used since their clip or class is gone or renamed; else nothing.

    Args:
        workspace: of the data set.
        clips: classes of the clips, by id.
        classes: ids of the classes.
        utterances: of the data set. A recording of a clip that changed its class is used if its sentence still fits.
    """
    used = {row.id for row in utterances}
    unused = []
    for row in read_recordings(workspace):
        clip, class_id = row.utterance.clip, row.utterance.class_id
        fits = class_id in classes if clip is None else clips.get(clip) == class_id
        if not fits and row.id not in used:
            unused.append(row.id)
    if not unused:
        return ()
    number = count_of(len(unused), "recording is", "recordings are")
    shown = ", ".join(first_of(unused, _SHOWN))
    return (
        f"{number} not used, because the clip or class is not in the data set or has another id, or the clip is now of "
        f"another class: {shown}; recordings/ keeps them, and a build with their clips and classes uses them again; or "
        "remove their rows from recordings/recordings.jsonl, and import the files under the new ids",
    )


def merge_recordings(synthesized: Iterable[UtteranceRow], recordings: Iterable[RecordingRow]) -> list[UtteranceRow]:
    """Replaces synthesized utterances by recordings, one for one.

    Of several takes of a clip by one voice, the last one is used. In each class, a recording replaces the synthesized
    utterance of its clip or, if that is already replaced, one that is chosen by a hash of its id. Thus a class keeps
    its number of utterances until it has more recordings than that. The first recording of a clip that has no
    synthesized utterance replaces none.

    Returns:
        The rows of utterances.jsonl, sorted by id.
    """
    last: dict[tuple[str, ...], RecordingRow] = {}
    for row in sorted(recordings, key=lambda row: (row.take, row.id)):
        same = (row.utterance.clip, row.utterance.voice) if row.utterance.clip is not None else (row.id,)
        last[same] = row
    recorded = [row.utterance for row in last.values()]
    merged = list(recorded)
    by_class: dict[str, list[UtteranceRow]] = {}
    for utterance in synthesized:
        by_class.setdefault(utterance.class_id, []).append(utterance)
    for class_id, candidates in by_class.items():
        of_class = [utterance for utterance in recorded if utterance.class_id == class_id]
        clips = {utterance.clip for utterance in of_class}
        rest = [utterance for utterance in candidates if utterance.clip not in clips]
        unspoken = clips - {utterance.clip for utterance in candidates} - {None}
        keep = max(0, len(candidates) - (len(of_class) - len(unspoken)))
        merged += sorted(rest, key=lambda utterance: seed_of(0, "keep", utterance.id))[:keep]
    return sorted(merged, key=lambda utterance: utterance.id)
