"""Sound that was cut off, damaged, or has a header that is not true: what is left, and how much is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.core.audio_decoding import SAMPLE_RATES_HZ, decode
from dataset_tools.core.errors import SampleError


def test_a_wav_that_was_cut_off_is_as_long_as_what_is_left(tmp_path: Path, ffmpeg: Callable) -> None:
    path = tmp_path / "a.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2:r=16000", path)
    path.write_bytes(path.read_bytes()[:32001])  # in the middle of a sample; the header still says two seconds
    assert decode(path).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("size", [0, 2_000_000_000, 2**31 - 2**16, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(
    tmp_path: Path, size: int, wav: Callable[..., bytes], wave_of: Callable[..., np.ndarray]
) -> None:
    values = (20000 * wave_of(16000, 1, 0)).astype("<i2")
    path = tmp_path / "a.wav"
    path.write_bytes(wav(values.tobytes(), size=size))
    sound = decode(path)
    np.testing.assert_array_equal(sound.samples * 32768, values)
    assert sound.missing_s == 0


PCM = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "mulaw", "alaw")
STATED = [*[("wav", f"pcm_{kind}") for kind in PCM], ("wav", "adpcm_ms"), ("flac", "flac"), ("aiff", "pcm_s16be")]
STATED += [("mka", "pcm_f32le"), ("w64", "pcm_f32le"), ("au", "pcm_s16be")]


@given(kind=st.sampled_from(STATED), channels=st.sampled_from([1, 2]), share=st.floats(0.3, 0.85))
@settings(max_examples=30, deadline=None)
def test_what_was_cut_off_says_how_much_is_missing(
    kind: tuple[str, str], channels: int, share: float, wave_of: Callable[..., np.ndarray], written: Callable[..., Path]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), *kind, wave_of(16000, channels, 1, seconds=2.0), 16000)
        content = path.read_bytes()
        path.write_bytes(content[: round(share * len(content))])
        sound = decode(path)
        assert sound.duration_s < 1.9
        assert sound.duration_s + sound.missing_s == pytest.approx(2.0, abs=0.1)


BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
UNCOMPRESSED = [(form, subtype) for form in ("WAV", "WAVEX", "CAF") for subtype in ("PCM_16", "PCM_24", "FLOAT")]


@pytest.mark.parametrize(("form", "subtype"), [*UNCOMPRESSED, ("VOC", "PCM_U8"), ("VOC", "PCM_16")])
def test_a_cut_off_file_lacks_exactly_the_rest(
    tmp_path: Path, form: str, subtype: str, wave_of: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.sound"
    soundfile.write(path, wave_of(16000, 1, 1, seconds=2.0), 16000, format=form, subtype=subtype)
    whole = decode(path)
    assert (whole.duration_s, whole.missing_s) == (pytest.approx(2.0, abs=0.02), 0)  # VOC rounds the rate
    after = 1 if form == "VOC" else 0  # the mark of the end
    path.write_bytes(path.read_bytes()[: -(8_000 * BYTES[subtype] + after)])
    sound = decode(path)
    assert sound.missing_s == pytest.approx(0.25 * whole.duration_s, abs=0.001)
    assert sound.duration_s == pytest.approx(0.75 * whole.duration_s, abs=0.001)


def test_a_voc_written_to_a_pipe_lacks_nothing(tmp_path: Path) -> None:
    """Its block states a size of 0; what follows is sound, also if it looks like another block."""
    path = tmp_path / "a.voc"
    head = b"Creative Voice File\x1a\x1a\0\x0a\x01\x29\x11"
    path.write_bytes(head + b"\x01\0\0\0\x83\0" + b"\0\0\x09\xff\xff\0" + bytes(range(64, 192)) * 125)
    sound = decode(path)
    assert (sound.duration_s, sound.missing_s) == (pytest.approx(2.0, abs=0.02), 0)


def test_a_cut_off_rf64_lacks_the_rest(tmp_path: Path, ffmpeg: Callable) -> None:
    """What recorders write for long files: the size of the data is in a chunk of its own."""
    path = tmp_path / "a.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2:r=16000", "-rf64", "always", path)
    assert decode(path).missing_s == 0
    path.write_bytes(path.read_bytes()[:-16_000])
    sound = decode(path)
    assert (sound.duration_s, sound.missing_s) == (pytest.approx(1.5, abs=0.01), pytest.approx(0.5, abs=0.01))


@pytest.mark.parametrize("suffix", ["mka", "webm"])
def test_sound_that_begins_later_lacks_nothing(suffix: str, tmp_path: Path, ffmpeg: Callable) -> None:
    """A part of a longer recording: Matroska states its end, not its duration."""
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2:r=48000", "-c:a", "libopus", "-output_ts_offset", 5, path)
    sound = decode(path)
    assert (sound.duration_s, sound.missing_s) == (pytest.approx(2.0, abs=0.02), 0)


@pytest.mark.parametrize("kind", [("mka", "pcm_u8"), ("webm", "libopus"), ("mp4", "aac")])
def test_a_gap_in_the_timestamps_is_silent_and_told(kind: tuple[str, str], tmp_path: Path, ffmpeg: Callable) -> None:
    """The recorder paused, or its data was lost; players are silent there."""
    path = tmp_path / f"a.{kind[0]}"
    source = ("-f", "lavfi", "-i", "aevalsrc=0.5*cos(2*PI*440*t):d=3:s=48000", "-af", "aselect='lt(t,1)+gt(t,2)'")
    ffmpeg(*source, "-c:a", kind[1], path)
    sound = decode(path)
    loud = np.abs(sound.samples[:, 0]).reshape(-1) > 0.3
    pause = np.diff(np.flatnonzero(loud)).max() / 48000
    assert (sound.duration_s, pause, sound.missing_s) == pytest.approx((3, 1, 1), abs=0.05)


def test_timestamps_that_vary_are_no_gaps(tmp_path: Path, ffmpeg: Callable) -> None:
    path = tmp_path / "a.mka"
    source = ("-f", "lavfi", "-i", "aevalsrc=0.5*cos(2*PI*440*t):d=2:s=48000", "-af", "asetnsamples=4800")
    # Every fourth packet is stamped 70 ms late, as by a busy machine; the samples are complete.
    ffmpeg(*source, "-c:a", "pcm_s16le", "-bsf:a", "setts=ts=TS+3360*not(mod(N\\,4))*gt(N\\,0)", path)
    sound = decode(path)
    assert (sound.duration_s, sound.missing_s) == (2, 0)


def test_what_is_damaged_amid_counts_as_missing(
    tmp_path: Path, wave_of: Callable[..., np.ndarray], written: Callable[..., Path]
) -> None:
    path = written(tmp_path, "flac", "flac", wave_of(48000, 1, 0, seconds=1.0), 48000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 12_000] = bytes(12_000)
    path.write_bytes(content)
    sound = decode(path)
    assert 0.05 < sound.missing_s < 0.5
    assert sound.duration_s == pytest.approx(1.0 - sound.missing_s, abs=0.1)


@given(
    rate_hz=st.integers(0, 2**32 - 1) | st.integers(0, 400_000),
    channels=st.integers(0, 2**16 - 1) | st.integers(0, 10),
    bits=st.integers(0, 2**16 - 1) | st.sampled_from([8, 16, 24, 32, 64]),
    size=st.none() | st.integers(0, 2**32 - 1),
    data=st.binary(max_size=4000),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_header_says_it_is_read_or_refused(
    rate_hz: int, channels: int, bits: int, size: int | None, data: bytes, wav: Callable[..., bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(wav(data, size=size, rate_hz=rate_hz, channels=channels, bits=bits))
        try:
            sound = decode(path)
        except SampleError as error:
            assert str(folder) not in error.found  # the page of the booth shows it
        else:
            assert SAMPLE_RATES_HZ[0] <= sound.sample_rate_hz <= SAMPLE_RATES_HZ[1]
            assert 1 <= sound.samples.size <= 8 * len(data)  # a byte holds eight samples at most
            assert sound.missing_s >= 0
