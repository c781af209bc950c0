"""Intervals of one's own footage: the right frames of the right videos, whatever stands in the CSV."""

from __future__ import annotations

import csv
import math
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.formats import read_annotations
from dataset_tools.corpora.annotations.own_footage import frames_between, open_own_footage
from dataset_tools.corpora.mpii.mpii_corpus import Corpus
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.dataset_speech import SpeechOptions
from dataset_tools.video.frame_index import read_frame_index

CLASSES = load_classes()
HEADER = "video,start_frame,end_frame,action,subject,object\n"


def listed(folder: Path, text: str | bytes, **options: object) -> Corpus:
    path = folder / "intervals.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_own_footage(path, CLASSES, memory=folder / "memory", **options)


def test_clips_are_cut_from_videos_of_any_name(
    tmp_path: Path, write_video: Callable[..., Path], read_numbers: Callable[[Path], list[int]]
) -> None:
    write_video(tmp_path / "own" / "Küche 1.mp4", 90)
    write_video(tmp_path / "own" / "day two" / "s07-d20-cam-002.avi", 90)
    corpus = listed(
        tmp_path,
        "﻿Video;start_frame;end_frame;action;subject;object;person;dish\n"
        "Küche 1.mp4;11;30;cut;carrot;knife;Anna B.;soup\n"
        "Küche 1.mp4;41;60;wash;apple;;Anna B.;\n"
        "day two/s07-d20-cam-002;5;24;take out;plate;spice;;\n",
        videos=tmp_path / "own",
    )
    place = Workspace(tmp_path / "workspace")
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    rows = {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}
    assert summary.failures == ()
    assert {row_id: (row.class_id, row.person, row.dish) for row_id, row in rows.items()} == {
        "Küche-1_000011-000030": ("cut_carrot_knife", "Anna-B", "soup"),
        "Küche-1_000041-000060": ("wash_apple", "Anna-B", "own"),
        "day-two-s07-d20-cam-002_000005-000024": ("take-out_plate_spice", "day-two-s07-d20-cam-002", "own"),
    }
    for row in rows.values():
        assert read_numbers(place.root / row.path) == list(range(row.start_frame, row.end_frame + 1))
    record = (place.manifests / "build.json").read_text()
    assert '"own_footage": true' in record
    assert "MPII" not in record


def test_videos_named_like_mpiis_give_the_same_ids(tmp_path: Path) -> None:
    rows = "s07-d20-cam-002.avi,194,243,cut,carrot,knife\n"
    one = listed(tmp_path, HEADER + rows).annotations.intervals[0]
    assert (one.id, one.person, one.dish) == ("s07-d20_000194-000243", "s07", "d20")
    both = listed(tmp_path, HEADER + rows + rows.replace("002", "003")).annotations.intervals
    assert [interval.id for interval in both] == ["s07-d20-cam-002_000194-000243", "s07-d20-cam-003_000194-000243"]


def test_two_videos_of_one_stem_give_each_its_own_clips(
    tmp_path: Path, write_video: Callable[..., Path], read_numbers: Callable[[Path], list[int]]
) -> None:
    write_video(tmp_path / "kitchen.mp4", 120)
    write_video(tmp_path / "kitchen.mov", range(1001, 1121))
    rows = "kitchen.mp4,1,50,cut,carrot,knife\nkitchen.mov,61,110,cut,carrot,knife\n"
    place = Workspace(tmp_path / "workspace")
    build_dataset(place, listed(tmp_path, HEADER + rows), CLASSES, BuildOptions(short_side=64, speech=False))
    clips = list(read_rows(place.manifests / "clips.jsonl", ClipRow))
    assert {row.id: read_numbers(place.root / row.path) for row in clips} == {
        "kitchen-mov_000061-000110": list(range(1061, 1111)),
        "kitchen-mp4_000001-000050": list(range(1, 51)),
    }


def test_one_file_that_rows_write_in_several_ways_is_one_video(tmp_path: Path) -> None:
    (tmp_path / "kitchen.mp4").touch()
    written = ("kitchen", "kitchen.mp4", "./kitchen.mp4", str(tmp_path / "kitchen.mp4"))
    rows = "".join(f"{video},{n}1,{n}9,cut,carrot,knife\n" for n, video in enumerate(written, start=1))
    corpus = listed(tmp_path, HEADER + rows)
    assert corpus.videos == {"kitchen": tmp_path / "kitchen.mp4"}
    assert {interval.sequence for interval in corpus.annotations.intervals} == {"kitchen"}


