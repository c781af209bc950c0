"""Decoding against files that ffmpeg made, and against two other readers: the ffmpeg command, and libsndfile."""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe

from dataset_tools.core.audio_decoding import MOST_VALUES, SAMPLE_RATES_HZ, Sound, decode
from dataset_tools.core.errors import SampleError

Ffmpeg = Callable[..., None]


def run_ffmpeg(*arguments: str | Path) -> bytes:
    command = [get_ffmpeg_exe(), "-v", "error", "-y", "-strict", "-2", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
def ffmpeg() -> Ffmpeg:
    """Runs ffmpeg, to make files of every kind without the code under test."""
    return run_ffmpeg


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
def test_decodes_every_kind(tmp_path: Path, ffmpeg: Ffmpeg, name: str, options: list[str]) -> None:
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


def test_a_wav_that_was_cut_off_is_as_long_as_what_is_left(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "a.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=d=2:r=16000", path)
    path.write_bytes(path.read_bytes()[:32001])  # in the middle of a sample; the header still says two seconds
    assert decode(path).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 100])
def test_what_is_no_sound_is_a_failed_sample(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(SampleError, match="cannot be decoded") as caught:
        decode(path)
    assert caught.value.where == str(path)


def test_a_silent_video_has_no_sound(tmp_path: Path, ffmpeg: Ffmpeg) -> None:
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


def wave_of(rate_hz: int, channels: int, seed: int, seconds: float = 0.4) -> np.ndarray:
    """Different in each channel, at no place like itself, [n, channels]."""
    steps = np.random.default_rng(seed).normal(0, 0.3, (round(seconds * rate_hz), channels))
    return 0.7 * np.sin(np.cumsum(steps, axis=0))


def written(folder: Path, suffix: str, codec: str, samples: np.ndarray, rate_hz: int) -> Path:
    raw, path = folder / "raw", folder / f"a.{suffix}"
    raw.write_bytes(samples.astype("<f8").tobytes())
    given_as = ("-f", "f64le", "-ar", str(rate_hz), "-ac", str(samples.shape[1]), "-i", raw)
    run_ffmpeg(*given_as, "-c:a", codec, path)
    return path


def by_the_ffmpeg_command(path: Path, channels: int) -> np.ndarray:
    raw = run_ffmpeg("-i", path, "-f", "f64le", "-c:a", "pcm_f64le", "-")
    return np.frombuffer(raw, "<f8").reshape(-1, channels)


@given(
    kind=st.sampled_from(LOSSLESS),
    rate_hz=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 96000]),
    channels=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_lossless_sound_is_what_two_other_readers_find(
    kind: tuple[str, str], rate_hz: int, channels: int, seed: int
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
def test_lossy_sound_is_what_the_ffmpeg_command_finds(tmp_path: Path, kind: tuple[str, str], channels: int) -> None:
    path = written(tmp_path, *kind, wave_of(48000, channels, 3), 48000)
    sound, expected = decode(path), by_the_ffmpeg_command(path, channels)
    length = min(len(sound.samples), len(expected))
    assert length >= 0.38 * 48000
    assert abs(len(sound.samples) - len(expected)) <= 1024  # a frame of padding
    np.testing.assert_allclose(sound.samples[:length], expected[:length], atol=1e-3)
    assert sound.missing_s == 0


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_extensible_wavs_are_what_their_sub_format_says(tmp_path: Path, form: str, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, wave_of(16000, 2, 0), 16000, format=form, subtype=subtype)
    np.testing.assert_array_equal(decode(path).samples, soundfile.read(path, dtype="float64")[0])


def wav(data: bytes, *, size: int | None = None, rate_hz: int = 16000, channels: int = 1, bits: int = 16) -> bytes:
    """A PCM wav whose header says what is asked for; ``size`` of the data is the true one by default."""
    frame = channels * bits // 8 & 0xFFFF
    layout = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * frame & 0xFFFFFFFF, frame, bits)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + body


@pytest.mark.parametrize("size", [0, 2_000_000_000, 2**31 - 2**16, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    values = (20000 * wave_of(16000, 1, 0)).astype("<i2")
    path = tmp_path / "a.wav"
    path.write_bytes(wav(values.tobytes(), size=size))
    sound = decode(path)
    np.testing.assert_array_equal(sound.samples * 32768, values)
    assert sound.missing_s == 0


STATED = [*[("wav", f"pcm_{kind}") for kind in PCM], ("wav", "adpcm_ms"), ("flac", "flac"), ("aiff", "pcm_s16be")]
STATED += [("mka", "pcm_f32le"), ("w64", "pcm_f32le")]


@given(kind=st.sampled_from(STATED), channels=st.sampled_from([1, 2]), share=st.floats(0.3, 0.85))
@settings(max_examples=30, deadline=None)
def test_what_was_cut_off_says_how_much_is_missing(kind: tuple[str, str], channels: int, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), *kind, wave_of(16000, channels, 1, seconds=2.0), 16000)
        content = path.read_bytes()
        path.write_bytes(content[: round(share * len(content))])
        sound = decode(path)
        assert sound.duration_s < 1.9
        assert sound.duration_s + sound.missing_s == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_cut_off_wav_lacks_exactly_the_rest(tmp_path: Path, form: str, subtype: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, wave_of(16000, 1, 1, seconds=2.0), 16000, format=form, subtype=subtype)
    info = soundfile.info(path)
    bytes_of_data = info.frames * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}[subtype]
    path.write_bytes(path.read_bytes()[: -bytes_of_data // 4])
    sound = decode(path)
    assert (sound.duration_s, sound.missing_s) == (pytest.approx(1.5), pytest.approx(0.5))


def test_what_is_damaged_amid_counts_as_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "flac", "flac", wave_of(48000, 1, 0, seconds=1.0), 48000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 12_000] = bytes(12_000)
    path.write_bytes(content)
    sound = decode(path)
    assert 0.05 < sound.missing_s < 0.5
    assert sound.duration_s == pytest.approx(1.0 - sound.missing_s, abs=0.1)


@pytest.mark.parametrize("rate_hz", [0, 1, 3_999, 192_001, 20_000_000, 100_000_000, 2**31 - 1, 2**31, 2**32 - 1])
def test_a_sample_rate_that_no_recorder_has_is_refused(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(4000), rate_hz=rate_hz))
    with pytest.raises(SampleError) as caught:
        decode(path)
    assert "Hz" in caught.value.found or "cannot be decoded" in caught.value.found


