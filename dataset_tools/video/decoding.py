"""Frame-exact decoding: frame n is the n-th picture of the decoder, regardless of the container's timestamps.

Seeking is used where frames have time stamps: every picture is then known by its stamp, and one with another stamp is
refused. Without stamps, pictures are counted from the start of the file. So a wrong frame count in a header, a variable
rate or an edit list cannot shift a clip. Not torchcodec: it needs torch, and numbers frames by the stamps of packets,
which are wrong in AVI files with reordered H.264.
"""

from __future__ import annotations

import itertools
import shlex
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import av.error
import av.filter

from dataset_tools.core.errors import SampleError
from dataset_tools.video.frame_index import FrameIndex, read_frame_index
from dataset_tools.video.orientation import upright_filters
from dataset_tools.video.video_file import decoded_pictures, open_video, video_stream

Numbered = Iterator[tuple[int, Any, bool]]
"""Number, frame, and whether it is damaged."""

SCALING_VERSION = 3
"""Counts the ways in which frames were scaled: clips of an older one are cut again."""

SAME_ASPECT = 0.02
"""By so little the aspect may change within a clip, as it does by rounding where a call's quality changes."""

AREA_FROM = 3
"""So many times larger than the clip, a frame is scaled by area averaging."""

FORMATS_WITHOUT_ASPECT = frozenset({"h264", "hevc", "m4v", "mpeg", "mpegts", "mpegvideo"})
"""Formats, by FFmpeg's names, that leave the aspect of pixels to the coded stream."""

SEEK_BACK_S = Fraction(1, 2)
"""How much earlier a seek is tried again that ended behind its key frame; doubled each time."""


@dataclass(frozen=True)
class Picture:
    """Frame ``number`` as planar YUV 4:2:0 bytes (Y, then U, then V, without padding), scaled and upright."""

    number: int
    width: int
    height: int
    yuv420p: bytes


