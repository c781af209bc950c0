"""Reading audio: one channel at one sample rate, from any file that libsndfile or FFmpeg reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset_tools.core import torch_compat
from dataset_tools.core.errors import SampleError


def read_audio(path: Path, sample_rate_hz: int) -> Tensor:
    """The samples of an audio file (or of the first audio stream of a video), channels averaged, resampled.

    Returns:
        [samples] float32, full scale ±1, at least one.

    Raises:
        SampleError: the file is missing, holds no audio or no sample, or cannot be decoded.
    """
    if not path.is_file():
        raise SampleError(
            "The audio file is missing", where=path, next_step="run fmn-data build again: it redoes what is missing"
        )
    channels, rate_hz = _read_with_libsndfile(path) or _read_with_ffmpeg(path)
    if channels.size == 0:
        raise _unreadable(path, "The audio holds no sample")
    mono = torch.from_numpy(np.ascontiguousarray(channels.mean(axis=0, dtype=np.float64), dtype=np.float32))
    if rate_hz == sample_rate_hz:
        return mono
    return torch_compat.torchaudio().functional.resample(mono, rate_hz, sample_rate_hz)  # type: ignore[no-any-return]


def _read_with_libsndfile(path: Path) -> tuple[NDArray[np.float32], int] | None:
    """[channels, samples] and their rate; null when the format is not one of libsndfile's."""
    import soundfile

    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    return samples.T, rate_hz


def _read_with_ffmpeg(path: Path) -> tuple[NDArray[np.float32], int]:
    import av

    blocks: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise _unreadable(path, "The file holds no audio stream")
            stream = container.streams.audio[0]
            rate_hz = int(stream.rate)
            planar: Any = av.AudioResampler(format="fltp", rate=rate_hz)  # only the sample type changes
            for frame in container.decode(stream):
                blocks += [block.to_ndarray() for block in planar.resample(frame)]
            blocks += [block.to_ndarray() for block in planar.resample(None)]
    except (av.FFmpegError, OSError) as error:
        raise _unreadable(path, f"The audio cannot be decoded: {error.strerror or error}") from error
    return np.concatenate(blocks, axis=1) if blocks else np.empty((1, 0), np.float32), rate_hz


def _unreadable(path: Path, found: str) -> SampleError:
    return SampleError(
        found,
        where=path,
        expected="an audio file that libsndfile or FFmpeg reads to its end",
        next_step="make the utterance again (fmn-data retry), or leave it out",
    )
