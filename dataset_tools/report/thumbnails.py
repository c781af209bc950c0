"""Thumbnails: the middle frame of a clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import written_whole
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, resolve

HEIGHT_PX = 96


@dataclass(frozen=True)
class _Task:
    clip: ClipRow
    workspace: Path
    target: Path

    def __str__(self) -> str:
        return self.clip.id


def thumbnail_name(clip: ClipRow) -> str:
    """Name of the thumbnail of a clip, derived from its content: a clip that is cut again gets a new one."""
    return f"{clip.sha256[:16]}.jpg"


def write_thumbnails(
    clips: Sequence[ClipRow], workspace: Path, folder: Path, *, jobs: int, progress: Progress = silent
) -> dict[str, ToolkitError]:
    """Writes missing thumbnails, and removes those of clips that are not in ``clips``.

    Returns:
        The errors of clips without a thumbnail, by id.
    """
    wanted = {thumbnail_name(clip) for clip in clips}
    for stale in folder.glob("[0-9a-f]" * 16 + ".jpg"):
        if stale.name not in wanted:
            stale.unlink(missing_ok=True)
    tasks = [_Task(clip, workspace, folder / thumbnail_name(clip)) for clip in without_thumbnail(clips, folder)]
    failures: dict[str, ToolkitError] = {}
    for done, outcome in enumerate(run_each(_draw, tasks, jobs=jobs) if tasks else (), start=1):
        if outcome.error is not None:
            failures[outcome.item.clip.id] = outcome.error
        progress("pictures", done, len(tasks), outcome.item.clip.id)
    return failures


def without_thumbnail(clips: Sequence[ClipRow], folder: Path) -> list[ClipRow]:
    """Returns the clips that have no thumbnail in the folder yet."""
    return [clip for clip in clips if not (folder / thumbnail_name(clip)).exists()]


def spread(clips: Sequence[ClipRow], count: int) -> list[ClipRow]:
    """Returns up to ``count`` of the clips, evenly spaced in their order, which is by person."""
    if len(clips) <= count:
        return list(clips)
    return [clips[index * len(clips) // count] for index in range(count)]


def _draw(task: _Task) -> None:
    """Runs in a worker process."""
    import av

    from dataset_tools.video.video_file import open_video

    path = resolve(task.workspace, task.clip.path)
    with open_video(path) as container:
        frames = deque(islice(container.decode(video=0), task.clip.frames // 2 + 1), maxlen=1)
    if not frames:
        raise SampleError("The clip has no video frames", where=path)
    frame = frames[0]
    width = 2 * round(frame.width * HEIGHT_PX / frame.height / 2)
    with written_whole(task.target) as partial, av.open(str(partial), "w", format="image2") as output:
        stream = output.add_stream("mjpeg", options={"qmin": "4", "qmax": "4"})
        stream.width, stream.height, stream.pix_fmt = width, HEIGHT_PX, "yuvj420p"
        output.mux(stream.encode(frame.reformat(width, HEIGHT_PX, "yuvj420p")))
        output.mux(stream.encode(None))
