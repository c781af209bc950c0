"""Frame-exact decoding: frame n is the n-th picture that a decoder puts out, whatever the container's clock says.

Seeking is used where time stamps tell which frame a key frame is, and only as long as every picture after it comes with
the stamp that its number has. Where they do not (AVI with reordered H.264, packed B-frames), pictures are counted from
the start of the file. So a wrong frame count in a header, a variable frame rate or an edit list cannot shift a clip.
Not torchcodec: it needs torch, and numbers frames by their time stamps, which are what such AVI files have wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import av.error
import av.filter

from dataset_tools.clips.frame_index import FrameIndex, cannot_open, read_frame_index
from dataset_tools.core.errors import SampleError

Numbered = Iterator[tuple[int, Any]]

SCALING_VERSION = 2
"""Counts the ways in which frames were scaled: clips of an older one are cut anew."""

AREA_FROM = 3
"""So many times larger than the clip, a frame is scaled by area averaging."""


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
        SampleError: on entering: the file is no video that can be opened.
    """

    def __init__(self, path: Path, index: FrameIndex | None = None) -> None:
        self.path = path
        self.index = index or read_frame_index(path)
        self._container: Any = None
        self._ahead: Numbered = iter(())
        self._may_go_on = True
        self._reached: int | None = None  # the number that `_ahead` gave last, if it may go on from there

    def __enter__(self) -> Self:
        try:
            self._open()
        except (av.error.FFmpegError, IndexError, OSError) as error:
            self._close()
            raise cannot_open(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.index.rate)

    def pictures(self, start_frame: int, end_frame: int, short_side: int) -> Iterator[Picture]:
        """Yields the frames from ``start_frame`` to ``end_frame`` (1-based, both included), scaled.

        Sides are even; the short one is ``short_side``, also of a smaller video, so that all clips are alike. Rotation
        and non-square pixels are applied.

        Raises:
            SampleError: the video ends before ``end_frame``, or is damaged there or in what has to be decoded first.
        """
        scaler: Any = None
        number = 0
        try:
            # No use in decoding what comes before an end that is known not to be there.
            for number, frame in self._frames_from(start_frame) if end_frame <= self.index.frames else ():
                if number < start_frame:
                    continue
                scaler = scaler or _scaler(frame, self._stream, short_side)
                scaler.push(frame)
                scaled = scaler.pull()
                yield Picture(number, scaled.width, scaled.height, scaled.to_ndarray().tobytes())
                if number == end_frame:
                    return
        except (av.error.FFmpegError, _DamagedError) as error:
            self._reached = None
            raise SampleError(
                f"The video is damaged after frame {number}: {error}",
                where=self.path,
                expected=f"frames {start_frame} to {end_frame}, whole",
                next_step="copy the file again from where it came, then run: fmn-data retry",
            ) from error
        raise SampleError(
            f"The video ends at frame {number or self.index.frames}, before frame {end_frame}",
            where=self.path,
            expected=f"frames {start_frame} to {end_frame}",
            next_step="copy the file again if it is cut short, then run: fmn-data retry",
        )

    @property
    def _stream(self) -> Any:
        return self._container.streams.video[0]

    def _open(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container = av.open(str(self.path))
        self._stream.codec_context.thread_count = 1  # processes work side by side already

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _frames_from(self, first: int) -> Numbered:
        """Yields (number, frame) from a frame at or before ``first`` on."""
        key_frame = self.index.key_frame_before(first)
        if self._reached is None or not key_frame - 1 <= self._reached < first:
            self._ahead = self._decode(key_frame)
        for number, frame in self._ahead:
            self._reached = number if self._may_go_on else None
            yield number, frame

    def _decode(self, key_frame: int) -> Numbered:
        """Yields (number, frame) from a key frame on: by their stamps, and by counting where those do not hold."""
        self._may_go_on = True
        number: int | None = 1
        if self.index.stamps:
            number = yield from self._by_stamp(key_frame)
            self._may_go_on = False
        if number is not None:
            self._open()
            counted = enumerate(_undamaged(self._container.decode(self._stream)), start=1)
            yield from itertools.islice(counted, number - 1, None)

    def _by_stamp(self, key_frame: int) -> Generator[tuple[int, Any], None, int | None]:
        """Yields (number, frame) while the stamps prove the numbers; returns the first number they do not prove."""
        stamps = self.index.stamps[key_frame - 1 :]
        if key_frame > 1:
            self._container.seek(stamps[0], stream=self._stream)
        else:
            self._open()
        decoded = self._container.decode(self._stream)
        # What is shown before the key frame refers to frames that were not decoded.
        first = next((frame for frame in decoded if frame.pts is None or frame.pts >= stamps[0]), None)
        if first is None or not first.key_frame:
            return key_frame
        frames = _undamaged(itertools.chain([first], decoded))
        for number, (frame, stamp) in enumerate(zip(frames, stamps, strict=False), start=key_frame):
            if frame.pts != stamp:
                return number
            yield number, frame
        return None


class _DamagedError(Exception):
    """A frame could be decoded in part only."""


def _undamaged(frames: Iterable[Any]) -> Iterator[Any]:
    """Yields frames until one is damaged: whatever refers to it afterwards is damaged too, and does not say so.

    Raises:
        _DamagedError: a frame is damaged.
    """
    for frame in frames:
        if frame.is_corrupt:
            raise _DamagedError("the decoder had to patch up the next one")
        yield frame


def decoder_version() -> str:
    """The libraries that decode and scale, and the way it is done: ``libavcodec 62.28.100, …, scaling 2``."""
    libraries = ("libavcodec", "libavfilter", "libavformat", "libswscale")
    versions = [f"{name} {'.'.join(map(str, av.library_versions[name]))}" for name in libraries]
    return ", ".join([*versions, f"scaling {SCALING_VERSION}"])


def _scaler(frame: Any, stream: Any, short_side: int) -> Any:
    """A filter graph: square pixels, short side, upright, yuv420p; bit-exact on every processor."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    sides = float(frame.width * aspect), float(frame.height)
    scale = short_side / min(sides)
    width, height = (2 * round(side * scale / 2) for side in sides)
    # Of many pixels that become one, their mean is as good as a cubic's weights and takes half the time.
    kind = "area" if scale * AREA_FROM <= 1 else "bicubic"
    graph = av.filter.Graph()
    graph.threads = 1  # processes work side by side already
    steps = [
        graph.add_buffer(template=stream, width=frame.width, height=frame.height, format=frame.format),
        graph.add("scale", f"{width}:{height}:flags={kind}+accurate_rnd+bitexact:out_range=tv"),
        *_upright(graph, frame.rotation),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ]
    for step, following in itertools.pairwise(steps):
        step.link_to(following)
    graph.configure()
    return graph


def _upright(graph: Any, rotation_degrees: int) -> list[Any]:
    """The filters that show a frame the way it was held; the angle is counter-clockwise, as FFmpeg's."""
    match round(rotation_degrees / 90) % 4:
        case 1:
            return [graph.add("transpose", "cclock")]
        case 2:
            return [graph.add("hflip"), graph.add("vflip")]
        case 3:
            return [graph.add("transpose", "clock")]
        case _:
            return []
