"""Context videos of tasks: each clip as annotated, with a margin of footage around it.

The margin is ten frames before the clip and one second after it, and is darkened. The videos are cut from the source
videos into ``clips/in-context/`` when clips are pushed. If the footage is no longer available, the clip alone is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from dataset_tools.core.ledger import Ledger, LedgerRow, read_ledger
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.label_studio.media_urls import ShownVideo, clip_alone
from dataset_tools.manifests import ClipRow

if TYPE_CHECKING:
    from dataset_tools.clips.cut_tasks import Span
    from dataset_tools.video.source_videos import Source

FRAMES_BEFORE = 10
"""More would move the clip out of view: the timeline opens on the first frames, about 27 on a screen of 1280 px."""
AFTER_S = 1.0
# Another margin needs another folder name: an open page would count frames of one video and show the other.
FOLDER = "in-context"
_KIND = "in-context"


@dataclass(frozen=True)
class ShownVideos:
    """The videos to show, by clip id, and how many of them have no margin because the footage is not available."""

    by_clip: Mapping[str, ShownVideo]
    without_margin: int


def shown_videos(
    workspace: Workspace,
    clips: Sequence[ClipRow],
    *,
    jobs: int = 1,
    dry_run: bool = False,
    progress: Progress = silent,
) -> ShownVideos:
    """Cuts the missing context videos, and returns the videos to show (``dry_run``: without cutting any).

    Raises:
        StoppedError: the disk is full, or another command is working in the workspace.
    """
    from dataset_tools.clips.cut_tasks import Span
    from dataset_tools.clips.cutting import cut_key, cut_spans
    from dataset_tools.video.source_videos import cached_sources

    rows = read_ledger(workspace.ledger)
    sources = cached_sources(workspace.cache / "sources")
    spans: dict[str, tuple[Source, Span]] = {}
    for clip in clips:
        source = sources.get(_source_of(rows.get(f"clip/{clip.id}")))
        if source is not None:
            start_frame, end_frame = (
                _first_frame(clip),
                min(source.index.frames, clip.end_frame + round(AFTER_S * clip.fps)),
            )
            bright = (clip.start_frame, clip.end_frame)
            key = cut_key(source, start_frame, end_frame, _short_side(clip), bright=bright)
            path = workspace.clips / FOLDER / f"{clip.id}.mp4"
            spans[clip.id] = (source, Span(clip.id, start_frame, end_frame, path, key, _KIND, bright))
    missing = {
        clip.id: clip for clip in clips if clip.id in spans and not _is_there(rows, workspace, spans[clip.id][1])
    }
    if missing and not dry_run:
        with Ledger(workspace.ledger) as ledger:
            for short_side in sorted({_short_side(clip) for clip in missing.values()}):
                cut_spans(
                    [spans[clip_id] for clip_id, clip in missing.items() if _short_side(clip) == short_side],
                    workspace,
                    short_side=short_side,
                    jobs=jobs,
                    ledger=ledger,
                    progress=progress,
                    stage="clips to show",
                )
            rows = dict(ledger.rows)

    shown: dict[str, ShownVideo] = {}
    for clip in clips:
        row = rows.get(f"{_KIND}/{clip.id}")
        if clip.id in spans:
            source, span = spans[clip.id]
            if dry_run or _is_there(rows, workspace, span):
                frames, fps = span.end_frame - span.start_frame + 1, float(Fraction(source.index.rate))
                shown[clip.id] = ShownVideo(workspace.relative(span.path), span.start_frame, frames, fps)
        elif row is not None and _source_of(row) == _source_of(rows.get(f"clip/{clip.id}")) and _file(row, workspace):
            frames, fps = row.value("frames", int), row.value("fps", float)
            shown[clip.id] = ShownVideo(str(row.path), _first_frame(clip), frames, fps)
    alone = {clip.id: clip_alone(clip) for clip in clips if clip.id not in shown}
    cut_from = _sources(rows, clips)
    by_clip = {
        clip_id: replace(video, source_sha256=cut_from.get(clip_id)) for clip_id, video in (shown | alone).items()
    }
    return ShownVideos(by_clip, len(alone))


def source_videos(workspace: Workspace, clips: Sequence[ClipRow]) -> dict[str, str]:
    """Returns the SHA-256 of each clip's source video, by clip id, where it is recorded."""
    return _sources(read_ledger(workspace.ledger), clips)


def _sources(rows: Mapping[str, LedgerRow], clips: Sequence[ClipRow]) -> dict[str, str]:
    found = {clip.id: _source_of(rows.get(f"clip/{clip.id}")) for clip in clips}
    return {clip_id: source for clip_id, source in found.items() if source}


def _first_frame(clip: ClipRow) -> int:
    return max(1, clip.start_frame - FRAMES_BEFORE)


def _short_side(clip: ClipRow) -> int:
    return min(clip.width, clip.height)


def _source_of(row: LedgerRow | None) -> str:
    """Returns the SHA-256 of the source video that a file was cut from, or an empty string."""
    return "" if row is None else str(row.values.get("source_sha256", ""))


def _is_there(rows: Mapping[str, LedgerRow], workspace: Workspace, span: Span) -> bool:
    row = rows.get(span.sample)
    return row is not None and row.key == span.key and _file(row, workspace)


def _file(row: LedgerRow, workspace: Workspace) -> bool:
    return row.status == "ok" and row.path is not None and (workspace.root / row.path).is_file()
