"""Frame index of a video: packet and time of each frame, without trusting frame count and rate of the header.

Frame n is the n-th frame that a decoder outputs. If every packet is one frame with a timestamp of its own, the packets
suffice; otherwise the whole video is decoded once. Times are those of the timestamps; see `FrameIndex`.
"""

from __future__ import annotations

import shlex
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from statistics import median_low
from typing import Any, Literal

import av
import av.error
import msgspec

from dataset_tools.core.dynamic_range import is_hdr
from dataset_tools.core.media_formats import audio_place, video_stream
from dataset_tools.core.orientation import Matrix, display_matrix, is_mirrored
from dataset_tools.video.video_file import cannot_open, decoded_pictures, open_video

FALLBACK_RATE = Fraction(147, 5)
"""MPII Cooking 2's 29.4 frames per second, for a video of one frame that states no rate."""

TRIAL_FRAMES = 48
"""Number of frames decoded to check that they come in the order of their timestamps: several groups of B-frames."""

# fmt: off
ONE_PICTURE_A_PACKET = frozenset({
    "av1", "dnxhd", "dvvideo", "ffv1", "gif", "h263", "h264", "hevc", "huffyuv", "mjpeg", "mpeg1video", "mpeg2video",
    "mpeg4", "msmpeg4v2", "msmpeg4v3", "png", "prores", "qtrle", "rawvideo", "vp9", "wmv1", "wmv2", "wmv3",
})
# fmt: on
"""Codecs with one frame per packet, barring signs to the contrary. Others are decoded (VP8 has hidden frames)."""

RATE_OF_FFMPEG = frozenset({"av1", "h263", "m4v", "mjpeg", "obu", "vc1"})
"""Raw streams, by FFmpeg's names of formats: they have no timestamps, and FFmpeg makes up 25 frames per second."""

PROGRAM_STREAMS = frozenset({".mpeg", ".mpg", ".vob"})
"""The usual suffixes of MPEG program streams."""

NOT_CODED_BYTES = 16
"""An MPEG-4 packet up to this size may be 'not coded': the previous frame stays, and decoders output none."""

LEAD_S = Fraction(1, 10)
"""Sound and picture begin together if the first frame is at most this much later: less is the delay of a codec."""

Clock = Literal["pts", "dts"]


class FrameIndex(msgspec.Struct, frozen=True):
    """The frames of a video in display order, numbered from 1, and their times.

    A frame is shown from its timestamp until the next one's. Frames without a timestamp, or with that of the frame
    before, are spaced evenly between the nearest ones that have one (at either end: at the mean step). If timestamps go
    backward, or there are none, the video has no times.

    Attributes:
        frames: number of frames.
        rate: frames per second, a fraction such as ``147/5``: the mean if the rate is variable; the header's if the
            video has no times.
        stamps: display time of each frame, in ticks, ascending; empty if the video has no times.
        key_frames: numbers of the frames at which decoding can start, ascending.
        tick_s: duration of a tick in seconds, a fraction.
        estimated: numbers of the frames without a timestamp of their own, ascending.
        clock: which timestamps these are. AVI has no presentation timestamps, only guesses; the decoding timestamp of
            the packet that made the decoder output a frame is correct up to a constant.
        decoded: whether the whole video was decoded to build the index.
        no_times: why the video has no times, or an empty string.
        mirrored: whether a player shows it mirrored.
        orientation: display matrix of the frames that state none, if others do, as in H.264 that states it once.
        hdr: whether it has a high dynamic range.
        lead_s: how long, in seconds, a fraction, a player shows no frame yet: its sound begins before, or its first
            packets cannot be decoded. 0 if not more than `LEAD_S`, or if the clock is ``dts``: its constant is unknown.
        audio_place: see `dataset_tools.core.media_formats.audio_place`.
    """

    frames: int
    rate: str
    stamps: tuple[int, ...] = ()
    key_frames: tuple[int, ...] = ()
    tick_s: str = "1"
    estimated: tuple[int, ...] = ()
    clock: Clock = "pts"
    decoded: bool = False
    no_times: str = ""
    mirrored: bool = False
    orientation: Matrix | None = None
    hdr: bool = False
    lead_s: str = "0"
    audio_place: int = 0

    def key_frame_before(self, frame: int) -> int:
        """The last frame up to and including ``frame`` at which decoding can start; 1 if none is known."""
        return self.key_frames[bisect_right(self.key_frames, frame) - 1] if self.key_frames else 1

    @property
    def duration_s(self) -> Fraction:
        """Seconds until the last frame was shown for the duration of a frame; the video must have times."""
        return self.appears_s(self.frames) + 1 / Fraction(self.rate)

    def appears_s(self, frame: int) -> Fraction:
        """Seconds from the first frame until ``frame`` is shown; the video must have times."""
        return (self.stamps[frame - 1] - self.stamps[0]) * Fraction(self.tick_s)

    def times_s(self, start_frame: int, end_frame: int) -> list[Fraction]:
        """Seconds from ``start_frame`` until each frame to ``end_frame`` is shown, then until the end of ``end_frame``.

        Raises:
            ValueError: the video has no times.
        """
        if not self.stamps:
            raise ValueError(self.no_times)
        tick_s = Fraction(self.tick_s)
        first, *_ = stamps = self.stamps[start_frame - 1 : end_frame + 1]
        times = [(stamp - first) * tick_s for stamp in stamps]
        return times if end_frame < self.frames else [*times, times[-1] + 1 / Fraction(self.rate)]


