"""Video opening: allowed containers only, and decoding that continues after damaged parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
from av.codec.context import Flags

from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import OPENED_ALONE


def open_video(path: Path) -> Any:
    """Opens a video file and returns its ``av`` container, whose `video_stream` is ready to decode, in one thread.

    Raises:
        SampleError: it is no video that can be opened, or has no video stream.
    """
    try:
        container = av.open(str(path), **OPENED_ALONE)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise cannot_open(path, error) from error
    stream = video_stream(container)
    if stream is None or stream.codec_context is None:
        container.close()
        raise cannot_open(path, "it has no video stream" if stream is None else "its codec is not known")
    context = stream.codec_context
    context.thread_count = 1  # processes work side by side already
    context.flags |= Flags.unaligned  # else what is cropped at the left stays
    return container


def video_stream(container: Any) -> Any:
    """The video stream that the ffmpeg program and players show: the default one, no cover picture."""
    return container.streams.best("video")


def cannot_open(path: Path, error: object) -> SampleError:
    """The error of a file that is no video, or one that is not there."""
    return SampleError(
        f"The video cannot be opened: {error}",
        where=path,
        expected="a video file that FFmpeg reads; no playlist, no list of files",
        next_step="copy the file again from where it came, then run: fmn-data retry",
    )


def decoded_pictures(container: Any) -> Iterator[tuple[Any, bool]]:
    """Yields (frame, damaged) from where the container stands, in the order that a player shows them in.

    A frame is damaged if the decoder had to patch it up, or could not decode one before it; so are those after it,
    which may refer to it, until the next key frame. A packet that cannot be decoded at all is passed over.

    Raises:
        av.error.FFmpegError: the file cannot be read on.
    """
    damaged = False
    lost_at: int | None = None  # where the last damage is, as far as its packet says
    for packet in container.demux(video_stream(container)):
        frames: list[Any] = []
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damaged, lost_at = True, packet.pts
        for frame in frames:
            if frame.is_corrupt:
                damaged, lost_at = True, frame.pts
            elif damaged and frame.key_frame and (lost_at is None or frame.pts is None or frame.pts > lost_at):
                damaged = False
            yield frame, damaged
