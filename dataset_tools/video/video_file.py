"""Video opening: allowed containers only, and decoding that continues after damaged parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error

from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import (
    FORMATS_WITHOUT_ASPECT,
    OPENED_ALONE,
    filled_packets,
    prepare_decoder,
    video_stream,
    why_not_opened,
)

MOST_REORDERED = 16
"""Most frames that are decoded before one that is shown before them (H.264, A.3.1; HEVC, A.4.2)."""


def open_video(path: Path) -> Any:
    """Opens a video file and returns its ``av`` container, whose `video_stream` is ready to decode, in one thread.

    Raises:
        SampleError: the file cannot be opened as a video, or has no video stream.
    """
    try:
        container = av.open(str(path), **OPENED_ALONE)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise cannot_open(path, why_not_opened(error)) from error
    stream = video_stream(container)
    if stream is None or stream.codec_context is None:
        container.close()
        raise cannot_open(path, "it has no video stream" if stream is None else "its codec is not known")
    prepare_decoder(stream.codec_context)
    return container


def cannot_open(path: Path, error: object) -> SampleError:
    """The error of a file that is not a video, or does not exist."""
    return SampleError(
        f"The video cannot be opened: {error}",
        where=path,
        expected="a video file that FFmpeg reads, not a playlist or a list of files",
        next_step="copy the file again from its source, then run: fmn-data retry",
    )


def decoded_pictures(container: Any) -> Iterator[tuple[Any, bool]]:
    """Yields (frame, damaged) from the container's current position on, in display order.

    A frame is damaged if the decoder had to conceal errors in it, or could not decode one before it; so are those
    decoded after it, which may refer to it even if shown before it, until the next key frame. A packet that cannot be
    decoded at all is skipped.

    Raises:
        av.error.FFmpegError: the rest of the file cannot be read.
    """
    damaged = False
    lost_at: int | None = None  # timestamp of the last damage, if its packet has one
    awaited: dict[int, int] = {}  # place in decoding order, by timestamp, of the frames that are not output yet
    held: list[tuple[Any, bool, int]] = []  # frames shown before an awaited one that was decoded before them
    stream = video_stream(container)
    # None is held where the aspect ratio is that of the frame decoded last, or timestamps are those of other frames.
    has_others = container.format.name == "avi" and stream.codec_context.name in ("h264", "hevc")
    holds = not (has_others or container.format.name in FORMATS_WITHOUT_ASPECT)
    try:
        for place, packet in enumerate(filled_packets(container, stream)):
            frames: list[Any] = []
            if holds and packet.pts is not None:
                awaited[packet.pts] = place
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged, lost_at = True, packet.pts
            for frame in frames:
                own = awaited.get(frame.pts, place)
                awaited = {pts: one for pts, one in awaited.items() if frame.pts is not None and pts > frame.pts}
                if frame.is_corrupt:
                    damaged, lost_at = True, frame.pts
                    held = [(one, is_damaged or later > own, later) for one, is_damaged, later in held]
                elif damaged and frame.key_frame and (lost_at is None or frame.pts is None or frame.pts > lost_at):
                    damaged = False
                held.append((frame, damaged, own))
            while held and (len(held) > MOST_REORDERED or all(earlier > held[0][2] for earlier in awaited.values())):
                yield held.pop(0)[:2]
    except av.error.FFmpegError:
        yield from (one[:2] for one in held)
        raise
    yield from (one[:2] for one in held)
