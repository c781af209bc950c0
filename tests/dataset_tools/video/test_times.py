"""Kinds of video whose packets are no pictures, or whose stamps cannot be taken as they are: frames and times."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest

from dataset_tools.core.errors import SampleError
from dataset_tools.corpora.annotations.seconds import frames_between
from dataset_tools.video import decoding
from dataset_tools.video.decoding import SourceVideo
from dataset_tools.video.frame_index import read_frame_index
from dataset_tools.video.video_file import decoded_pictures, open_video
from fmn.features.frames import read_frames

Write = Callable[..., Path]
NumberOf = Callable[[np.ndarray], int]
H264 = {"codec": "libx264", "g": 50}


def ffmpeg(*arguments: object) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


def numbers_of(video: SourceVideo, start: int, end: int, number_of: NumberOf) -> list[int]:
    pictures = list(video.pictures(start, end, 96))
    lumas = [np.frombuffer(one.yuv420p, np.uint8)[: one.height * one.width] for one in pictures]
    return [number_of(luma.reshape(one.height, one.width)) for one, luma in zip(pictures, lumas, strict=True)]


def numbers_by_ffmpeg(path: Path, number_of: NumberOf, size: tuple[int, int] = (160, 120)) -> list[int]:
    """The numbers of all pictures that the ffmpeg program puts out."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    out = subprocess.run(
        [*command, "-pix_fmt", "gray", "-f", "rawvideo", "-"], capture_output=True, check=False
    ).stdout  # fmt: skip
    return [number_of(luma) for luma in np.frombuffer(out, np.uint8).reshape(-1, *size[::-1])]


