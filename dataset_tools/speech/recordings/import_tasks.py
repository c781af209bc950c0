"""One recording to import: the names of its files, its cache key, and its import in a worker process."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.files import sha256_of, written_whole
from dataset_tools.core.ledger import LedgerRow, failed, ok
from dataset_tools.core.unicode_names import in_unicode
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.audio.loudness_normalization import Finish
from dataset_tools.speech.audio.recording_quality import Limits
from dataset_tools.speech.audio.utterance_writer import Written, write_utterance
from dataset_tools.speech.recordings.recording_files import FoundRecording
from dataset_tools.speech.recordings.recording_rows import RecordingRow

STAGE = "import"


@dataclass(frozen=True)
class ImportTask:
    """One recording to import, for a worker process.

    Attributes:
        recording: the file, its class, clip and voice. sha256: of the file.
        utterance_id: id of the recording. original: path of its copy. target: path of its utterance.
    """

    recording: FoundRecording
    sha256: str
    utterance_id: str
    original: Path
    target: Path

    def __str__(self) -> str:
        return str(self.recording.path)


def task_for(recording: FoundRecording, workspace: Workspace) -> ImportTask:
    """Returns the task for a file, which is read.

    Raises:
        OSError: it cannot be read.
    """
    sha256 = sha256_of(recording.path)
    utterance_id = f"{recording.clip_id or recording.class_id}_{recording.voice}_{sha256[:12]}"
    return ImportTask(
        recording=recording,
        sha256=sha256,
        utterance_id=utterance_id,
        original=workspace.recordings / f"{sha256}{recording.path.suffix.lower()}",
        target=workspace.speech / f"{utterance_id}.wav",
    )


def import_one(task: ImportTask) -> Written:
    """Writes the utterance of a recording and a copy of the original.

    Raises:
        SampleError: the recording cannot be used.
    """
    written = write_utterance(task.recording.path, task.target)
    keep_original(task)
    return written


def keep_original(task: ImportTask) -> None:
    """Copies the original file unless the copy exists."""
    if not task.original.is_file():
        with written_whole(task.original) as partial:
            shutil.copyfile(task.recording.path, partial)


def keys_of(task: ImportTask, earlier: RecordingRow | None) -> list[str]:
    """Current cache key, then former keys of the same WAV: before 0.2.0, they included sentence and license."""
    stated = {(task.recording.text, task.recording.licence)}
    if earlier is not None:  # a license stated by --licence was not part of the key
        stated |= {(earlier.utterance.text, licence) for licence in (earlier.licence, "")}
    return [key_of(task), *(key_of(task, *one) for one in sorted(stated))]


def key_of(task: ImportTask, *stated: str) -> str:
    """Cache key: SHA-256 of everything that the WAV depends on."""
    inputs = [task.sha256, *stated, asdict(Limits()), asdict(Finish())]
    return hashlib.sha256(msgspec.json.encode(inputs, order="sorted")).hexdigest()


def ok_row(task: ImportTask, written: Written, workspace: Workspace) -> LedgerRow:
    """Returns the ledger's row of a recording that was imported."""
    row_id, values = f"recording/{task.utterance_id}", asdict(written)
    return ok(row_id, STAGE, key_of(task), task.target, workspace.root, written.sha256, written=values)


def failed_row(task: ImportTask, error: ToolkitError) -> LedgerRow:
    """Returns the ledger's row of a recording that could not be imported."""
    row = failed(f"recording/{task.utterance_id}", STAGE, error, key_of(task))
    reason = {part: in_unicode(text) for part, text in error.as_dict().items()}  # paths may have any bytes
    return msgspec.structs.replace(row, reason=reason)
