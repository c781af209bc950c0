"""Frame-exact decoding: frame n is the n-th frame that the decoder outputs, regardless of the container's timestamps.

Seeking is used if frames have timestamps: every frame is then identified by its timestamp, and one with an unknown
timestamp is rejected. Without timestamps, frames are counted from the start of the file. So a wrong frame count in a
header, a variable rate or an edit list cannot shift a clip. Not torchcodec: it needs torch, and numbers frames by the
timestamps of packets, which are wrong in AVI files with reordered H.264.
"""

from __future__ import annotations

import itertools
import shlex
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import av.error
import av.filter
from av.codec import CodecContext

from dataset_tools.core.dynamic_range import SCALE_TO_STANDARD, is_hdr
from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import SAME_ASPECT, pixel_aspect, video_stream
from dataset_tools.core.orientation import display_matrix, upright_filters
from dataset_tools.video.frame_index import FrameIndex, read_frame_index
from dataset_tools.video.video_file import decoded_pictures, open_video

Numbered = Iterator[tuple[int, Any, bool]]
"""Frame number, frame, and whether it is damaged."""

SCALING_VERSION = 3
"""Version of the scaling method: clips of an older version are cut again."""

AREA_FROM = 3
"""Area averaging is used if the frame is at least this many times as large as the clip."""

SEEK_BACK_S = Fraction(1, 2)
"""How much earlier to retry a seek that ended past its key frame; doubled each time."""


@dataclass(frozen=True)
class Picture:
    """Frame ``number`` as planar YUV 4:2:0 bytes (Y, then U, then V, without padding), scaled and upright."""

    number: int
    width: int
    height: int
    yuv420p: bytes


class SourceVideo:
    """A video file, opened once for any number of spans. Use as a context manager.

    Spans in chronological order are decoded in a single pass where that is shorter than seeking. The result of a span,
    frames or an error, depends on the file alone, not on the spans before it.

    Args:
        path: the file.
        index: its frame index, if known from an earlier call.

    Raises:
        SampleError: the file cannot be opened as a video.
    """

    def __init__(self, path: Path, index: FrameIndex | None = None) -> None:
        self.path = path
        self.index = index or read_frame_index(path)
        self._container: Any = None
        self._ahead: Numbered = iter(())
        self._reached: int | None = None  # the last number from `_ahead`, if decoding may continue there
        self._back = 0  # ticks by which a seek must aim before a key frame to reach it, as far as is known
        self._estimated = frozenset(self.index.estimated)
        self._hdr_scaler: tuple[Any, Any] = None, None

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.index.rate)

    def pictures(self, start_frame: int, end_frame: int, short_side: int) -> Iterator[Picture]:
        """Yields the frames from ``start_frame`` to ``end_frame`` (1-based, both included), scaled.

        Both sides are even; the short one is ``short_side``, even if the video is smaller, so that all clips have the
        same. Rotation, mirroring and non-square pixels are applied.

        Raises:
            SampleError: the video ends before ``end_frame``, these frames or their reference frames are damaged, or the
                aspect ratio changes within the span.
        """
        scaler: Any = None
        aspect = Fraction(1)
        number = 0
        try:
            # Nothing is decoded if the end frame is known not to exist.
            for found, frame, damaged in self._frames_from(start_frame) if end_frame <= self.index.frames else ():
                if found < start_frame:
                    number = number if damaged else found  # the error names the last frame before the damage
                    continue
                if damaged:
                    reason = "the decoder had to conceal errors in the next one, or could not decode one before it"
                    break
                if found != max(number + 1, start_frame):
                    reason = "the decoder outputs no next frame"
                    break
                number = found
                now = self._aspect_of(frame)
                if scaler is None:
                    aspect, scaler = now, self._scaler_of(frame, now, short_side)
                elif abs(now / aspect - 1) > SAME_ASPECT:
                    raise SampleError(
                        f"The aspect ratio changes at frame {number}: "
                        f"{float(aspect):.2f} before, {float(now):.2f} from there on",
                        where=self.path,
                        expected=f"frames {start_frame} to {end_frame} of one aspect ratio",
                        next_step=f"end the interval at frame {number - 1}, or begin it at {number}",
                    )
                scaler.push(frame)
                scaled = scaler.pull()
                yield Picture(number, scaled.width, scaled.height, _bytes_of(scaled))
                if number == end_frame:
                    return
            else:
                reason = "the decoder outputs no frame after it"
        except av.error.FFmpegError as error:
            reason = str(error)
        except SampleError:
            self._reached = None
            raise
        self._reached = None
        if end_frame > self.index.frames:
            raise SampleError(
                f"The video ends at frame {self.index.frames}, before frame {end_frame}",
                where=self.path,
                expected=f"frames {start_frame} to {end_frame}",
                next_step="check the interval; if the video is cut short, copy it again, then run: fmn-data retry",
            )
        raise SampleError(
            f"The video is damaged after frame {number}: {reason}",
            where=self.path,
            expected=f"frames {start_frame} to {end_frame}, undamaged",
            next_step="copy the file again from its source, then run: fmn-data retry; "
            f"if that fails, cut from a readable copy: {self._copy}",
        )

    @property
    def _copy(self) -> str:
        """The command that makes a copy in which every packet is one frame."""
        return f"ffmpeg -i {shlex.quote(self.path.name)} -c:v libx264 -crf 12 copy.mkv"

    @property
    def _stream(self) -> Any:
        return video_stream(self._container)

    def _scaler_of(self, frame: Any, aspect: Fraction, short_side: int) -> Any:
        """The scaler of frames like this one; that of HDR is kept, since its tables take two seconds to compute."""
        turns = upright_filters(display_matrix(frame) or self.index.orientation)
        if not is_hdr(frame):
            return _scaler(frame, self._stream, aspect, short_side, turns)
        like = (frame.width, frame.height, frame.format.name, aspect, short_side, turns)
        if self._hdr_scaler[0] != like:
            self._hdr_scaler = like, _scaler(frame, self._stream, aspect, short_side, turns)
        return self._hdr_scaler[1]

    def _aspect_of(self, frame: Any) -> Fraction:
        """Display aspect ratio (width / height) of a frame, before rotation."""
        return Fraction(frame.width, frame.height) * pixel_aspect(self._container, self._stream)

    def _open(self) -> None:
        self._close()
        self._container = open_video(self.path)

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _frames_from(self, first: int) -> Numbered:
        """Yields (number, frame, damaged), starting at or before frame ``first``."""
        key_frame = self.index.key_frame_before(first)
        if self._reached is None or not key_frame - 1 <= self._reached < first:
            self._ahead = self._from_key_frame(key_frame)
        for number, frame, damaged in self._ahead:
            self._reached = number
            yield number, frame, damaged

    def _from_key_frame(self, key_frame: int) -> Numbered:
        """Yields (number, frame, damaged) from a key frame on; from the start of the file if no seek reaches it."""
        stamps, back = self.index.stamps, self._back
        while key_frame > 1 and stamps[key_frame - 1] - back > stamps[0]:
            try:
                self._container.seek(stamps[key_frame - 1] - back, stream=self._stream)
            except (av.error.FFmpegError, OSError):
                break
            numbered = self._numbered(None)
            # Frames shown before the key frame may refer to frames that were not decoded.
            at_key = next((one for one in numbered if one[0] >= key_frame), None)
            if at_key is not None and at_key[0] == key_frame and at_key[1].key_frame:
                self._back = back
                return itertools.chain([at_key], numbered)
            back = max(2 * back, int(SEEK_BACK_S / Fraction(self.index.tick_s)), 1)
        self._open()
        return self._numbered(0)

    def _numbered(self, number: int | None) -> Numbered:
        """Decodes the frames after ``number`` (None: unknown) and numbers them by their timestamps.

        From the start of a file that was decoded for its index, the decoder outputs the same frames: they are counted.

        Raises:
            SampleError: a decoded frame has a timestamp that no frame in the index has.
        """
        stamps = self.index.stamps
        counts = number == 0 and self.index.decoded
        for frame, damaged in decoded_pictures(self._container):
            stamp = frame.pts if self.index.clock == "pts" else frame.dts
            place = len(stamps) if stamp is None else bisect_left(stamps, stamp)
            if number is not None and (counts or number + 1 in self._estimated):
                number += 1
            elif place < len(stamps) and stamps[place] == stamp:
                number = place + 1
            elif number is None or damaged:
                continue  # before the key frame, or lost
            else:
                raise SampleError(
                    f"The frame after frame {number} has a timestamp that no packet of the video has",
                    where=self.path,
                    expected="one frame per packet, shown at the packet's timestamp",
                    next_step=f"cut from a readable copy: {self._copy}",
                )
            yield number, frame, damaged


