"""Containers × codecs × rates × B-frames × edit lists × orientation: frames and times against the ffmpeg program's.

PyAV reads here, the ffmpeg program there; both rest on FFmpeg's decoders. OpenCV is a third reader of plain files.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st

from dataset_tools.video.decoding import SourceVideo

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
WIDTH, HEIGHT = 160, 120
COLUMNS, ROWS = 4, 3

EXAMPLES = int(os.environ.get("FMN_FUZZ_EXAMPLES", "40"))
"""More of them are for a hunt by hand, and are then drawn anew each time."""

CODECS = {
    "h264": ("avi", "flv", "mkv", "mov", "mp4", "ts"),
    "mpeg4": ("avi", "mkv", "mp4"),
    "mpeg2video": ("mkv", "mpg", "ts"),
    "vp8": ("webm", "mkv"),
    "vp9": ("webm", "mp4"),
    "mjpeg": ("avi", "mov"),
    "ffv1": ("avi", "mkv"),
    "prores": ("mov",),
    "wmv2": ("wmv", "avi"),
}
ENCODERS = {
    "h264": ("libx264", "-preset", "ultrafast"),
    "vp8": ("libvpx", "-b:v", "500k", "-auto-alt-ref", "1", "-lag-in-frames", "12", "-deadline", "realtime"),
    "vp9": ("libvpx-vp9", "-b:v", "500k", "-deadline", "realtime", "-cpu-used", "8", "-row-mt", "0"),
    "mpeg4": ("mpeg4", "-q:v", "3"),
    "mpeg2video": ("mpeg2video", "-q:v", "3"),
    "wmv2": ("wmv2", "-q:v", "3"),
    "mjpeg": ("mjpeg", "-q:v", "3"),
}
MPEG2_RATES = ("25", "30000/1001", "60")
ORIENTATIONS = ((), ("-display_rotation", "90"), ("-display_rotation", "180"), ("-display_hflip",))


@dataclass(frozen=True)
class Recipe:
    """How a video is made. ``keep``: of so many pictures in a row the last is dropped (0: none), as cameras do."""

    codec: str
    suffix: str
    rate: str
    frames: int
    gop: int
    b_frames: int
    keep: int
    cut_s: float
    orientation: tuple[str, ...]
    remux: str


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    codec = draw(st.sampled_from(sorted(CODECS)))
    suffix = draw(st.sampled_from(CODECS[codec]))
    rates = MPEG2_RATES if codec == "mpeg2video" else ("25", "30000/1001", "147/5", "15", "60")
    is_iso = suffix in ("mp4", "mov")
    return Recipe(
        codec,
        suffix,
        draw(st.sampled_from(rates)),
        frames=draw(st.integers(2, 90)),
        gop=draw(st.sampled_from((1, 7, 12, 50))),
        b_frames=draw(st.integers(0, 3)) if codec in ("h264", "mpeg4", "mpeg2video") else 0,
        keep=draw(st.sampled_from((0, 0, 3, 5))),
        cut_s=draw(st.sampled_from((0.0, 0.0, 0.4))) if is_iso else 0.0,
        orientation=draw(st.sampled_from(ORIENTATIONS)) if is_iso else (),
        remux=draw(st.sampled_from(CODECS[codec])),
    )


def picture(number: int) -> bytes:
    """Gray [HEIGHT, WIDTH]: bit b of the number is a white or black cell, row by row."""
    grid = np.array([225 if number >> bit & 1 else 30 for bit in range(COLUMNS * ROWS)], np.uint8)
    return np.kron(grid.reshape(ROWS, COLUMNS), np.ones((HEIGHT // ROWS, WIDTH // COLUMNS), np.uint8)).tobytes()


def number_of(luma: np.ndarray) -> int:
    height, width = luma.shape
    number = 0
    for bit in range(COLUMNS * ROWS):
        row, column = divmod(bit, COLUMNS)
        y, x = height * (2 * row + 1) // (2 * ROWS), width * (2 * column + 1) // (2 * COLUMNS)
        number |= bool(luma[y - 3 : y + 3, x - 3 : x + 3].mean() > 128) << bit
    return number


def ffmpeg(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [FFMPEG, "-y", "-nostdin" if stdin is None else "-hide_banner", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    if done.returncode:
        reject()  # what the ffmpeg program cannot make or copy is no input
    return done


def make(recipe: Recipe, folder: Path) -> Path:
    """Makes the video with the ffmpeg program: encoded, perhaps copied to another container, cut, turned."""
    options = [*ENCODERS.get(recipe.codec, (recipe.codec,)), "-g", recipe.gop]
    options += ["-bf", recipe.b_frames] if recipe.b_frames else []
    drop = ["-vf", f"select='mod(n+1\\,{recipe.keep})'", "-fps_mode", "vfr"] if recipe.keep else []
    if drop and recipe.suffix != "mpg":
        drop += ["-enc_time_base", str(1 / Fraction(recipe.rate))]
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", recipe.rate, "-i", "-"]
    pix_fmt = {"prores": "yuv422p10", "mjpeg": "yuvj420p"}.get(recipe.codec, "yuv420p")
    path = folder / f"made.{recipe.suffix}"
    pictures = b"".join(picture(number) for number in range(1, recipe.frames + 1))
    ffmpeg(*raw, *drop, "-pix_fmt", pix_fmt, "-strict", "-2", "-c:v", *options, path, stdin=pictures)
    copies = [path]
    if recipe.remux != recipe.suffix:
        copies.append(folder / f"copied.{recipe.remux}")
        ffmpeg("-fflags", "+genpts", "-i", copies[-2], "-c", "copy", copies[-1])
    if recipe.cut_s and recipe.frames > 40:
        copies.append(folder / f"cut{copies[-1].suffix}")
        ffmpeg("-ss", recipe.cut_s, "-i", copies[-2], "-c", "copy", copies[-1])
    if recipe.orientation and copies[-1].suffix in (".mp4", ".mov"):
        copies.append(folder / f"turned{copies[-1].suffix}")
        ffmpeg(*recipe.orientation, "-i", copies[-2], "-c", "copy", copies[-1])
    return copies[-1]


def shown_by_ffmpeg(path: Path) -> tuple[list[int], list[float | None]]:
    """The number of every frame that the ffmpeg program puts out, and its time in seconds."""
    said = ffmpeg("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "showinfo", "-f", "null", "-").stderr
    stamps = re.findall(r"Parsed_showinfo.*? pts_time:\s*(\S+)", said.decode())
    times = [None if stamp == "NOPTS" else float(stamp) for stamp in stamps]
    upright = re.search(r"showinfo.*? s:(\d+)x(\d+)", said.decode())
    assert upright
    width, height = int(upright[1]), int(upright[2])
    out = ffmpeg(
        "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough", "-vf", "format=gray", "-f", "rawvideo", "-"
    ).stdout  # fmt: skip
    return [number_of(luma) for luma in np.frombuffer(out, np.uint8).reshape(-1, height, width)], times


def check(path: Path, draw_span: Callable[[int], tuple[int, int]]) -> None:
    shown, times = shown_by_ffmpeg(path)
    with SourceVideo(path) as video:
        index = video.index
        assert index.frames == len(shown), index
        spans = [(1, len(shown)), (len(shown), len(shown)), *(draw_span(len(shown)) for _ in range(3))]
        for start, end in spans:
            pictures = list(video.pictures(start, end, 120))
            lumas = [np.frombuffer(one.yuv420p, np.uint8)[: one.height * one.width] for one in pictures]
            found = [number_of(luma.reshape(one.height, one.width)) for one, luma in zip(pictures, lumas, strict=True)]
            assert found == shown[start - 1 : end], (start, end)
        event("decoded" if index.decoded else "from packets")
        known = [(place, time) for place, time in enumerate(times) if time is not None]
        if index.stamps and known:
            first_place, first_s = known[0]
            ours = index.times_s(1, index.frames)
            # Stamps of containers are rounded. Where one is missing or doubled, ffmpeg guesses by another rule.
            near_s = float(1.5 / video.rate) if index.estimated else 0.0021
            for place, time in known:
                assert float(ours[place] - ours[first_place]) == pytest.approx(time - first_s, abs=near_s), place


@given(recipe=recipes(), data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FMN_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
def test_every_frame_is_that_of_ffmpeg_and_at_its_time(
    recipe: Recipe, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = make(recipe, tmp_path_factory.mktemp("video"))

    def draw_span(frames: int) -> tuple[int, int]:
        start = data.draw(st.integers(1, frames))
        return start, data.draw(st.integers(start, min(frames, start + 20)))

    check(path, draw_span)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", "mp4"), ("h264", "mkv"), ("mpeg4", "avi"), ("mjpeg", "avi"), ("vp9", "webm")]
)
def test_opencv_reads_the_same_frames(codec: str, suffix: str, tmp_path: Path) -> None:
    """A reader of plain files that goes its own way, from file to picture."""
    path = make(Recipe(codec, suffix, "30000/1001", 70, 12, 0, 0, 0.0, (), suffix), tmp_path)
    reader, seen = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        seen.append(number_of(read[1][:, :, 0]))
    reader.release()
    assert seen == list(range(1, 71))
    with SourceVideo(path) as video:
        assert video.index.frames == 70
        assert video.rate == Fraction(30000, 1001)
        pictures = list(video.pictures(31, 50, 120))
        lumas = [np.frombuffer(one.yuv420p, np.uint8)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH) for one in pictures]
        assert [number_of(luma) for luma in lumas] == seen[30:50]
