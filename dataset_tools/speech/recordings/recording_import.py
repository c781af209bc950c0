"""Import of recordings as utterances, which replace synthesized ones.

An imported recording is stored unmodified, ``recordings/<sha256>.<suffix>``, and has a row in
``recordings/recordings.jsonl``. No command changes or removes either, except when the speaker withdraws
(`dataset_tools.withdrawal`). The utterance is made from it, mono, 16 kHz, normalized, and written to ``speech/`` like
every utterance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.languages import language_option
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts, write_rows
from dataset_tools.speech.recordings.consents import check_consent
from dataset_tools.speech.recordings.import_in_progress import ImportInProgress, ImportOptions
from dataset_tools.speech.recordings.import_tasks import import_one, ok_row, task_for
from dataset_tools.speech.recordings.import_voices import with_known_voices
from dataset_tools.speech.recordings.imported_rows import new_row
from dataset_tools.speech.recordings.recording_files import (
    FoundRecording,
    find_recordings,
    notes_on_whole_names,
)
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings, recordings_path
from dataset_tools.speech.recordings.speaker_facts import facts_by_voice


@dataclass(frozen=True)
class ImportSummary:
    """Result of an import.

    Attributes:
        added: new recordings.
        known: number of files that had been imported before, byte for byte, under any name, clip, class or voice, even
            if the clip is not part of the data set any more.
        corrected: number of these whose sentence, license, language or speaker's name changed.
        refused: errors of the files that cannot be used.
        mismatches: files and rows of a CSV that were not imported, a message each.
        notes: messages about files that are there already, about voices and about speakers.
        voices: number of recordings by voice, of all files that are now recordings of the data set, new or known.
        assumed_languages: number of new recordings by language, of those for which none was stated.
        speakers: metadata of speakers, by voice; only of those with a recording.
    """

    added: tuple[RecordingRow, ...]
    known: int
    corrected: int
    refused: dict[str, ToolkitError]
    mismatches: tuple[str, ...]
    notes: tuple[str, ...]
    voices: Mapping[str, int]
    assumed_languages: Mapping[str, int]
    speakers: Mapping[str, SpeakerFacts]


def import_recordings(
    workspace: Workspace,
    source: Path,
    classes: ClassFile,
    clips: Sequence[ClipRow],
    options: ImportOptions = ImportOptions(),
    *,
    ledger: Ledger,
    dry_run: bool = False,
    jobs: int = 1,
    progress: Progress = silent,
) -> ImportSummary:
    """Imports the recordings of a folder or a CSV file (matched as in `recording_files`).

    Sentence, language, license and the name as written of known recordings are updated; a missing original is copied
    again.

    Args:
        workspace: of the data set.
        source: the folder or the CSV.
        classes: the class file.
        clips: the clips that recordings can belong to.
        options: facts about recordings that do not state them, and renewed consents.
        ledger: open; gets a row ``recording/<utterance id>`` for each recording.
        dry_run: decodes and checks the recordings, but writes nothing; with a `DryRunLedger`.
        jobs: number of processes; does not affect the output.
        progress: progress callback.

    Raises:
        InputError: the language is not a code, there is nothing to import, or a voice withdrew its consent; nothing
            was written.
    """
    if options.language is not None:
        options = replace(options, language=language_option(options.language))
    listed = find_recordings(source, classes, clips)
    listed.recordings, doubts = with_known_voices(workspace, listed.recordings)
    check_consent(workspace, listed.recordings, options.renewed, dry_run=dry_run)
    speakers, contradictions = facts_by_voice((one.voice, one.speaker) for one in listed.recordings)
    current = ImportInProgress(workspace, ledger, options, dry_run=dry_run)
    current.notes += [*listed.notes, *notes_on_whole_names(listed.recordings), *doubts, *contradictions]
    current.sort_mismatches(listed.mismatches)
    for recording in listed.recordings:
        current.sort(recording)
    _forget_resolved(ledger, {str(one) for one in listed.recordings} - current.refused.keys(), current.tasks)
    current.write(jobs, progress)
    current.explain_twins()
    added = current.add_rows()
    if (current.written or current.corrected) and not dry_run:
        write_rows(recordings_path(workspace), (current.rows[name] for name in sorted(current.rows)))
    voices = {row.utterance.voice for row in current.rows.values()}
    used = current.known_ids | current.written.keys()
    return ImportSummary(
        added=tuple(added),
        known=current.known,
        corrected=current.corrected,
        refused=dict(sorted(current.refused.items())),
        mismatches=tuple(current.mismatches),
        notes=tuple(current.notes),
        voices=Counter(sorted(current.rows[name].utterance.voice for name in used)),
        assumed_languages=current.assumed_languages,
        speakers={voice: facts for voice, facts in speakers.items() if voice in voices},
    )


def add_recording(
    workspace: Workspace, recording: FoundRecording, *, ledger: Ledger, language: str = "en", name: str | None = None
) -> RecordingRow:
    """Adds one recording, in this process, as `import_recordings` does.

    Args:
        workspace: of the data set.
        recording: the file and its metadata.
        ledger: open; gets a row ``recording/<utterance id>``.
        language: spoken language.
        name: stored as the original file name; by default the name of the file.

    Raises:
        InputError: the voice withdrew its consent.
        SampleError: the recording cannot be used; nothing is kept.
    """
    check_consent(workspace, [recording])
    task = task_for(recording, workspace)
    written = import_one(task)
    ledger.record(ok_row(task, written, workspace))
    rows = {row.id: row for row in listed_recordings(workspace)}
    subject = (recording.clip_id, recording.voice)
    same = [row for row in rows.values() if (row.utterance.clip, row.utterance.voice) == subject]
    take = max((row.take for row in same), default=0) + 1
    row = new_row(task, written, workspace, language, recording.licence, take)
    rows[row.id] = row if name is None else msgspec.structs.replace(row, name=name)
    write_rows(recordings_path(workspace), (rows[key] for key in sorted(rows)))
    return rows[row.id]


def _forget_resolved(ledger: Ledger, paths: Collection[str], tasks: Collection[str]) -> None:
    """Removes failures of earlier contents of the given files from the ledger."""
    there = {f"recording/{name}" for name in tasks}
    failures = [row for row in ledger.status("failed", "recording/") if row.id not in there]
    ledger.forget([row.id for row in failures if row.reason is not None and row.reason.get("where") in paths])