@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
def test_the_outermost_rates_are_read(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(4000), rate_hz=rate_hz))
    assert (decode(path).sample_rate_hz, len(decode(path).samples)) == (rate_hz, 2000)


@given(
    rate_hz=st.integers(0, 2**32 - 1) | st.integers(0, 400_000),
    channels=st.integers(0, 2**16 - 1) | st.integers(0, 10),
    bits=st.integers(0, 2**16 - 1) | st.sampled_from([8, 16, 24, 32, 64]),
    size=st.none() | st.integers(0, 2**32 - 1),
    data=st.binary(max_size=4000),
)
@settings(max_examples=300, deadline=None)
def test_whatever_a_header_says_it_is_read_or_refused(
    rate_hz: int, channels: int, bits: int, size: int | None, data: bytes
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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.wav", "ffconcat version 1.0\nfile other.wav\n"),
        ("a.mka", "ffconcat version 1.0\nfile other.wav\n"),
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.wav\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_list_of_other_files_is_no_sound(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "other.wav").write_bytes(wav(bytes(32000)))
    (tmp_path / name).write_text(content)
    with pytest.raises(SampleError, match=r"list of other files|cannot be decoded"):
        decode(tmp_path / name)


def test_a_name_that_looks_like_a_protocol_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("concat:a|b.wav").write_bytes(wav(bytes(3200)))
    assert decode(Path("concat:a|b.wav")).duration_s == 0.1


def test_the_limit_of_length_is_the_callers(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(bytes(2 * 16000 * 3)))
    assert decode(path, longest_s=3).duration_s == 3
    with pytest.raises(SampleError, match="too long: more than 2 s"):
        decode(path, longest_s=2)


def grown_bytes(path: Path, code: str) -> tuple[int, str]:
    """How much memory a fresh process needs for a file beyond what a small one takes, and what it says."""
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


ONLY_DECODED = "def work(path): return decode(path).duration_s"
MADE_AN_UTTERANCE = """
from dataset_tools.speech.loudness_normalization import Finish
from dataset_tools.speech.recording_quality import Limits
from dataset_tools.speech.utterance_writer import write_utterance
def work(path): return write_utterance(path, path.with_suffix(".out.wav"), limits=Limits(), settings=Finish())
"""


@pytest.mark.parametrize("code", [ONLY_DECODED, MADE_AN_UTTERANCE], ids=["decoded", "made an utterance"])
def test_hours_of_silence_in_a_small_file_cost_no_more_than_the_limit(tmp_path: Path, code: str) -> None:
    minute, path = tmp_path / "minute.flac", tmp_path / "a.ogg"
    run_ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=60", minute)
    run_ffmpeg("-stream_loop", 59, "-i", minute, "-acodec", "copy", path)
    assert path.stat().st_size < 2**23
    grown, said = grown_bytes(path, code)
    assert "too long" in said
    assert grown < 8 * MOST_VALUES  # 3,600 s are 0.7 GB as 16-bit samples, 2.8 GB as float64


@pytest.mark.parametrize("rate_hz", [192_000, 20_000_000, 2**32 - 1])
def test_a_rate_in_a_header_costs_nothing(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav((20000 * wave_of(2000, 1, 0, 1.0)).astype("<i2").tobytes(), rate_hz=rate_hz))
    grown, _ = grown_bytes(path, MADE_AN_UTTERANCE)
    assert grown < 100 * 2**20


def test_the_largest_sound_that_is_read_costs_less_than_a_gigabyte(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    values = (20000 * wave_of(192_000, 1, 0, 43.0)).astype("<i2")
    path.write_bytes(wav(values.repeat(2, axis=1).tobytes(), rate_hz=192_000, channels=2))
    grown, said = grown_bytes(path, MADE_AN_UTTERANCE)
    assert "too long (43.0 s, limit 30)" in said
    assert grown < 2**30


def test_channels_that_cancel_each_other_leave_the_loudest() -> None:
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


def test_signaling_nan_is_read_without_a_warning(tmp_path: Path) -> None:
    payload = struct.pack("<3I", 0x7FA00000, 0x3F000000, 0xFFA00001)  # NaN, 0.5, NaN as 32-bit floats
    layout = struct.pack("<HHIIHH", 3, 1, 48000, 192000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", len(payload)) + payload
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    samples = decode(path).samples[:, 0]
    assert np.isnan(samples[[0, 2]]).all()
    assert samples[1] == 0.5