def copy_with_times(path: Path, index: FrameIndex) -> str:
    """The ffmpeg command that makes a copy with increasing timestamps of a video that has no times."""
    name, encoded = shlex.quote(path.name), "-c:v libx264 -crf 12 copy.mkv"
    if "backward" not in index.no_times:
        return f"ffmpeg -r RATE -i {name} {encoded}"
    if path.suffix.lower() in PROGRAM_STREAMS:  # some of their packets have no timestamp, so they cannot be copied
        return f"ffmpeg -i {name} {encoded}"
    # By default, ffmpeg may turn a jump back by less than ten seconds into a gap of that length.
    return f"ffmpeg -dts_delta_threshold 1 -i {name} -c copy copy.mkv"


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    key_frame: bool
    size: int
    damaged: bool


def read_frame_index(path: Path) -> FrameIndex:
    """Builds the frame index of a video, from its packets if they suffice, else by decoding all of it.

    Packets that an edit list discards do not count as frames, nor does a last one that is truncated.

    Raises:
        SampleError: the file cannot be opened as a video.
    """
    try:
        with closing(open_video(path)) as container:
            stream = video_stream(container)
            packets = [
                _Packet(packet.pts, packet.is_keyframe, packet.size, packet.is_corrupt)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            if packets and packets[-1].damaged:
                packets.pop()
            index = _from_packets(path, container, stream, packets) or _from_pictures(path)
            index = msgspec.structs.replace(index, audio_place=audio_place(container))
    except (av.error.FFmpegError, OSError) as error:
        raise cannot_open(path, error) from error
    if not index.frames:
        raise cannot_open(path, "it has no frames")
    return index


def _from_packets(path: Path, container: Any, stream: Any, packets: Sequence[_Packet]) -> FrameIndex | None:
    """The index if every packet certainly is one frame, shown at the packet's timestamp; else None.

    In AVI, where presentation timestamps are guesses, they are trusted only if they are evenly spaced.
    """
    codec = stream.codec_context.name
    stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
    if (
        codec not in ONE_PICTURE_A_PACKET
        or container.format.name in RATE_OF_FFMPEG
        or not stamps
        or len(set(stamps)) < len(packets)
        or any(packet.damaged for packet in packets)
        or (codec == "mpeg4" and any(packet.size <= NOT_CODED_BYTES for packet in packets))
        or (container.format.name == "avi" and (codec in ("h264", "hevc") or len(_steps(stamps)) > 1))
        or _may_be_fields(codec, stamps)
    ):
        return None
    matrices: list[Matrix | None] = []
    hdr = False
    with closing(open_video(path)) as trial, suppress(av.error.FFmpegError):  # damage is reported if a clip contains it
        for place, (frame, damaged) in enumerate(islice(decoded_pictures(trial), TRIAL_FRAMES)):
            if damaged:
                break
            if place == len(stamps) or frame.pts != stamps[place]:
                return None
            matrices.append(display_matrix(frame))
            hdr = hdr or is_hdr(frame)
    numbers = {stamp: number for number, stamp in enumerate(stamps, start=1)}
    keys = {numbers[packet.pts] for packet in packets if packet.key_frame and packet.pts is not None}
    return FrameIndex(
        frames=len(stamps),
        rate=str(_rate(stamps, stream)),
        stamps=tuple(stamps),
        key_frames=_seekable(container, keys),
        tick_s=str(stream.time_base),
        mirrored=any(map(is_mirrored, matrices)),
        orientation=_orientation(matrices),
        hdr=hdr,
        lead_s=_lead_s(container, stream, stamps[0]),
    )


def _may_be_fields(codec: str, stamps: Sequence[int]) -> bool:
    """Whether some packets may be single fields: interlaced codecs can switch to two packets per frame anywhere.

    The trial has shown that its packets are whole frames.
    """
    steps = [following - stamp for stamp, following in pairwise(stamps)]
    interlaced = codec in ("h264", "hevc", "mpeg2video", "wmv3")
    return interlaced and bool(steps) and min(steps) < 0.6 * median_low(steps[:TRIAL_FRAMES])


def _from_pictures(path: Path) -> FrameIndex:
    """Builds the index by decoding everything: slow, but correct whatever the packets are."""
    pictures: list[tuple[int | None, int | None, bool]] = []
    matrices: list[Matrix | None] = []
    hdr = False
    with closing(open_video(path)) as container:
        stream = video_stream(container)
        with suppress(av.error.FFmpegError):  # truncated: the frames before are there
            for frame, _ in decoded_pictures(container):
                pictures.append((frame.pts, frame.dts, frame.key_frame))
                matrices.append(display_matrix(frame))
                hdr = hdr or is_hdr(frame)
        timed = () if container.format.name in RATE_OF_FFMPEG else pictures
        by_clock: dict[Clock, list[int | None]] = {
            "pts": [pts for pts, _, _ in timed],
            "dts": [dts for _, dts, _ in timed],
        }
        preferred: tuple[Clock, ...] = ("dts", "pts") if container.format.name == "avi" else ("pts", "dts")
        known = {clock: found for clock in preferred if (found := _in_order(by_clock[clock])) is not None}
        stated = stream.guessed_rate or stream.average_rate or FALLBACK_RATE
        index = FrameIndex(
            len(pictures),
            str(Fraction(stated)),
            decoded=True,
            mirrored=any(map(is_mirrored, matrices)),
            orientation=_orientation(matrices),
            hdr=hdr,
        )
        if not known:
            stamped = any(stamp is not None for stamps in by_clock.values() for stamp in stamps)
            reason = "its timestamps go backward" if stamped else "it has no timestamps"
            return msgspec.structs.replace(index, no_times=reason)
        clock = next(iter(known))
        estimated = tuple(number for number, stamp in enumerate(known[clock], start=1) if stamp is None)
        stamps = _filled(known[clock])
        keys = {number for number, picture in enumerate(pictures, start=1) if picture[2]}
        return msgspec.structs.replace(
            index,
            rate=str(_rate(stamps, stream)),
            stamps=tuple(stamps),
            key_frames=_seekable(container, keys.difference(estimated)),
            tick_s=str(stream.time_base),
            estimated=estimated,
            clock=clock,
            lead_s=_lead_s(container, stream, stamps[0]) if clock == "pts" else "0",
        )


def _orientation(matrices: Sequence[Matrix | None]) -> Matrix | None:
    """See `FrameIndex.orientation`."""
    stated = (matrix for matrix in matrices if matrix is not None)
    return next(stated, None) if None in matrices else None


def _lead_s(container: Any, stream: Any, first_stamp: int) -> str:
    """See `FrameIndex.lead_s`."""
    starts_s = [
        one.start_time * Fraction(one.time_base)
        for one in (stream, *container.streams.audio[audio_place(container) :][:1])
        if one.start_time is not None
    ]
    lead_s = first_stamp * Fraction(stream.time_base) - min(starts_s, default=Fraction(0))
    return str(lead_s) if starts_s and lead_s > LEAD_S else "0"


def _seekable(container: Any, key_frames: set[int]) -> tuple[int, ...]:
    """The key frames to seek; none in a program stream, whose missing timestamps depend on where reading began."""
    return () if container.format.name == "mpeg" else tuple(sorted({1} | key_frames))


def _in_order(stamps: Sequence[int | None]) -> list[int | None] | None:
    """The timestamps, with None for repeated ones; None if one goes backward, or fewer than two are left."""
    last: int | None = None
    kept: list[int | None] = []
    for stamp in stamps:
        if stamp is not None and last is not None and stamp < last:
            return None
        kept.append(None if stamp == last else stamp)
        last = last if stamp is None else stamp
    known = sum(stamp is not None for stamp in kept)
    return kept if known >= min(2, max(1, len(stamps))) else None


def _filled(stamps: Sequence[int | None]) -> list[int]:
    """The timestamps, with missing ones interpolated, and extrapolated at the mean step at either end."""
    known = [(place, stamp) for place, stamp in enumerate(stamps) if stamp is not None]
    (first, first_stamp), (last, last_stamp) = known[0], known[-1]
    step = Fraction(last_stamp - first_stamp, last - first) if last > first else Fraction(1)
    filled = [round(first_stamp - (first - place) * step) for place in range(first)]
    for (place, stamp), (following, next_stamp) in pairwise(known):
        between = Fraction(next_stamp - stamp, following - place)
        filled += [stamp + round(between * offset) for offset in range(following - place)]
    return filled + [round(last_stamp + (place - last) * step) for place in range(last, len(stamps))]


def _rate(stamps: Sequence[int], stream: Any) -> Fraction:
    """Frames per second: the rate in the container if the timestamps confirm it, else their mean rate."""
    tick_s = Fraction(stream.time_base)
    stated = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate) if rate]
    if len(stamps) < 2:
        return stated[0] if stated else FALLBACK_RATE
    steps = _steps(stamps)
    if len(steps) == 1:
        return 1 / (steps.pop() * tick_s)
    for rate in stated:
        # A container with a resolution of milliseconds rounds each timestamp, by less than one tick up or down.
        if all(abs((stamp - stamps[0]) * tick_s - place / rate) <= tick_s for place, stamp in enumerate(stamps)):
            return rate
    return simple_rate((len(stamps) - 1) / ((stamps[-1] - stamps[0]) * tick_s))


def simple_rate(rate: Fraction) -> Fraction:
    """A rate (per second, above 0) as a fraction of small integers; never 0, even for one frame per hour."""
    return rate.limit_denominator(1001) if rate > 1 else 1 / (1 / rate).limit_denominator(1001)


def _steps(stamps: Sequence[int]) -> set[int]:
    return {following - stamp for stamp, following in pairwise(stamps)}
