"""Cutting: decodes only the needed parts of a source video and encodes its clips in parallel."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from dataset_tools.clips.clip_plan import PlannedClip
from dataset_tools.clips.cut_tasks import CutTask, Span, divide_spans
from dataset_tools.clips.encoding import (
    ENCODER_OPTIONS,
    SOUND_OPTIONS,
    Encoded,
    encode,
    encoder_version,
    read_encoded,
)
from dataset_tools.clips.timing import ClipTiming, clip_timing, resampled
from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.execution import run_each, sample_error
from dataset_tools.core.files import partial_folder, sha256_of
from dataset_tools.core.ledger import Ledger, LedgerRow, failed, ok
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import ClipRow
from dataset_tools.video.decoding import Picture, SourceVideo, decoder_version
from dataset_tools.video.frame_index import FrameIndex
from dataset_tools.video.source_videos import Source

TASKS_A_JOB = 4
"""Number of tasks per process to aim for, so that all processes end at about the same time."""


@dataclass(frozen=True)
class Cut:
    """A clip that was cut: its properties, its hash."""

    encoded: Encoded
    sha256: str


@dataclass(frozen=True)
class ClipCutter:
    """Cuts the clips of a build to ``clips/<id>.mp4``, those that do not exist yet.

    Attributes:
        workspace: the workspace to write to.
        sources: the source of every video that was opened, by its name; it may get more.
        short_side: short side of the clips in pixels.
        keep_audio: whether the video's audio is added to them.
        jobs: number of worker processes.
        ledger: records which clips exist, and the outcome of every clip.
        progress: progress callback.
    """

    workspace: Workspace
    sources: Mapping[str, Source]
    short_side: int
    keep_audio: bool
    jobs: int
    ledger: Ledger
    progress: Progress = silent

    def cut(self, clips: Sequence[PlannedClip]) -> tuple[list[ClipRow], dict[str, ToolkitError]]:
        """Returns the rows of the clips that exist now, in order of id, and the errors of the others, by id.

        Raises:
            StoppedError: the disk is full.
        """
        spans = {clip.id: self._span(clip) for clip in clips}
        done, failures = cut_spans(
            [(self.sources[clip.interval.video], spans[clip.id]) for clip in clips],
            self.workspace,
            short_side=self.short_side,
            jobs=self.jobs,
            ledger=self.ledger,
            progress=self.progress,
        )
        existing = sorted((clip for clip in clips if clip.id in done), key=lambda clip: clip.id)
        return [_row(clip, done[clip.id], spans[clip.id]) for clip in existing], failures

    def untrimmed_contents(self, clips: Sequence[PlannedClip]) -> tuple[dict[str, str], dict[str, ToolkitError]]:
        """The SHA-256 of clips as annotated, without their trims: what decisions refer to.

        The ledger keeps them (rows ``reviewed/<clip id>``, without a file), so that clips are cut for this only once.

        Returns:
            The hashes, and the errors of clips that cannot be cut, by clip id.

        Raises:
            StoppedError: the disk is full.
        """
        contents: dict[str, str] = {}
        unknown: list[PlannedClip] = []
        keys: dict[str, str] = {}
        for clip in clips:
            span = self._span(clip.untrimmed())
            keys[clip.id] = span.key
            row = self.ledger.finished(f"reviewed/{clip.id}", span.key) or self.ledger.finished(span.sample, span.key)
            if row is None:
                unknown.append(clip.untrimmed())
            else:
                contents[clip.id] = str(row.sha256)
        rows, failures = self.cut(unknown) if unknown else ([], {})
        contents |= {row.id: row.sha256 for row in rows}
        for clip_id, sha256 in contents.items():
            self.ledger.record(
                LedgerRow(id=f"reviewed/{clip_id}", status="ok", stage="review", key=keys[clip_id], sha256=sha256)
            )
        return contents, failures

    def _span(self, clip: PlannedClip) -> Span:
        source, keep_audio = self.sources[clip.interval.video], self.keep_audio
        path = self.workspace.clips / f"{clip.id}.mp4"
        start_frame, end_frame = clip.trim or (clip.start_frame, clip.end_frame)
        interval, seconds = clip.interval, clip.interval.seconds or (None, None)
        timing = clip_timing(
            source.index,
            start_frame,
            end_frame,
            start_s=seconds[0] if start_frame == interval.start_frame else None,
            end_s=seconds[1] if end_frame == interval.end_frame else None,
        )
        key = cut_key(source, start_frame, end_frame, self.short_side, timing=timing, keep_audio=keep_audio)
        return Span(clip.id, start_frame, end_frame, path, key, timing=timing, keep_audio=keep_audio)


def cut_spans(
    wanted: Sequence[tuple[Source, Span]],
    workspace: Workspace,
    *,
    short_side: int,
    jobs: int,
    ledger: Ledger,
    progress: Progress = silent,
    stage: str = "clips",
) -> tuple[dict[str, LedgerRow], dict[str, ToolkitError]]:
    """Cuts those spans that the ledger does not have yet.

    Returns:
        The ledger's rows of the spans that exist, and the errors of the others, by clip id.

    Raises:
        StoppedError: the disk is full.
    """
    done: dict[str, LedgerRow] = {}
    failures: dict[str, ToolkitError] = {}
    sources = {source.path: source for source, _ in wanted}
    missing: dict[str, list[Span]] = defaultdict(list)
    for source, span in wanted:
        row = ledger.finished(span.sample, span.key)
        if row is not None:
            done[span.id] = row
        elif (died := ledger.died(span.sample, span.key)) is not None:
            failures[span.id] = died
        else:
            missing[source.path].append(span)
    progress(stage, len(done) + len(failures), len(wanted))
    ledger.mark_for_replacement(span.sample for spans in missing.values() for span in spans)
    frames = sum(span.end_frame - span.start_frame + 1 for spans in missing.values() for span in spans)
    large = frames / (TASKS_A_JOB * jobs)
    tasks = [task for path in missing for task in divide_spans(sources[path], missing[path], short_side, large)]
    tasks.sort(key=lambda task: task.decoded_frames, reverse=True)  # longest first
    # The decoder may crash on one span, which must not affect the others of its task.
    with closing(run_each(cut_task, tasks, jobs=jobs, parts=CutTask.parts)) as outcomes:
        for outcome in outcomes:
            for span in outcome.item.spans:
                result = outcome.result[span.id] if outcome.result is not None else outcome.error
                row = _ledger_row(span, outcome.item.source, result, workspace)
                ledger.record(row)
                if row.status == "ok":
                    done[span.id] = row
                elif isinstance(result, ToolkitError):
                    failures[span.id] = result
                progress(stage, len(done) + len(failures), len(wanted), span.id)
    return done, failures


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
            except Exception as error:
                results[span.id] = sample_error(error, span.id)
    return results


def _cut(video: SourceVideo, source: Source, span: Span, short_side: int) -> Cut:
    # A command that was killed may have finished the file without recording it in the ledger.
    timing = span.timing or ClipTiming(video.rate)
    encoded = read_encoded(span.path, span.key, timing.rate)
    if encoded is None:
        pictures = video.pictures(span.start_frame, span.end_frame, short_side)
        if timing.source_frames is not None:
            pictures = resampled(pictures, timing.source_frames)
        if span.bright is not None:
            pictures = _with_dark_margin(pictures, span.bright)
        span.path.parent.mkdir(parents=True, exist_ok=True)
        with partial_folder(span.path.parent) as folder:  # not a temporary folder, which a kill would leave behind
            sound = _sound(source, span, timing, folder) if span.keep_audio else None
            encoded = encode(_checking_unchanged(source, pictures), timing.rate, span.path, span.key, sound=sound)
    return Cut(encoded, sha256_of(span.path))


def _sound(source: Source, span: Span, timing: ClipTiming, folder: Path) -> Path | None:
    """Writes the audio of a span as a wav; None if its video has none."""
    from dataset_tools.clips.clip_sound import write_clip_sound  # imports NumPy, which silent clips do not need

    frames = span.end_frame - span.start_frame + 1 if timing.source_frames is None else len(timing.source_frames)
    wav = folder / "sound.wav"
    path, duration_s = Path(source.path), frames / timing.rate
    has_sound = write_clip_sound(path, source.index, span.start_frame, duration_s, wav, skipped_s=timing.skipped_s)
    return wav if has_sound else None


def _checking_unchanged(source: Source, pictures: Iterator[Any]) -> Iterator[Any]:
    """Yields the frames; then, before the clip gets its name, checks that the source is still what was hashed."""
    yield from pictures
    if not source.is_unchanged():
        raise SampleError(
            "The video was changed or removed while clips were cut from it",
            where=source.path,
            expected="a file that no other process writes to",
            next_step="wait until it is complete, then run: fmn-data retry",
        )


def _with_dark_margin(pictures: Iterator[Picture], bright: tuple[int, int]) -> Iterator[Picture]:
    """Darkens the frames outside of ``bright``, which are not part of the clip, to less than half their luma."""
    darker = bytes(16 + max(0, level - 16) * 2 // 5 for level in range(256))  # luma 16 is black
    for picture in pictures:
        if bright[0] <= picture.number <= bright[1]:
            yield picture
        else:
            luma = picture.width * picture.height
            yield replace(picture, yuv420p=picture.yuv420p[:luma].translate(darker) + picture.yuv420p[luma:])


def cut_key(
    source: Source,
    start_frame: int,
    end_frame: int,
    short_side: int,
    *,
    bright: tuple[int, int] | None = None,
    timing: ClipTiming | None = None,
    keep_audio: bool = False,
) -> str:
    """Cache key of a cut: depends on contents and options, never on paths, times or the number of jobs."""
    inputs: dict[str, Any] = {
        "source": source.sha256,
        "frames": [start_frame, end_frame],
        "rate": source.index.rate if timing is None else str(timing.rate),
        "short_side": short_side,
        "decoder": decoder_version(),
        "encoder": encoder_version(),
        "options": ENCODER_OPTIONS,
        **({} if bright is None else {"bright": bright}),
        # Clips cut before these were supported showed other frames, or showed them differently.
        **({"resampled": timing.source_frames} if timing is not None and timing.source_frames is not None else {}),
        **({"decoded": True} if source.index.decoded else {}),
        **({"mirrored": True} if source.index.mirrored else {}),
        **({} if source.index.orientation is None else {"orientation": source.index.orientation}),
        **({"tone-mapped": "bt601"} if source.index.hdr else {}),
        **({"sound": SOUND_OPTIONS} if keep_audio else {}),
        **({"audio_place": source.index.audio_place} if keep_audio and source.index.audio_place else {}),
        **({"times": source.index.no_times} if keep_audio and not source.index.stamps else {}),
        **({"delay": source.index.stamps[0]} if keep_audio and _may_be_delayed(source.index) else {}),
        **({"skipped_s": str(timing.skipped_s)} if keep_audio and timing is not None and timing.skipped_s else {}),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _may_be_delayed(index: FrameIndex) -> bool:
    """Whether it may be of an AVI with B-frames, where a tick is a frame, and the first one is output later."""
    if not index.stamps or index.stamps[0] <= 0:
        return False
    return index.clock == "dts" or Fraction(index.tick_s) * Fraction(index.rate) == 1  # not equal if frames are dropped


def _ledger_row(span: Span, source: Source, result: Cut | ToolkitError | None, workspace: Workspace) -> LedgerRow:
    if isinstance(result, Cut):
        values = {**msgspec.to_builtins(result.encoded), "source_sha256": source.sha256}
        return ok(span.sample, "cut", span.key, span.path, workspace.root, result.sha256, **values)
    return failed(span.sample, "cut", result or SampleError("No reason is known", where=span.id), span.key)


def _row(clip: PlannedClip, done: LedgerRow, span: Span) -> ClipRow:
    encoded = done.values_as(Encoded)
    source_frames = None if span.timing is None else span.timing.source_frames
    decided_on = None if clip.decision is None else clip.decision.content_sha256
    return msgspec.structs.replace(
        planned_row(clip),
        fps=encoded.fps,
        frames=encoded.frames,
        width=encoded.width,
        height=encoded.height,
        duration_s=encoded.frames / encoded.fps,
        path=str(done.path),
        sha256=str(done.sha256),
        sound=encoded.sound or UNSET,
        source_frames=UNSET if source_frames is None else source_frames,
        decided_sha256=decided_on if decided_on is not None and decided_on != str(done.sha256) else UNSET,
    )


def planned_row(clip: PlannedClip) -> ClipRow:
    """Returns the row of a clip that is not cut: what only its file tells is 0 or empty, and a decision on it holds."""
    decision = clip.decision
    return ClipRow(
        id=clip.id,
        class_id=clip.class_id,
        person=clip.interval.person,
        dish=clip.interval.dish,
        video=clip.interval.video,
        start_frame=clip.start_frame,
        end_frame=clip.end_frame,
        trim=clip.trim,
        fps=0.0,
        frames=0,
        width=0,
        height=0,
        duration_s=0.0,
        path="",
        sha256="" if decision is None else decision.content_sha256,
        origin=clip.origin,
        review=None if decision is None else decision.verdict,
    )
