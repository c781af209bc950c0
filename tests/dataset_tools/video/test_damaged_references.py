"""Damage in a frame counts in every frame that refers to it, also in those shown before it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.video import video_file
from dataset_tools.video.decoding import SourceVideo


def test_b_frames_before_a_damaged_frame_are_damaged(write_video: Callable[..., Path], tmp_path: Path) -> None:
    """Frames 1, 5, 9, … are decoded first; the three between them refer to both, and no frame refers to those."""
    options = {"x264-params": "b-adapt=0:b-pyramid=none:scenecut=0"}
    whole = write_video(tmp_path / "whole.mp4", 60, codec="libx264", g=60, bf=3, size=(320, 240), **options)
    with av.open(str(whole)) as container:
        packets = {one.pts: (one.pos, one.size) for one in container.demux(video=0) if one.size}
    place, size = packets[sorted(packets)[33 - 1]]
    content = bytearray(whole.read_bytes())
    content[place + size // 4 : place + size // 4 + 64] = random.Random(0).randbytes(64)  # within a slice
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    with SourceVideo(whole) as video:
        shown = list(video.pictures(1, 60, 96))
    with SourceVideo(damaged) as video:
        assert list(video.pictures(20, 29, 96)) == shown[19:29]
        for first in (26, 30):  # continued, and sought
            with pytest.raises(SampleError, match="damaged after frame 29"):
                list(video.pictures(first, 30, 96))
        assert list(video.pictures(26, 29, 96)) == shown[25:29]
    assert [one.number for one in shown] == list(range(1, 61))


@pytest.mark.parametrize(
    ("container", "codec", "held"), [("mov", "h264", 16), ("avi", "mpeg4", 16), ("avi", "h264", 0)]
)
def test_few_frames_are_held_for_one_that_never_comes(
    monkeypatch: pytest.MonkeyPatch, container: str, codec: str, held: int
) -> None:
    """As where recordings were joined, so that timestamps go backward. Those of H.264 in AVI are of other frames."""
    read: list[int] = []

    def decode(pts: int) -> list[SimpleNamespace]:
        read.append(pts)
        return [] if pts == 1000 else [SimpleNamespace(pts=pts, is_corrupt=False, key_frame=False)]

    packets = [SimpleNamespace(pts=pts, decode=lambda pts=pts: decode(pts)) for pts in (1000, *range(100))]
    monkeypatch.setattr(video_file, "filled_packets", lambda *_: iter(packets))
    monkeypatch.setattr(
        video_file, "video_stream", lambda _: SimpleNamespace(codec_context=SimpleNamespace(name=codec))
    )
    for expected, (frame, _) in enumerate(
        video_file.decoded_pictures(SimpleNamespace(format=SimpleNamespace(name=container)))
    ):
        assert frame.pts == expected
        assert min(held, 99 - expected) <= len(read) - expected - 2 <= held + 1
    assert expected == 99
