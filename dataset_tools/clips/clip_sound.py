"""Audio of clips (``--keep-audio``): the audio of the source video during a clip, as a wav."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.audio_decoding import MOST_CHANNELS, SAMPLE_RATES_HZ
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import audio_place, filled_packets, video_stream
from dataset_tools.video.frame_index import FrameIndex, copy_with_times
from dataset_tools.video.video_file import open_video

Block = tuple[int, NDArray[np.int16]]
"""Position of the first sample relative to the span, which it may lie outside of, and samples [n, channels]."""

_SEEK_BEFORE_S = 1
_MOST_DELAY_FRAMES = 4  # H.264 of x264 needs 2, XviD 3
_MOST_OUT = 2  # channels: more are downmixed to stereo


def write_clip_sound(
    source: Path,
    index: FrameIndex,
    start_frame: int,
    duration_s: Fraction,
    wav: Path,
    *,
    skipped_s: Fraction = Fraction(0),
) -> bool:
    """Writes the audio that belongs to a clip, as 16-bit PCM at the source's rate, mono or stereo.

    It is as long as the clip; if the video's audio begins later, ends earlier or has a gap, it is padded with silence.

    Args:
        source: the video.
        index: its frames and their times.
        start_frame: the clip's first frame, 1-based.
        duration_s: of the clip.
        wav: the file to write.
        skipped_s: how long the first frame is displayed before the clip begins.

    Returns:
        Whether the video has audio; if not, nothing is written.

    Raises:
        SampleError: the audio cannot be decoded, or the video has no times, so that its place is not known.
    """
    try:
        with closing(open_video(source)) as container:
            if not container.streams.audio:
                return False
            stream = container.streams.audio[audio_place(container)]
            rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
            if not SAMPLE_RATES_HZ[0] <= rate_hz <= SAMPLE_RATES_HZ[1] or not 1 <= channels <= MOST_CHANNELS:
                raise SampleError(
                    f"The video's sound has {count_of(channels, 'channel')} at {rate_hz} Hz",
                    where=source,
                    expected=f"1 to {MOST_CHANNELS} channels at {SAMPLE_RATES_HZ[0]} to {SAMPLE_RATES_HZ[1]} Hz",
                    next_step="build with --no-keep-audio, or use a copy of the video with another audio track",
                )
            if not index.stamps:
                raise SampleError(
                    f"The sound of the clip cannot be located in the video: {index.no_times}",
                    where=source,
                    expected="a video whose frames have increasing timestamps",
                    next_step="build with --no-keep-audio, or use a copy of the video that has timestamps: "
                    + copy_with_times(source, index),
                )
            shown = index.stamps[start_frame - 1] - _decoder_delay(container, index)
            start_s = shown * Fraction(index.tick_s) + skipped_s
            samples = round(duration_s * rate_hz)
            _write(wav, _samples(source, start_s, samples), samples, rate_hz, min(channels, _MOST_OUT))
    except (av.error.FFmpegError, OSError) as error:
        raise SampleError(
            f"The video's sound cannot be decoded: {error}", where=source, next_step="build with --no-keep-audio"
        ) from error
    return True


def _decoder_delay(container: Any, index: FrameIndex) -> int:
    """Ticks by which the stamps of an AVI are late: with B-frames, the decoder outputs a frame some packets later.

    AVI has no presentation timestamps. FFmpeg writes the first packet at the time at which its frame is to be shown.
    More than a few ticks are no delay, but a gap after the first frame, or frames that cannot be decoded.
    """
    stream = video_stream(container)
    if container.format.name != "avi" or not stream.codec_context.has_b_frames:
        return 0
    packets = filled_packets(container, stream)
    first = next((packet.dts for packet in packets if packet.is_keyframe and packet.dts is not None), index.stamps[0])
    delay = index.stamps[0] - int(first)
    return delay if 0 < delay <= _MOST_DELAY_FRAMES else 0


def _samples(source: Path, start_s: Fraction, samples: int) -> Iterator[Block]:
    """Blocks of the span, starting at or before its beginning if the audio does.

    A seek may fail or end past the span, as in FLV without a list of key frames: then the file is read from the start.
    """
    for seek in (start_s > _SEEK_BEFORE_S, False):
        with closing(open_video(source)) as container:
            blocks = _placed(container, start_s, samples, seek=seek)
            first = next(blocks, None)
            if not seek or (first is not None and first[0] <= 0):
                yield from (one for one in chain([first], blocks) if one is not None)
                return


def _placed(container: Any, start_s: Fraction, samples: int, *, seek: bool) -> Iterator[Block]:
    """Blocks up to the end of the span; none if no timestamp shows where a seek ended."""
    stream = container.streams.audio[audio_place(container)]
    rate_hz = stream.codec_context.sample_rate
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    if seek:
        try:
            container.seek(int((start_s - _SEEK_BEFORE_S) * av.time_base), backward=True, any_frame=False)
        except av.error.FFmpegError:
            return
    resamplers: dict[tuple[str, str, int], Any] = {}  # a broadcast may change channels or rate midway
    place: int | None = None
    for packet in filled_packets(container, stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            continue  # damaged parts are silent
        for frame in frames:
            if frame.pts is not None:
                stamped = round((frame.pts * Fraction(frame.time_base) - start_s) * rate_hz)
                if place is None or abs(stamped - place) > rate_hz // 50:  # a gap; less is rounding of timestamps
                    place = stamped
            if place is None and seek:
                return
            if place is None:
                place = -round(start_s * rate_hz)
            if place >= samples:
                return
            kind = (frame.format.name, frame.layout.name, frame.sample_rate)
            if kind not in resamplers:
                resamplers[kind] = av.AudioResampler(format="s16", layout=layout, rate=rate_hz)
            for converted in resamplers[kind].resample(frame):
                block = converted.to_ndarray().astype(np.int16).reshape(-1, 1 if layout == "mono" else 2)
                yield place, block
                place += len(block)


def _write(wav: Path, blocks: Iterator[Block], samples: int, rate_hz: int, channels: int) -> None:
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        written = 0
        for place, block in blocks:
            begin, end = max(place, written), min(place + len(block), samples)
            if end > begin:
                _write_silence(file, begin - written, channels)
                file.writeframesraw(np.ascontiguousarray(block[begin - place : end - place]).astype("<i2").tobytes())
                written = end
        _write_silence(file, samples - written, channels)


def _write_silence(file: wave.Wave_write, samples: int, channels: int) -> None:
    second = file.getframerate()
    for _ in range(0, samples, second):
        file.writeframesraw(bytes(2 * channels * min(second, samples)))
        samples -= second
