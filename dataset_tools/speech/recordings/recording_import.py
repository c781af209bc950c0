"""Import of recordings as utterances, which replace synthesized ones.

An imported recording is stored unmodified, ``recordings/<sha256>.<suffix>``, and has a row in
``recordings/recordings.jsonl``. No command changes or removes either, except when the speaker withdraws
(`dataset_tools.withdrawal`). The utterance is made from it, mono, 16 kHz, normalized, and written to ``speech/`` like
every utterance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from dataset_tools.classes.triplets import ClassFile
from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts, UtteranceRow, write_rows
from dataset_tools.speech.audio.audio_io import SAMPLE_RATE_HZ
from dataset_tools.speech.audio.utterance_writer import Written
from dataset_tools.speech.recordings.consents import check_consent
from dataset_tools.speech.recordings.import_tasks import (
    ImportTask,
    import_one,
    keep_original,
    key_of,
    keys_of,
    task_for,
)
from dataset_tools.speech.recordings.import_voices import with_known_voices
from dataset_tools.speech.recordings.recording_files import FoundRecording, find_recordings, notes_on_whole_names
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings, recordings_path
from dataset_tools.speech.recordings.speaker_facts import facts_by_voice
from dataset_tools.speech.recordings.voice_names import one_line

_STAGE = "import"
_Row = TypeVar("_Row")


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
        speakers: metadata of speakers, by voice; only of those with a recording.
    """

    added: tuple[RecordingRow, ...]
    known: int
    corrected: int
    refused: dict[str, ToolkitError]
    mismatches: tuple[str, ...]
    notes: tuple[str, ...]
    voices: Mapping[str, int]
    speakers: Mapping[str, SpeakerFacts]


