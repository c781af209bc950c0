"""An import of recordings in progress: from the files found to the rows of recordings.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import sha256_of
from dataset_tools.core.languages import language_of
from dataset_tools.core.ledger import Ledger
from dataset_tools.core.progress import Progress
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.audio.utterance_writer import Written
from dataset_tools.speech.recordings.import_tasks import (
    STAGE,
    ImportTask,
    failed_row,
    import_one,
    keep_original,
    keys_of,
    ok_row,
    task_for,
)
from dataset_tools.speech.recordings.imported_rows import as_stated, new_row, rewritten
from dataset_tools.speech.recordings.recording_files import FoundRecording, Mismatch
from dataset_tools.speech.recordings.recording_rows import RecordingRow, listed_recordings, recordings_path

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import of recordings.

    Attributes:
        language: code of the spoken language (`language_code`) of recordings that do not state one; None: the known
            language of a recording, or that of its sentence (`language_of`).
        default_language: of recordings whose sentence does not tell their language.
        licence: of the recordings that do not state one; empty: none, or the known license.
        renewed: speakers, or voices, that withdrew their consent and renewed it.
    """

    language: str | None = None
    default_language: str = "en"
    licence: str = ""
    renewed: tuple[str, ...] = ()


class ImportInProgress:
    """An import in progress; its methods are called in their order.

    Attributes:
        rows: of recordings.jsonl, by id.
        tasks: recordings to import, by utterance id, in the order found. task_of: the same, by the file's SHA-256.
        twins: further files with the content of a task.
        written: what was written, by utterance id; also by an earlier import that was interrupted.
        known, corrected, refused, mismatches, notes, assumed_languages: see `ImportSummary`.
        known_ids: recordings that were imported before from files with the same content, and need no task.
    """

    def __init__(self, workspace: Workspace, ledger: Ledger, options: ImportOptions, *, dry_run: bool) -> None:
        self._workspace, self._ledger, self._options, self._dry_run = workspace, ledger, options, dry_run
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
            if not self._dry_run:
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
        """Writes the utterances of the tasks, and copies of their originals; in a dry run, to a temporary folder."""
        todo = [task for name, task in self.tasks.items() if name not in self.written]
        if self._dry_run:
            with TemporaryDirectory() as folder:
                place = Path(folder)
                # An original that is there is not copied.
                todo = [replace(task, original=task.recording.path, target=place / task.target.name) for task in todo]
                self._import(todo, jobs, progress)
        else:
            self._import(todo, jobs, progress)

    def _import(self, todo: Sequence[ImportTask], jobs: int, progress: Progress) -> None:
        untried = len(self.refused)
        progress(STAGE, len(self.written), len(self.tasks))
        for outcome in run_each(import_one, todo, jobs=jobs):
            task = outcome.item
            if outcome.result is not None:
                self.written[task.utterance_id] = outcome.result
                if not self._dry_run:
                    self._ledger.record(ok_row(task, outcome.result, self._workspace))
            elif outcome.error is not None:
                self.refused[str(task.recording)] = outcome.error
                self._ledger.record(failed_row(task, outcome.error))
            progress(STAGE, len(self.written) + len(self.refused) - untried, len(self.tasks))

    def explain_twins(self) -> None:
        """Notes, of files with the content of another one, what became of that."""
        for recording, same in self.twins:
            if same.utterance_id in self.written:
                used = same.recording
                note = f"{recording}: the same recording as {used}, imported as {same.utterance_id}"
                stated = (
                    ("class", recording.class_id, used.class_id),
                    ("clip", recording.clip_id, used.clip_id),
                    ("voice", recording.voice, used.voice),
                )
                if other := [f"{name} {here}" for name, here, there in stated if here not in (None, there)]:
                    rows = self._workspace.relative(recordings_path(self._workspace))
                    note += (
                        f", but here of {', '.join(other)}: if that is right, remove the other file, and its row from "
                    )
                    note += f"{rows}, and import again"
                self.notes.append(note)
            else:
                self.refused[str(recording)] = SampleError(
                    f"It is the same file as {same.recording}, which failed",
                    where=str(recording),
                    next_step=f"see the reason for {same.recording}; one corrected copy is enough",
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
                self.rows[utterance_id] = rewritten(self._as_stated(earlier, task.recording), written)
                continue
            spoken = (task.recording.clip_id, task.recording.voice)
            takes[spoken] = take = takes.get(spoken, 0) + 1
            language = task.recording.language or self._options.language or self._assumed_language(task.recording)
            row = new_row(task, written, self._workspace, language, self._options.licence, take)
            self.rows[utterance_id] = row
            added.append(row)
        return added

    def _assumed_language(self, found: FoundRecording) -> str:
        language = language_of(found.text, self._options.default_language)
        self.assumed_languages[language] += 1
        return language

    def _note_known(self, recording_id: str) -> None:
        self.known += 1
        self.known_ids.add(recording_id)

    def _as_stated(self, earlier: RecordingRow, found: FoundRecording) -> RecordingRow:
        """Returns a known row with what is stated now, and counts it if it differs."""
        stated = as_stated(earlier, found, self._options.language, self._options.licence)
        self.corrected += stated != earlier
        return stated


def _sha256_or_empty(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _first(found: Iterable[_Row | None]) -> _Row | None:
    return next((one for one in found if one is not None), None)
