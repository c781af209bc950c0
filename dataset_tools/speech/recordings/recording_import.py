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
from dataset_tools.core.languages import language_of, language_option
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow, SpeakerFacts, write_rows
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
from dataset_tools.speech.recordings.imported_rows import as_stated, new_row, rewritten
from dataset_tools.speech.recordings.recording_files import (
    FoundRecording,
    Mismatch,
    find_recordings,
    notes_on_whole_names,
)
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings, recordings_path
from dataset_tools.speech.recordings.speaker_facts import facts_by_voice

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
    *,
    ledger: Ledger,
    language: str | None = None,
    default_language: str = "en",
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
        language: code of the spoken language (`language_code`) of recordings that do not state one; None: the known
            language of a recording, or that of its sentence (`language_of`).
        default_language: of recordings whose sentence does not tell their language.
        licence: of the recordings that do not state one; empty: none, or the known licence.
        renewed: speakers, or voices, that withdrew their consent and renewed it.
        jobs: number of processes; does not affect the output.
        progress: progress callback.

    Raises:
        InputError: the language is not a code, there is nothing to import, or a voice withdrew its consent; nothing
            was written.
    """
    language = None if language is None else language_option(language)
    found = find_recordings(source, classes, clips)
    found.recordings, doubts = with_known_voices(workspace, found.recordings)
    check_consent(workspace, found.recordings, renewed)
    speakers, contradictions = facts_by_voice((one.voice, one.speaker) for one in found.recordings)
    current = _Import(workspace, ledger, language, default_language, licence)
    current.notes += [*found.notes, *notes_on_whole_names(found.recordings), *doubts, *contradictions]
    current.sort_mismatches(found.mismatches)
    for recording in found.recordings:
        current.sort(recording)
    _forget_resolved(ledger, {str(one) for one in found.recordings} - current.refused.keys(), current.tasks)
    current.write(jobs, progress)
    current.explain_twins()
    added = current.add_rows()
    if current.written or current.corrected:
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


class _Import:
    """An import in progress; its methods are called in their order.

    Attributes:
        rows: of recordings.jsonl, by id.
        tasks: recordings to import, by utterance id, in the order found. task_of: the same, by the file's SHA-256.
        twins: further files with the content of a task.
        written: what was written, by utterance id; also by an earlier import that was interrupted.
        known, corrected, refused, mismatches, notes, assumed_languages: see `ImportSummary`.
        known_ids: recordings that were imported before from files with the same content, and need no task.
    """

    def __init__(
        self, workspace: Workspace, ledger: Ledger, language: str | None, default_language: str, licence: str
    ) -> None:
        self._workspace, self._ledger = workspace, ledger
        self._language, self._default_language, self._licence = language, default_language, licence
        self.rows = {row.id: row for row in listed_recordings(workspace)}
        self._known_as = {row.original_sha256: row.id for row in self.rows.values()}
        self.tasks: dict[str, ImportTask] = {}
        self.task_of: dict[str, ImportTask] = {}
        self.twins: list[tuple[FoundRecording, ImportTask]] = []
        self.written: dict[str, Written] = {}
        self.known = self.corrected = 0
        self.known_ids: set[str] = set()
        self.refused: dict[str, ToolkitError] = {}
        self.mismatches: list[str] = []
        self.notes: list[str] = []
        self.assumed_languages: Counter[str] = Counter()

    def sort_mismatches(self, mismatches: Iterable[Mismatch]) -> None:
        """Tells known recordings, whose clip is not part of the data set any more, from files without a match."""
        for mismatch in mismatches:
            known_id = None
            if self._known_as and mismatch.path is not None:  # otherwise, long files would be hashed in vain
                known_id = self._known_as.get(_sha256_or_empty(mismatch.path))
            if known_id is None:
                self.mismatches.append(mismatch.message)
            else:
                self._note_known(known_id)
                self.notes.append(f"{mismatch.message}; already imported as {known_id}")

    def sort(self, recording: FoundRecording) -> None:
        """Makes a file a task unless it is known, cannot be read, or is the same as another one."""
        try:
            task = task_for(recording, self._workspace)
        except OSError as error:
            self.refused[str(recording)] = SampleError(
                f"The file cannot be read: {error.strerror}",
                where=str(recording),
                next_step="make it readable, then import it again",
            )
            return
        row_id, earlier = f"recording/{task.utterance_id}", self.rows.get(task.utterance_id)
        if earlier is not None:  # the file may have another suffix now
            task = replace(task, original=task.original.with_suffix(Path(earlier.original).suffix))
        keys = keys_of(task, earlier)
        if task.sha256 in self.task_of:
            self.twins.append((recording, self.task_of[task.sha256]))
        elif task.sha256 in self._known_as and earlier is None:
            known_id = self._known_as[task.sha256]
            self._note_known(known_id)
            self.notes.append(
                f"{recording}: already imported as {known_id}; to import it as {task.utterance_id}, first remove that "
                f"row from {self._workspace.relative(recordings_path(self._workspace))}"
            )
        elif (done := _first(self._ledger.finished(row_id, key) for key in keys)) is not None and earlier is not None:
            self._note_known(task.utterance_id)
            keep_original(task)
            self._ledger.record(msgspec.structs.replace(done, key=keys[0]))
            self.rows[task.utterance_id] = self._as_stated(earlier, recording)
        elif (died := _first(self._ledger.died(row_id, key) for key in keys)) is not None:
            self.refused[str(recording)] = died
        else:
            self.tasks[task.utterance_id] = self.task_of[task.sha256] = task
            if done is not None and "written" in done.values and task.original.is_file():
                self.written[task.utterance_id] = done.value("written", Written)  # by an import that was interrupted

    def write(self, jobs: int, progress: Progress) -> None:
        """Writes the utterances of the tasks, and the copies of their originals."""
        todo = [task for name, task in self.tasks.items() if name not in self.written]
        untried = len(self.refused)
        progress(_STAGE, len(self.written), len(self.tasks))
        for outcome in run_each(import_one, todo, jobs=jobs):
            task = outcome.item
            if outcome.result is not None:
                self.written[task.utterance_id] = outcome.result
                self._ledger.record(_ok(task, outcome.result, self._workspace))
            elif outcome.error is not None:
                self.refused[str(task.found)] = outcome.error
                self._ledger.record(_failed(task, outcome.error))
            progress(_STAGE, len(self.written) + len(self.refused) - untried, len(self.tasks))

    def explain_twins(self) -> None:
        """Notes, of files with the content of another one, what became of that."""
        for recording, same in self.twins:
            if same.utterance_id in self.written:
                self.notes.append(f"{recording}: the same recording as {same.found}, imported as {same.utterance_id}")
            else:
                self.refused[str(recording)] = SampleError(
                    f"It is the same file as {same.found}, which failed",
                    where=str(recording),
                    next_step=f"see the reason for {same.found}; one corrected copy is enough",
                )

    def add_rows(self) -> list[RecordingRow]:
        """Adds the rows of what was written, and returns those of new recordings."""
        takes: dict[tuple[str | None, str], int] = {}
        for row in self.rows.values():
            spoken = (row.utterance.clip, row.utterance.voice)
            takes[spoken] = max(takes.get(spoken, 0), row.take)  # rows may have been removed
        added = []
        for utterance_id, task in self.tasks.items():  # in the order found, which numbers the takes
            if utterance_id not in self.written:
                continue
            written = self.written[utterance_id]
            if (earlier := self.rows.get(utterance_id)) is not None:  # its wav was missing, or of other settings
                self.known += 1
                self.rows[utterance_id] = rewritten(self._as_stated(earlier, task.found), written)
                continue
            spoken = (task.found.clip_id, task.found.voice)
            takes[spoken] = take = takes.get(spoken, 0) + 1
            language = task.found.language or self._language or self._assumed_language(task.found)
            row = new_row(task, written, self._workspace, language, self._licence, take)
            self.rows[utterance_id] = row
            added.append(row)
        return added

    def _assumed_language(self, found: FoundRecording) -> str:
        language = language_of(found.text, self._default_language)
        self.assumed_languages[language] += 1
        return language

    def _note_known(self, recording_id: str) -> None:
        self.known += 1
        self.known_ids.add(recording_id)

    def _as_stated(self, earlier: RecordingRow, found: FoundRecording) -> RecordingRow:
        """Returns a known row with what is stated now, and counts it if it differs."""
        stated = as_stated(earlier, found, self._language, self._licence)
        self.corrected += stated != earlier
        return stated


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
    row = new_row(task, written, workspace, language, found.licence, take)
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


def _ok(task: ImportTask, written: Written, workspace: Workspace) -> LedgerRow:
    row_id, values = f"recording/{task.utterance_id}", asdict(written)
    return ok(row_id, _STAGE, key_of(task), task.target, workspace.root, written.sha256, written=values)


def _failed(task: ImportTask, error: ToolkitError) -> LedgerRow:
    row = failed(f"recording/{task.utterance_id}", _STAGE, error, key_of(task))
    reason = {part: in_unicode(text) for part, text in error.as_dict().items()}  # paths may have any bytes
    return msgspec.structs.replace(row, reason=reason)
