from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError
from fmn.features.frames import frame_times, read_frames, resized_size


def every(times_s: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.arange(len(times_s))


def ffmpeg_frames(path: Path, height: int, width: int) -> NDArray[np.uint8]:
    """All frames, by the ffmpeg program: upright, scaled by areas."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf"]
    command += [f"scale={width}:{height}:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-fps_mode", "passthrough"]
    raw = subprocess.run([*command, "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


@pytest.fixture
def numbered(write_video: Callable[..., Path]) -> Callable[..., Path]:
    """A video whose frame i is gray of brightness 20 + 4 i."""

    def write(name: str, count: int, **options: object) -> Path:
        return write_video(
            name, np.stack([np.full((48, 64, 3), 20 + 4 * i, np.uint8) for i in range(count)]), **options
        )

    return write


def numbers(frames: NDArray[np.uint8]) -> list[int]:
    return [round((float(frame.mean()) - 20) / 4) for frame in frames]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.mkv", "libx264")])
def test_the_frames_asked_for_are_those_that_come(numbered: Callable[..., Path], name: str, codec: str) -> None:
    path = numbered(name, 50, codec=codec, fps=Fraction(147, 5))
    wanted = [0, 1, 7, 8, 30, 48, 49]
    frames, times_s = read_frames(path, lambda times_s: np.array(wanted), resize_px=32)
    assert numbers(frames) == wanted
    # Containers round their time stamps (matroska to milliseconds); an AVI numbers its frames and may start at 1.
    assert np.diff(times_s) == pytest.approx(np.full(49, 5 / 147), abs=1.1e-3)


def test_a_query_shows_the_stream_and_the_part_of_it_that_players_show(
    write_video: Callable[..., Path], tmp_path: Path
) -> None:
    """The default stream, which is not the first, and without the 24 columns on its left that it crops."""
    shade = np.linspace(0, 255, 96, dtype=np.uint8)[None, None, :, None]
    main = write_video("main.mp4", np.broadcast_to(shade, (3, 48, 96, 3)), codec="libx264")
    other, both = write_video("other.mp4", np.full((3, 48, 96, 3), 255, np.uint8), codec="libx264"), tmp_path / "b.mkv"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", other, "-i", main, "-map", "0", "-map", "1"]
    command += ["-c", "copy", "-bsf:v:1", "h264_metadata=crop_left=24", "-disposition:v:0", "0"]
    subprocess.run([*command, "-disposition:v:1", "default", both], check=True)
    frames, _ = read_frames(both, every, resize_px=48)
    assert frames.shape[1:] == (48, 72, 3)
    assert frames[1, 24, :, 0].astype(float) == pytest.approx(shade[0, 0, 24:, 0].astype(float), abs=8)


def test_a_query_whose_aspect_ratio_changes_is_refused(tmp_path: Path) -> None:
    """A broadcast that changes from 4:3 to 16:9; parts of one aspect ratio are read at one size."""
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i"]
    joined = {ratio: tmp_path / f"{ratio.replace('/', '-')}.ts" for ratio in ("12/11", "16/11")}
    for ratio, path in joined.items():
        for start_s, size, sar in (("0", "64x48", "12/11"), ("0.4", "200x152", ratio)):
            picture = [f"testsrc=s={size}:r=25:d=0.4,setsar={sar}", "-bf", "0", "-output_ts_offset", start_s]
            part = subprocess.run(
                [*program, *picture, "-c:v", "libx264", "-f", "mpegts", "-"], capture_output=True, check=True
            ).stdout
            path.write_bytes((path.read_bytes() if path.exists() else b"") + part)
    assert read_frames(joined["12/11"], every, resize_px=32)[0].shape == (20, 32, 47, 3)
    with pytest.raises(SampleError, match=r"changes before frame 11\b"):
        read_frames(joined["16/11"], every, resize_px=32)

    turn = ["-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90", "-output_ts_offset", "0.8"]
    turned = [*program[:3], "-i", joined["12/11"], *turn, "-f", "mpegts", "-"]
    with joined["12/11"].open("ab") as file:
        file.write(subprocess.run(turned, capture_output=True, check=True).stdout)
    with pytest.raises(SampleError, match=r"changes before frame 21\b"):  # a phone that is turned
        read_frames(joined["12/11"], every, resize_px=32)


def test_an_empty_sample_of_a_query_is_no_frame(numbered: Callable[..., Path]) -> None:
    """As QuickTime writes where nothing changes; clips have none."""
    path = numbered("still.mp4", 20, codec="mpeg4")
    content = bytearray(path.read_bytes())
    place = content.index(b"stsz") + 4 * (4 + 10)  # of the size of the sample; the one before gets its bytes
    before, size = struct.unpack(">II", content[place - 4 : place + 4])
    content[place - 4 : place + 4] = struct.pack(">II", before + size, 0)
    path.write_bytes(content)
    frames, times_s = read_frames(path, every, resize_px=32)
    assert numbers(frames) == [number for number in range(20) if number != 10]
    assert (times_s * 25).round().tolist() == numbers(frames)


def test_a_clip_starts_at_time_zero(numbered: Callable[..., Path]) -> None:
    path = numbered("a.mp4", 20, fps=Fraction(147, 5))
    assert frame_times(path) == pytest.approx(np.arange(20) * 5 / 147, abs=1e-4)


def test_sizes() -> None:
    assert resized_size(1224, 1624, 256, "short_side") == (256, 340)
    assert resized_size(320, 240, 256, "short_side") == (341, 256)
    assert resized_size(1224, 1624, 256, "square") == (256, 256)


def test_areas_are_averaged(write_video: Callable[..., Path]) -> None:
    picture = np.kron(np.arange(0, 240, 20, np.uint8).reshape(3, 4), np.ones((32, 32), np.uint8))
    path = write_video("a.mp4", np.repeat(picture[None, :, :, None], 3, axis=3))
    frames, _ = read_frames(path, every, resize_px=3)
    assert frames.shape == (1, 3, 4, 3)
    assert np.abs(frames[0, :, :, 0].astype(int) - np.arange(0, 240, 20).reshape(3, 4)).max() <= 3


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sound.mkv", "action.avi", "reordered.mov"])
def test_real_videos_give_the_frames_that_ffmpeg_gives(real_data: Path, name: str) -> None:
    path = real_data / "video" / name
    frames, _ = read_frames(path, every, resize_px=40)
    expected = ffmpeg_frames(path, *frames.shape[1:3])
    assert len(frames) == len(expected)
    assert np.abs(frames.astype(int) - expected).mean(axis=(1, 2, 3)).max() < 1.5


@pytest.mark.real_data
def test_a_rotated_video_stands_upright(real_data: Path) -> None:
    path = real_data / "video" / "rotated.mov"
    frames, _ = read_frames(path, every, resize_px=64)
    expected = ffmpeg_frames(path, *frames.shape[1:3])
    assert frames.shape[1] > frames.shape[2]  # stored lying on its side
    assert np.abs(frames.astype(int) - expected).mean() < 3
    assert np.abs(frames[:, ::-1, ::-1].astype(int) - expected).mean() > 20  # upside down it would be another picture


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(), ("-display_hflip",), ("-display_vflip",)])
def test_a_display_matrix_is_followed_as_players_do(
    write_video: Callable[..., Path],
    texture: Callable[..., NDArray[np.uint8]],
    tmp_path: Path,
    turn: int,
    flips: tuple[str, ...],
) -> None:
    """Selfie cameras write mirrored ones, which are no rotation by any angle."""
    plain, turned = write_video("plain.mp4", texture(3, 48, 64)), tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-display_rotation", str(turn), *flips]
    subprocess.run([*command, "-i", str(plain), "-c", "copy", str(turned)], check=True)
    frames, _ = read_frames(turned, every, resize_px=48)
    assert frames.shape[1:3] == ((64, 48) if turn in (90, 270) else (48, 64))
    assert np.abs(frames.astype(int) - ffmpeg_frames(turned, *frames.shape[1:3])).mean() < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pixels_that_are_not_square_are_stretched_as_players_do(
    write_video: Callable[..., Path], texture: Callable[..., NDArray[np.uint8]], tmp_path: Path, suffix: str
) -> None:
    """As camcorders write 1440 x 1080 pixels of 4:3, shown as 16:9."""
    plain, wide = write_video("plain.mkv", texture(3, 48, 64)), tmp_path / f"wide.{suffix}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(plain), "-vf", "setsar=4/3", "-c:v", "libx264"]
    subprocess.run([*command, "-qp", "1", "-pix_fmt", "yuv420p", str(wide)], check=True)
    frames, _ = read_frames(wide, every, resize_px=24)
    assert frames.shape[1:3] == (24, 42)  # 64 · 4 / 3 = 85, and half of it
    assert np.abs(frames.astype(int) - ffmpeg_frames(wide, 24, 42)).mean() < 4


@pytest.mark.parametrize("ratio", ["255/1", "1/255"])
def test_pixels_that_no_video_has_are_refused(
    write_video: Callable[..., Path], texture: Callable[..., NDArray[np.uint8]], tmp_path: Path, ratio: str
) -> None:
    """A frame of 1920 x 1080 such pixels would take 400 MB."""
    plain, strange = write_video("plain.mkv", texture(3, 48, 64)), tmp_path / "strange.avi"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(plain), "-vf", f"setsar={ratio}:max=255"]
    subprocess.run([*command, "-c:v", "mpeg4", str(strange)], check=True)
    with pytest.raises(SampleError, match="pixels whose width is"):
        read_frames(strange, every, resize_px=24)


@pytest.mark.real_data
def test_a_damaged_file_is_a_sample_error(real_data: Path) -> None:
    with pytest.raises(SampleError, match="cannot be decoded"):
        read_frames(real_data / "video" / "damaged.mp4", every, resize_px=40)


def test_a_cut_off_file_gives_the_frames_before_the_cut(
    write_video: Callable[..., Path], texture: Callable[..., NDArray[np.uint8]]
) -> None:
    path = write_video("a.mkv", texture(60, 96, 128))
    whole, _ = read_frames(path, every, resize_px=32)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames, times_s = read_frames(path, every, resize_px=32)
    assert 20 < len(frames) < 60
    assert len(times_s) == len(frames)
    assert np.array_equal(frames[:20], whole[:20])


def test_frames_that_are_announced_but_not_there_are_not_waited_for(
    numbered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = numbered("a.mp4", 30)
    monkeypatch.setattr("fmn.features.frames.frame_times", lambda path: np.arange(40) / 25)
    frames, times_s = read_frames(path, lambda times_s: np.arange(0, len(times_s), 10), resize_px=32)
    assert numbers(frames) == [0, 10, 20]
    assert len(times_s) == 30


def test_what_is_no_video_is_a_sample_error(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("this is no video")
    with pytest.raises(SampleError, match="cannot be opened as a video: Invalid data"):
        frame_times(text)
    with pytest.raises(SampleError, match="missing"):
        frame_times(tmp_path / "none.mp4")


NOT_OF_VIDEOS = "it is not in a format of videos, but may be an audio file, a picture or a playlist"


@pytest.mark.parametrize(
    ("suffix", "codec", "said"),
    [
        ("mp4", "aac", "The file has no video stream"),
        ("wav", "pcm_s16le", f"The file cannot be opened as a video: {NOT_OF_VIDEOS}"),
        ("mp3", "libmp3lame", f"The file cannot be opened as a video: {NOT_OF_VIDEOS}"),
    ],
)
def test_sound_alone_is_a_sample_error(tmp_path: Path, suffix: str, codec: str, said: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_sound(path, codec)
    with pytest.raises(SampleError) as caught:
        frame_times(path)
    assert caught.value.found == said


def write_sound(path: Path, codec: str) -> None:
    """A second of silence."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def test_pictures_and_sound_with_a_cover_are_no_videos(tmp_path: Path) -> None:
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    sound, picture, both = tmp_path / "a.m4a", tmp_path / "a.jpg", tmp_path / "cover.m4a"
    write_sound(sound, "aac")
    subprocess.run([*program, "-f", "lavfi", "-i", "testsrc=s=64x48", "-frames:v", "1", picture], check=True)
    cover = ["-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic"]
    subprocess.run([*program, "-i", sound, "-i", picture, *cover, both], check=True)
    with pytest.raises(SampleError, match=NOT_OF_VIDEOS):
        frame_times(picture)
    with pytest.raises(SampleError, match="The file has no video stream"):
        frame_times(both)
