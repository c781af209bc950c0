"""Cutting tasks: the clips of a source video, divided among worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_tools.clips.timing import ClipTiming
from dataset_tools.video.source_videos import Source


@dataclass(frozen=True)
class Span:
    """A video file to cut within a task. Its frames are 1-based, both included.

    Attributes:
        id: of the clip that it is, or shows.
        kind: kind of the sample; with the id, it identifies the row in the ledger.
        bright: frames that are shown unchanged, the others darkened; None: all of them.
        timing: how it plays; None: every frame once, at the video's mean rate.
        keep_audio: whether the video's audio is added to it.
    """

    id: str
    start_frame: int
    end_frame: int
    path: Path
    key: str
    kind: str = "clip"
    bright: tuple[int, int] | None = None
    timing: ClipTiming | None = None
    keep_audio: bool = False

    @property
    def sample(self) -> str:
        """Id of its row in the ledger."""
        return f"{self.kind}/{self.id}"


@dataclass(frozen=True)
class CutTask:
    """Spans of one source, in order of time."""

    source: Source
    spans: tuple[Span, ...]
    short_side: int

    def __str__(self) -> str:
        return Path(self.source.path).name

    def parts(self) -> tuple[CutTask, ...]:
        """A task for each span."""
        return tuple(CutTask(self.source, (span,), self.short_side) for span in self.spans)

    @property
    def decoded_frames(self) -> int:
        """Number of frames that have to be decoded for the task."""
        index = self.source.index
        return self.spans[-1].end_frame - index.key_frame_before(self.spans[0].start_frame) + 1


def divide_spans(source: Source, spans: Sequence[Span], short_side: int, large: float) -> Iterator[CutTask]:
    """Divides the spans of a source into tasks.

    Spans stay together as long as continuing to decode is shorter than seeking, except that a task of ``large`` or more
    frames ends where starting again costs little. If frames must be counted from the start, spans are not divided.
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