@pytest.mark.parametrize("suffix", [".MP4", ".mov", ".mts", ".M2TS", ".webm", ".Avi"])
def test_a_suffix_of_any_kind_may_be_left_out(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"GX01{suffix}").touch()
    (tmp_path / "GX01.txt").touch()
    (tmp_path / "GX01-b.mp4").touch()
    corpus = listed(tmp_path, HEADER + "GX01,1,50,cut,carrot,knife\n")
    assert corpus.videos == {"GX01": tmp_path / f"GX01{suffix}"}


def test_a_left_out_suffix_that_fits_several_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "GX01.MP4").touch()
    (tmp_path / "GX01.mov").touch()
    with pytest.raises(InputError) as caught:
        listed(tmp_path, HEADER + "GX01,1,50,cut,carrot,knife\n")
    assert caught.value.found == "'GX01' matches several videos: GX01.MP4, GX01.mov"


@pytest.mark.parametrize("class_", CLASSES.classes, ids=lambda class_: class_.id)
def test_every_class_can_be_said_by_keys_names_and_mpiis_words(class_, tmp_path: Path) -> None:
    action, subject = CLASSES.actions[class_.action], CLASSES.things[class_.subject]
    object_ = CLASSES.things[class_.object] if class_.object else None
    said = [
        (class_.action, class_.subject, class_.object or ""),
        (action.name.upper(), subject.name, object_.name if object_ else ""),
        (action.verbs[-1], subject.attributes[-1], object_.attributes[-1] if object_ else ""),
    ]
    lines = "".join(
        f"a.mp4,{100 * place + 1},{100 * place + 50},{','.join(words)}\n" for place, words in enumerate(said)
    )
    corpus = listed(tmp_path, HEADER + lines)
    found = [classify(interval, CLASSES) for interval in corpus.annotations.intervals]
    assert [one.class_id for one in found] == [class_.id] * 3
    assert not any("class file lacks" in note for note in corpus.notes)


def test_words_that_the_class_file_does_not_know_are_said(tmp_path: Path) -> None:
    corpus = listed(tmp_path, HEADER + "a.mp4,1,50,juggle,carrot,\na.mp4,61,90,juggle,chainsaw,\n")
    assert any("'chainsaw' (1), 'juggle' (2)" in note for note in corpus.notes)
    assert [classify(one, CLASSES).status for one in corpus.annotations.intervals] == ["none", "none"]


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
    assert frames_between(0.5, 1, None, Fraction(30)) == (16, 30)


