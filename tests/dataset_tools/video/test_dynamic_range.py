"""HDR footage has the colors of the scene in a clip, as standard footage has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from dataset_tools.video.decoding import Picture, SourceVideo
from dataset_tools.video.frame_index import read_frame_index
from fmn.features.frames import read_frames

Colors = NDArray[np.float64]
SIDE = 64
WHITE_NITS = 203
"""Luminance of diffuse white in HDR (ITU-R BT.2408)."""
COLORS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0), "gray": (0.4, 0.4, 0.4)}
TRANSFERS = {"pq": "smpte2084", "hlg": "arib-std-b67"}
TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Linear BT.709 to linear BT.2020 (ITU-R BT.2087)."""


def pq(linear: Colors) -> Colors:
    """SMPTE ST 2084: light in units of diffuse white to signal."""
    power = (linear * WHITE_NITS / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)


def hlg(linear: Colors) -> Colors:
    """ARIB STD-B67, for a display of 1000 nits: diffuse white is 0.265 of the scene light, the signal 0.75."""
    light = 0.265 * linear
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(light <= 1 / 12, np.sqrt(3 * light), a * np.log(np.maximum(12 * light - b, 1e-9)) + c)


def write(path: Path, transfer: str) -> None:
    """Writes a 10-bit BT.2020 video of 8 frames with one column of each color."""
    red, green, blue = {"pq": pq, "hlg": hlg}[transfer](TO_BT2020 @ np.array([*COLORS.values()], np.float64).T)
    luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
    planes = 64 + 876 * luma, 512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746
    sides = SIDE, SIDE // 2, SIDE // 2
    raw = [
        np.tile(plane.repeat(side), (side, 1)).round().astype("<u2") for plane, side in zip(planes, sides, strict=True)
    ]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p10le"]
    command += ["-s", f"{len(COLORS) * SIDE}x{SIDE}", "-r", "25", "-i", "-", "-c:v", "libx265", "-crf", "4"]
    command += ["-x265-params", f"log-level=none:colorprim=bt2020:transfer={TRANSFERS[transfer]}:colormatrix=bt2020nc"]
    subprocess.run([*command, str(path)], input=b"".join(plane.tobytes() for plane in raw) * 8, check=True)


def columns(picture: Picture) -> Colors:
    """[color, RGB]: means of the columns of a picture in BT.601, as readers take a clip, which states no matrix."""
    width, values = picture.width, np.frombuffer(picture.yuv420p, np.uint8).astype(np.float64)
    luma, *chroma = np.split(values, [SIDE * width, SIDE * width * 5 // 4])
    luma = (luma.reshape(SIDE, width)[::2, ::2] - 16) / 219
    blue, red = ((plane.reshape(luma.shape) - 128) / 224 for plane in chroma)
    signal = luma + np.array([1.402 * red, -0.3441 * blue - 0.7141 * red, 1.772 * blue])
    return 255 * np.clip(means(signal.transpose(1, 2, 0)), 0, 1)


def means(picture: Colors) -> Colors:
    """[color, 3]: means of the columns of a picture [height, width, 3], without their edges."""
    parts = np.split(picture, len(COLORS), axis=1)
    return np.array([part[:, 8:-8].mean((0, 1)) for part in parts])


def have_the_colors_of_the_scene(found: Colors) -> bool:
    # On a display of BT.1886. The most saturated colors become paler; without tone mapping, red is (139, 85, 52) in PQ.
    shown = 255 * np.array([*COLORS.values()]) ** (1 / 2.4)
    return bool(np.abs(found - shown).max() < 75 and np.abs(found - shown)[-1].max() < 15)  # the last is gray


def test_clips_and_queries_have_the_colors_of_the_scene(tmp_path: Path) -> None:
    path = tmp_path / "hdr.mp4"
    write(path, "pq")
    with SourceVideo(path) as video:
        cut = [columns(one) for span in ((2, 3), (6, 8)) for one in video.pictures(*span, SIDE)]
    frames, _ = read_frames(path, lambda _: np.array([3]), resize_px=SIDE)
    query = means(frames[0].astype(np.float64))
    assert have_the_colors_of_the_scene(query)
    assert all(np.abs(colors - query).mean() < 10 for colors in cut)  # with the matrix of BT.709: 14


def test_footage_of_phones_has_the_colors_of_the_scene(tmp_path: Path) -> None:
    """The other transfer function."""
    path = tmp_path / "hdr.mp4"
    write(path, "hlg")
    assert read_frame_index(path).hdr
    frames, _ = read_frames(path, lambda _: np.array([3]), resize_px=SIDE)
    assert have_the_colors_of_the_scene(means(frames[0].astype(np.float64)))
