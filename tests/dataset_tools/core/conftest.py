"""Sounds, and files of them that ffmpeg made or a test wrote by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def wave_of() -> Callable[..., np.ndarray]:
    """A sound that is different in each channel, and at no place like itself, [n, channels]."""

    def make(rate_hz: int, channels: int, seed: int, seconds: float = 0.4) -> np.ndarray:
        steps = np.random.default_rng(seed).normal(0, 0.3, (round(seconds * rate_hz), channels))
        return 0.7 * np.sin(np.cumsum(steps, axis=0))

    return make


@pytest.fixture(scope="session")
def written(ffmpeg: Callable[..., bytes]) -> Callable[..., Path]:
    """Writes a sound with ffmpeg: the suffix says the container."""

    def make(folder: Path, suffix: str, codec: str, samples: np.ndarray, rate_hz: int) -> Path:
        raw, path = folder / "raw", folder / f"a.{suffix}"
        raw.write_bytes(samples.astype("<f8").tobytes())
        given_as = ("-f", "f64le", "-ar", str(rate_hz), "-ac", str(samples.shape[1]), "-i", raw)
        ffmpeg(*given_as, "-c:a", codec, path)
        return path

    return make


@pytest.fixture(scope="session")
def wav() -> Callable[..., bytes]:
    """A PCM wav whose header says what is asked for; ``size`` of the data is the true one by default."""

    def make(data: bytes, *, size: int | None = None, rate_hz: int = 16000, channels: int = 1, bits: int = 16) -> bytes:
        frame = channels * bits // 8 & 0xFFFF
        layout = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame, bits)
        size = len(data) if size is None else size
        body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + data
        return b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + body

    return make
