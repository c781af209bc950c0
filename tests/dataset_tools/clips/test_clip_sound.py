"""The sound of clips: sample by sample what the video's sound has at the times of the pictures."""

from __future__ import annotations

import json
import shlex
import subprocess
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.clips.clip_sound import write_clip_sound
from dataset_tools.clips.cutting import _may_be_delayed
from dataset_tools.core.audio_decoding import decode
from dataset_tools.core.errors import SampleError
from dataset_tools.video.frame_index import read_frame_index

RATE_HZ, FPS, SECONDS = 16_000, 25, 6


def _ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)], check=True)


def _sound(channels: int) -> NDArray[np.int16]:
    """Noise, of which no part is like another."""
    return np.random.default_rng(channels).integers(-9000, 9000, (SECONDS * RATE_HZ, channels)).astype("<i2")


def _video(path: Path, samples: NDArray[np.int16] | None, *options: object, delay_s: float = 0, codec: str) -> Path:
    """Six seconds of pictures with the samples as their sound, which begins ``delay_s`` after the pictures."""
    pictures = ("-f", "lavfi", "-i", f"testsrc=d={SECONDS}:s=64x48:r={FPS}")
    if samples is None:
        _ffmpeg(*pictures, "-c:v", "mpeg4", *options, path)
        return path
    sound = path.with_suffix(".wav")
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    heard = ("-itsoffset", delay_s, "-i", sound)
    _ffmpeg(*pictures, *heard, "-c:v", "mpeg4", "-g", 12, "-c:a", codec, *options, path)
    return path


def _read(wav: Path, rate_hz: int = RATE_HZ) -> NDArray[np.int16]:
    with wave.open(str(wav)) as file:
        assert (file.getsampwidth(), file.getframerate()) == (2, rate_hz)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())


