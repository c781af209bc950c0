"""Limits of what is decoded: sample rates, length, and the memory that hostile files take."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset_tools.core.audio_decoding import MOST_VALUES, SAMPLE_RATES_HZ, decode
from dataset_tools.core.errors import SampleError


@pytest.mark.parametrize("rate_hz", [0, 1, 3_999, 192_001, 20_000_000, 100_000_000, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_sample_rate_that_no_recorder_has_is_refused(tmp_path: Path, rate_hz: int, wav: Callable[..., bytes]) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(4000), rate_hz=rate_hz))
    with pytest.raises(SampleError) as caught:
        decode(path)
    assert "Hz" in caught.value.found or "cannot be decoded" in caught.value.found


@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
def test_the_outermost_rates_are_read(tmp_path: Path, rate_hz: int, wav: Callable[..., bytes]) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(4000), rate_hz=rate_hz))
    assert (decode(path).sample_rate_hz, len(decode(path).samples)) == (rate_hz, 2000)


def test_the_limit_of_length_is_the_callers(tmp_path: Path, wav: Callable[..., bytes]) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(2 * 16000 * 3)))
    assert decode(path, longest_s=3).duration_s == 3
    with pytest.raises(SampleError, match="too long: more than 2 s"):
        decode(path, longest_s=2)


@pytest.fixture
def grown_bytes(wav: Callable, wave_of: Callable) -> Callable[[Path, str], tuple[int, str]]:
    """How much memory a fresh process needs for a file beyond what a small one takes, and what it says."""

    def measured(path: Path, code: str) -> tuple[int, str]:
        small = path.with_name("small.wav")
        small.write_bytes(wav((20000 * wave_of(16000, 1, 0, 1.0)).astype("<i2").tobytes()))
        script = f"""
import re, sys
from pathlib import Path
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import SampleError
{code}
def peak():  # since it began; getrusage's also counts the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
work(Path(sys.argv[1]))
before = peak()
try:
    said = work(Path(sys.argv[2]))
except SampleError as error:
    said = error.found
print(1024 * (peak() - before), said)
"""
        command = [sys.executable, "-c", script, str(small), str(path)]
        grown, _, said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition(" ")
        return int(grown), said.strip()

    return measured


ONLY_DECODED = "def work(path): return decode(path).duration_s"
MADE_AN_UTTERANCE = """
from dataset_tools.speech.audio.utterance_writer import write_utterance
def work(path): return write_utterance(path, path.with_suffix(".out.wav"))
"""


@pytest.mark.parametrize("code", [ONLY_DECODED, MADE_AN_UTTERANCE], ids=["decoded", "made an utterance"])
def test_hours_of_silence_in_a_small_file_cost_no_more_than_the_limit(
    tmp_path: Path, code: str, grown_bytes: Callable, ffmpeg: Callable
) -> None:
    minute, path = tmp_path / "minute.flac", tmp_path / "a.ogg"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=60", minute)
    ffmpeg("-stream_loop", 59, "-i", minute, "-acodec", "copy", path)
    assert path.stat().st_size < 2**23
    grown, said = grown_bytes(path, code)
    assert "too long" in said
    assert grown < 8 * MOST_VALUES  # 3,600 s are 0.7 GB as 16-bit samples, 2.8 GB as float64


@pytest.mark.parametrize("rate_hz", [192_000, 20_000_000, 2**32 - 1])
def test_a_rate_in_a_header_costs_nothing(
    tmp_path: Path, rate_hz: int, grown_bytes: Callable, wav: Callable[..., bytes], wave_of: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav((20000 * wave_of(2000, 1, 0, 1.0)).astype("<i2").tobytes(), rate_hz=rate_hz))
    grown, _ = grown_bytes(path, MADE_AN_UTTERANCE)
    assert grown < 100 * 2**20


def test_the_largest_sound_that_is_read_costs_less_than_a_gigabyte(
    tmp_path: Path, grown_bytes: Callable, wav: Callable[..., bytes], wave_of: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.wav"
    values = (20000 * wave_of(192_000, 1, 0, 43.0)).astype("<i2")
    path.write_bytes(wav(values.repeat(2, axis=1).tobytes(), rate_hz=192_000, channels=2))
    grown, said = grown_bytes(path, MADE_AN_UTTERANCE)
    assert "too long (43.0 s, limit 30)" in said
    assert grown < 2**30