def import_recordings(
    workspace: Workspace,
    source: Path,
    classes: ClassFile,
    clips: Sequence[ClipRow],
    *,
    ledger: Ledger,
    language: str | None = None,
    licence: str = "",
    renewed: Collection[str] = (),
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
        ledger: open; gets a row ``recording/<utterance id>`` for each recording.
        language: spoken language; None: English, or the known language of a recording.
        licence: of the recordings that do not state one; empty: none, or the known licence.
        renewed: speakers, or voices, that withdrew their consent and renewed it.
        jobs: number of processes; does not affect the output.
        progress: progress callback.

    Raises:
        InputError: there is nothing to import, or a voice withdrew its consent; nothing was written.
    """
    found = find_recordings(source, classes, clips)
    found.recordings, doubts = with_known_voices(workspace, found.recordings)
    check_consent(workspace, found.recordings, renewed)
    rows = {row.id: row for row in listed_recordings(workspace)}
    known_as = {row.original_sha256: row.id for row in rows.values()}
    tasks: dict[str, ImportTask] = {}
    task_of: dict[str, ImportTask] = {}  # by the file's SHA-256
    speakers, contradictions = facts_by_voice((one.voice, one.speaker) for one in found.recordings)
    notes = [*found.notes, *notes_on_whole_names(found.recordings), *doubts, *contradictions]
    mismatches: list[str] = []
    known_ids: set[str] = set()  # of recordings that were imported before from files with the same content
    twins: list[tuple[FoundRecording, ImportTask]] = []
    refused: dict[str, ToolkitError] = {}
    written: dict[str, Written] = {}
    known = corrected = 0
    for mismatch in found.mismatches:
        known_id = None
        if known_as and mismatch.path is not None:  # otherwise, long files would be hashed in vain
            known_id = known_as.get(_sha256_or_empty(mismatch.path))
        if known_id is None:
            mismatches.append(mismatch.message)
        else:  # its clip is not part of the data set any more
            known += 1
            known_ids.add(known_id)
            notes.append(f"{mismatch.message}; already imported as {known_id}")
    for recording in found.recordings:
        try:
            task = task_for(recording, workspace)
        except OSError as error:
            refused[str(recording)] = SampleError(
                f"The file cannot be read: {error.strerror}",
                where=str(recording),
                next_step="make it readable, then import it again",
            )
            continue
        row_id, earlier = f"recording/{task.utterance_id}", rows.get(task.utterance_id)
        if earlier is not None:  # the file may have another suffix now
            task = replace(task, original=task.original.with_suffix(Path(earlier.original).suffix))
        keys = keys_of(task, earlier)
        if task.sha256 in task_of:
            twins.append((recording, task_of[task.sha256]))
        elif task.sha256 in known_as and earlier is None:
            known += 1
            known_ids.add(known_as[task.sha256])
            notes.append(
                f"{recording}: already imported as {known_as[task.sha256]}; to import it as {task.utterance_id}, "
                f"first remove that row from {workspace.relative(recordings_path(workspace))}"
            )
        elif (done := _first(ledger.finished(row_id, key) for key in keys)) is not None and earlier is not None:
            known += 1
            known_ids.add(task.utterance_id)
            keep_original(task)
            ledger.record(msgspec.structs.replace(done, key=keys[0]))
            rows[task.utterance_id] = stated = _as_stated(earlier, recording, language, licence)
            corrected += stated != earlier
        elif (died := _first(ledger.died(row_id, key) for key in keys)) is not None:
            refused[str(recording)] = died
        else:
            tasks[task.utterance_id] = task_of[task.sha256] = task
            if done is not None and "written" in done.values and task.original.is_file():
                written[task.utterance_id] = done.value("written", Written)  # by an import that was interrupted
    todo = [task for name, task in tasks.items() if name not in written]
    untried = len(refused)
    _forget_resolved(ledger, {str(one) for one in found.recordings} - refused.keys(), tasks)
    progress(_STAGE, len(written), len(tasks))
    for outcome in run_each(import_one, todo, jobs=jobs):
        task = outcome.item
        if outcome.result is not None:
            written[task.utterance_id] = outcome.result
            ledger.record(_ok(task, outcome.result, workspace))
        elif outcome.error is not None:
            refused[str(task.found)] = outcome.error
            ledger.record(_failed(task, outcome.error))
        progress(_STAGE, len(written) + len(refused) - untried, len(tasks))
    for recording, same in twins:
        if same.utterance_id in written:
            notes.append(f"{recording}: the same recording as {same.found}, imported as {same.utterance_id}")
        else:
            refused[str(recording)] = SampleError(
                f"It is the same file as {same.found}, which failed",
                where=str(recording),
                next_step=f"see the reason for {same.found}; one corrected copy is enough",
            )

    takes: dict[tuple[str | None, str], int] = {}
    for row in rows.values():
        spoken = (row.utterance.clip, row.utterance.voice)
        takes[spoken] = max(takes.get(spoken, 0), row.take)  # rows may have been removed
    added = []
    for utterance_id, task in tasks.items():  # in the order found, which numbers the takes
        if utterance_id not in written:
            continue
        if (earlier := rows.get(utterance_id)) is not None:  # its wav was missing, or made with other settings
            known += 1
            stated = _as_stated(earlier, task.found, language, licence)
            corrected += stated != earlier
            rows[utterance_id] = _rewritten(stated, written[utterance_id])
            continue
        spoken = (task.found.clip_id, task.found.voice)
        takes[spoken] = take = takes.get(spoken, 0) + 1
        rows[utterance_id] = _row(task, written[utterance_id], workspace, language or "en", licence, take)
        added.append(rows[utterance_id])
    if written or corrected:
        write_rows(recordings_path(workspace), (rows[name] for name in sorted(rows)))
    voices = {row.utterance.voice for row in rows.values()}
    return ImportSummary(
        added=tuple(added),
        known=known,
        corrected=corrected,
        refused=dict(sorted(refused.items())),
        mismatches=tuple(mismatches),
        notes=tuple(notes),
        voices=Counter(sorted(rows[name].utterance.voice for name in known_ids | written.keys())),
        speakers={voice: facts for voice, facts in speakers.items() if voice in voices},
    )


def add_recording(
    workspace: Workspace, found: FoundRecording, *, ledger: Ledger, language: str = "en", name: str | None = None
) -> RecordingRow:
    """Adds one recording, in this process, as `import_recordings` does.

    Args:
        workspace: of the data set.
        found: the file and its metadata.
        ledger: open; gets a row ``recording/<utterance id>``.
        language: spoken language.
        name: stored as the original file name; by default the name of the file.

    Raises:
        InputError: the voice withdrew its consent.
        SampleError: the recording cannot be used; nothing is kept.
    """
    check_consent(workspace, [found])
    task = task_for(found, workspace)
    written = import_one(task)
    ledger.record(_ok(task, written, workspace))
    rows = {row.id: row for row in listed_recordings(workspace)}
    same = [row for row in rows.values() if (row.utterance.clip, row.utterance.voice) == (found.clip_id, found.voice)]
    take = max((row.take for row in same), default=0) + 1
    row = _row(task, written, workspace, language, found.licence, take)
    rows[row.id] = row if name is None else msgspec.structs.replace(row, name=name)
    write_rows(recordings_path(workspace), (rows[key] for key in sorted(rows)))
    return rows[row.id]


def _sha256_or_empty(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _first(found: Iterable[_Row | None]) -> _Row | None:
    return next((one for one in found if one is not None), None)


def _forget_resolved(ledger: Ledger, paths: Collection[str], tasks: Collection[str]) -> None:
    """Removes failures of earlier contents of the given files from the ledger."""
    there = {f"recording/{name}" for name in tasks}
    failures = [row for row in ledger.status("failed", "recording/") if row.id not in there]
    ledger.forget([row.id for row in failures if row.reason is not None and row.reason.get("where") in paths])


def _as_stated(row: RecordingRow, found: FoundRecording, language: str | None, licence: str) -> RecordingRow:
    """Updates a known recording with the metadata stated now; missing values remain unchanged."""
    utterance = row.utterance
    if found.text not in ("", utterance.text):  # the text describes the current clip
        utterance = msgspec.structs.replace(utterance, text=found.text, class_id=found.class_id)
    utterance = msgspec.structs.replace(utterance, language=language or utterance.language)
    licence, name = found.licence or licence or row.licence, _speaker_name(found)
    if name in (msgspec.UNSET, found.voice):  # the voice may be stated instead of the name
        name = row.speaker_name
    return msgspec.structs.replace(row, licence=licence, speaker_name=name, utterance=utterance)


def _speaker_name(found: FoundRecording) -> str | msgspec.UnsetType:
    """Returns the name to store; not that of a folder whose name is not UTF-8."""
    name = one_line(found.named)
    return name if name and name == in_unicode(name) else msgspec.UNSET


def _rewritten(row: RecordingRow, written: Written) -> RecordingRow:
    """Updates the row of a known recording whose WAV was written again."""
    utterance = msgspec.structs.replace(row.utterance, **asdict(written))
    return msgspec.structs.replace(row, utterance=utterance)


def _ok(task: ImportTask, written: Written, workspace: Workspace) -> LedgerRow:
    row_id, values = f"recording/{task.utterance_id}", asdict(written)
    return ok(row_id, _STAGE, key_of(task), task.target, workspace.root, written.sha256, written=values)


def _failed(task: ImportTask, error: ToolkitError) -> LedgerRow:
    row = failed(f"recording/{task.utterance_id}", _STAGE, error, key_of(task))
    reason = {part: in_unicode(text) for part, text in error.as_dict().items()}  # paths may have any bytes
    return msgspec.structs.replace(row, reason=reason)


def _row(
    task: ImportTask, written: Written, workspace: Workspace, language: str, licence: str, take: int
) -> RecordingRow:
    found = task.found
    return RecordingRow(
        id=task.utterance_id,
        original=workspace.relative(task.original),
        original_sha256=task.sha256,
        name=found.path.name,
        licence=found.licence or licence,
        take=take,
        speaker_name=_speaker_name(found),
        utterance=UtteranceRow(
            id=task.utterance_id,
            class_id=found.class_id,
            clip=found.clip_id,
            text=found.text,
            text_source="recording",
            language=language,
            voice=found.voice,
            source="recorded",
            engine=None,
            path=workspace.relative(task.target),
            sample_rate_hz=SAMPLE_RATE_HZ,
            duration_s=written.duration_s,
            sha256=written.sha256,
            quality=written.quality,
        ),
    )
