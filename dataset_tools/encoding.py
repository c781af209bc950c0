"""Encodes clips: H.264 in mp4, constant frame rate, from time 0, the same bytes on every machine.

The encoder is the ffmpeg that imageio-ffmpeg brings, driven by ffmpeg-python. libx264's output differs by the number of
threads and by processor features, so it gets one thread and ``cpu-independent``; its version is part of a clip's key.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dataset_tools.decoding import Picture
from dataset_tools.errors import SampleError, StoppedError
from dataset_tools.files import written_whole

ENCODER_OPTIONS = {
    "vcodec": "libx264",
    "preset": "veryfast",
    "crf": 20,
    "pix_fmt": "yuv420p",
    "x264-params": "threads=1:cpu-independent=1",
    "movflags": "+faststart",
    "fflags": "+bitexact",
    "flags:v": "+bitexact",
    "map_metadata": -1,
}


@dataclass(frozen=True)
class Encoded:
    """What was written: frames, and pixels of a frame."""

    frames: int
    width: int
    height: int


@functools.cache
def encoder_version() -> str:
    """First line of what the encoder says of itself: ``ffmpeg version 7.0.2-static …``.

    Raises:
        StoppedError: there is no ffmpeg that runs.
    """
    try:
        said = subprocess.run([_ffmpeg(), "-version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
        raise StoppedError(
            f"ffmpeg does not run: {error}",
            where="imageio-ffmpeg",
            expected="the ffmpeg that the package imageio-ffmpeg brings",
            next_step="install it again: pip install --force-reinstall imageio-ffmpeg",
        ) from error
    return said.splitlines()[0].split(" Copyright")[0]


def encode(pictures: Iterable[Picture], rate: Fraction, path: Path) -> Encoded:
    """Writes pictures, all of one size, as a clip of ``rate`` frames per second; it appears only when complete.

    Raises:
        SampleError: the pictures could not be had (their own error), or there is none, or the encoder refused them.
        StoppedError: the disk is full.
    """
    import ffmpeg

    source = iter(pictures)
    first = next(source, None)
    if first is None:
        raise SampleError("There is no picture to encode", where=path, expected="at least one frame")
    frames = 0
    with written_whole(path) as partial:
        process = (
            ffmpeg.input(
                "pipe:",
                format="rawvideo",
                pix_fmt="yuv420p",
                s=f"{first.width}x{first.height}",
                framerate=str(rate),
            )
            .output(str(partial), **ENCODER_OPTIONS)
            .global_args("-loglevel", "error")
            .overwrite_output()
            .run_async(cmd=_ffmpeg(), pipe_stdin=True, pipe_stderr=True)
        )
        try:
            picture: Picture | None = first
            while picture is not None:
                process.stdin.write(picture.yuv420p)
                frames += 1
                picture = next(source, None)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended early; what it says of that is read below
        except BaseException:
            process.kill()
            process.wait()
            raise
        said = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        if process.wait() != 0:
            _refuse(said, path)
    return Encoded(frames, first.width, first.height)


def _refuse(said: str, path: Path) -> None:
    if "No space left" in said:
        raise StoppedError(
            "The disk is full",
            where=path,
            next_step="make room, then run the same command again: it goes on where it stopped",
        )
    raise SampleError(f"The encoder failed: {said or 'it said nothing'}", where=path, expected="a clip")


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())
