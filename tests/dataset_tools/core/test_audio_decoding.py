"""Decoding against files that ffmpeg made, and against two other readers: the ffmpeg command, and libsndfile."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.core.audio_decoding import Sound, decode
from dataset_tools.core.errors import SampleError


def spectrum_peak_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples * np.hanning(len(samples))))) * sample_rate_hz / len(samples))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", ["-c:a", "pcm_s16le"]),
        ("a-24.wav", ["-c:a", "pcm_s24le"]),
        ("a-8.wav", ["-c:a", "pcm_u8"]),
        ("a-float.wav", ["-c:a", "pcm_f32le"]),
        ("a.flac", []),
        ("a.mp3", []),
        ("a.m4a", []),
        ("a.ogg", ["-c:a", "libvorbis"]),
        ("a.opus", ["-c:a", "libopus"]),
        ("a.webm", ["-c:a", "libopus"]),
    ],
)
def test_decodes_every_kind(tmp_path: Path, name: str, options: list[str], ffmpeg: Callable) -> None:
    path = tmp_path / name
    # Left 440 Hz at half scale, right silent; a second and a half.
    expression = "aevalsrc='0.5*sin(2*PI*440*t)|0':s=48000:d=1.5"
    ffmpeg("-f", "lavfi", "-i", expression, *options, path)
    sound = decode(path)
    assert sound.sample_rate_hz == 48000
    assert sound.duration_s == pytest.approx(1.5, abs=0.06)  # lossy codecs pad
    assert sound.samples.shape[1] == 2
    left, right = sound.samples[4000:-4000].T
    assert spectrum_peak_hz(left, 48000) == pytest.approx(440, abs=2)
    assert np.sqrt((left**2).mean()) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    assert np.abs(right).max() < 0.02


def test_float_wav_keeps_what_is_no_number(tmp_path: Path) -> None:
    values = np.array([0.25, np.nan, -np.inf, 1.5] * 4000, dtype="<f4").tobytes()
    # RIFF, then the format (3: float; one channel, 16 kHz, 64,000 bytes a second, 4 bytes a frame, 32 bits), then data
    header = struct.pack("<4sI4s", b"RIFF", 36 + len(values), b"WAVE")
    header += struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16000, 64000, 4, 32)
    header += struct.pack("<4sI", b"data", len(values))
    path = tmp_path / "a.wav"
    path.write_bytes(header + values)
    samples = decode(path).samples[:4, 0]
    np.testing.assert_array_equal(samples, [0.25, np.nan, -np.inf, 1.5])


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 100])
def test_what_is_no_sound_is_a_failed_sample(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(SampleError, match="cannot be decoded") as caught:
        decode(path)
    assert caught.value.where == str(path)


def test_a_silent_video_has_no_sound(tmp_path: Path, ffmpeg: Callable) -> None:
    path = tmp_path / "a.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=0.2:size=64x64", path)
    with pytest.raises(SampleError, match="has no sound"):
        decode(path)


PCM = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "mulaw", "alaw")
LOSSLESS = [
    *[("wav", f"pcm_{kind}") for kind in PCM],
    *[("mka", codec) for codec in ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le", "flac", "wavpack", "tta")],
    *[("mov", codec) for codec in ("pcm_s16be", "pcm_s24le", "pcm_f32le", "pcm_f64be", "alac")],
    *[("mp4", codec) for codec in ("pcm_s16le", "pcm_f32le", "flac")],
    *[("aiff", codec) for codec in ("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_f32be")],
    *[("caf", "pcm_f32le"), ("w64", "pcm_f32le"), ("au", "pcm_f32be"), ("flac", "flac"), ("ogg", "flac")],
    *[("avi", "pcm_s16le"), ("wv", "wavpack")],
]
LOSSY = [("mp3", "libmp3lame"), ("m4a", "aac"), ("ogg", "libvorbis"), ("webm", "libopus"), ("wma", "wmav2")]


@pytest.fixture(scope="session")
def by_the_ffmpeg_command(ffmpeg: Callable[..., bytes]) -> Callable[[Path, int], np.ndarray]:
    def read(path: Path, channels: int) -> np.ndarray:
        raw = ffmpeg("-i", path, "-f", "f64le", "-c:a", "pcm_f64le", "-")
        return np.frombuffer(raw, "<f8").reshape(-1, channels)

    return read


@given(
    kind=st.sampled_from(LOSSLESS),
    rate_hz=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    channels=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_lossless_sound_is_what_two_other_readers_find(
    kind: tuple[str, str],
    rate_hz: int,
    channels: int,
    seed: int,
    by_the_ffmpeg_command: Callable,
    wave_of: Callable[..., np.ndarray],
    written: Callable[..., Path],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), *kind, wave_of(rate_hz, channels, seed), rate_hz)
        sound = decode(path)
        np.testing.assert_array_equal(sound.samples, by_the_ffmpeg_command(path, channels))
        assert (sound.sample_rate_hz, sound.missing_s) == (rate_hz, 0)
        assert len(sound.samples) == round(0.4 * rate_hz)
        if kind[0] in ("wav", "aiff", "au", "flac", "caf"):
            samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
            np.testing.assert_array_equal(sound.samples, samples)
            assert rate == rate_hz


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kind", LOSSY, ids=lambda kind: "-".join(kind))
def test_lossy_sound_is_what_the_ffmpeg_command_finds(
    tmp_path: Path,
    kind: tuple[str, str],
    channels: int,
    by_the_ffmpeg_command: Callable,
    wave_of: Callable[..., np.ndarray],
    written: Callable[..., Path],
) -> None:
    path = written(tmp_path, *kind, wave_of(48000, channels, 3), 48000)
    sound, expected = decode(path), by_the_ffmpeg_command(path, channels)
    length = min(len(sound.samples), len(expected))
    assert length >= 0.38 * 48000
    assert abs(len(sound.samples) - len(expected)) <= 1024  # a frame of padding
    np.testing.assert_allclose(sound.samples[:length], expected[:length], atol=1e-3)
    assert sound.missing_s == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_extensible_wavs_are_what_their_sub_format_says(
    tmp_path: Path, form: str, subtype: str, wave_of: Callable[..., np.ndarray]
) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, wave_of(16000, 2, 0), 16000, format=form, subtype=subtype)
    np.testing.assert_array_equal(decode(path).samples, soundfile.read(path, dtype="float64")[0])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.wav", "ffconcat version 1.0\nfile other.wav\n"),
        ("a.mka", "ffconcat version 1.0\nfile other.wav\n"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.wav\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_list_of_other_files_is_no_sound(tmp_path: Path, name: str, content: str, wav: Callable[..., bytes]) -> None:
    (tmp_path / "other.wav").write_bytes(wav(bytes(32000)))
    (tmp_path / name).write_text(content)
    with pytest.raises(SampleError, match=r"list of other files|cannot be decoded"):
        decode(tmp_path / name)


def test_a_name_that_looks_like_a_protocol_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wav: Callable[..., bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:a|b.wav").write_bytes(wav(bytes(3200)))
    assert decode(Path("concat:a|b.wav")).duration_s == 0.1


def test_channels_that_cancel_each_other_leave_the_loudest(wave_of: Callable[..., np.ndarray]) -> None:
    one = wave_of(16000, 1, 0)[:, 0]
    opposite = Sound(np.stack([0.5 * one, -0.51 * one + 0.1], axis=1), 16000)  # an offset hides nothing
    assert opposite.cancelled
    np.testing.assert_array_equal(opposite.mono(), opposite.samples[:, 1])
    for ordinary in (
        np.stack([one, 0 * one], axis=1),
        np.stack([one, one], axis=1),
        wave_of(16000, 8, 5),
        np.zeros((100, 2)),
        one[:, None],
    ):
        sound = Sound(ordinary, 16000)
        assert not sound.cancelled
        np.testing.assert_array_equal(sound.mono(), ordinary.mean(axis=1))


def test_channels_that_cancel_each_other_but_for_their_noise_leave_the_loudest(
    wave_of: Callable[..., np.ndarray],
) -> None:
    """Two microphones, one with inverted polarity, 12 dB above the noise: their mean is noise alone."""
    one = wave_of(16000, 1, 0, seconds=2.0)[:, 0]
    noise = np.random.default_rng(0).normal(0, one.std() / 4, (len(one), 2))
    sound = Sound(np.stack([one, -1.1 * one], axis=1) + noise, 16000)
    assert sound.cancelled
    assert abs(np.corrcoef(sound.mono(), one)[0, 1]) > 0.95
    single = np.zeros((len(one), 8))
    single[:, 3] = one
    assert not Sound(single, 16000).cancelled  # seven unused inputs


def test_signaling_nan_is_read_without_a_warning(tmp_path: Path) -> None:
    payload = struct.pack("<3I", 0x7FA00000, 0x3F000000, 0xFFA00001)  # NaN, 0.5, NaN as 32-bit floats
    layout = struct.pack("<HHIIHH", 3, 1, 48000, 192000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(payload)) + payload
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    samples = decode(path).samples[:, 0]
    assert np.isnan(samples[[0, 2]]).all()
    assert samples[1] == 0.5


def test_an_empty_sample_is_passed_over(
    tmp_path: Path, empty_sample: Callable[[Path, int], None], wave_of: Callable[..., np.ndarray], written: Callable
) -> None:
    path = written(tmp_path, "m4a", "aac", wave_of(48000, 1, 0, seconds=1.0), 48000)
    whole = decode(path).duration_s
    empty_sample(path, 20)
    assert decode(path).duration_s == pytest.approx(whole, abs=1024 / 48000 + 1e-3)