def _bytes_of(frame: Any) -> bytes:
    """The planes of a frame without padding; not by ``to_ndarray``, as NumPy would double what a worker imports."""
    packer = CodecContext.create("rawvideo", "w")
    packer.width, packer.height, packer.pix_fmt, packer.time_base = frame.width, frame.height, "yuv420p", Fraction(1)
    (packet,) = packer.encode(frame)
    return bytes(packet)


def decoder_version() -> str:
    """Versions of the decoding and scaling libraries and of the method: ``libavcodec 62.28.100, …, scaling 2``."""
    libraries = ("libavcodec", "libavfilter", "libavformat", "libswscale")
    versions = [f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in libraries]
    return ", ".join([*versions, f"scaling {SCALING_VERSION}"])


def _scaler(frame: Any, stream: Any, aspect: Fraction, short_side: int, turns: Sequence[tuple[str, str]]) -> Any:
    """Creates a filter graph: square pixels, short side, upright by ``turns``, yuv420p, standard range.

    Bit-exact on every CPU, except perhaps for HDR, whose tables are computed in floating point.
    """
    sides = float(frame.height * aspect), float(frame.height)
    scale = short_side / min(sides)
    width, height = (2 * round(side * scale / 2) for side in sides)
    # When many pixels become one, their mean is as good as bicubic weights and takes half the time.
    kind = "area" if scale * AREA_FROM <= 1 else "bicubic"
    graph = av.filter.Graph()
    graph.threads = 1  # processes already run in parallel
    tones = f":{SCALE_TO_STANDARD}" if is_hdr(frame) else ""
    steps = [
        graph.add_buffer(template=stream, width=frame.width, height=frame.height, format=frame.format),
        graph.add("scale", f"{width}:{height}:flags={kind}+accurate_rnd+bitexact:out_range=tv{tones}"),
        *(graph.add(name, arguments or None) for name, arguments in turns),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for step, following in itertools.pairwise(steps):
        step.link_to(following)
    graph.configure()
    return graph
