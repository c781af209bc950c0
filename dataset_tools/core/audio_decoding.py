"""Audio decoding: samples of an audio file, or of the audio stream of a video, decoded by FFmpeg (PyAV)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import ANY_METADATA, audio_place, filled_packets
from dataset_tools.core.missing_audio import missing_share

Samples = NDArray[np.float64]

LONGEST_S = 600.0
"""Longest audio that is decoded; no spoken sentence is longer. Many channels or a high rate allow less, see below."""
MOST_VALUES = 2**24
"""Largest number of samples times channels that is decoded, 128 MiB: 174 s at 48 kHz in stereo."""
SAMPLE_RATES_HZ = (4_000, 192_000)
MOST_CHANNELS = 8

_OTHER_FILES = {"concat", "dash", "hls", "imf", "sdp"}  # formats that are lists of other files
_TIMED = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}  # a gap in their timestamps is a pause, or lost
_STATES_LENGTH = {*_TIMED, "aiff", "au", "flac", "tta", "w64"}  # the others only estimate it
_FLOAT_CODECS = ("pcm_f", "wavpack")  # of FFmpeg's codecs that can hold floating-point numbers, unchanged
_FULL_SCALE = {"pcm_alaw": 32256 / 2**15, "pcm_mulaw": 32124 / 2**15}  # largest values (ITU-T G.711) as FFmpeg decodes
_LOSSY_FULL_SCALE = 0.95  # finds a sixth to all of the clipped samples of speech, and up to 0.3 % if none is clipped
_TOLERANCE_S = 0.05  # lossy codecs pad
_LONGEST_PAUSE_S = 10.0  # a longer one is a jump of the clock
_CANCELLED = 0.2  # power of the mean relative to that of the mean of independent channels: correlation below -0.8


@dataclass(frozen=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: [n, channels], full scale is ±1.
        sample_rate_hz: of the samples.
        missing_s: further audio that the file declares: it is truncated, or that part is damaged.
        float_pcm: whether these are the own floating-point numbers of the file, not limited to ±1. Lossy codecs
            also decode to values beyond ±1, if what they encoded was clipped.
        full_scale: values from here on may have been beyond full scale: less than 1 for 8 bits, for telephone audio
            (G.711), and after lossy codecs, which turn what was clipped into a ripple.
    """

    samples: Samples
    sample_rate_hz: int
    missing_s: float = 0.0
    float_pcm: bool = False
    full_scale: float = 1.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    @property
    def cancelled(self) -> bool:
        """Whether the channels cancel each other out: one of them has inverted polarity, maybe with other noise."""
        channels = self.samples.shape[1]
        independent = self.samples.var(axis=0).sum() / channels**2
        return channels > 1 and bool(self.samples.mean(axis=1).var() < _CANCELLED * independent)

    def mono(self) -> Samples:
        """Returns the mean of the channels, [n]; the loudest channel if they cancel each other out."""
        if self.cancelled:
            return np.ascontiguousarray(self.samples[:, int(self.samples.var(axis=0).argmax())])
        mean: Samples = self.samples.mean(axis=1)
        return mean


