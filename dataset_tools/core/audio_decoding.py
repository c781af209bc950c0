"""Audio decoding: samples of a sound file, or of the first sound stream of a video, as FFmpeg decodes them (PyAV)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError
from dataset_tools.core.media_formats import ANY_METADATA

Samples = NDArray[np.float64]

LONGEST_S = 600.0
"""What is decoded at most, of a sound of few channels and an ordinary rate; nothing longer is a spoken sentence."""
MOST_VALUES = 2**24
"""Samples times channels that are decoded at most, 128 MiB: 174 s at 48 kHz in stereo."""
SAMPLE_RATES_HZ = (4_000, 192_000)
MOST_CHANNELS = 8

_OTHER_FILES = {"concat", "dash", "hls", "imf", "sdp"}  # formats that are lists of other files
_STATES_LENGTH = {"aiff", "flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "w64"}  # others: only estimated
_TOLERANCE_S = 0.05  # lossy codecs pad
_UNKNOWN_BYTES = 10**9  # whoever writes to a pipe does not know the size, and states 0, 2 GB or 4 GiB
_CANCELLED = 0.01  # power of the mean over that of the loudest channel; n independent channels have 1 / n


@dataclass(frozen=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: [n, channels], full scale is ±1.
        sample_rate_hz: of the samples.
        missing_s: how much more the file says that it has: it was cut off, or that part is damaged.
    """

    samples: Samples
    sample_rate_hz: int
    missing_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    @property
    def cancelled(self) -> bool:
        """Whether the channels cancel each other: one of them is wired in opposite phase."""
        if self.samples.shape[1] == 1:
            return False
        mean = self.samples.mean(axis=1)
        return bool(mean.var() < _CANCELLED * self.samples.var(axis=0).max())

    def mono(self) -> Samples:
        """The mean of the channels, [n]; the loudest one where they cancel each other."""
        if self.cancelled:
            return np.ascontiguousarray(self.samples[:, int(self.samples.var(axis=0).argmax())])
        mean: Samples = self.samples.mean(axis=1)
        return mean


def decode(path: Path, *, longest_s: float = LONGEST_S) -> Sound:
    """Decodes a sound file, or the first sound stream of a video: whatever FFmpeg reads.

    Integers become multiples of 2^-7, 2^-15 or 2^-31. Floating-point PCM keeps its values, NaN and over-full-scale
    ones included, so that they can be found. No more than the limits above is ever held, whatever the file claims.

    Args:
        path: the file.
        longest_s: what is decoded at most.

    Raises:
        SampleError: the file has no sound, it cannot be decoded, or it is beyond the limits.
    """
    import av

    decoded = _Decoded(path, longest_s)
    try:
        # Absolute, or "concat:…" would be a protocol. Probing decodes, too: its frames are bounded as well.
        options = {"protocol_whitelist": "file", "max_samples": str(MOST_VALUES // MOST_CHANNELS)}
        with av.open(str(path.absolute()), options=options, **ANY_METADATA) as container:
            if container.format.name in _OTHER_FILES:
                raise _undecodable(path, f"is a list of other files ({container.format.name})")
            if not container.streams.audio:
                raise _undecodable(path, "has no sound")
            stream = container.streams.audio[0]
            promised_s = _promised_s(container, stream)
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError as error:  # as ffmpeg does: what is damaged is left out
                    decoded.damage(error, float((packet.duration or 0) * (packet.time_base or 0)))
                    continue
                for frame in frames:
                    decoded.add(frame)
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _undecodable(path, f"cannot be decoded: {reason}") from error
    return decoded.sound(promised_s)


class _Decoded:
    """The frames of one stream, held to the limits."""

    def __init__(self, path: Path, longest_s: float) -> None:
        self._path = path
        self._longest_s = longest_s
        self._blocks: list[NDArray[Any]] = []
        self._rate_hz = self._channels = self._length = 0
        self._damage: Exception | None = None
        self._damaged_s = 0.0

    def damage(self, error: Exception, duration_s: float) -> None:
        """Notes a packet that cannot be decoded."""
        self._damage = error
        self._damaged_s += duration_s

    def add(self, frame: Any) -> None:
        """Adds an av.AudioFrame.

        Raises:
            SampleError: it, or the sound with it, is beyond the limits.
        """
        rate_hz, channels = frame.sample_rate, frame.layout.nb_channels
        if not self._blocks:
            self._rate_hz, self._channels = rate_hz, channels
            self._refuse_unlikely()
        if (rate_hz, channels) != (self._rate_hz, self._channels):
            raise _undecodable(self._path, "changes its sample rate or its channels midway")
        self._length += frame.samples
        longest = min(self._longest_s * rate_hz, MOST_VALUES / channels)
        if self._length > longest:
            raise SampleError(
                f"The sound is too long: more than {longest / rate_hz:.0f} s",
                where=self._path,
                expected=f"at most {longest / rate_hz:.0f} s at {rate_hz} Hz and {channels} channels",
                next_step="cut it into sentences, a file each",
            )
        block = frame.to_ndarray()
        self._blocks.append(block.T if frame.format.is_planar else block.reshape(-1, channels))

    def _refuse_unlikely(self) -> None:
        lowest, highest = SAMPLE_RATES_HZ
        if lowest <= self._rate_hz <= highest and 1 <= self._channels <= MOST_CHANNELS:
            return
        raise SampleError(
            f"The file says that it has {self._channels} channels at {self._rate_hz} Hz",
            where=self._path,
            expected=f"1 to {MOST_CHANNELS} channels at {lowest} to {highest} Hz",
            next_step="export it again, as mono at 48,000 Hz",
        )

    def sound(self, promised_s: float) -> Sound:
        """All of it.

        Raises:
            SampleError: there is nothing.
        """
        if not self._length:
            if self._damage is not None:
                raise _undecodable(self._path, "cannot be decoded: all of it is damaged") from self._damage
            raise SampleError("The file has no sound in it", where=self._path, next_step="record it again")
        samples = np.concatenate(self._blocks, axis=0, dtype=np.float64)
        kind = self._blocks[0].dtype
        if kind == np.uint8:
            samples -= 128
        if kind.kind != "f":
            samples /= 2.0 ** (8 * kind.itemsize - 1)
        duration_s = self._length / self._rate_hz
        lacking_s = promised_s - duration_s if promised_s - duration_s > _TOLERANCE_S else 0.0
        missing_s = max(lacking_s, self._damaged_s, duration_s * _missing_of_wav(self._path))
        return Sound(samples, self._rate_hz, missing_s)


def _promised_s(container: Any, stream: Any) -> float:
    """How long the file says that the sound is; 0 where it does not."""
    if container.format.name not in _STATES_LENGTH:
        return 0.0
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _missing_of_wav(path: Path) -> float:
    """What a wav's header promises beyond what there is, as a multiple of what there is; 0 of other files."""
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return 0.0
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            there_is = there - file.tell()
            if name == b"data":
                return max(0, size - there_is) / there_is if there_is > 0 and size < _UNKNOWN_BYTES else 0.0
            file.seek(size + size % 2, 1)
    return 0.0


def _undecodable(path: Path, found: str) -> SampleError:
    return SampleError(
        f"The file {found}",
        where=path,
        expected="a sound file that ffmpeg reads, such as wav, flac, mp3, m4a, ogg or webm",
        next_step="play it once to see whether it is whole, and export it again",
    )