def copied(source: Path, target: Path, change: Callable[[int, av.Packet], av.Packet]) -> Path:
    """A copy of the video packets, each changed."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for place, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            time_base = packet.time_base
            packet = change(place, packet)
            packet.stream, packet.time_base = stream, time_base
            new.mux(packet)
    return target


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_frames_that_a_camera_dropped_leave_holes_in_avi(
    codec: str, b_frames: int, write_video: Write, tmp_path: Path
) -> None:
    """An AVI file has an empty chunk where a frame is missing; presentation stamps it has none."""
    places = [place for place in range(200) if place % 3 != 1 and not 90 <= place < 120]

    def times_ms(place: int) -> int:
        return 40 * places[place]

    path = write_video(tmp_path / "dropped.avi", len(places), codec=codec, g=30, bf=b_frames, times_ms=times_ms)
    times = read_frame_index(path).times_s(1, len(places))
    exact = len(places) - b_frames  # the last ones come out of the decoder without a stamp
    assert times[:exact] == [Fraction(times_ms(place), 1000) for place in range(exact)]
    assert times == sorted(times)


def test_a_stamp_that_repeats_is_no_end_of_the_others(write_video: Write, tmp_path: Path) -> None:
    """25 frames a second, then 10; the packet of frame 151 has the stamp of frame 150."""
    plain = write_video(tmp_path / "plain.mkv", 200, rate=Fraction(25), bf=0, **H264)

    def times_ms(place: int) -> int:
        return 40 * place if place < 100 else 4000 + 100 * (place - 100)

    def stamped(place: int, packet: av.Packet) -> av.Packet:
        packet.pts = packet.dts = times_ms(149 if place == 150 else place)
        return packet

    index = read_frame_index(copied(plain, tmp_path / "repeats.mkv", stamped))
    assert (index.frames, index.estimated) == (200, (151,))
    assert index.times_s(1, 200)[:200] == [
        Fraction(times_ms(place), 1000)
        for place in range(200)  # 151 half way between 150 and 152: where it was
    ]
    assert frames_between(5, 10, index, Fraction(30)) == (111, 160)


def test_fields_that_are_packets_are_half_a_frame_each(
    write_field_coded: Write, number_of: NumberOf, tmp_path: Path
) -> None:
    frames = [numbered(number, 160, 96) for number in range(1, 151)]
    path = write_field_coded(tmp_path / "fields.mp4", frames, 25)
    with av.open(str(path)) as container:
        assert sum(packet.size > 0 for packet in container.demux(video=0)) == 300
    with SourceVideo(path) as video:
        assert (video.index.frames, video.index.rate) == (150, "25")
        assert frames_between(1, 3, video.index, Fraction(50)) == (26, 75)
        assert frames_between(5, 6, video.index, Fraction(50)) == (126, 150)
        assert numbers_of(video, 126, 150, number_of) == list(range(126, 151))
        assert numbers_of(video, 26, 40, number_of) == list(range(26, 41))


def numbered(number: int, width: int, height: int) -> np.ndarray:
    """[height, width] uint8: bit b of the number is cell b, of 4 × 3."""
    cells = np.array([225 if number >> bit & 1 else 30 for bit in range(12)], np.uint8).reshape(3, 4)
    return np.kron(cells, np.ones((height // 3, width // 4), np.uint8))


def not_coded(packet: av.Packet) -> av.Packet:
    """The packet of an MPEG-4 picture as one that says 'not coded', with its time (ISO/IEC 14496-2, 6.2.5)."""
    data = bytes(packet)
    place = data.index(b"\0\0\1\xb6") + 4
    bits = "".join(f"{byte:08b}" for byte in data[place : place + 8])
    end_of_time = bits.index("0", 2) + 2 + RATE.numerator.bit_length()  # seconds in unary, marker, increment
    said = "01" + bits[2:end_of_time] + "10"
    said += "0" + "1" * (-(len(said) + 1) % 8)
    small = av.Packet(b"\0\0\1\xb6" + int(said, 2).to_bytes(len(said) // 8, "big"))
    small.pts, small.dts, small.time_base = packet.pts, packet.dts, packet.time_base
    return small


RATE = Fraction(25)


def is_thinned(place: int) -> bool:
    return 60 <= place < 190 and place % 10 == 9


@pytest.mark.parametrize("suffix", ["avi", "mkv"])
def test_pictures_that_are_not_coded_are_none(
    suffix: str, write_video: Write, number_of: NumberOf, tmp_path: Path
) -> None:
    """Xvid's way to repeat a picture. Frame n is the n-th picture that is put out, in every span."""
    numbers = [place if is_thinned(place) else place + 1 for place in range(200)]  # each of those is as the one before
    plain = write_video(tmp_path / "plain.avi", numbers, rate=RATE, g=20)

    def thinned(place: int, packet: av.Packet) -> av.Packet:
        return not_coded(packet) if is_thinned(place) else packet

    path = copied(plain, tmp_path / f"thinned.{suffix}", thinned)
    shown = [place + 1 for place in range(200) if not is_thinned(place)]
    assert numbers_by_ffmpeg(path, number_of) == shown
    assert len(shown) == 187
    with SourceVideo(path) as video:
        assert video.index.frames == 187
        for start, end in ((62, 70), (120, 150), (121, 121), (1, 20), (181, 187)):
            assert numbers_of(video, start, end, number_of) == shown[start - 1 : end]
        # Frames 1–69 come one by one, and the next is where the one after the first hole was.
        times = video.index.times_s(1, 80)
        assert [time * 25 for time in times[68:72]] == [68, 70, 71, 72]


@pytest.fixture
def joined(write_video: Write, tmp_path: Path) -> Path:
    """Two transport streams one after the other: the counter of packets jumps, the clock starts anew."""
    one = write_video(tmp_path / "one.ts", 100, rate=Fraction(25), **H264)
    two = write_video(tmp_path / "two.ts", range(101, 201), rate=Fraction(25), **H264)
    path = tmp_path / "joined.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    return path


def test_a_clock_that_starts_anew_counts_frames_and_has_no_seconds(joined: Path, number_of: NumberOf) -> None:
    with SourceVideo(joined) as video:
        assert (video.index.frames, video.index.stamps) == (200, ())
        assert video.index.no_times == "its timestamps go backward"
        for start, end in ((171, 200), (90, 110), (1, 3)):
            assert numbers_of(video, start, end, number_of) == list(range(start, end + 1))