def test_a_list_in_seconds_reads_the_videos(
    write_video: Callable[..., Path], tmp_path: Path, read_numbers: Callable[[Path], list[int]]
) -> None:
    write_video(tmp_path / "a.mkv", 90, codec="libx264", times_ms=lambda place: place * 34 + (place // 40) * 500)
    header = HEADER.replace("_frame", "_s")
    corpus = listed(
        tmp_path, header + "a.mkv,1.0,2.5,cut,carrot,knife\na.mkv,0,9,wash,apple,\ngone.mkv,1,2,wash,apple,\n"
    )
    place = Workspace(tmp_path / "workspace")
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    (row,) = read_rows(place.manifests / "clips.jsonl", ClipRow)
    # Frame n, from 0, appears at 34 ms × n, half a second later from 40 on: seen from 1.0 s until before 2.5 s.
    seen = [n + 1 for n in range(90) if 34 * (n + 1) + (n + 1) // 40 * 500 > 1000 and 34 * n + n // 40 * 500 < 2500]
    assert (row.start_frame, row.end_frame) == (seen[0], seen[-1])
    # The clip plays at a constant rate: its frames show what is seen at their middle.
    first_ms = 34 * (seen[0] - 1) + (seen[0] - 1) // 40 * 500
    played = [
        max(n + 1 for n in range(seen[-1]) if 34 * n + n // 40 * 500 <= first_ms + 1000 * (k + 0.5) / row.fps)
        for k in range(row.frames)
    ]
    assert read_numbers(place.root / row.path) == played
    assert sorted(set(played)) == seen
    assert len(summary.failures) == 2  # past the end; no such video
    assert any("seconds" in note for note in summary.notes)


def raw_stream(write_video: Callable[..., Path], folder: Path) -> Path:
    """An H.264 stream without a container, so without time stamps, of 60 frames; its header says 30 a second."""
    write_video(folder / "plain.mp4", 60, codec="libx264", rate=Fraction(30))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "plain.mp4"), "-c", "copy"]
    subprocess.run([*command, "-bsf:v", "h264_mp4toannexb", str(folder / "raw.h264")], check=True)
    return folder / "raw.h264"


def test_seconds_of_a_video_without_times_are_refused(write_video: Callable[..., Path], tmp_path: Path) -> None:
    raw_stream(write_video, tmp_path)
    with pytest.raises(InputError, match=r"raw\.h264 \(it has no timestamps\)") as caught:
        listed(tmp_path, HEADER.replace("_frame", "_s") + "raw.h264,0,1,cut,carrot,knife\n")
    assert "-r RATE -i raw.h264" in str(caught.value.next_step)


def test_frames_of_a_video_without_times_are_cut_and_the_rate_is_said(
    write_video: Callable[..., Path], tmp_path: Path, read_numbers: Callable[[Path], list[int]]
) -> None:
    raw_stream(write_video, tmp_path)
    corpus = listed(tmp_path, HEADER + "raw.h264,21,50,cut,carrot,knife\n")
    place = Workspace(tmp_path / "workspace")
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    (row,) = read_rows(place.manifests / "clips.jsonl", ClipRow)
    assert read_numbers(place.root / row.path) == list(range(21, 51))
    assert row.fps == 30
    assert any("no timestamps; its clips play at 30 frames per second" in said for said in summary.without_times)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "the column 'video' is missing"),
        ("video,start,end,action,subject\n", "start_frame and end_frame, or start_s and end_s"),
        (HEADER.replace("end_frame", "end_frame,start_s,end_s"), "not both"),
        (HEADER.replace("start_frame,end_frame", "start,end"), "'start' has no unit"),
        (HEADER.replace("end_frame", "end_s"), "not both; there are start_frame, end_s"),
        (HEADER.replace("object", "video"), "the column 'video' occurs 2 times"),
        (HEADER, "has no rows"),
        (HEADER + "a.mp4,1.5,9,cut,carrot,\n", "line 2: `start_frame`: '1.5' is not a frame number"),
        (HEADER + "a.mp4,1,9,cut,carrot,\na.mp4,1,nan,cut,carrot,\n", "line 3: `end_frame`: 'nan'"),
        (HEADER.replace("_frame", "_s") + "a.mp4,-1,9,cut,carrot,\n", "line 2: `start_s`: '-1' is not a time"),
        (HEADER + "a.mp4,1,9,,carrot,\n", "line 2: `action` is empty"),
        (HEADER + "...,1,9,cut,carrot,\n", "is not a video name"),
        (HEADER + "a.mp4,1,9,cut,carrot,Carrot\n", "it is the same as the subject"),
        (HEADER + "a.mp4,0,9,cut,carrot,\n", "line 2: `start_frame`: 0 is before the first frame"),
        (HEADER + "a.mp4,9,8,cut,carrot,\n", "line 2: `end_frame`: 8 is before `start_frame`, 9"),
        (HEADER + "a.mp4,1,9,cut,carrot,knife,7\n", "more fields than there are columns"),
        (HEADER + "a b.mp4,1,9,cut,carrot,\na-b.mp4,1,9,cut,carrot,\n", "both be called 'a-b'"),
        (HEADER.encode() + b"a.mp4,1,9,cut,carrot,\xff\n", "is not readable CSV"),
        (HEADER + 'a.mp4,1,9,cut,"carrot,\n', "is not readable CSV"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, found: str) -> None:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, text)
    assert found in caught.value.found
    assert "intervals.csv" in str(caught.value.where)


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
    delimiter: str, start: str, end: str, frames: tuple[int, int], write_video: Callable[..., Path], tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4", 100, **TEN_SECONDS)
    columns = delimiter.join(["video", "start_s", "end_s", "action", "subject"])
    row = delimiter.join(["a.mp4", start, end, "cut", "carrot"])
    (interval,) = listed(tmp_path, f"sep={delimiter}\n{columns}\n{row}\n").annotations.intervals
    assert (interval.start_frame, interval.end_frame) == frames


@pytest.mark.parametrize("time", ["1:2:3:4", "1:xx", "1,2,3", "1,000.5", "12h"])
def test_what_is_no_time_is_refused(time: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: `start_s`"):
        listed(tmp_path, f"video;start_s;end_s;action;subject\na.mp4;{time};9;cut;carrot\n")


def test_a_number_of_a_frame_has_no_decimal_comma(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="`start_frame`: '1,000' is not a frame number"):
        listed(tmp_path, "video;start_frame;end_frame;action;subject\na.mp4;1,000;2,000;cut;carrot\n")


def test_without_columns_of_times_whole_videos_are_meant_and_other_columns_are_named_once(
    write_video: Callable[..., Path], tmp_path: Path
) -> None:
    for name, frames in (("a", 60), ("b", 40)):
        write_video(tmp_path / f"{name}.mp4", frames, **TEN_SECONDS)
    corpus = listed(tmp_path, "video,action,subject,mood,weather\na.mp4,cut,carrot,x,y\nb,cut,carrot,,\n")
    assert [(one.start_frame, one.end_frame) for one in corpus.annotations.intervals] == [(1, 60), (1, 40)]
    assert [note for note in corpus.notes if "ignored" in note] == [
        "2 columns are unknown and ignored: 'mood', 'weather'."
    ]


def test_a_sentence_of_the_list_is_spoken_for_its_clip(write_video: Callable[..., Path], tmp_path: Path) -> None:
    write_video(tmp_path / "a b.mp4", 100, **TEN_SECONDS)
    rows = [
        "a b.mp4,1,40,cut,carrot,knife,Now it gets chopped.",
        "a b.mp4,40,70,cut,carrot,knife,",
        "a b.mp4,71,100,cut,carrot,knife,他在切。",
    ]
    corpus = listed(tmp_path, "\n".join([HEADER.replace("object", "object,sentence").strip(), *rows, ""]))
    assert corpus.sentences is not None
    place = Workspace(tmp_path / "workspace")
    speech = SpeechOptions(sentences=(corpus.sentences,))
    build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, voices=speech))
    said = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}
    own = said["a-b_000001-000040"]
    assert (own.text, own.text_source) == ("Now it gets chopped.", "annotations")
    others = [said[clip] for clip in ("a-b_000040-000070", "a-b_000071-000100")]
    assert [row.text_source for row in others] == ["grammar", "grammar"]  # nothing said; said in Chinese