@pytest.mark.parametrize("container", ["mkv", "mov", "avi"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("start_frame", "frames"), [(1, 25), (60, 40), (149, 2), (1, 150)])
def test_the_samples_are_those_of_the_times_of_the_pictures(
    tmp_path: Path, container: str, channels: int, start_frame: int, frames: int
) -> None:
    samples = _sound(channels)
    video = _video(tmp_path / f"a.{container}", samples, codec="pcm_s16le")
    wav = tmp_path / "clip.wav"
    assert write_clip_sound(video, read_frame_index(video), start_frame, Fraction(frames, FPS), wav)
    begin = (start_frame - 1) * RATE_HZ // FPS
    np.testing.assert_array_equal(_read(wav), samples[begin : begin + frames * RATE_HZ // FPS])


@pytest.mark.parametrize(
    ("options", "clock", "delay"),
    [(("-bf", 2), "pts", 1), (("-c:v", "libx264", "-bf", 2), "dts", 2)],
)
def test_sound_in_avi_is_not_shifted_by_the_delay_of_b_frames(
    tmp_path: Path, options: tuple[object, ...], clock: str, delay: int
) -> None:
    samples = _sound(1)
    video = _video(tmp_path / "a.avi", samples, *options, codec="pcm_s16le")
    index, wav = read_frame_index(video), tmp_path / "clip.wav"
    assert (index.clock, index.stamps[0]) == (clock, delay)
    for start_frame, frames in ((1, 25), (60, 40)):
        assert write_clip_sound(video, index, start_frame, Fraction(frames, FPS), wav)
        begin = (start_frame - 1) * RATE_HZ // FPS
        np.testing.assert_array_equal(_read(wav), samples[begin : begin + frames * RATE_HZ // FPS])


DROPPED = ("-vf", "select=not(between(n\\,20\\,27))", "-fps_mode", "vfr")
LATE = ("-vf", "select=gte(n\\,10)", "-fps_mode", "vfr")


@pytest.mark.parametrize(
    ("options", "start_frame", "shown", "damaged"),
    [
        (DROPPED, 52, 60, False),
        (LATE, 50, 60, False),  # after the first frame there is a gap, which is no delay
        (("-c:v", "mjpeg"), 60, 61, True),
    ],
)
def test_sound_in_avi_stays_in_its_place_where_frames_are_missing(
    tmp_path: Path, options: tuple[object, ...], start_frame: int, shown: int, damaged: bool
) -> None:
    samples = _sound(1)
    video = _video(tmp_path / "a.avi", samples, "-bf", 0 if damaged else 2, *options, codec="pcm_s16le")
    if damaged:  # the first packet
        content = video.read_bytes()
        begin = content.index(b"00dc", content.index(b"movi")) + 8
        video.write_bytes(content[:begin] + bytes(1000) + content[begin + 1000 :])
    index, wav = read_frame_index(video), tmp_path / "clip.wav"
    assert index.stamps[0] > 0
    assert _may_be_delayed(index)  # clips with the sound of before are cut again
    assert write_clip_sound(video, index, start_frame, Fraction(20, FPS), wav)
    begin = (shown - 1) * RATE_HZ // FPS
    np.testing.assert_array_equal(_read(wav), samples[begin : begin + 20 * RATE_HZ // FPS])


def test_where_the_sound_begins_later_or_ends_earlier_there_is_silence(tmp_path: Path) -> None:
    samples = _sound(1)[: 3 * RATE_HZ]
    video = _video(tmp_path / "a.mkv", samples, delay_s=1.5, codec="pcm_s16le")
    wav = tmp_path / "clip.wav"
    assert write_clip_sound(video, read_frame_index(video), 26, Fraction(5), wav)  # from 1 s to 6 s
    expected = np.zeros((5 * RATE_HZ, 1), np.int16)
    expected[RATE_HZ // 2 : RATE_HZ // 2 + 3 * RATE_HZ] = samples
    np.testing.assert_array_equal(_read(wav), expected)


def test_of_several_streams_the_default_one_is_heard(tmp_path: Path) -> None:
    """A film in two languages, whose first one is not the default."""
    other = _video(tmp_path / "other.mkv", _sound(2)[:, :1], codec="pcm_s16le")
    main, both = _video(tmp_path / "main.mkv", _sound(1), codec="pcm_s16le"), tmp_path / "both.mkv"
    default = ("-disposition:a:0", 0, "-disposition:a:1", "default")
    _ffmpeg("-i", other, "-i", main, "-map", "0", "-map", "1:a", "-c", "copy", *default, both)
    index, wav = read_frame_index(both), tmp_path / "clip.wav"
    assert index.audio_place == 1
    assert write_clip_sound(both, index, 60, Fraction(1), wav)
    expected = _sound(1)[round(59 / FPS * RATE_HZ) :][:RATE_HZ]
    np.testing.assert_array_equal(_read(wav), expected)
    np.testing.assert_array_equal(32768 * decode(both).samples, _sound(1))


def test_lossy_sound_is_in_its_place_and_many_channels_become_two(tmp_path: Path) -> None:
    clicks = np.zeros((SECONDS * RATE_HZ, 6), np.int16)
    clicks[4 * RATE_HZ, :] = 30_000
    video = _video(tmp_path / "a.mp4", clicks, codec="aac")
    wav = tmp_path / "clip.wav"
    assert write_clip_sound(video, read_frame_index(video), 3 * FPS + 1, Fraction(2), wav)
    heard = _read(wav)
    assert heard.shape == (2 * RATE_HZ, 2)
    assert abs(int(np.abs(heard[:, 0].astype(int)).argmax()) - RATE_HZ) < RATE_HZ // 100


@pytest.mark.parametrize("start_frame", [1, 20, 60, 120])
def test_where_no_seek_ends_before_the_clip_the_sound_is_read_from_the_start(tmp_path: Path, start_frame: int) -> None:
    video, whole, wav = tmp_path / "a.flv", tmp_path / "whole.wav", tmp_path / "clip.wav"  # FLV: no list of key frames
    pictures = ("-f", "lavfi", "-i", f"testsrc=d={SECONDS}:s=64x48:r={FPS}")
    noise = ("-f", "lavfi", "-i", f"anoisesrc=r=22050:d={SECONDS}:seed=1")
    _ffmpeg(*pictures, *noise, "-c:v", "flv1", "-c:a", "libmp3lame", video)
    _ffmpeg("-i", video, whole)
    assert write_clip_sound(video, read_frame_index(video), start_frame, Fraction(1), wav)
    begin = (start_frame - 1) * 22050 // FPS
    with wave.open(str(whole)) as all_of_it, wave.open(str(wav)) as clip:
        expected, heard = (np.frombuffer(each.readframes(7 * 22050), "<i2") for each in (all_of_it, clip))
    part = heard[2000:20000]  # noise is like itself in one place only; 1105 samples of the encoder precede the pictures
    likeness = [np.corrcoef(part, expected[begin + at :][:18000])[0, 1] for at in range(3005, 3205)]
    assert max(likeness) > 0.95


@pytest.mark.parametrize(("rate_hz", "channels"), [(RATE_HZ, 2), (32_000, 1)])
def test_sound_that_changes_midway_goes_on_in_its_place(tmp_path: Path, rate_hz: int, channels: int) -> None:
    """As a broadcast does: three seconds at 16 kHz in mono, then of another rate or another number of channels."""
    tone = "0.4*sin(2*PI*{}*t)"
    for name, rate, sound, after_s in (
        ("one.ts", RATE_HZ, tone.format(500), 0),
        ("two.ts", rate_hz, "|".join([tone.format(1500)] * channels), 3),
    ):
        pictures = ("-f", "lavfi", "-i", f"testsrc=d=3:s=64x48:r={FPS}")
        heard = ("-f", "lavfi", "-i", f"aevalsrc={sound}:s={rate}:d=3")
        _ffmpeg(*pictures, *heard, "-c:v", "mpeg2video", "-c:a", "mp2", "-output_ts_offset", after_s, tmp_path / name)
    video = tmp_path / "both.ts"
    video.write_bytes((tmp_path / "one.ts").read_bytes() + (tmp_path / "two.ts").read_bytes())
    wav = tmp_path / "clip.wav"
    assert write_clip_sound(video, read_frame_index(video), 2 * FPS + 1, Fraction(2), wav)
    samples = _read(wav)[:, 0]
    for begin_s, frequency_hz in ((0.2, 500), (1.4, 1500)):
        part = samples[round(begin_s * RATE_HZ) :][: RATE_HZ // 2].astype(float)
        assert abs(2 * np.abs(np.fft.rfft(part)).argmax() - frequency_hz) <= 4


def test_sound_of_a_video_without_times_is_refused_and_right_in_the_copy_that_is_advised(tmp_path: Path) -> None:
    """Two recordings joined: each has a click a second after its beginning. The sound was taken 1.4 s too late."""
    samples = np.zeros((4 * RATE_HZ, 1), np.int16)
    samples[RATE_HZ : RATE_HZ + 80] = 30_000
    part = _video(tmp_path / "part.ts", samples, "-t", 4, "-c:v", "libx264", "-bf", 0, "-ar", 48_000, codec="mp2")
    video, wav = tmp_path / "joined.ts", tmp_path / "clip.wav"
    video.write_bytes(2 * part.read_bytes())
    with pytest.raises(SampleError, match="its timestamps go backward") as caught:
        write_clip_sound(video, read_frame_index(video), 1, Fraction(4), wav)
    program, *arguments = shlex.split(str(caught.value.next_step).partition("has timestamps: ")[2])
    assert program == "ffmpeg"
    arguments[arguments.index(video.name)], arguments[-1] = str(video), str(tmp_path / "copy.mkv")
    _ffmpeg(*arguments)
    index = read_frame_index(tmp_path / "copy.mkv")
    assert index.frames == 8 * FPS
    assert float(index.duration_s) == pytest.approx(8, abs=0.05)
    for start_frame in (1, 4 * FPS + 1):
        assert write_clip_sound(tmp_path / "copy.mkv", index, start_frame, Fraction(4), wav)
        heard = np.abs(_read(wav, 48_000).astype(int))
        assert heard.argmax() / 48_000 == pytest.approx(1, abs=0.04)


def test_the_sound_begins_where_a_still_is_shown_from(write_video: Callable[..., Path], tmp_path: Path) -> None:
    """A recording of a screen, whose first frame stays for five seconds; there is a click at 4.5 s."""
    still = write_video(
        tmp_path / "still.mkv", 40, codec="libx264", times_ms=lambda place: 5000 + 40 * (place - 1) if place else 0
    )
    samples = np.zeros((7 * RATE_HZ, 1), np.int16)
    samples[9 * RATE_HZ // 2] = 30_000
    sound = _video(tmp_path / "sound.mkv", samples, codec="pcm_s16le")
    _ffmpeg("-i", still, "-i", sound, "-map", "0:v", "-map", "1:a", "-c", "copy", tmp_path / "screen.mkv")
    rows = "video,start_s,end_s,action,subject,object\nscreen.mkv,4,6,cut,carrot,knife\n"
    (tmp_path / "rows.csv").write_text(rows)
    place = tmp_path / "workspace"
    command = ["build", "-w", str(place), "--annotations", str(tmp_path / "rows.csv"), "--no-speech", "--keep-audio"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (row,) = map(json.loads, (place / "manifests/clips.jsonl").read_text().splitlines())
    assert row["duration_s"] == pytest.approx(2, abs=0.05)
    with av.open(str(place / row["path"])) as clip:
        heard = np.concatenate([frame.to_ndarray().reshape(-1) for frame in clip.decode(audio=0)])
    assert np.abs(heard.astype(int)).argmax() / RATE_HZ == pytest.approx(0.5, abs=0.01)


def test_a_build_keeps_the_sound_where_there_is_one(tmp_path: Path) -> None:
    samples = _sound(2)
    _video(tmp_path / "with.mkv", samples, codec="pcm_s16le")
    _video(tmp_path / "without.mkv", None, codec="")
    (tmp_path / "rows.csv").write_text(
        "video,start_frame,end_frame,action,subject,object\n"
        "with.mkv,51,100,cut,carrot,knife\nwithout.mkv,51,100,cut,carrot,knife\n"
    )
    place = tmp_path / "workspace"
    command = ["build", "-w", str(place), "--annotations", str(tmp_path / "rows.csv"), "--no-speech"]
    done = CliRunner().invoke(app, [*command, "--keep-audio"])
    assert done.exit_code == 0, done.output
    assert "clips with sound: 1 of 2; the videos of the others have none" in done.output
    rows = {row["video"]: row for row in map(json.loads, (place / "manifests/clips.jsonl").read_text().splitlines())}
    assert (rows["with"].get("sound"), rows["without"].get("sound")) == (True, None)
    with av.open(str(place / rows["with"]["path"])) as clip:
        assert clip.streams.video[0].frames == 50
        heard = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in clip.decode(audio=0)])
    np.testing.assert_array_equal(heard[: 2 * RATE_HZ], samples[2 * RATE_HZ : 4 * RATE_HZ])
    sha256 = rows["with"]["sha256"]
    # Another option is another clip; and the same one again is the same file.
    done = CliRunner().invoke(app, [*command, "--no-keep-audio"])
    assert done.exit_code == 0, done.output
    silent = {row["video"]: row for row in map(json.loads, (place / "manifests/clips.jsonl").read_text().splitlines())}
    assert silent["with"]["sha256"] != sha256
    with av.open(str(place / silent["with"]["path"])) as clip:
        assert not clip.streams.audio
    assert CliRunner().invoke(app, [*command, "--keep-audio"]).exit_code == 0
    again = {row["video"]: row for row in map(json.loads, (place / "manifests/clips.jsonl").read_text().splitlines())}
    assert again["with"]["sha256"] == sha256
