"""Frame reading: frames of a video file by number in presentation order (PyAV)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from dataset_tools.core.dynamic_range import REFORMAT_TO_STANDARD, is_hdr
from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import (
    OPENED_ALONE,
    SAME_ASPECT,
    filled_packets,
    pixel_aspect,
    prepare_decoder,
    video_stream,
    why_not_opened,
)
from dataset_tools.core.orientation import Matrix, display_matrix, upright_filters

if TYPE_CHECKING:
    from collections.abc import Iterator

Resize = Literal["short_side", "square", "at_most"]
MOST_STRETCHED = 16
"""Largest ratio of the sides of a pixel; with that of a damaged header, a frame could take gigabytes."""


def resized_size(height: int, width: int, resize_px: int, resize: Resize) -> tuple[int, int]:
    """Returns height and width after resizing: the short side (``short_side``) or both (``square``) to ``resize_px``.

    ``at_most`` is ``short_side`` without enlarging.
    """
    if resize == "square":
        return resize_px, resize_px
    short = min(height, width)
    if resize == "at_most" and short <= resize_px:
        return height, width
    return round(height * resize_px / short), round(width * resize_px / short)


def frame_times(path: Path) -> NDArray[np.float64]:
    """Returns the presentation times of all frames of a video in seconds, ascending, without decoding.

    If the container has no timestamps (some AVI files), the average frame rate of the stream is assumed.

    Raises:
        SampleError: the file is missing, is not a video, or has no frames.
    """
    with _opened(path) as (container, stream):
        stamps = [packet.pts for packet in container.demux(stream) if packet.size and not packet.is_discard]
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        base = float(stream.time_base)
    if not stamps:
        raise _damaged(path, "The video has no frames")
    if any(stamp is None for stamp in stamps):
        return np.arange(len(stamps)) / rate
    return np.sort(np.array(stamps, dtype=np.float64)) * base


def read_frames(
    path: Path,
    choose: Callable[[NDArray[np.float64]], NDArray[np.intp]],
    *,
    resize_px: int,
    resize: Resize = "short_side",
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Decodes and resizes selected frames, oriented as players show them, with square pixels, in standard range.

    Args:
        path: the video file.
        choose: frame times in seconds → numbers of the selected frames, ascending.
        resize_px: side of the resized frames (area interpolation).
        resize: which side that is (see `resized_size`).

    Returns:
        The frames ``[frames, height, width, 3]``, RGB; and the times passed to ``choose``.

    Raises:
        SampleError: the file is missing, is not a video, or is damaged before the last selected frame.
    """
    times_s = frame_times(path)
    wanted = choose(times_s)
    frames, decoded = _decode(path, wanted, resize_px, resize)
    if len(frames) < len(wanted):  # the container lists more frames than can be decoded
        if decoded == 0:
            raise _damaged(path, "No frame of the video can be decoded")
        times_s = times_s[:decoded]
        frames, _ = _decode(path, choose(times_s), resize_px, resize)
    return np.stack(frames), times_s


def _decode(
    path: Path, wanted: NDArray[np.intp], resize_px: int, resize: Resize
) -> tuple[list[NDArray[np.uint8]], int]:
    """Returns the selected frames that could be decoded, and the number of frames decoded for them."""
    numbers = {int(number) for number in wanted}
    last = max(numbers)
    frames: list[NDArray[np.uint8]] = []
    reformatter = VideoReformatter()  # shared by all frames: creating the scaler is slower than scaling a frame
    index = -1
    matrix: Matrix | None = None
    aspect = 0.0  # of the first of these frames, whose size the others get
    height = width = 0
    with _opened(path) as (container, stream):
        decoded = (frame for packet in filled_packets(container, stream) for frame in packet.decode())
        for index, frame in enumerate(decoded):
            matrix = display_matrix(frame) or matrix  # H.264 may state it once
            if index in numbers:
                shown_width = _shown_width(frame, pixel_aspect(container, stream), path)
                if not frames:
                    aspect = shown_width / frame.height
                    height, width = resized_size(frame.height, shown_width, resize_px, resize)
                tones: dict[str, Any] = REFORMAT_TO_STANDARD if is_hdr(frame) else {}
                small = reformatter.reformat(frame, width, height, "rgb24", interpolation="AREA", **tones)
                upright = _upright(np.asarray(small.to_ndarray(), np.uint8), matrix)
                is_stretched = abs(shown_width / frame.height / aspect - 1) > SAME_ASPECT
                if is_stretched or (frames and upright.shape != frames[0].shape):  # or turned
                    raise SampleError(
                        f"The aspect ratio of the video changes before frame {index + 1}",
                        where=path,
                        expected="frames of one aspect ratio",
                        next_step="use a part that has one: ffmpeg -i VIDEO -ss START_S -t SECONDS PART.mp4",
                    )
                frames.append(upright)
            if index >= last:
                break
    return frames, index + 1


def _shown_width(frame: Any, aspect: Fraction, path: Path) -> int:
    """Returns the width of a frame with square pixels of the same height.

    Raises:
        SampleError: the stated pixel aspect ratio is not that of a video.
    """
    if not Fraction(1, MOST_STRETCHED) <= aspect <= MOST_STRETCHED:
        raise SampleError(
            f"The video states pixels whose width is {float(aspect):.4g} times their height",
            where=path,
            expected=f"at most {MOST_STRETCHED} times, and at least one {MOST_STRETCHED}th",
            next_step="state the right aspect ratio: ffmpeg -i VIDEO -aspect 16:9 -c copy COPY.mp4",
        )
    width: int = frame.width
    return round(width * aspect)


def _upright(pixels: NDArray[np.uint8], matrix: Matrix | None) -> NDArray[np.uint8]:
    """Orients the pixels [height, width, 3] of a frame as clips are oriented when they are cut."""
    for name, _ in upright_filters(matrix):
        pixels = pixels.swapaxes(0, 1) if name == "transpose" else pixels[:, ::-1] if name == "hflip" else pixels[::-1]
    return pixels


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Opens a container and its first video stream; raises FFmpeg's errors as SampleError."""
    try:
        container = av.open(str(path), **OPENED_ALONE)
    except FileNotFoundError as error:
        raise SampleError(
            "The video file is missing", where=path, next_step="run fmn-data build again: it rebuilds missing files"
        ) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise _damaged(path, f"The file cannot be opened as a video: {why_not_opened(error)}") from error
    with container:
        stream = video_stream(container)
        if stream is None:
            raise _damaged(path, "The file has no video stream")
        if stream.codec_context is None:
            raise _damaged(path, "The codec of the video is unknown")
        prepare_decoder(stream.codec_context)
        try:
            yield container, stream
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise _damaged(path, f"The video cannot be decoded: {reason}") from error


def _damaged(path: Path, found: str) -> SampleError:
    return SampleError(
        found,
        where=path,
        expected="a video file that FFmpeg can decode completely; not an audio file, a picture or a playlist",
        next_step="cut the clip again (fmn-data retry), or leave it out",
    )