@pytest.mark.real_data
def test_epic_kitchens_is_read_as_published(real_data: Path, tmp_path: Path) -> None:
    """200 lines of EPIC_100_validation.csv (CC BY-NC 4.0), or as in it: timestamps, nouns, narrations, participants."""
    path = real_data / "formats" / "epic_100_validation_200.csv"
    found = read_annotations(path)
    assert found.in_seconds
    assert len(found.rows) == 200 - 1 or len(found.rows) == 200
    row, first = next(csv.DictReader(path.read_text("utf-8").splitlines())), found.rows[0]
    assert (first.video, first.start) == (row["video_id"], pytest.approx(float(row["start_timestamp"][6:])))
    assert (first.action, first.subject) == (row["verb"].replace("-", " "), row["noun"])
    assert (first.object, first.person, first.sentences) == ("", "P01", (row["narration"],))
    assert any("EPIC-KITCHENS-100" in note for note in found.notes)


def test_the_second_noun_of_epic_kitchens_is_the_object(tmp_path: Path) -> None:
    path = tmp_path / "epic.csv"
    path.write_text(
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,"
        "stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
        "P02_1_7,P02,P02_1,00:01:00.5,00:01:01.25,01:00:02.00,1,2,"
        "put knife on board,put-on,1,knife,4,\"['knife', 'board:chopping']\",\"[4, 25]\"\n"
    )
    (row,) = read_annotations(path).rows
    assert (row.start, row.end) == (61.25, 3602.0)
    assert (row.action, row.subject, row.object) == ("put on", "knife", "chopping board")


def test_all_wrong_rows_come_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, HEADER + "a.mp4,x,9,cut,carrot,\n" * 30)
    assert caught.value.found.count("line ") == 20
    assert "and 10 more" in caught.value.found


@pytest.mark.parametrize(("listing", "videos"), [("gone.csv", None), ("", None), ("intervals.csv", "gone")])
def test_a_file_or_folder_that_is_not_there_is_refused(tmp_path: Path, listing: str, videos: str | None) -> None:
    (tmp_path / "intervals.csv").write_text(HEADER + "a.mp4,1,9,cut,carrot,\n")
    with pytest.raises(InputError):
        open_own_footage(
            tmp_path / listing, CLASSES, videos=tmp_path / videos if videos else None, memory=tmp_path / "memory"
        )


CELLS = st.one_of(
    st.sampled_from(
        ["a.mp4", "s07-d20-cam-002", "../x", "/", "1", "24", "1e400", "-3", "cut", "carrot", "knife", "", '"']
    ),
    st.text(max_size=12),
)
TABLES = st.lists(st.lists(CELLS, min_size=4, max_size=8).map(",".join), max_size=5).map("\n".join)


@given(
    header=st.sampled_from([HEADER, HEADER.replace("_frame", "_s"), HEADER.replace(",", ";"), ""]),
    rest=st.one_of(TABLES.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=300)),
)
@example(header=HEADER, rest=b"a\x00.mp4,1,9,cut,carrot,")
@example(header=HEADER, rest=b"x" * 140_000)
def test_anything_is_read_or_refused_with_the_file_named(
    tmp_path_factory: pytest.TempPathFactory, header: str, rest: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    folder.mkdir(exist_ok=True)
    try:
        corpus = listed(folder, header.encode() + rest)
    except InputError as error:
        assert "intervals.csv" in str(error.where)
        assert error.found
    else:
        assert corpus.annotations.intervals
        assert math.isfinite(corpus.annotations.frame_rate)
        for interval in corpus.annotations.intervals:
            assert "/" not in interval.id
            classify(interval, CLASSES)
