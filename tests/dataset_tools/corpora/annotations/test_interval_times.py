"""Times of intervals in seconds: the frames that are seen then, and how people write them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import ListOptions
from dataset_tools.corpora.annotations.interval_csv import seconds_of
from dataset_tools.corpora.annotations.seconds import frames_between
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.video.frame_index import read_frame_index


@pytest.mark.parametrize(
    ("suffix", "times_ms"),
    [(".avi", None), (".mkv", None), (".mkv", lambda place: place * 34 + (place // 20) * 500), (".mp4", None)],
    ids=["avi", "mkv", "variable", "mp4"],
)
def test_seconds_name_the_frames_that_are_seen(
    write_video: Callable[..., Path], tmp_path: Path, suffix: str, times_ms: Callable[[int], int] | None
) -> None:
    frames = 60
    codec = {"codec": "libx264"} if suffix != ".avi" else {}
    video = write_video(tmp_path / f"v{suffix}", frames, times_ms=times_ms, **codec)
    index = read_frame_index(video)
    step_s = Fraction(5, 147)
    appears = [Fraction(times_ms(n), 1000) if times_ms else n * step_s for n in range(frames)]
    for first, last in ((1, 60), (1, 1), (7, 19), (20, 21), (33, 58)):
        end_s = appears[last] if last < frames else appears[-1] + 1 / Fraction(index.rate)
        for start, end in (
            (float(appears[first - 1]), float(end_s)),  # as exact as can be
            (round(float(appears[first - 1]), 3), round(float(end_s), 3)),  # as people write them
            (float(appears[first - 1]) + 0.01, float(end_s) - 0.01),  # in the middle of frames
        ):
            assert frames_between(start, end, index, Fraction(30)) == (first, last), (start, end)
    assert frames_between(1.0, 1.0, index, Fraction(30))[0] == frames_between(1.0, 1.0, index, Fraction(30))[1]
    start_frame, end_frame = frames_between(0.5, 0.1, index, Fraction(30))
    assert end_frame < start_frame
    assert frames_between(0.5, 60, index, Fraction(30))[1] > frames
    duration = float(index.duration_s)
    step = 1 / float(Fraction(index.rate))
    for past, end_frame in ((0.0, frames), (0.5 * step, frames), (step, frames), (step + 0.002, frames + 2)):
        assert frames_between(0.5, duration + past, index, Fraction(30))[1] == end_frame, past
    assert frames_between(0.5, 1, None, Fraction(30)) == (16, 30)


TEN_SECONDS = {"codec": "libx264", "rate": Fraction(25), "g": 50}


@pytest.mark.parametrize(
    ("delimiter", "start", "end", "frames"),
    [
        (",", "1.2", "2", (31, 50)),
        (";", "1,2", "2,0", (31, 50)),
        (",", "00:00:01.20", "0:02", (31, 50)),
        ("\t", "00:01", "00:00:03.04", (26, 76)),
        (",", "", "", (1, 100)),  # the whole video
    ],
)
def test_times_may_be_written_as_people_do(
    delimiter: str,
    start: str,
    end: str,
    frames: tuple[int, int],
    write_video: Callable[..., Path],
    tmp_path: Path,
    listed: Callable[..., Corpus],
) -> None:
    write_video(tmp_path / "a.mp4", 100, **TEN_SECONDS)
    columns = delimiter.join(["video", "start_s", "end_s", "action", "subject"])
    row = delimiter.join(["a.mp4", start, end, "cut", "carrot"])
    (interval,) = listed(tmp_path, f"sep={delimiter}\n{columns}\n{row}\n").annotations.intervals
    assert (interval.start_frame, interval.end_frame) == frames


@pytest.mark.parametrize(
    "time", ["1:2:3:4", "1:xx", "1,2,3", "1,000.5", "12h", "0:75", "0:60", "0:60:00", "0:00:10:12", "10_20"]
)
def test_what_is_no_time_is_refused(time: str, tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError, match="line 2: `start_s`"):
        listed(tmp_path, f"video;start_s;end_s;action;subject\na.mp4;{time};9;cut;carrot\n")


def test_seconds_that_were_rounded_to_a_minute_are_a_time() -> None:
    """What is made of 59.9996 s by a program that rounds the seconds after it has split off the minutes."""
    assert (seconds_of("0:60.000", "start_s"), seconds_of("1:02:60,0", "start_s")) == (60, 3780)


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_times_are_those_of_players_where_the_sound_begins_first(
    suffix: str,
    write_video: Callable[..., Path],
    tmp_path: Path,
    ffmpeg: Callable[..., bytes],
    listed: Callable[..., Corpus],
) -> None:
    """A browser that records waits for the camera: here, frame n appears 1.5 s + (n - 1) / 25 after the sound."""
    plain = write_video(tmp_path / "plain.mp4", 100, **TEN_SECONDS, bf=0)
    sound = ("-f", "lavfi", "-i", "sine=d=6:r=48000")
    path = tmp_path / f"later.{suffix}"
    ffmpeg("-itsoffset", 1.5, "-i", plain, *sound, "-map", 0, "-map", 1, "-c:v", "copy", "-c:a", "pcm_s16le", path)
    rows = f"later.{suffix},2.5,3.5,cut,carrot\nlater.{suffix},1,2,cut,carrot\nlater.{suffix},0,1.2,cut,carrot\n"
    corpus = listed(tmp_path, f"video,start_s,end_s,action,subject\n{rows}")
    spans = [(one.start_frame, one.end_frame) for one in corpus.annotations.intervals]
    assert spans == [(26, 50), (1, 13), (1, 1)]  # nothing is seen in the last one: it is too short for a clip
    (note,) = (note for note in corpus.notes if "players" in note)
    assert "later (1.5" in note
    # The frames of a copy count from its first one.
    frames = f"video,start_frame,end_frame,action,subject\nlater.{suffix},11,20,cut,carrot\n"
    (copied,) = listed(tmp_path, frames, read_with=ListOptions(fps=10.0)).annotations.intervals
    assert (copied.start_frame, copied.end_frame) == (26, 50)


@pytest.mark.parametrize(("delay_s", "suffix"), [(-1.5, "mkv"), (0.05, "mkv"), (0, "ts"), (0, "webm")])
def test_times_count_from_the_first_frame_where_the_sound_begins_with_it_or_later(
    delay_s: float, suffix: str, write_video: Callable[..., Path], tmp_path: Path, ffmpeg: Callable[..., bytes]
) -> None:
    plain = write_video(tmp_path / "plain.mkv", 50, **({"codec": "vp8"} if suffix == "webm" else TEN_SECONDS))
    offset = ("-itsoffset", -delay_s) if delay_s < 0 else ()
    picture = ("-itsoffset", delay_s, "-i", plain) if delay_s > 0 else ("-i", plain)
    path = tmp_path / f"sound.{suffix}"
    codec = {"webm": "libopus", "ts": "aac"}.get(suffix, "libopus")
    ffmpeg(*picture, *offset, "-f", "lavfi", "-i", "sine=d=3:r=48000", "-c:v", "copy", "-c:a", codec, path)
    assert read_frame_index(path).lead_s == "0"


@pytest.mark.parametrize("number", ["1,000", "1.000", "1_0"])
def test_a_number_of_a_frame_has_no_separators(number: str, tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    """In Excel, 1.000 is a thousand in many countries; 1.0 is what pandas writes for 1."""
    with pytest.raises(InputError, match=f"`start_frame`: '{number}' is not a frame number"):
        listed(tmp_path, f"video;start_frame;end_frame;action;subject\na.mp4;{number};20.0;cut;carrot\n")


def test_without_columns_of_times_whole_videos_are_meant_and_other_columns_are_named_once(
    write_video: Callable[..., Path], tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    for name, frames in (("a", 60), ("b", 40)):
        write_video(tmp_path / f"{name}.mp4", frames, **TEN_SECONDS)
    corpus = listed(tmp_path, "video,action,subject,mood,weather\na.mp4,cut,carrot,x,y\nb,cut,carrot,,\n")
    assert [(one.start_frame, one.end_frame) for one in corpus.annotations.intervals] == [(1, 60), (1, 40)]
    assert [note for note in corpus.notes if "ignored" in note] == [
        "2 columns are unknown and ignored: 'mood', 'weather'."
    ]