class SourceVideo:
    """A video file, opened once for any number of spans. Use as a context manager.

    Spans in order of time are decoded in one go where that is shorter than seeking. What a span gives, pictures or an
    error, depends on the file alone, not on the spans before it.

    Args:
        path: the file.
        index: its frames, if they are known from an earlier time.

    Raises:
        SampleError: the file is no video that can be opened.
    """

    def __init__(self, path: Path, index: FrameIndex | None = None) -> None:
        self.path = path
        self.index = index or read_frame_index(path)
        self._container: Any = None
        self._ahead: Numbered = iter(())
        self._reached: int | None = None  # the number that `_ahead` gave last, if it may go on from there
        self._back = 0  # ticks that a seek has to aim before its key frame to end there, as far as is known
        self._estimated = frozenset(self.index.estimated)

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

        Sides are even; the short one is ``short_side``, also of a smaller video, so that all clips are alike. Rotation,
        mirroring and non-square pixels are applied.

        Raises:
            SampleError: the video ends before ``end_frame``, or is damaged there or in what these frames refer to, or
                the aspect of its pictures changes there.
        """
        scaler: Any = None
        aspect = Fraction(1)
        number = 0
        try:
            # No use in decoding what comes before an end that is known not to be there.
            for found, frame, damaged in self._frames_from(start_frame) if end_frame <= self.index.frames else ():
                if found < start_frame:
                    number = number if damaged else found  # where the damage begins is said
                    continue
                if damaged:
                    reason = "the decoder had to patch up the next one, or could not read one before it"
                    break
                if found != max(number + 1, start_frame):
                    reason = "no picture comes for the next one"
                    break
                number = found
                now = self._aspect_of(frame)
                if scaler is None:
                    aspect, scaler = now, _scaler(frame, self._stream, now, short_side)
                elif abs(now / aspect - 1) > SAME_ASPECT:
                    raise SampleError(
                        f"The shape of the pictures changes at frame {number}: "
                        f"{float(aspect):.2f} times as wide as high before, {float(now):.2f} from there",
                        where=self.path,
                        expected=f"frames {start_frame} to {end_frame} of one shape",
                        next_step=f"let the interval end at frame {number - 1}, or begin at {number}",
                    )
                scaler.push(frame)
                scaled = scaler.pull()
                yield Picture(number, scaled.width, scaled.height, scaled.to_ndarray().tobytes())
                if number == end_frame:
                    return
            else:
                reason = "no picture comes after it"
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
            expected=f"frames {start_frame} to {end_frame}, whole",
            next_step="copy the file again from where it came, then run: fmn-data retry; "
            f"if it is no better there, cut from a copy that can be read: {self._copy}",
        )

    @property
    def _copy(self) -> str:
        """The command that makes a copy in which every packet is a picture."""
        return f"ffmpeg -i {shlex.quote(self.path.name)} -c:v libx264 -crf 12 copy.mkv"

    @property
    def _stream(self) -> Any:
        return video_stream(self._container)

    def _aspect_of(self, frame: Any) -> Fraction:
        """Width by height of a frame as it is shown, but for its rotation."""
        # Broadcasts change from 4:3 to 16:9. Where no container states an aspect, the decoder's is the one of now.
        states_none = self._container.format.name in FORMATS_WITHOUT_ASPECT
        of_pixels = (self._stream.codec_context if states_none else self._stream).sample_aspect_ratio
        return Fraction(frame.width, frame.height) * (of_pixels or 1)

    def _open(self) -> None:
        self._close()
        self._container = open_video(self.path)

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _frames_from(self, first: int) -> Numbered:
        """Yields (number, frame, damaged) from a frame at or before ``first`` on."""
        key_frame = self.index.key_frame_before(first)
        if self._reached is None or not key_frame - 1 <= self._reached < first:
            self._ahead = self._from_key_frame(key_frame)
        for number, frame, damaged in self._ahead:
            self._reached = number
            yield number, frame, damaged

    def _from_key_frame(self, key_frame: int) -> Numbered:
        """Yields (number, frame, damaged) from a key frame on; from the start of the file where no seek ends there."""
        stamps, back = self.index.stamps, self._back
        while key_frame > 1 and stamps[key_frame - 1] - back > stamps[0]:
            try:
                self._container.seek(stamps[key_frame - 1] - back, stream=self._stream)
            except (av.error.FFmpegError, OSError):
                break
            numbered = self._numbered(None)
            # What is shown before the key frame may refer to frames that were not decoded.
            at_key = next((one for one in numbered if one[0] >= key_frame), None)
            if at_key is not None and at_key[0] == key_frame and at_key[1].key_frame:
                self._back = back
                return itertools.chain([at_key], numbered)
            back = max(2 * back, int(SEEK_BACK_S / Fraction(self.index.tick_s)), 1)
        self._open()
        return self._numbered(0)

    def _numbered(self, number: int | None) -> Numbered:
        """Decodes on from frame ``number`` (None: unknown) and numbers by stamps.

        From the start of a file that was decoded for its index, the pictures are those of then: they are counted.

        Raises:
            SampleError: a picture has a stamp that no frame has.
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
                    f"The picture after frame {number} has a time stamp that no packet of the video has",
                    where=self.path,
                    expected="one picture a packet, shown at the packet's time stamp",
                    next_step=f"cut from a copy that can be read: {self._copy}",
                )
            yield number, frame, damaged


def decoder_version() -> str:
    """The libraries that decode and scale, and the way it is done: ``libavcodec 62.28.100, …, scaling 2``."""
    libraries = ("libavcodec", "libavfilter", "libavformat", "libswscale")
    versions = [f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in libraries]
    return ", ".join([*versions, f"scaling {SCALING_VERSION}"])


def _scaler(frame: Any, stream: Any, aspect: Fraction, short_side: int) -> Any:
    """A filter graph: square pixels, short side, upright, yuv420p; bit-exact on every processor."""
    sides = float(frame.height * aspect), float(frame.height)
    scale = short_side / min(sides)
    width, height = (2 * round(side * scale / 2) for side in sides)
    # Of many pixels that become one, their mean is as good as a cubic's weights and takes half the time.
    kind = "area" if scale * AREA_FROM <= 1 else "bicubic"
    graph = av.filter.Graph()
    graph.threads = 1  # processes work side by side already
    steps = [
        graph.add_buffer(template=stream, width=frame.width, height=frame.height, format=frame.format),
        graph.add("scale", f"{width}:{height}:flags={kind}+accurate_rnd+bitexact:out_range=tv"),
        *(graph.add(name, arguments or None) for name, arguments in upright_filters(frame)),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for step, following in itertools.pairwise(steps):
        step.link_to(following)
    graph.configure()
    return graph
