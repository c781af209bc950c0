"""The encoder that clips are made with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import pytest

from dataset_tools.clips.encoding import encoder_version
from dataset_tools.core.errors import StoppedError


@pytest.fixture(autouse=True)
def nothing_cached() -> Iterator[None]:
    encoder_version.cache_clear()
    yield
    encoder_version.cache_clear()


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_version_of_the_package() -> None:
    assert encoder_version().startswith("ffmpeg version ")
    assert "Copyright" not in encoder_version()


def test_an_ffmpeg_without_libx264_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = imageio_ffmpeg.get_ffmpeg_exe()
    without = _program(tmp_path / "ffmpeg", f'"{real}" "$@" | grep -v libx264')
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(without))
    with pytest.raises(StoppedError, match="without libx264") as raised:
        encoder_version()
    assert raised.value.where == str(without)


def test_an_ffmpeg_that_cannot_be_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _program(tmp_path / "ffmpeg", "exit 127")
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(broken))
    with pytest.raises(StoppedError, match="ffmpeg cannot be run"):
        encoder_version()
