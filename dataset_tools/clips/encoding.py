"""Clip encoding: H.264 in mp4, constant frame rate, from time 0, reproducible to the byte.

The encoder is the ffmpeg that imageio-ffmpeg brings, driven by ffmpeg-python. libx264's output differs by the number of
threads and by processor features, so it gets one thread and ``cpu-independent``; its version is part of a clip's key.
The key is written into the file, which so tells what it was made from, also where no ledger knows it.
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
    "bf": 0,  # every frame's time is its place, from 0, without an edit list
    "g": 30,  # a key frame a second: people scrub through clips
    "pix_fmt": "yuv420p",
    "x264-params": "threads=1:cpu-independent=1",
    "movflags": "+faststart",
    "fflags": "+bitexact",
    "flags:v": "+bitexact",
    "map_metadata": -1,
}

PIPE_BYTES = 1 << 20
"""The largest pipe that Linux gives everybody."""


SOUND_OPTIONS = {
    "acodec": "flac",
    "lpc_type": "fixed",  # of integers only: the same bytes on every processor
    "flags:a": "+bitexact",
}


class Encoded(msgspec.Struct, frozen=True, omit_defaults=True):
    """A clip that was written: frames per second, frames, pixels of a frame, and whether it has sound."""

    fps: float
    frames: int
    width: int
    height: int
    sound: bool = False


@functools.cache
def encoder_version() -> str:
    """First line of what the encoder says of itself: ``ffmpeg version n9.0.2``.

    Raises:
        StoppedError: there is no ffmpeg that runs.
    """
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-version"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
        raise StoppedError(
            f"ffmpeg does not run: {error}",
            where="imageio-ffmpeg",
            expected="the ffmpeg that the package imageio-ffmpeg brings",
            next_step="install it again: pip install --force-reinstall imageio-ffmpeg",
        ) from error
    return said.splitlines()[0].split(" Copyright")[0]


def encode(pictures: Iterable[Picture], rate: Fraction, path: Path, key: str, *, sound: Path | None = None) -> Encoded:
    """Writes pictures, all of one size, as a clip of ``rate`` frames per second; it appears only when complete.

    Args:
        pictures: one at least.
        rate: frames per second.
        path: the mp4 to write.
        key: names what the clip is made from; it is written into the file.
        sound: a wav as long as the clip, which is put to it; None: the clip is silent.

    Raises:
        SampleError: the pictures could not be had (their own error), or there is none, or the encoder refused them.
        StoppedError: the disk is full.
    """
    source = iter(pictures)
    first = next(source, None)
    if first is None:
        raise SampleError("There is no picture to encode", where=path, expected="at least one frame")
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
        _widen(process.stdin)
        frames = 1
        try:
            process.stdin.write(first.yuv420p)
            for picture in source:
                process.stdin.write(picture.yuv420p)
                frames += 1
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early; what it says of that is read below
        except BaseException:
            process.kill()
            raise
        finally:
            said = process.stderr.read().decode(errors="replace").strip()
            process.stderr.close()
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        if process.returncode != 0:
            raise _refusal(said, path)
    return Encoded(float(rate), frames, first.width, first.height, sound is not None)


def _widen(pipe: IO[bytes]) -> None:
    """Lets a pipe hold several pictures, where the system can, so that nobody waits for the other at each of them."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def read_encoded(path: Path, key: str, rate: Fraction) -> Encoded | None:
    """What `encode` gave when it wrote a clip file with this key and rate; None if it did not."""
    try:
        with av.open(str(path)) as container:
            if container.metadata.get("comment") != key:
                return None
            stream = container.streams.video[0]
            return Encoded(float(rate), stream.frames, stream.width, stream.height, bool(container.streams.audio))
    except (av.error.FFmpegError, IndexError, OSError):
        return None


def _refusal(said: str, path: Path) -> SampleError | StoppedError:
    if "No space left" in said:
        return StoppedError(
            "The disk is full",
            where=path,
            next_step="make room, then run the same command again to resume",
        )
    return SampleError(f"The encoder failed: {said or 'it said nothing'}", where=path, expected="a clip")
