"""Cuts the planned clips: every source opened once for many clips, only what is needed decoded, all cores at work."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dataset_tools.clips import PlannedClip
from dataset_tools.decoding import SourceVideo
from dataset_tools.encoding import ENCODER_OPTIONS, encode, encoder_version
from dataset_tools.errors import SampleError, StoppedError, ToolkitError
from dataset_tools.execution import run_each
from dataset_tools.files import sha256_of
from dataset_tools.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.manifests import ClipRow
from dataset_tools.progress import Progress, silent
from dataset_tools.workspace import Workspace

SPANS_A_TASK = 8
"""Clips cut in one go from one source: enough that opening it costs little, few enough that all cores share."""


@dataclass(frozen=True)
class Span:
    """A clip to cut within a task. Its frames are 1-based, both included."""

    id: str
    start_frame: int
    end_frame: int
    path: Path


@dataclass(frozen=True)
class CutTask:
    """Spans of one source, in order of time."""

    source: Path
    spans: tuple[Span, ...]
    short_side: int


@dataclass(frozen=True)
class Cut:
    """A clip that was cut: its measures, its hash."""

    fps: float
    frames: int
    width: int
    height: int
    sha256: str


def cut_clips(
    clips: Sequence[PlannedClip],
    sources: Mapping[str, Path],
    source_hashes: Mapping[str, str],
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
        sources: the file of every video.
        source_hashes: the SHA-256 of its content.
        workspace: where to.
        short_side: of the clips, pixels.
        jobs: processes at once.
        ledger: knows what is there, and is told what becomes of every clip.
        progress: is told how far it is.

    Returns:
        The rows of the clips that are there, in order of id, and the errors of the others, by id.
    """
    done: dict[str, LedgerRow] = {}
    keys = {clip.id: _key(clip, source_hashes[clip.interval.video], short_side) for clip in clips}
    missing: dict[str, list[PlannedClip]] = defaultdict(list)
    for clip in clips:
        row = ledger.finished(f"clip/{clip.id}", keys[clip.id])
        if row is None:
            missing[clip.interval.video].append(clip)
        else:
            done[clip.id] = row
    progress("clips", len(done), len(clips))
    tasks = [
        CutTask(
            sources[video],
            tuple(Span(c.id, c.start_frame, c.end_frame, workspace.clips / f"{c.id}.mp4") for c in batch),
            short_side,
        )
        for video in sorted(missing)
        for batch in _batches(sorted(missing[video], key=lambda clip: clip.start_frame))
    ]
    failures: dict[str, ToolkitError] = {}
    for outcome in run_each(cut_task, tasks, jobs=jobs, key=lambda task: task.source.name):
        for span in outcome.item.spans:
            result = outcome.result[span.id] if outcome.result is not None else outcome.error
            sample, key = f"clip/{span.id}", keys[span.id]
            if isinstance(result, Cut):
                values = {"fps": result.fps, "frames": result.frames, "width": result.width, "height": result.height}
                done[span.id] = ok(sample, "cut", key, span.path, workspace.root, result.sha256, **values)
                ledger.record(done[span.id])
            else:
                failures[span.id] = result or SampleError("It was not cut, and nothing said why", where=span.id)
                ledger.record(failed(sample, "cut", failures[span.id], key))
            progress("clips", len(done) + len(failures), len(clips), span.id)
    rows = [_row(clip, done[clip.id]) for clip in sorted(clips, key=lambda clip: clip.id) if clip.id in done]
    return rows, failures


def cut_task(task: CutTask) -> dict[str, Cut | ToolkitError]:
    """Cuts the spans of one source; a span that fails does not stop the others.

    Raises:
        SampleError: the source cannot be opened.
        StoppedError: the disk is full.
    """
    results: dict[str, Cut | ToolkitError] = {}
    with SourceVideo(task.source) as source:
        for span in task.spans:
            try:
                results[span.id] = _cut(source, span, task.short_side)
            except StoppedError:
                raise
            except ToolkitError as error:
                results[span.id] = error
    return results


def _cut(source: SourceVideo, span: Span, short_side: int) -> Cut:
    rate = Fraction(source.rate)
    encoded = encode(source.pictures(span.start_frame, span.end_frame, short_side), rate, span.path)
    return Cut(
        fps=float(rate),
        frames=encoded.frames,
        width=encoded.width,
        height=encoded.height,
        sha256=sha256_of(span.path),
    )


def _batches(clips: Sequence[PlannedClip]) -> list[Sequence[PlannedClip]]:
    return [clips[start : start + SPANS_A_TASK] for start in range(0, len(clips), SPANS_A_TASK)]


def _key(clip: PlannedClip, source_hash: str, short_side: int) -> str:
    """The identity of a clip's content: of contents and options, never of paths, times or the number of jobs."""
    inputs: dict[str, Any] = {
        "source": source_hash,
        "frames": [clip.start_frame, clip.end_frame],
        "short_side": short_side,
        "encoder": encoder_version(),
        "options": ENCODER_OPTIONS,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _row(clip: PlannedClip, done: LedgerRow) -> ClipRow:
    frames, fps = done.values["frames"], done.values["fps"]
    return ClipRow(
        id=clip.id,
        class_id=clip.class_id,
        person=clip.interval.person,
        dish=clip.interval.dish,
        video=clip.interval.video,
        start_frame=clip.start_frame,
        end_frame=clip.end_frame,
        trim=None,
        fps=fps,
        frames=frames,
        width=done.values["width"],
        height=done.values["height"],
        duration_s=frames / fps,
        path=str(done.path),
        sha256=str(done.sha256),
        origin=clip.origin,
    )
