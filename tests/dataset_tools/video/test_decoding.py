"""Frame exactness on sources that are hard to seek in; the truth is the number that each frame carries."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import msgspec
import numpy as np
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.video.decoding import SourceVideo
from dataset_tools.video.frame_index import read_frame_index

SOURCES: dict[str, dict[str, Any]] = {
    "long-gop.avi": {"frames": 400, "g": 250},
    "b-frames.avi": {"frames": 200, "g": 50, "bf": 2},
    "h264-b-frames.avi": {"frames": 200, "codec": "libx264", "g": 50, "bf": 3},
    "h264.mp4": {"frames": 200, "codec": "libx264", "g": 60, "bf": 3},
    "open-gop.mp4": {"frames": 200, "codec": "libx264", "g": 40, "bf": 3, "x264-params": "open-gop=1:scenecut=0"},
    "intra-refresh.mkv": {"frames": 200, "codec": "libx264", "g": 40, "x264-params": "intra-refresh=1"},
    "fragmented.mp4": {
        "frames": 200,
        "codec": "libx264",
        "g": 30,
        "container": {"movflags": "frag_keyframe+empty_moov"},
    },
    "variable-rate.mkv": {
        "frames": 200,
        "codec": "libx264",
        "g": 50,
        "bf": 3,
        "times_ms": lambda place: place * 34 + (place // 40) * 500 + place % 3 * 9,
    },
    "late-start.mp4": {"frames": 200, "codec": "libx264", "g": 50, "times_ms": lambda place: 1234 + place * 40},
    "rotated.mov": {"frames": 200, "codec": "libx264", "g": 50, "rotate": 90},
    "turned-left.mov": {"frames": 60, "codec": "libx264", "g": 50, "rotate": 270},
    "upside-down.mov": {"frames": 100, "codec": "libx264", "g": 50, "rotate": 180},
    "odd.avi": {"frames": 100, "g": 30, "size": (161, 121)},
    "motion-jpeg.avi": {"frames": 60, "codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "lossless.mkv": {"frames": 60, "codec": "ffv1", "pix_fmt": "yuv444p", "size": (163, 125)},
}


@pytest.fixture(params=SOURCES)
def source(
    request: pytest.FixtureRequest, write_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    path = tmp_path_factory.getbasetemp() / "sources" / request.param
    if not path.exists():
        write_video(path, **SOURCES[request.param])
    return path, SOURCES[request.param]["frames"]


def numbers_of(video: SourceVideo, start: int, end: int, number_of: Callable[[np.ndarray], int]) -> list[int]:
    pictures = list(video.pictures(start, end, 96))
    assert all(min(picture.width, picture.height) == 96 for picture in pictures)
    assert [picture.number for picture in pictures] == list(range(start, end + 1))
    lumas = [np.frombuffer(one.yuv420p, np.uint8)[: one.height * one.width] for one in pictures]
    return [number_of(luma.reshape(one.height, one.width)) for one, luma in zip(pictures, lumas, strict=True)]


def test_every_span_has_just_its_frames(source: tuple[Path, int], number_of: Callable[[np.ndarray], int]) -> None:
    path, frames = source
    draw = random.Random(path.name)
    spans = [(1, 5), (frames - 4, frames), (frames, frames), (frames // 2, frames // 2)]
    for _ in range(6):
        start = draw.randint(1, frames)
        spans.append((start, min(frames, start + draw.randint(0, 30))))
    draw.shuffle(spans)
    with SourceVideo(path) as video:
        for start, end in (*spans, *sorted(spans)):
            assert numbers_of(video, start, end, number_of) == list(range(start, end + 1)), (start, end)


def test_stamps_of_the_coded_order_are_seen_through(write_video: Callable[..., Path], tmp_path: Path) -> None:
    """H.264 in AVI: its presentation stamps are of the coded order; frame n appears n - 1 steps after the first."""
    index = read_frame_index(write_video(tmp_path / "coded.avi", 100, codec="libx264", g=20, bf=3))
    assert (index.frames, index.decoded, index.clock) == (100, True, "dts")
    assert index.times_s(1, 100) == [Fraction(place * 5, 147) for place in range(101)]
    assert index.key_frame_before(90) > 60


def test_an_edit_list_takes_frames_out(
    write_video: Callable[..., Path], number_of: Callable[[np.ndarray], int], tmp_path: Path
) -> None:
    whole = write_video(tmp_path / "whole.mp4", 200, codec="libx264", g=40, bf=3)
    path = tmp_path / "edited.mp4"
    copy = ("-c", "copy", str(path))
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-ss", "2", "-i", str(whole), *copy], check=True)
    with av.open(str(path)) as container:  # what any player shows
        shown = [number_of(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]
    assert shown[0] > 41  # not a key frame: there is something before it in the file, which must not be counted
    assert shown == list(range(shown[0], 201))
    with SourceVideo(path) as video:
        assert video.index.frames == len(shown)
        for start, end in ((1, 3), (100, 110), (len(shown), len(shown)), (30, 40)):
            assert numbers_of(video, start, end, number_of) == shown[start - 1 : end]


def patch(path: Path, chunk: bytes, offset: int, value: bytes) -> None:
    """Overwrites bytes ``offset`` after the name of the first ``chunk``."""
    content = bytearray(path.read_bytes())
    place = content.index(chunk) + offset
    content[place : place + len(value)] = value
    path.write_bytes(content)


def test_a_header_with_a_wrong_frame_count_is_not_believed(
    write_video: Callable[..., Path], number_of: Callable[[np.ndarray], int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "wrong.avi", 120, g=30)
    patch(path, b"avih", 8 + 16, (40).to_bytes(4, "little"))
    patch(path, b"strh", 8 + 32, (40).to_bytes(4, "little"))
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 40
    with SourceVideo(path) as video:
        assert video.index.frames == 120
        assert numbers_of(video, 95, 120, number_of) == list(range(95, 121))


def test_what_is_no_key_frame_is_not_taken_for_one(
    write_video: Callable[..., Path], number_of: Callable[[np.ndarray], int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "lying.avi", 200, g=100)
    index = read_frame_index(path)
    lies = [number for number in range(60, 200, 7) if number not in index.key_frames]
    content = bytearray(path.read_bytes())
    for entry in range(content.rindex(b"idx1") + 8, len(content), 16):
        content[entry + 4] |= 0x10  # seeking to any frame now ends there
    path.write_bytes(content)
    with SourceVideo(path, msgspec.structs.replace(index, key_frames=(1, *lies))) as video:
        for start, end in ((lies[2], lies[2] + 3), (lies[5] + 2, lies[5] + 4), (61, 61)):
            assert numbers_of(video, start, end, number_of) == list(range(start, end + 1))


def test_stamps_that_go_wrong_late_are_not_believed(
    number_of: Callable[[np.ndarray], int], write_video: Callable[..., Path], tmp_path: Path
) -> None:
    """H.264 in AVI, whose stamps are those of the coded order: right as long as no frames are reordered."""
    path = write_video(
        tmp_path / "late.avi", 200, codec="libx264", bf=3, intra=60, **{"x264-params": "scenecut=0:keyint=50"}
    )
    with SourceVideo(path) as video:
        for start, end in ((40, 50), (65, 90), (151, 151), (120, 122), (199, 200)):
            assert numbers_of(video, start, end, number_of) == list(range(start, end + 1))


@pytest.mark.parametrize("name", ["cut.avi", "cut.mkv"])
def test_a_truncated_file_gives_what_is_whole(
    name: str, write_video: Callable[..., Path], number_of: Callable[[np.ndarray], int], tmp_path: Path
) -> None:
    path = write_video(tmp_path / name, 200, g=40)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with SourceVideo(path) as video:
        frames = video.index.frames
        assert 100 < frames < 160
        assert numbers_of(video, frames - 20, frames, number_of) == list(range(frames - 20, frames + 1))
        with pytest.raises(SampleError, match=f"ends at frame {frames}"):
            list(video.pictures(frames - 20, frames + 1, 96))
        assert numbers_of(video, 5, 10, number_of) == list(range(5, 11))


@pytest.mark.parametrize(("name", "codec"), [("damaged.avi", "mpeg4"), ("damaged.mp4", "libx264")])
def test_damage_fails_the_spans_that_need_it_and_no_others(
    name: str, codec: str, write_video: Callable[..., Path], number_of: Callable[[np.ndarray], int], tmp_path: Path
) -> None:
    options = {"x264-params": "scenecut=0"} if codec == "libx264" else {}
    path = write_video(tmp_path / name, 240, codec=codec, g=40, size=(320, 240), **options)
    with av.open(str(path)) as container:
        packets = {packet.pts: (packet.pos, packet.size) for packet in container.demux(video=0) if packet.size}
    place, size = packets[sorted(packets)[129]]  # of frame 130, in the group 121…160
    content = bytearray(path.read_bytes())
    content[place + size // 2 : place + size - 8] = random.Random(0).randbytes(size - 8 - size // 2)
    path.write_bytes(content)
    with SourceVideo(path) as video:
        for start, end, whole in (
            (100, 120, True),
            (121, 125, True),
            (130, 130, False),
            (140, 150, False),
            (121, 160, False),
            (161, 200, True),
            (1, 9, True),
        ):
            if whole:
                assert numbers_of(video, start, end, number_of) == list(range(start, end + 1))
            else:
                with pytest.raises(SampleError, match=r"damaged after frame 1[23]\d") as caught:
                    list(video.pictures(start, end, 96))
                assert caught.value.where == str(path)


@pytest.mark.parametrize("content", [b"", b"not a video" * 100, None])
def test_what_is_no_video_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.avi"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SampleError, match="cannot be opened") as caught:
        SourceVideo(path)
    assert caught.value.where == str(path)


def test_audio_and_pictures_are_no_videos(tmp_path: Path, ffmpeg: Callable[..., object]) -> None:
    for name, source in (("a.wav", "sine=d=1"), ("a.jpg", "testsrc=s=64x48:d=0.04"), ("a.m4a", "sine=d=1")):
        ffmpeg("-f", "lavfi", "-i", source, tmp_path / name)
    cover = ("-map", 0, "-map", 1, "-c", "copy", "-disposition:v", "attached_pic")
    ffmpeg("-i", tmp_path / "a.m4a", "-i", tmp_path / "a.jpg", *cover, tmp_path / "cover.m4a")
    for name, said in (("a.wav", "audio file"), ("a.jpg", "a picture"), ("cover.m4a", "no video stream")):
        with pytest.raises(SampleError, match="cannot be opened: it .*" + said):
            SourceVideo(tmp_path / name)


def test_pictures_are_upright_and_of_square_pixels(write_video: Callable[..., Path], tmp_path: Path) -> None:
    wide = write_video(tmp_path / "wide.mkv", 5, codec="libx264", aspect=Fraction(2, 1))
    rotated = write_video(tmp_path / "rotated.mov", 5, codec="libx264", size=(160, 120), rotate=270)
    for path, size in ((wide, (256, 96)), (rotated, (128, 96))):
        with SourceVideo(path) as video:
            assert {(picture.width, picture.height) for picture in video.pictures(1, 5, 96)} == {size}


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((160, 120), 256, (342, 256)),  # enlarged: every clip has the same short side
        ((163, 121), 64, (86, 64)),
        ((120, 160), 118, (118, 158)),
    ],
)
def test_the_short_side_is_that_asked_for_and_sides_are_even(
    size: tuple[int, int],
    short_side: int,
    expected: tuple[int, int],
    write_video: Callable[..., Path],
    tmp_path: Path,
) -> None:
    with SourceVideo(write_video(tmp_path / "small.avi", 3, size=size)) as video:
        pictures = list(video.pictures(1, 3, short_side))
    assert {(picture.width, picture.height) for picture in pictures} == {expected}
    assert {len(picture.yuv420p) for picture in pictures} == {expected[0] * expected[1] * 3 // 2}


def test_large_frames_are_scaled_to_the_means_of_their_pixels(write_video: Callable[..., Path], tmp_path: Path) -> None:
    path = write_video(tmp_path / "large.avi", 4, size=(480, 320))
    with av.open(str(path)) as container:
        lumas = [frame.to_ndarray()[:320].astype(float) for frame in container.decode(video=0)]
    with SourceVideo(path) as video:
        for picture, luma in zip(video.pictures(1, 4, 80), lumas, strict=True):
            means = luma.reshape(80, 4, 120, 4).mean(axis=(1, 3))
            scaled = np.frombuffer(picture.yuv420p, np.uint8)[: 80 * 120].reshape(80, 120)
            assert np.abs(scaled - means).max() <= 1  # rounding


def test_the_rate_is_the_true_one(write_video: Callable[..., Path], tmp_path: Path) -> None:
    rates = {
        "a.avi": ({}, Fraction(147, 5)),
        "b.mp4": ({"codec": "libx264", "rate": Fraction(30000, 1001)}, Fraction(30000, 1001)),
        "c.mkv": ({"codec": "libx264", "rate": Fraction(30000, 1001)}, Fraction(30000, 1001)),
        "d.mkv": ({"codec": "libx264", "times_ms": lambda place: 50 * place + 25 * (place % 2)}, None),
    }
    for name, (options, rate) in rates.items():
        with SourceVideo(write_video(tmp_path / name, 61, **options)) as video:
            assert video.rate == (rate or Fraction(60, 3))  # 60 steps in 3000 ms


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    ["sound.mkv", "reordered.mov", "rotated.mov", "action.avi"],
)
def test_real_recordings_are_decoded_as_ffmpeg_shows_them(name: str, real_data: Path) -> None:
    """Every frame alone is, to rounding, what the ffmpeg program puts out as that frame."""
    path = real_data / "video" / name
    with SourceVideo(path) as video:
        first = next(video.pictures(1, 1, 64))
    size = f"{first.width}:{first.height}"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-vf", f"scale={size}:flags=area", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    shown = subprocess.run(command, capture_output=True, check=True).stdout
    lumas = np.frombuffer(shown, np.uint8).reshape(-1, len(first.yuv420p))[:, : first.height * first.width]
    expected = lumas.astype(int)
    with SourceVideo(path) as video:
        assert video.index.frames == len(expected)
        numbers = sorted({1, len(expected), *range(2, len(expected), max(1, len(expected) // 12))})
        for number in (*numbers[::2], *reversed(numbers)):
            (picture,) = video.pictures(number, number, 64)
            luma = np.frombuffer(picture.yuv420p, np.uint8)[: first.height * first.width]
            distances = abs(expected - luma).mean(axis=1)
            assert distances[number - 1] < 2  # turned after scaling here, before it there
            assert distances[number - 1] == distances.min()


@pytest.mark.real_data
def test_a_damaged_real_recording_gives_what_is_whole_and_fails_the_rest(real_data: Path) -> None:
    with SourceVideo(real_data / "video" / "damaged.mp4") as video:
        assert video.index.frames == 50
        assert len(list(video.pictures(1, 20, 64))) == 20
        with pytest.raises(SampleError, match=r"damaged after frame 2\d"):
            list(video.pictures(20, 40, 64))


def test_a_title_that_is_not_utf_8_is_no_reason_to_refuse_a_video(
    write_video: Callable[..., Path], read_numbers: Callable[[Path], list[int]], tmp_path: Path
) -> None:
    path = write_video(tmp_path / "a.mp4", 10)
    content = path.read_bytes()
    assert content[8:12] == b"isom"  # the brand, which is metadata too
    path.write_bytes(content[:8] + "isöm".encode("latin-1") + content[12:])
    with pytest.raises(UnicodeDecodeError):
        read_numbers(path)  # the plain way to open it
    with SourceVideo(path) as video:
        assert video.index.frames == 10
