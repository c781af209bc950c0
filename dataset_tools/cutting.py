"""Cuts the planned clips: only what is needed is decoded, neighbours in one go, all cores at work."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.clips import PlannedClip
from dataset_tools.decoding import SourceVideo, decoder_version
from dataset_tools.encoding import ENCODER_OPTIONS, Encoded, encode, encoder_version, read_encoded
from dataset_tools.errors import SampleError, StoppedError, ToolkitError
from dataset_tools.execution import run_each
from dataset_tools.files import sha256_of
from dataset_tools.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.manifests import ClipRow
from dataset_tools.progress import Progress, silent
from dataset_tools.sources import Source
from dataset_tools.workspace import Workspace

TASKS_A_JOB = 4
"""Into how many tasks the work of a process is divided if possible, so that all end at about the same time."""


@dataclass(frozen=True)
class Span:
    """A clip to cut within a task. Its frames are 1-based, both included."""

    id: str
    start_frame: int
    end_frame: int
    path: Path
    key: str


@dataclass(frozen=True)
class CutTask:
    """Spans of one source, in order of time."""

    source: Source
    spans: tuple[Span, ...]
    short_side: int

    def __str__(self) -> str:
        return Path(self.source.path).name

    @property
    def decoded_frames(self) -> int:
        """How many frames have to be decoded for it."""
        index = self.source.index
        return self.spans[-1].end_frame - index.key_frame_before(self.spans[0].start_frame) + 1


@dataclass(frozen=True)
class Cut:
    """A clip that is there: its measures, its hash."""

    encoded: Encoded
    sha256: str


def cut_clips(
    clips: Sequence[PlannedClip],
    sources: Mapping[str, Source],
    workspace: Workspace,
    *,
    short_side: int,
    jobs: int,
    ledger: Ledger,
    progress: Progress = silent,
) -> tuple[list[ClipRow], dict[str, ToolkitError]]:
    """Cuts what is not there yet to ``clips/<id>.mp4``.

    Args:
        clips: what to cut.
        sources: the source of every video, by its name.
        workspace: where to.
        short_side: of the clips, pixels.
        jobs: processes at once.
        ledger: knows what is there, and is told what becomes of every clip.
        progress: is told how far it is.

    Returns:
        The rows of the clips that are there, in order of id, and the errors of the others, by id.

    Raises:
        StoppedError: the disk is full.
    """
    done: dict[str, LedgerRow] = {}
    failures: dict[str, ToolkitError] = {}
    missing: dict[str, list[Span]] = defaultdict(list)
    for clip in clips:
        span = _span(clip, sources[clip.interval.video], workspace, short_side)
        row = ledger.finished(f"clip/{clip.id}", span.key)
        if row is None:
            missing[clip.interval.video].append(span)
        else:
            done[clip.id] = row
    progress("clips", len(done), len(clips))
    frames = sum(span.end_frame - span.start_frame + 1 for spans in missing.values() for span in spans)
    large = frames / (TASKS_A_JOB * jobs)
    tasks = [task for video in missing for task in _tasks(sources[video], missing[video], short_side, large)]
    while tasks:
        tasks.sort(key=lambda task: task.decoded_frames, reverse=True)  # what takes longest first
        alone: list[CutTask] = []
        with closing(run_each(cut_task, tasks, jobs=jobs)) as outcomes:
            for outcome in outcomes:
                if outcome.result is None and len(outcome.item.spans) > 1:
                    # The decoder crashed, on one span perhaps: the others must not suffer from it.
                    alone += [CutTask(outcome.item.source, (span,), short_side) for span in outcome.item.spans]
                    continue
                for span in outcome.item.spans:
                    result = outcome.result[span.id] if outcome.result is not None else outcome.error
                    row = _ledger_row(span, result, workspace)
                    ledger.record(row)
                    if row.status == "ok":
                        done[span.id] = row
                    elif isinstance(result, ToolkitError):
                        failures[span.id] = result
                    progress("clips", len(done) + len(failures), len(clips), span.id)
        tasks = alone
    rows = [_row(clip, done[clip.id]) for clip in sorted(clips, key=lambda clip: clip.id) if clip.id in done]
    return rows, failures


def cut_task(task: CutTask) -> dict[str, Cut | ToolkitError]:
    """Cuts the spans of one source; a span that fails does not stop the others.

    Raises:
        SampleError: the source cannot be opened.
        StoppedError: the disk is full.
    """
    results: dict[str, Cut | ToolkitError] = {}
    with SourceVideo(Path(task.source.path), task.source.index) as video:
        for span in task.spans:
            try:
                results[span.id] = _cut(video, task.source, span, task.short_side)
            except StoppedError:
                raise
            except ToolkitError as error:
                results[span.id] = error
    return results


def _cut(video: SourceVideo, source: Source, span: Span, short_side: int) -> Cut:
    # A command that was killed may have finished it, and had no time to say so in the ledger.
    encoded = read_encoded(span.path, span.key, video.rate)
    if encoded is None:
        pictures = video.pictures(span.start_frame, span.end_frame, short_side)
        encoded = encode(_of_unchanged(source, pictures), video.rate, span.path, span.key)
    return Cut(encoded, sha256_of(span.path))


def _of_unchanged(source: Source, pictures: Iterator[Any]) -> Iterator[Any]:
    """The pictures; in the end, before the clip gets its name, the source must be what its hash was taken of."""
    yield from pictures
    if not source.is_unchanged():
        raise SampleError(
            "The video changed, or went away, while clips were cut from it",
            where=source.path,
            expected="a file that nobody writes to",
            next_step="wait until it is complete, then run: fmn-data retry",
        )


def _tasks(source: Source, spans: Sequence[Span], short_side: int, large: float) -> Iterator[CutTask]:
    """Divides the spans of a source into tasks.

    Spans stay together as long as decoding on is shorter than seeking, except that a task of ``large`` or more frames
    ends where starting anew costs little. Where frames must be counted from the start, there is nothing to divide.
    """
    index = source.index
    group: tuple[Span, ...] = ()
    for span in sorted(spans, key=lambda span: (span.start_frame, span.id)):
        key_frame = index.key_frame_before(span.start_frame)
        if group and index.key_frames:
            size = CutTask(source, group, short_side).decoded_frames
            again = group[-1].end_frame - key_frame + 1
            if again <= 0 or (size >= large and 2 * again <= size):
                yield CutTask(source, group, short_side)
                group = ()
        group += (span,)
    yield CutTask(source, group, short_side)


def _span(clip: PlannedClip, source: Source, workspace: Workspace, short_side: int) -> Span:
    path = workspace.clips / f"{clip.id}.mp4"
    return Span(clip.id, clip.start_frame, clip.end_frame, path, _key(clip, source, short_side))


def _key(clip: PlannedClip, source: Source, short_side: int) -> str:
    """The identity of a clip's content: of contents and options, never of paths, times or the number of jobs."""
    inputs: dict[str, Any] = {
        "source": source.sha256,
        "frames": [clip.start_frame, clip.end_frame],
        "rate": source.index.rate,
        "short_side": short_side,
        "decoder": decoder_version(),
        "encoder": encoder_version(),
        "options": ENCODER_OPTIONS,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _ledger_row(span: Span, result: Cut | ToolkitError | None, workspace: Workspace) -> LedgerRow:
    sample = f"clip/{span.id}"
    if isinstance(result, Cut):
        values = msgspec.to_builtins(result.encoded)
        return ok(sample, "cut", span.key, span.path, workspace.root, result.sha256, **values)
    return failed(sample, "cut", result or SampleError("Nothing said why", where=span.id), span.key)


def _row(clip: PlannedClip, done: LedgerRow) -> ClipRow:
    encoded = msgspec.convert(done.values, Encoded)
    return ClipRow(
        id=clip.id,
        class_id=clip.class_id,
        person=clip.interval.person,
        dish=clip.interval.dish,
        video=clip.interval.video,
        start_frame=clip.start_frame,
        end_frame=clip.end_frame,
        trim=None,
        fps=encoded.fps,
        frames=encoded.frames,
        width=encoded.width,
        height=encoded.height,
        duration_s=encoded.frames / encoded.fps,
        path=str(done.path),
        sha256=str(done.sha256),
        origin=clip.origin,
    )
