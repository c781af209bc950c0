"""Times of intervals in seconds: the frames that are seen then, and how people write them."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
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


@pytest.mark.parametrize("time", ["1:2:3:4", "1:xx", "1,2,3", "1,000.5", "12h"])
def test_what_is_no_time_is_refused(time: str, tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError, match="line 2: `start_s`"):
        listed(tmp_path, f"video;start_s;end_s;action;subject\na.mp4;{time};9;cut;carrot\n")


def test_a_number_of_a_frame_has_no_decimal_comma(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError, match="`start_frame`: '1,000' is not a frame number"):
        listed(tmp_path, "video;start_frame;end_frame;action;subject\na.mp4;1,000;2,000;cut;carrot\n")


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
