"""Removal of a recorded voice: recordings, derived files, and all rows.

The order of the steps makes an interrupted removal safe and resumable. The tombstone is written first: from then on
no command uses or imports anything of the voice. Manifests follow, so that nothing is trained with it; then everything
that is only displayed; then files, imported ones before those in speech/, whose names contain the voice; the list of
recordings and the ledger last. After a kill, the same command finds what is left by rows, file names or content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.build_record import read_build
from dataset_tools.core.files import PARTIAL, remove_partial, write_bytes
from dataset_tools.core.jsonl import RowType, count_rows
from dataset_tools.core.ledger import Ledger, read_ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, drop_reviews, read_reviews, reviews_lock, reviews_path
from dataset_tools.label_studio.withdrawn_tasks import clear_export, kept_exports
from dataset_tools.manifests import SPLIT_SIDES, ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from dataset_tools.pairs.split_record import SplitRecord, read_split, write_split
from dataset_tools.speech.earlier_speech import earlier_speech_path
from dataset_tools.speech.recordings.consents import read_speakers, read_withdrawals, withdraw
from dataset_tools.speech.recordings.recording_rows import RecordingRow
from dataset_tools.speech.transcripts import TranscriptRow, transcripts_lock, transcripts_path
from dataset_tools.withdrawal.recorded_voice import RecordedVoice, as_of_now

_STAGE = "forget"


@dataclass(frozen=True)
class Trace:
    """Data of a voice of one kind, in one file or folder of a workspace.

    Attributes:
        what: description. where: the file or folder, relative to the workspace.
        paths: the files and links to remove, relative to the workspace. size_bytes: total size of the files.
        rows: number of rows to remove from files that are kept.
        remove: removes the data; idempotent.
    """

    what: str
    where: str
    paths: tuple[str, ...]
    size_bytes: int
    rows: int
    remove: Callable[[], None]

    @property
    def files(self) -> int:
        return len(self.paths)

    def as_dict(self) -> dict[str, Any]:
        counted = {"files": self.files, "size_bytes": self.size_bytes, "rows": self.rows}
        return {"what": self.what, "where": self.where, **counted}


def find_traces(workspace: Workspace, voice: RecordedVoice) -> list[Trace]:
    """Returns all data of a voice, in the order of its removal; writes nothing.

    Raises:
        ManifestError: a manifest cannot be read.
    """
    return [trace for trace in _traces(workspace, voice) if trace.files or trace.rows]


def forget_voice(workspace: Workspace, voice: RecordedVoice, *, progress: Progress = silent) -> RecordedVoice:
    """Removes all data of a recorded voice from a workspace; a tombstone replaces its consent.

    If the process is killed, a second call completes the removal. Runs are not changed (`trained_runs`), nor files
    that the toolkit did not write (`remaining_data`).

    Args:
        workspace: of the data set.
        voice: as found (`find_voice`); what was recorded of it since then is removed, too.
        progress: callback, called after each step.

    Returns:
        The voice as it was before the removal.

    Raises:
        InputError: a manifest cannot be read; nothing was written.
        StoppedError: another command is working in the workspace, or the disk is full.
    """
    with Ledger(workspace.ledger) as ledger, reviews_lock(workspace):
        voice = as_of_now(workspace, voice)
        traces = list(_traces(workspace, voice))
        withdraw(workspace, voice.name)
        progress(_STAGE, 1, len(traces) + 2, "consent")
        for done, trace in enumerate(traces, start=2):
            trace.remove()
            progress(_STAGE, done, len(traces) + 2, trace.what)
        ledger.forget(_ledger_ids(ledger.rows, voice))
    progress(_STAGE, len(traces) + 2, len(traces) + 2)
    return voice


def _traces(workspace: Workspace, voice: RecordedVoice) -> Iterator[Trace]:
    manifests = workspace.manifests
    split, build = read_split(workspace), read_build(workspace)  # an unreadable file raises before anything is removed
    if voice.name in read_speakers(workspace):
        yield Trace("consent, replaced by a tombstone", "recordings/consents.jsonl", (), 0, 1, lambda: None)
    for listed in (manifests / "utterances.jsonl", earlier_speech_path(workspace)):
        yield from _rows(workspace, listed, UtteranceRow, voice.owns_row)
    yield _transcripts(workspace, voice)
    yield from _rows(workspace, manifests / "pairs.jsonl", PairRow, lambda row: voice.owns(row.utterance))
    for side in SPLIT_SIDES:
        yield from _rows(
            workspace, manifests / f"{side}.jsonl", SplitPairRow, lambda row: voice.owns_row(row.utterance)
        )
    yield Trace(
        "record of the split", "manifests/split.json", (), 0, 0, partial(_update_split, workspace, voice, split)
    )
    yield Trace(
        "record of the build", "manifests/build.json", (), 0, 0, partial(_update_build, workspace, voice, build)
    )
    yield _files(workspace, "report", workspace.root / "report", _pages(workspace, voice))

    def is_about(row: ReviewRow) -> bool:
        return row.item == "utterance" and voice.owns(row.id)

    path = reviews_path(workspace)
    decided = sum(map(is_about, read_reviews(path)))
    if decided:
        yield Trace("decisions", workspace.relative(path), (), 0, decided, lambda: drop_reviews(path, is_about))
    for export, tasks in kept_exports(workspace, voice.owns):
        clear, where = partial(clear_export, export, voice.owns), workspace.relative(export)
        if export.suffix == ".json":
            yield Trace("tasks as received from Label Studio", where, (), 0, tasks, clear)
        else:
            yield Trace("an incomplete decision", where, (where,), export.stat().st_size, 0, clear)
    yield _files(workspace, "cached speech features", workspace.cache / "features", _features(workspace, voice))
    index = workspace.cache / "index"  # of galleries of utterances (`fmn.search`); the next search rebuilds it
    yield _files(workspace, "indexes of utterances", index, index.glob("*-clip-*/*"))
    booth = workspace.cache / "booth"
    unsaved = [*booth.glob("*.wav"), *booth.glob(f"{PARTIAL}*")]  # the former were written by an earlier version
    yield _unfinished(workspace, "unsaved takes of the booth", booth, unsaved)
    yield _unfinished(workspace, "partially written files", workspace.root, _half_written(workspace))
    yield _files(workspace, "original recordings", workspace.recordings, _originals(workspace, voice))
    spoken = (path for path in workspace.speech.glob("*.wav") if voice.owns(path.stem))
    yield _files(workspace, "utterances and copies", workspace.speech, spoken)
    listing = workspace.recordings / "recordings.jsonl"
    yield from _rows(workspace, listing, RecordingRow, lambda row: voice.owns_row(row.utterance))
    ids = _ledger_ids(read_ledger(workspace.ledger), voice)
    yield Trace("ledger", "ledger.jsonl", (), 0, len(ids), lambda: None)  # removed when the ledger is closed


def _rows(
    workspace: Workspace, path: Path, row_type: type[RowType], is_of: Callable[[RowType], bool]
) -> Iterator[Trace]:
    count = sum(map(is_of, read_rows(path, row_type, missing_ok=True)))

    def remove() -> None:
        write_rows(path, (row for row in read_rows(path, row_type) if not is_of(row)))

    if count:
        yield Trace("of the voice", workspace.relative(path), (), 0, count, remove)


def _transcripts(workspace: Workspace, voice: RecordedVoice) -> Trace:
    """Unlike other rows, these are read again for the removal: a transcript check may be writing concurrently."""
    path = transcripts_path(workspace)

    def remove() -> None:
        with transcripts_lock(workspace):
            if path.is_file():
                write_rows(path, (row for row in read_rows(path, TranscriptRow) if not voice.owns(row.id)))

    count = sum(voice.owns(row.id) for row in read_rows(path, TranscriptRow, missing_ok=True))
    return Trace("of the voice", workspace.relative(path), (), 0, count, remove)


def _files(workspace: Workspace, what: str, folder: Path, paths: Iterable[Path]) -> Trace:
    sizes = _sizes(paths)

    def remove() -> None:
        for path in sizes:
            path.unlink(missing_ok=True)

    return Trace(what, _where(workspace, folder), tuple(map(workspace.relative, sizes)), sum(sizes.values()), 0, remove)


def _where(workspace: Workspace, folder: Path) -> str:
    return f"{workspace.relative(folder)}/" if folder != workspace.root else "./"


def _sizes(paths: Iterable[Path]) -> dict[Path, int]:
    """Sizes of the files among the paths, in bytes, 0 of links: what they lead to is not removed (`linked_files`).

    Other processes may remove files concurrently.
    """
    found = {}
    for path in sorted(paths):
        with suppress(FileNotFoundError):
            if path.is_symlink() or path.is_file():
                found[path] = 0 if path.is_symlink() else path.lstat().st_size
    return found


def _pages(workspace: Workspace, voice: RecordedVoice) -> list[Path]:
    """The report page, which lists voices and plays their utterances; fmn-data report writes it again."""
    page = workspace.root / "report" / "index.html"
    return [page] if page.is_file() and voice.is_named_in(page.read_bytes()) else []


def _features(workspace: Workspace, voice: RecordedVoice) -> Iterator[Path]:
    """Features of audio outside the data set without the voice, which includes former copies and search queries."""
    stay: set[str] = set()
    for name, row_type in (("clips", ClipRow), ("utterances", UtteranceRow)):
        path = workspace.manifests / f"{name}.jsonl"
        rows: Iterable[Any] = read_rows(path, row_type, missing_ok=True)
        stay |= {row.sha256 for row in rows if isinstance(row, ClipRow) or not voice.owns_row(row)}
    for path in (workspace.cache / "features").glob("*/*/*.npy"):
        if path.stem not in stay and not path.parts[-3].startswith("video"):
            yield path


def _half_written(workspace: Workspace) -> list[Path]:
    """Partial files of killed commands in folders that are not cleared when the ledger is opened."""
    caches = (workspace.cache / name for name in ("features", "index"))
    places = (*caches, workspace.annotations, workspace.root / "report")
    return [path for place in places for path in place.rglob(f"{PARTIAL}*")]


def _unfinished(workspace: Workspace, what: str, folder: Path, left: Sequence[Path]) -> Trace:
    """Temporary files and folders; those in use by a running process, and links, are kept."""
    left = [path for path in left if not path.is_symlink()]
    sizes = _sizes(file for path in left for file in (path, *path.rglob("*")))

    def remove() -> None:
        for path in left:
            remove_partial(path)

    return Trace(what, _where(workspace, folder), tuple(map(workspace.relative, sizes)), sum(sizes.values()), 0, remove)


def _originals(workspace: Workspace, voice: RecordedVoice) -> Iterator[Path]:
    for path in workspace.recordings.iterdir() if workspace.recordings.is_dir() else ():
        if re.fullmatch(r"[0-9a-f]{64}\.\w+", path.name) and path.stem[:12] in voice.prefixes:
            yield path


def _update_split(workspace: Workspace, voice: RecordedVoice, record: SplitRecord | None) -> None:
    if record is None:
        return
    merged = (tuple(one for one in same if not voice.owns(one)) for same in record.merged)
    updated = msgspec.structs.replace(
        record,
        train=_count(workspace.manifests / "train.jsonl", record.train),
        test=_count(workspace.manifests / "test.jsonl", record.test),
        merged=tuple(same for same in merged if len(same) > 1),
        withdrawn=read_withdrawals(workspace),
    )
    if updated != record:
        write_split(workspace.manifests, updated)


def _count(path: Path, otherwise: int) -> int:
    return count_rows(path) if path.is_file() else otherwise


def _update_build(workspace: Workspace, voice: RecordedVoice, built: Mapping[str, Any]) -> None:
    failures = built.get("failures")
    if not isinstance(failures, list):
        return
    kept = [name for name in failures if not voice.owns(str(name))]
    if kept != failures:
        record = msgspec.json.encode({**built, "failures": kept})
        write_bytes(workspace.manifests / "build.json", msgspec.json.format(record) + b"\n")


def _ledger_ids(row_ids: Iterable[str], voice: RecordedVoice) -> list[str]:
    return [row_id for row_id in row_ids if voice.owns(row_id.partition("/")[2])]
