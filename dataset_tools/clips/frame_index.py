"""Which picture of a video is frame n, found out from its packets: the header's frame count and rate are not asked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import av.error
import msgspec

from dataset_tools.core.errors import SampleError

FALLBACK_RATE = Fraction(147, 5)
"""MPII Cooking 2's 29.4 frames per second, for a video of one frame that states no rate."""

TRIAL_FRAMES = 48
"""Frames that are decoded to see whether they come in the order of their stamps: several groups of B-frames."""


class FrameIndex(msgspec.Struct, frozen=True):
    """The frames of a video in presentation order, numbered from 1.

    Attributes:
        frames: how many there are.
        rate: frames per second, a fraction such as ``147/5``; of a variable rate the mean.
        stamps: the presentation time stamp of each, ascending; empty when frames cannot be told by them.
        key_frames: numbers of the frames that decoding can start at, ascending.
        tick_s: seconds that a stamp of 1 stands for, a fraction.
    """

    frames: int
    rate: str
    stamps: tuple[int, ...] = ()
    key_frames: tuple[int, ...] = ()
    tick_s: str = "1"

    def key_frame_before(self, frame: int) -> int:
        """The last frame, ``frame`` itself included, that decoding can start at to reach it; 1 when none is known."""
        return self.key_frames[bisect_right(self.key_frames, frame) - 1] if self.key_frames else 1


def read_frame_index(path: Path) -> FrameIndex:
    """Numbers the frames of a video by the time stamps of all its packets; only the first few frames are decoded.

    Packets that an edit list takes out are no frames, nor is a last one that the end of the file cuts short. Stamps
    count if every frame has one of its own, and the first frames come in their order (those of reordered H.264 in AVI
    do not); else there is no way but counting from the first frame.

    Raises:
        SampleError: the file is no video that can be opened.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError("it has no video stream")
            stream = container.streams.video[0]
            shown = [p for p in container.demux(stream) if p.size and not p.is_discard and not p.is_corrupt]
            stamps = sorted(packet.pts for packet in shown if packet.pts is not None)
            if not shown:
                raise ValueError("it has no frames")
            if len(set(stamps)) < len(shown) or not _come_in_order(path, stamps):
                rate = stream.average_rate or stream.guessed_rate or FALLBACK_RATE
                return FrameIndex(frames=len(shown), rate=str(Fraction(rate)))
            numbers = {stamp: number for number, stamp in enumerate(stamps, start=1)}
            key_stamps = [packet.pts for packet in shown if packet.is_keyframe and packet.pts is not None]
            key_frames = sorted({1} | {numbers[stamp] for stamp in key_stamps})
            return FrameIndex(
                frames=len(stamps),
                rate=str(_rate(stamps, stream)),
                stamps=tuple(stamps),
                key_frames=tuple(key_frames),
                tick_s=str(stream.time_base),
            )
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise cannot_open(path, error) from error


def cannot_open(path: Path, error: Exception) -> SampleError:
    """The error of a file that is no video, or one that is not there."""
    return SampleError(
        f"The video cannot be opened: {error}",
        where=path,
        expected="a video file that FFmpeg reads",
        next_step="copy the file again from where it came, then run: fmn-data retry",
    )


def _come_in_order(path: Path, stamps: Sequence[int]) -> bool:
    with av.open(str(path)) as container, suppress(av.error.FFmpegError):  # damage shows when it is in a clip's way
        for frame, stamp in zip(islice(container.decode(video=0), TRIAL_FRAMES), stamps, strict=False):
            if frame.pts != stamp:
                return False
    return True


def _rate(stamps: Sequence[int], stream: Any) -> Fraction:
    """Frames per second: what the container states if the stamps bear it out, else what they say on average."""
    tick_s = Fraction(stream.time_base)
    stated = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    if len(stamps) < 2:
        return stated[0] if stated else FALLBACK_RATE
    steps = {following - stamp for stamp, following in pairwise(stamps)}
    if len(steps) == 1:
        return 1 / (steps.pop() * tick_s)
    for rate in stated:
        # A container that counts in milliseconds rounds each stamp, by less than one tick up or down.
        if all(abs((stamp - stamps[0]) * tick_s - place / rate) <= tick_s for place, stamp in enumerate(stamps)):
            return rate
    return ((len(stamps) - 1) / ((stamps[-1] - stamps[0]) * tick_s)).limit_denominator(1001)
