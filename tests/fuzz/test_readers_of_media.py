"""Every reader of sound and video: a result, or an error that names the file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from dataset_tools.core.audio_decoding import decode
from dataset_tools.video.frame_index import read_frame_index
from dataset_tools.video.source_videos import READER, cached_sources

SHA256 = "0123456789abcdef" * 4


def video(suffix: str, codec: str) -> Callable[[], bytes]:
    def content() -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format=suffix) as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(20):
                picture = np.full((48, 64, 3), number * 12, np.uint8)
                output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            output.mux(stream.encode(None))
        return buffer.getvalue()

    return content


def sound(kind: str) -> Callable[[], bytes]:
    def content() -> bytes:
        buffer = io.BytesIO()
        soundfile.write(buffer, np.sin(np.arange(8000) * 0.05) / 2, 16000, format=kind)
        return buffer.getvalue()

    return content


INDEX = {"frames": 3, "rate": "25", "stamps": [0, 1, 2], "key_frames": [1], "tick_s": "1/25"}
NOTE = {"reader": READER, "source": {"path": "x", "marks": [1, 2, 3, 4], "sha256": SHA256, "index": INDEX}}


TARGETS: dict[str, tuple[str, str, Callable[[Path], object], Callable[[], bytes] | None]] = {
    "wav": ("bytes", "in/a.wav", lambda root: decode(root / "in" / "a.wav"), sound("WAV")),
    "flac": ("bytes", "in/a.flac", lambda root: decode(root / "in" / "a.flac"), sound("FLAC")),
    "ogg": ("bytes", "in/a.ogg", lambda root: decode(root / "in" / "a.ogg"), sound("OGG")),
    "mp4": ("bytes", "in/a.mp4", lambda root: read_frame_index(root / "in" / "a.mp4"), video("mp4", "mpeg4")),
    "avi": ("bytes", "in/a.avi", lambda root: read_frame_index(root / "in" / "a.avi"), video("avi", "mpeg4")),
    "mkv": ("bytes", "in/a.mkv", lambda root: read_frame_index(root / "in" / "a.mkv"), video("matroska", "mpeg4")),
    "note on a video": (
        "json",
        "cache/sources/a.json",
        lambda root: cached_sources(root / "cache" / "sources"),
        lambda: json.dumps(NOTE).encode(),
    ),
}


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_any_change_gives_a_result_or_names_the_file(fuzz: Callable[..., None], name: str) -> None:
    fuzz(*TARGETS[name])