def test_a_raw_stream_counts_frames_and_has_no_seconds(write_video: Write, number_of: NumberOf, tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    plain = write_video(tmp_path / "plain.mp4", 90, rate=Fraction(30), bf=2, **H264)
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_mp4toannexb", path)
    with SourceVideo(path) as video:
        assert (video.index.frames, video.index.no_times) == (90, "it has no timestamps")
        with pytest.raises(ValueError, match="no timestamps"):
            video.index.times_s(1, 2)
        assert numbers_of(video, 31, 60, number_of) == list(range(31, 61))


@pytest.mark.parametrize(("codec", "form"), [("mjpeg", "mjpeg"), ("mpeg4", "m4v"), ("h263", "h263")])
def test_a_rate_that_ffmpeg_makes_up_is_no_time(
    codec: str, form: str, write_video: Write, number_of: NumberOf, tmp_path: Path
) -> None:
    """Of a stream of a webcam, of 10 frames a second: FFmpeg gives its frames the times of 25."""
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    plain = write_video(tmp_path / "plain.avi", 40, codec=codec, rate=Fraction(10), size=(176, 144), pix_fmt=pix_fmt)
    path = tmp_path / f"raw.{form}"
    ffmpeg("-i", plain, "-c", "copy", "-f", form, path)
    with SourceVideo(path) as video:
        assert (video.index.frames, video.index.stamps, video.index.no_times) == (40, (), "it has no timestamps")
        assert numbers_of(video, 11, 30, number_of) == list(range(11, 31))


def test_an_empty_sample_is_no_frame(
    write_video: Write, number_of: NumberOf, empty_sample: Callable[[Path, int], None], tmp_path: Path
) -> None:
    """As QuickTime writes where nothing changes: the frame before is shown for longer."""
    path = write_video(tmp_path / "still.mov", 40, codec="mjpeg", rate=Fraction(25), pix_fmt="yuvj420p")
    empty_sample(path, 10)
    shown = numbers_by_ffmpeg(path, number_of)
    assert shown == [*range(1, 11), *range(12, 41)]
    with SourceVideo(path) as video:
        assert numbers_of(video, 1, 39, number_of) == shown
        assert [time * 25 for time in video.index.times_s(9, 12)] == [0, 1, 3, 4, 5]


def test_reordered_frames_of_avi_are_no_time_without_a_picture(write_video: Write, tmp_path: Path) -> None:
    """The decoder outputs the first frame after two further packets: 0.2 s at 10 frames per second."""
    path = write_video(tmp_path / "slow.avi", 40, codec="libx264", rate=Fraction(10), g=20, bf=3)
    index = read_frame_index(path)
    assert (index.clock, index.stamps[0] * Fraction(index.tick_s)) == ("dts", Fraction(1, 5))
    assert index.lead_s == "0"


def test_what_cannot_be_shown_at_the_start_counts_as_time(write_video: Write, tmp_path: Path) -> None:
    """A broadcast recorded from the middle of a group of pictures on: players begin with the first packet."""
    whole = write_video(tmp_path / "whole.ts", 60, rate=Fraction(25), codec="libx264", g=25, bf=2)
    content = whole.read_bytes()
    path = tmp_path / "later.ts"
    path.write_bytes(content[len(content) // 188 // 5 * 188 :])
    with av.open(str(path)) as container:
        first_s = min(packet.pts * packet.time_base for packet in container.demux(video=0) if packet.pts is not None)
    index = read_frame_index(path)
    lead_s = index.stamps[0] * Fraction(index.tick_s) - first_s
    assert 0.1 < lead_s < 1
    assert float(Fraction(index.lead_s)) == pytest.approx(float(lead_s), abs=0.09)  # two frames may be reordered
    assert read_frame_index(whole).lead_s == "0"


def decoded_for_spans(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many pictures are decoded for twenty spans all over the video, out of order."""
    decoded = []
    real = decoding.decoded_pictures

    def counting(container: object) -> object:
        for one in real(container):
            decoded.append(1)
            yield one

    with SourceVideo(path) as video:
        monkeypatch.setattr(decoding, "decoded_pictures", counting)
        for place in range(20):
            start = 60 + 47 * (place * 7 % 20)
            assert len(list(video.pictures(start, start + 9, 64))) == 10
        monkeypatch.undo()
    return len(decoded)


def test_transport_streams_are_sought(write_video: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no index, and a seek ends at the key frame after; read from the start it were 20 × 500 pictures."""
    path = write_video(tmp_path / "long.ts", 1010, rate=Fraction(25), codec="libx264", g=25, bf=2)
    ffmpeg("-i", path, "-c", "copy", tmp_path / "long.mp4")
    in_mp4 = decoded_for_spans(tmp_path / "long.mp4", monkeypatch)
    assert decoded_for_spans(path, monkeypatch) < 1.5 * in_mp4


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_one_lost_packet_fails_what_needs_it_and_nothing_after(
    suffix: str, write_video: Write, number_of: NumberOf, tmp_path: Path
) -> None:
    path = write_video(tmp_path / "whole.ts", 240, rate=Fraction(25), codec="mpeg2video", g=12, bf=2, qmin=3, qmax=3)
    content = path.read_bytes()
    middle = len(content) // 188 // 2 * 188
    lost = tmp_path / "lost.ts"
    lost.write_bytes(content[:middle] + content[middle + 188 :])
    if suffix != "ts":
        ffmpeg("-i", lost, "-c", "copy", tmp_path / f"lost.{suffix}")
    with SourceVideo(tmp_path / f"lost.{suffix}") as video:
        assert video.index.frames == 240
        for start, end in ((160, 190), (20, 60), (200, 230)):
            assert numbers_of(video, start, end, number_of) == list(range(start, end + 1))
        with pytest.raises(SampleError, match=r"damaged after frame 1[12]\d"):
            list(video.pictures(100, 140, 96))
    with closing(open_video(tmp_path / f"lost.{suffix}")) as container:  # as where nothing can be sought
        damaged = [number for number, (_, is_damaged) in enumerate(decoded_pictures(container), 1) if is_damaged]
    assert 110 < damaged[0] <= damaged[-1] < damaged[0] + 12  # up to the next key frame


@pytest.mark.parametrize("vflip", [0, 1])
@pytest.mark.parametrize("hflip", [0, 1])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_display_matrix_is_followed_as_players_do(
    turn: int, hflip: int, vflip: int, write_video: Write, tmp_path: Path
) -> None:
    plain = write_video(tmp_path / "plain.mp4", [0b000_000_000_001, 0b000_000_001_000], **H264)  # one bright cell
    path = tmp_path / "turned.mp4"
    flips = ["-display_hflip"] * hflip + ["-display_vflip"] * vflip
    ffmpeg("-display_rotation", turn, *flips, "-i", plain, "-c", "copy", path)
    with SourceVideo(path) as video:
        found = list(video.pictures(1, 2, 120))
        assert video.index.mirrored == bool(hflip ^ vflip)
    luma_bytes = found[0].width * found[0].height
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-pix_fmt", "yuv420p"]
    out = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
    for one, shown in zip(found, np.frombuffer(out, np.uint8).reshape(2, -1), strict=True):
        luma, expected = np.frombuffer(one.yuv420p, np.uint8)[:luma_bytes].astype(int), shown[:luma_bytes]
        assert abs(luma - expected).mean() < 3


def test_an_orientation_that_is_stated_once_is_that_of_all_frames(write_video: Write, tmp_path: Path) -> None:
    """In H.264 itself, of which the ffmpeg program writes it to the first frame only, and turns all."""
    plain, path = write_video(tmp_path / "plain.mp4", 20, **H264), tmp_path / "turned.mkv"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90", path)
    with SourceVideo(path) as video:
        sizes = {(one.width, one.height) for span in ((1, 2), (15, 16)) for one in video.pictures(*span, 120)}
    assert sizes == {(120, 160)}
    frames, _ = read_frames(path, lambda _: np.array([0, 15]), resize_px=120)
    assert frames.shape == (2, 160, 120, 3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.avi", "ffconcat version 1.0\nfile plain.mp4\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nplain.mp4\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_list_of_files_is_no_video(name: str, content: str, write_video: Write, tmp_path: Path) -> None:
    write_video(tmp_path / "plain.mp4", 30, **H264)
    (tmp_path / name).write_text(content)
    with pytest.raises(SampleError, match="cannot be opened"):
        read_frame_index(tmp_path / name)


def test_a_video_of_one_frame_has_an_end(write_video: Write, tmp_path: Path) -> None:
    index = read_frame_index(write_video(tmp_path / "one.mp4", 1, rate=Fraction(25), **H264))
    assert index.times_s(1, 1) == [0, Fraction(1, 25)]
