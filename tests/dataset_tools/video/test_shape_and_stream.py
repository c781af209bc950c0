"""Which video stream of a file is shown, and the shape of its pictures, where a file has several of either."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from dataset_tools.clips.timing import clip_timing
from dataset_tools.core.errors import SampleError
from dataset_tools.video.decoding import SourceVideo
from dataset_tools.video.frame_index import read_frame_index

Write = Callable[..., Path]
NumberOf = Callable[[np.ndarray], int]
H264 = {"codec": "libx264", "rate": Fraction(25), "g": 10, "bf": 0}


def ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def sizes(path: Path, start_frame: int, end_frame: int) -> set[tuple[int, int]]:
    with SourceVideo(path) as video:
        return {(one.width, one.height) for one in video.pictures(start_frame, end_frame, 120)}


def test_the_default_stream_is_read_and_no_cover_picture(
    write_video: Write, number_of: NumberOf, tmp_path: Path
) -> None:
    main = write_video(tmp_path / "main.mp4", 40, **H264)
    other = write_video(tmp_path / "other.mp4", range(101, 121), **H264)
    cover = write_video(tmp_path / "cover.mov", [200], codec="mjpeg", pix_fmt="yuvj420p")
    for first in (other, cover):
        path = tmp_path / f"{first.stem}-first.mkv"
        default = ["-disposition:v:0", 0, "-disposition:v:1", "default"]
        ffmpeg("-i", first, "-i", main, "-map", 0, "-map", 1, "-c", "copy", *default, path)
        with SourceVideo(path) as video:
            assert video.index.frames == 40, path
            lumas = [
                np.frombuffer(one.yuv420p, np.uint8)[: one.height * one.width].reshape(one.height, one.width)
                for one in video.pictures(21, 40, 96)
            ]
        assert [number_of(luma) for luma in lumas] == list(range(21, 41)), path


def test_what_is_cropped_at_the_left_is_not_seen(write_video: Write, tmp_path: Path) -> None:
    plain, cropped = write_video(tmp_path / "plain.mp4", 20, **H264), tmp_path / "cropped.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=crop_left=40", cropped)
    assert sizes(plain, 1, 20) == {(160, 120)}
    assert sizes(cropped, 1, 20) == {(120, 120)}


@pytest.mark.parametrize("change", ["setsar=16/11", "scale=320:120,setsar=12/11", "scale=90:120,setsar=12/11"])
def test_a_shape_that_changes_is_followed_between_clips_and_refused_within(
    change: str, write_video: Write, tmp_path: Path
) -> None:
    """A broadcast that changes from 4:3 to 16:9, a call whose phone is turned: no clip is stretched."""
    plain, joined = write_video(tmp_path / "plain.mp4", 30, **H264), tmp_path / "joined.ts"
    parts = [tmp_path / "first.ts", tmp_path / "second.ts"]
    encoder = ["-c:v", "libx264", "-bf", 0]
    ffmpeg("-i", plain, "-vf", "setsar=12/11", *encoder, parts[0])
    ffmpeg("-i", plain, "-vf", change, *encoder, "-output_ts_offset", 1.2, parts[1])
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert sizes(joined, 1, 30) == sizes(parts[0], 1, 30) == {(174, 120)}
    assert sizes(joined, 31, 60) == sizes(parts[1], 1, 30) != {(174, 120)}
    with pytest.raises(SampleError, match=r"aspect ratio changes at frame 31\b"):
        sizes(joined, 25, 35)


def test_a_smaller_picture_of_the_same_shape_is_scaled_up(write_video: Write, tmp_path: Path) -> None:
    plain, joined = write_video(tmp_path / "plain.mp4", 30, **H264), tmp_path / "joined.ts"
    parts = [tmp_path / "first.ts", tmp_path / "second.ts"]
    ffmpeg("-i", plain, "-c", "copy", parts[0])
    ffmpeg("-i", plain, "-vf", "scale=128:96", "-c:v", "libx264", "-bf", 0, "-output_ts_offset", 1.2, parts[1])
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert sizes(joined, 25, 35) == {(160, 120)}


def test_pictures_an_hour_apart_have_a_rate(write_video: Write, tmp_path: Path) -> None:
    hours = (0, 1, 4, 9)
    path = write_video(tmp_path / "lapse.mkv", 4, codec="ffv1", times_ms=lambda place: hours[place] * 3_600_000)
    index = read_frame_index(path)
    assert Fraction(index.rate) == Fraction(3, 9 * 3600)
    timing = clip_timing(index, 1, 3)
    assert timing.rate == Fraction(1, 3600)
    assert timing.source_frames == (1, 2, 2, 2, 3, 3, 3, 3, 3)  # each as many hours as until the next
