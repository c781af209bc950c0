"""Sanity-check features: color, duration and file size; if they retrieve clips, the data set leaks its classes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError
from fmn.features.config import TRIVIAL_DIMS
from fmn.features.library_versions import av_version

COLOR_SIDE_PX = 32


@dataclass(frozen=True)
class Measures:
    """A function that measures files.

    Attributes:
        source: digest of everything that determines the values.
        of: file → float32 [dim] (a clip) or [1, dim] (an utterance).
        dim: length of the last axis of a value. axes: number of its axes, 1 or 2.
    """

    source: str
    of: Callable[[Path], NDArray[np.float32]]
    dim: int
    axes: int


def clip_measures(kind: str) -> Measures:
    """Returns the measures of a clip for a `VideoFeatureConfig.kind`."""
    functions = {"mean_colour": mean_colour, "duration": clip_duration, "file_size": file_size}
    return Measures(_source("video", kind), functions[kind], TRIVIAL_DIMS[kind], 1)


def utterance_measures(kind: str) -> Measures:
    """Returns the measures of an utterance for an `AudioFeatureConfig.kind`, as a sequence of one frame."""
    function = {"duration": utterance_duration, "file_size": file_size}[kind]
    return Measures(_source("audio", kind), lambda path: function(path)[None], TRIVIAL_DIMS[kind], 2)


def mean_colour(path: Path) -> NDArray[np.float32]:
    """[6] in 0…1: mean and standard deviation of red, green and blue over all frames and pixels of a clip.

    Raises:
        SampleError: the file cannot be read.
    """
    from fmn.features.frames import read_frames

    frames, _ = read_frames(path, lambda times_s: np.arange(len(times_s)), resize_px=COLOR_SIDE_PX, resize="square")
    pixels = frames.reshape(-1, 3) / 255.0
    color: NDArray[np.float32] = np.concatenate([pixels.mean(axis=0), pixels.std(axis=0)]).astype(np.float32)
    return color


def clip_duration(path: Path) -> NDArray[np.float32]:
    """[1]: logarithm of a clip's duration in seconds, assuming the last frame lasts as long as the others.

    Raises:
        SampleError: the file cannot be read.
    """
    from fmn.features.frames import frame_times

    times_s = frame_times(path)
    frame_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1) if len(times_s) > 1 else 1.0
    return _logarithm(float(times_s[-1] - times_s[0] + frame_s))


def utterance_duration(path: Path) -> NDArray[np.float32]:
    """[1]: logarithm of an utterance's duration in seconds.

    Raises:
        SampleError: the file cannot be read.
    """
    import soundfile

    from fmn.features.audio import read_audio

    try:
        info = soundfile.info(path)
        return _logarithm(info.frames / info.samplerate)
    except soundfile.LibsndfileError:
        return _logarithm(len(read_audio(path, 16_000)) / 16_000)


def file_size(path: Path) -> NDArray[np.float32]:
    """[1]: logarithm of a file's size in bytes.

    Raises:
        SampleError: there is no such file.
    """
    try:
        return _logarithm(float(path.stat().st_size))
    except OSError as error:
        raise SampleError(f"The file cannot be read: {error.strerror}", where=path) from error


def _logarithm(value: float) -> NDArray[np.float32]:
    return np.array([math.log(max(value, 1e-6))], np.float32)


def _source(kind: str, name: str) -> str:
    text = json.dumps([kind, name, "trivial/1", av_version()])
    return f"{kind}-{name}-" + hashlib.sha256(text.encode()).hexdigest()[:8]