def decode(path: Path, *, longest_s: float = LONGEST_S) -> Sound:
    """Decodes an audio file, or the audio stream of a video that players play, in any format that FFmpeg reads.

    A gap in the timestamps of Matroska, WebM, MP4 and MOV is silent, as in players: the recorder paused, or lost data.
    Integers become multiples of 2^-7, 2^-15 or 2^-31. Floating-point PCM keeps its values, including NaN and values
    beyond full scale, so that they can be detected. The limits above bound memory use, whatever the file declares.

    Args:
        path: the file.
        longest_s: longest audio that is accepted.

    Raises:
        SampleError: the file has no audio, cannot be decoded, or exceeds the limits.
    """
    import av

    decoded = _Decoded(path, longest_s)
    try:
        # Absolute, or "concat:…" would name a protocol. Probing also decodes, hence the bound on the size of frames.
        options = {"protocol_whitelist": "file", "max_samples": str(MOST_VALUES // MOST_CHANNELS)}
        with av.open(str(path.absolute()), options=options, **ANY_METADATA) as container:
            if container.format.name in _OTHER_FILES:
                raise _undecodable(path, f"is a list of other files ({container.format.name})")
            if not container.streams.audio:
                raise _undecodable(path, "has no sound")
            stream = container.streams.audio[audio_place(container)]
            declared_s = _declared_s(container, stream)
            codec = stream.codec_context  # None if FFmpeg does not know it
            decoded.codec = "" if codec is None else codec.name
            decoded.is_timed = container.format.name in _TIMED
            for packet in filled_packets(container, stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError as error:  # skipped, as ffmpeg does
                    decoded.damage(error, float((packet.duration or 0) * (packet.time_base or 0)))
                    continue
                for frame in frames:
                    decoded.add(frame)
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _undecodable(path, f"cannot be decoded: {reason}") from error
    return decoded.sound(declared_s)


class _Decoded:
    """The decoded frames of one stream, checked against the limits."""

    def __init__(self, path: Path, longest_s: float) -> None:
        self._path = path
        self._longest_s = longest_s
        self._blocks: list[NDArray[Any]] = []
        self._rate_hz = self._channels = self._length = 0
        self._silent = self._pause = 0  # samples of silence, and the index of the block with the last ones
        self._damage: Exception | None = None
        self._damaged_s = 0.0
        self._begin_s = self._end_s = 0.0
        self.codec = ""
        self.is_timed = False

    def damage(self, error: Exception, duration_s: float) -> None:
        """Records a packet that cannot be decoded."""
        self._damage = error
        self._damaged_s += duration_s

    def add(self, frame: Any) -> None:
        """Adds an av.AudioFrame.

        Raises:
            SampleError: the frame, or the audio up to its end, exceeds the limits.
        """
        rate_hz, channels = frame.sample_rate, frame.layout.nb_channels
        if not self._blocks:
            self._rate_hz, self._channels = rate_hz, channels
            self._check_plausible()
        if (rate_hz, channels) != (self._rate_hz, self._channels):
            raise _undecodable(self._path, "changes its sample rate or its channels midway")
        block = frame.to_ndarray()
        block = block.T if frame.format.is_planar else block.reshape(-1, channels)
        if self.is_timed and frame.pts is not None:
            begin_s = float(frame.pts * frame.time_base)
            if not self._length:
                self._begin_s = self._end_s = begin_s
            # Since the last frame, and since the first: timestamps that only vary are no gaps.
            ahead_s = begin_s - self._begin_s - self._length / rate_hz
            gap_s = min(begin_s - self._end_s, ahead_s)
            if _TOLERANCE_S < gap_s <= _LONGEST_PAUSE_S:
                silence = 128 if block.dtype == np.uint8 else 0
                pause = np.full((round(gap_s * rate_hz), channels), silence, block.dtype)
                self._append(pause)
                self._silent += len(pause)
                self._pause = len(self._blocks) - 1
            elif ahead_s < 0:
                self._shorten_pause(round(-ahead_s * rate_hz))
            self._end_s = begin_s + frame.samples / rate_hz
        self._append(block)

    def _shorten_pause(self, samples: int) -> None:
        """Takes back silence after which a frame was only stamped late, as the frames after it show."""
        if self._pause and samples <= len(pause := self._blocks[self._pause]):
            if len(pause) - samples <= _TOLERANCE_S * self._rate_hz:
                samples = len(pause)  # what is left is no gap
            self._blocks[self._pause] = pause[samples:]
            self._length -= samples
            self._silent -= samples

    def _append(self, block: NDArray[Any]) -> None:
        """Appends a block [n, channels].

        Raises:
            SampleError: the audio exceeds the limits.
        """
        rate_hz, channels = self._rate_hz, self._channels
        self._length += len(block)
        longest = min(self._longest_s * rate_hz, MOST_VALUES / channels)
        if self._length > longest:
            raise SampleError(
                f"The sound is too long: more than {longest / rate_hz:.0f} s",
                where=self._path,
                expected=f"at most {longest / rate_hz:.0f} s at {rate_hz} Hz and {count_of(channels, 'channel')}",
                next_step="cut it into sentences, one file each",
            )
        self._blocks.append(block)

    def _check_plausible(self) -> None:
        lowest, highest = SAMPLE_RATES_HZ
        if lowest <= self._rate_hz <= highest and 1 <= self._channels <= MOST_CHANNELS:
            return
        raise SampleError(
            f"The file declares {count_of(self._channels, 'channel')} at {self._rate_hz} Hz",
            where=self._path,
            expected=f"1 to {MOST_CHANNELS} channels at {lowest} to {highest} Hz",
            next_step="export it again, as mono at 48,000 Hz",
        )

    def sound(self, declared_s: float) -> Sound:
        """Returns all of the decoded audio.

        Raises:
            SampleError: nothing was decoded.
        """
        if not self._length:
            if self._damage is not None:
                raise _undecodable(self._path, "cannot be decoded: all of it is damaged") from self._damage
            raise SampleError("The file has no sound in it", where=self._path, next_step="record it again")
        with np.errstate(invalid="ignore"):  # a signaling NaN becomes a quiet one
            samples = np.concatenate(self._blocks, axis=0, dtype=np.float64)
        kind = self._blocks[0].dtype
        if kind == np.uint8:
            samples -= 128
        if kind.kind != "f":
            samples /= 2.0 ** (8 * kind.itemsize - 1)
        duration_s = self._length / self._rate_hz
        lacking_s = declared_s - duration_s if declared_s - duration_s > _TOLERANCE_S else 0.0
        lacking_s += self._silent / self._rate_hz
        missing_s = max(lacking_s, self._damaged_s, duration_s * missing_share(self._path))
        float_pcm = self.codec.startswith(_FLOAT_CODECS) and kind.kind == "f"
        full_scale = 1 - 2**-7 if kind == np.uint8 else _FULL_SCALE.get(self.codec, 1.0)
        if kind.kind == "f" and not float_pcm:
            full_scale = _LOSSY_FULL_SCALE
        return Sound(samples, self._rate_hz, missing_s, float_pcm, full_scale)


def _declared_s(container: Any, stream: Any) -> float:
    """Duration of the audio as declared by the file; 0 if it declares none."""
    if container.format.name not in _STATES_LENGTH:
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    if len(container.streams) > 1 or container.duration is None:
        return 0.0
    return float(container.duration - max(0, container.start_time or 0)) / 1e6  # Matroska states the end


def _undecodable(path: Path, found: str) -> SampleError:
    return SampleError(
        f"The file {found}",
        where=path,
        expected="a sound file that ffmpeg reads, such as wav, flac, mp3, m4a, ogg or webm",
        next_step="play it to check that it is complete, and export it again",
    )
