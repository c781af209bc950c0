"""Frame-exact decoding: frame n is the n-th picture that a decoder puts out, whatever the container's clock says.

Seeking is used only where the packets' own time stamps prove which frame a key frame is; otherwise the video is decoded
from its start. A wrong frame count in a header, a variable frame rate or an edit list cannot shift a clip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import av.error
import av.filter

from dataset_tools.errors import SampleError

FALLBACK_RATE = Fraction(147, 5)
"""MPII Cooking 2's 29.4 frames per second, for a stream that states no rate."""


@dataclass(frozen=True)
class Picture:
    """One frame as planar YUV 4:2:0 bytes (Y, then U, then V, without padding), scaled and upright."""

    index: int
    width: int
    height: int
    yuv420p: bytes


class SourceVideo:
    """A video file, opened once for any number of spans. Use as a context manager.

    Attributes:
        rate: frames per second, a fraction.

    Raises:
        SampleError: on entering: the file is no video that can be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate = FALLBACK_RATE
        self._container: Any = None
        self._key_frames: list[tuple[int, int]] | None = None  # (frame index from 0, pts)
        self._index_of_pts: dict[int, int] = {}

    def __enter__(self) -> Self:
        try:
            self._container = av.open(str(self.path))
            if not self._container.streams.video:
                raise ValueError("it has no video stream")
            self.rate = self._stream().average_rate or self._stream().guessed_rate or FALLBACK_RATE
            self._index_packets()
        except (av.error.FFmpegError, ValueError, OSError) as error:
            self._close()
            raise SampleError(
                f"The video cannot be opened: {error}",
                where=self.path,
                expected="a video file that FFmpeg reads",
                next_step="copy the file again from where it came, then run: fmn-data retry",
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def pictures(self, start_frame: int, end_frame: int, short_side: int) -> Iterator[Picture]:
        """Yields the frames from ``start_frame`` to ``end_frame`` (1-based, both included), scaled.

        Sides are even; the short one is ``short_side``. Rotation and non-square pixels are applied.

        Raises:
            SampleError: the video ends, or is damaged, before ``end_frame``.
        """
        first, last = start_frame - 1, end_frame - 1
        scaler: Any = None
        index = -1
        try:
            for index, frame in self._frames_from(first):
                if index < first:
                    continue
                if scaler is None:
                    scaler = _scaler(frame, self._stream(), short_side)
                scaler.push(frame)
                scaled = scaler.pull()
                yield Picture(index + 1, scaled.width, scaled.height, scaled.to_ndarray().tobytes())
                if index == last:
                    return
        except av.error.FFmpegError as error:
            raise SampleError(
                f"The video is damaged after frame {index + 1}: {error}",
                where=self.path,
                expected=f"frames {start_frame} to {end_frame}",
                next_step="copy the file again from where it came, then run: fmn-data retry",
            ) from error
        raise SampleError(
            f"The video ends at frame {index + 1}",
            where=self.path,
            expected=f"frames {start_frame} to {end_frame}",
            next_step="copy the file again if it is cut short, then run: fmn-data retry",
        )

    def _stream(self) -> Any:
        return self._container.streams.video[0]

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    def _index_packets(self) -> None:
        """Learns each key frame's place in presentation order, if every packet is one frame with its own time."""
        stamps: list[int] = []
        key_stamps: list[int] = []
        provable = True
        for packet in self._container.demux(self._stream()):
            if packet.size == 0 and packet.dts is None:
                continue  # the flush at the end
            if packet.size == 0 or packet.pts is None or packet.is_discard:
                provable = False
                break
            stamps.append(packet.pts)
            if packet.is_keyframe:
                key_stamps.append(packet.pts)
        if provable and len(set(stamps)) == len(stamps):
            self._index_of_pts = {pts: index for index, pts in enumerate(sorted(stamps))}
            self._key_frames = sorted((self._index_of_pts[pts], pts) for pts in key_stamps)

    def _frames_from(self, first: int) -> Iterator[tuple[int, Any]]:
        """Yields (index from 0, frame) from a frame at or before ``first`` on."""
        before = [key for key in self._key_frames or [] if key[0] <= first]
        # The very first key frame is as well reached by opening the file, which no index can get wrong.
        if len(before) > 1:
            _, pts = before[-1]
            self._container.seek(pts, stream=self._stream())
            proven = self._counted_by_time()
            head = next(proven, None)
            if head is not None and head[0] <= first:
                yield head
                yield from proven
                return
        self._container.close()
        self._container = av.open(str(self.path))
        yield from enumerate(self._container.decode(self._stream()))

    def _counted_by_time(self) -> Iterator[tuple[int, Any]]:
        for frame in self._container.decode(self._stream()):
            if frame.pts not in self._index_of_pts:
                return
            yield self._index_of_pts[frame.pts], frame


def _scaler(frame: Any, stream: Any, short_side: int) -> Any:
    """A filter graph: square pixels, short side, upright, yuv420p; bit-exact on every processor."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    width, height = float(frame.width * aspect), float(frame.height)
    scale = short_side / min(width, height)
    size = f"{2 * round(width * scale / 2)}:{2 * round(height * scale / 2)}"
    graph = av.filter.Graph()
    steps = [
        graph.add_buffer(template=stream, width=frame.width, height=frame.height, format=frame.format),
        graph.add("scale", f"{size}:flags=bicubic+accurate_rnd+bitexact:out_range=tv"),
        *_upright(graph, getattr(frame, "rotation", 0)),
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
