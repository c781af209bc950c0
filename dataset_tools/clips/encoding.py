"""Clip encoding: H.264 in mp4, constant frame rate, starting at time 0, byte-for-byte reproducible.

The encoder is the ffmpeg binary of imageio-ffmpeg, run through ffmpeg-python. libx264's output depends on the number of
threads and on CPU features, so it gets one thread and ``cpu-independent``; its version is part of a clip's key. The key
is written to the file, so that the file identifies what it was made from even without a ledger.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import av.error
import ffmpeg
import imageio_ffmpeg
import msgspec

from dataset_tools.core.errors import SampleError, StoppedError
from dataset_tools.core.files import written_whole
from dataset_tools.video.decoding import Picture

ENCODER_OPTIONS = {
    "vcodec": "libx264",
    "preset": "veryfast",
    "crf": 20,
    "bf": 0,  # timestamps follow the order of frames, from 0, without an edit list
    "g": 30,  # about one key frame per second: people scrub through clips
    "pix_fmt": "yuv420p",
    "x264-params": "threads=1:cpu-independent=1",
    "movflags": "+faststart",
    "fflags": "+bitexact",
    "flags:v": "+bitexact",
    "map_metadata": -1,
}

PIPE_BYTES = 1 << 20
"""Largest pipe buffer that Linux allows without privileges."""


SOUND_OPTIONS = {
    "acodec": "flac",
    "lpc_type": "fixed",  # integers only: the same bytes on every CPU
    "flags:a": "+bitexact",
}


class Encoded(msgspec.Struct, frozen=True, omit_defaults=True):
    """A clip that was written: frames per second, number of frames, frame size in pixels, whether it has audio."""

    fps: float
    frames: int
    width: int
    height: int
    sound: bool = False


@functools.cache
def encoder_version() -> str:
    """First line of the encoder's version output: ``ffmpeg version n9.0.2``.

    Raises:
        StoppedError: ffmpeg cannot be run, or has no encoder for H.264.
    """
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
        version_text, encoders = (
            subprocess.run([program, option], capture_output=True, text=True, check=True).stdout
            for option in ("-version", "-encoders")
        )
    except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
        raise StoppedError(
            f"ffmpeg cannot be run: {error}",
            where="imageio-ffmpeg",
            expected="the ffmpeg of the package imageio-ffmpeg",
            next_step="install it again: pip install --force-reinstall imageio-ffmpeg",
        ) from error
    if " libx264 " not in encoders:  # as in builds without GPL, of Fedora or conda, that IMAGEIO_FFMPEG_EXE names
        raise StoppedError(
            "This ffmpeg cannot encode H.264: it was built without libx264",
            where=program,
            expected="the ffmpeg of the package imageio-ffmpeg, or another one with libx264",
            next_step="unset IMAGEIO_FFMPEG_EXE, or run: pip install --force-reinstall imageio-ffmpeg",
        )
    return version_text.splitlines()[0].split(" Copyright")[0]


def encode(pictures: Iterable[Picture], rate: Fraction, path: Path, key: str, *, sound: Path | None = None) -> Encoded:
    """Encodes frames, all of one size, as a clip of ``rate`` frames per second; it appears only when complete.

    Args:
        pictures: the frames, at least one.
        rate: frames per second.
        path: the mp4 to write.
        key: identifies what the clip is made from; it is written to the file.
        sound: a wav as long as the clip, added as its audio; None: the clip is silent.

    Raises:
        SampleError: the source of the frames raised it, there are no frames, or the encoder failed.
        StoppedError: the disk is full.
    """
    source = iter(pictures)
    first = next(source, None)
    if first is None:
        raise SampleError("There is no frame to encode", where=path, expected="at least one frame")
    with written_whole(path) as partial:
        size = f"{first.width}x{first.height}"
        streams = [ffmpeg.input("pipe:", format="rawvideo", pix_fmt="yuv420p", s=size, framerate=str(rate))]
        options = {**ENCODER_OPTIONS, "metadata": f"comment={key}"}
        if sound is not None:
            streams.append(ffmpeg.input(str(sound), format="wav"))
            options |= SOUND_OPTIONS
        process = (
            ffmpeg.output(*streams, str(partial), **options)
            .global_args("-loglevel", "error")
            .overwrite_output()
            .run_async(cmd=imageio_ffmpeg.get_ffmpeg_exe(), pipe_stdin=True, pipe_stderr=True)
        )
        _enlarge(process.stdin)
        frames = 1
        try:
            process.stdin.write(first.yuv420p)
            for picture in source:
                process.stdin.write(picture.yuv420p)
                frames += 1
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg ended early; its error output is read below
        except BaseException:
            process.kill()
            raise
        finally:
            stderr_text = process.stderr.read().decode(errors="replace").strip()
            process.stderr.close()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        if process.returncode != 0:
            raise _encoder_error(stderr_text, path)
    return Encoded(float(rate), frames, first.width, first.height, sound is not None)


def _enlarge(pipe: IO[bytes]) -> None:
    """Enlarges the pipe buffer to several frames, if supported, so that neither side blocks on every frame."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def read_encoded(path: Path, key: str, rate: Fraction) -> Encoded | None:
    """What `encode` returned when it wrote the file with this key and rate; None if it did not."""
    try:
        with av.open(str(path)) as container:
            if container.metadata.get("comment") != key:
                return None
            stream = container.streams.video[0]
            return Encoded(float(rate), stream.frames, stream.width, stream.height, bool(container.streams.audio))
    except (av.error.FFmpegError, IndexError, OSError):
        return None


def _encoder_error(stderr_text: str, path: Path) -> SampleError | StoppedError:
    if "No space left" in stderr_text:
        return StoppedError(
            "The disk is full",
            where=path,
            next_step="make room, then run the same command again to resume",
        )
    return SampleError(f"The encoder failed: {stderr_text or 'no error output'}", where=path, expected="a clip")
