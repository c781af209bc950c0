"""Sound in and out: any recording to samples, samples to 16 kHz, a segment to a wav. By pydub, over ffmpeg."""

from __future__ import annotations

import warnings
import wave
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.core.errors import InputError, SampleError
from dataset_tools.core.files import written_whole
from dataset_tools.speech.loudness import Samples

SAMPLE_RATE_HZ = 16000
_WAVE = (".wav", ".wave")
_UNKNOWN_BYTES = 2**31 - 2**16


@dataclass(frozen=True)
class Sound:
    """Decoded sound.

    Attributes:
        samples: [n, channels], full scale is ±1.
        sample_rate_hz: of the samples.
        missing_s: how much more the file says that it has: it was cut off.
    """

    samples: Samples
    sample_rate_hz: int
    missing_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz

    def mono(self) -> Samples:
        """The mean of the channels, [n]."""
        mean: Samples = self.samples.mean(axis=1)
        return mean


def decode(path: Path) -> Sound:
    """Decodes a sound file, or the first sound stream of a video: whatever ffmpeg reads.

    Floating-point wav keeps its values, NaN and over-full-scale ones included, so that they can be found.

    Raises:
        SampleError: the file has no sound, or it cannot be decoded.
    """
    codec = _codec(path)
    if codec.startswith("pcm_f"):
        import soundfile

        samples, sample_rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
        return _refuse_empty(Sound(samples, sample_rate_hz), path)
    segment_type = _audio_segment()
    try:
        # pydub asks ffprobe for the codec unless it is given; the ffmpeg that is installed comes without ffprobe.
        if codec.startswith("pcm_") and path.suffix.lower() in _WAVE:
            with path.open("rb") as file:  # pydub reads these itself, and leaves a file that it opens open
                segment = segment_type.from_file(file, format="wav", codec=codec)
        else:
            segment = segment_type.from_file(str(path), codec=codec)
    except Exception as error:  # pydub raises CouldntDecodeError, and IndexError or struct.error on broken headers
        raise SampleError(
            f"The file cannot be decoded: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=path,
            expected="a sound file that ffmpeg reads",
            next_step="play it once to see whether it is whole, and export it again",
        ) from error
    return replace(_refuse_empty(_sound(segment), path), missing_s=_missing_s(path))


def write_wav(path: Path, segment: Any) -> None:
    """Writes a pydub segment as PCM wav, whole or not at all."""
    with written_whole(path) as partial:
        segment.export(str(partial), format="wav").close()


def ffmpeg_path() -> str:
    """The ffmpeg that came with imageio-ffmpeg, or the system's if that one is missing.

    Raises:
        InputError: there is none.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise InputError(
            "There is no ffmpeg on this machine",
            expected="the one that comes with the package imageio-ffmpeg",
            next_step="pip install --force-reinstall imageio-ffmpeg, or install ffmpeg",
        ) from error


@lru_cache(maxsize=1)
def _audio_segment() -> Any:
    """Pydub's AudioSegment, told where ffmpeg is; its import warns that it has not found one, and of audioop's end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pydub import AudioSegment
    AudioSegment.converter = ffmpeg_path()
    return AudioSegment


def _codec(path: Path) -> str:
    """The codec of the first sound stream as FFmpeg calls it.

    Raises:
        SampleError: there is none, or no such file, or FFmpeg cannot read it.
    """
    if path.suffix.lower() in _WAVE:
        with suppress(wave.Error, EOFError, OSError), wave.open(str(path)) as file:
            return "pcm_u8" if file.getsampwidth() == 1 else f"pcm_s{8 * file.getsampwidth()}le"
    import av

    try:
        with av.open(str(path)) as container:
            return str(container.streams.audio[0].codec_context.name)
    except (av.FFmpegError, IndexError, OSError, ValueError) as error:
        found = "has no sound" if isinstance(error, IndexError) else f"cannot be decoded: {error}"
        raise SampleError(
            f"The file {found}",
            where=path,
            expected="a sound file that ffmpeg reads, such as wav, flac, mp3, m4a, ogg or webm",
            next_step="play it once to see whether it is whole, and export it again",
        ) from error


def _missing_s(path: Path) -> float:
    """Seconds that a PCM wav's header promises and the file does not have; 0 of other files."""
    if path.suffix.lower() not in _WAVE:
        return 0.0
    with suppress(wave.Error, EOFError, OSError), wave.open(str(path)) as file:
        frame_bytes, promised = file.getnchannels() * file.getsampwidth(), file.getnframes()
        if promised * frame_bytes >= _UNKNOWN_BYTES:  # written to a pipe: the length was not known
            return 0.0
        there = len(file.readframes(promised)) // frame_bytes
        return float((promised - there) / file.getframerate())
    return 0.0


def _sound(segment: Any) -> Sound:
    width = segment.sample_width
    whole = len(segment.raw_data) // segment.frame_width * segment.frame_width  # a file that was cut off may end amid
    samples = np.frombuffer(segment.raw_data[:whole], f"<i{width}").astype(np.float64) / (1 << (8 * width - 1))
    return Sound(samples.reshape(-1, segment.channels), segment.frame_rate)


def _refuse_empty(sound: Sound, path: Path) -> Sound:
    if len(sound.samples):
        return sound
    raise SampleError("The file has no sound in it", where=path, next_step="record it again")


def segment_of(samples: Samples) -> Any:
    """A mono 16 kHz segment; samples beyond full scale are clipped."""
    quantized = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2")
    return _audio_segment()(data=quantized.tobytes(), sample_width=2, frame_rate=SAMPLE_RATE_HZ, channels=1)


def resampled(samples: Samples, sample_rate_hz: int) -> Samples:
    """To 16 kHz: the spectrum up to the lower of the two Nyquist frequencies, faded out over its last sixteenth.

    pydub's own resampling has no filter: what 16 kHz cannot hold would come back as other tones.
    """
    if sample_rate_hz == SAMPLE_RATE_HZ:
        return samples
    # Zeros at the end, so that it does not run into the beginning, and to a length that the ratio divides.
    unit = sample_rate_hz // gcd(sample_rate_hz, SAMPLE_RATE_HZ)
    length = -(-(len(samples) + sample_rate_hz // 10) // unit) * unit
    new_length = length * SAMPLE_RATE_HZ // sample_rate_hz
    spectrum = np.fft.rfft(samples, length)[: new_length // 2 + 1]
    spectrum[-(len(spectrum) // 16) :] *= np.cos(np.linspace(0, np.pi / 2, len(spectrum) // 16)) ** 2
    result: Samples = np.fft.irfft(spectrum, new_length) * (new_length / length)
    return result[: -(-len(samples) * SAMPLE_RATE_HZ // sample_rate_hz)]
