"""Clips of one's own footage: the right frames of the right videos."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.corpora.sentence_files import footage_sentences
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.booth.sessions import Booth
from dataset_tools.speech.dataset_speech import import_dataset
from dataset_tools.speech.synthesis import SpeechOptions

CLASSES = load_classes()
HEADER = "video,start_frame,end_frame,action,subject,object\n"


def test_clips_are_cut_from_videos_of_any_name(
    tmp_path: Path,
    write_video: Callable[..., Path],
    read_numbers: Callable[[Path], list[int]],
    listed: Callable[..., Corpus],
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


def test_two_videos_of_one_stem_give_each_its_own_clips(
    tmp_path: Path,
    write_video: Callable[..., Path],
    read_numbers: Callable[[Path], list[int]],
    listed: Callable[..., Corpus],
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


def test_a_list_in_seconds_reads_the_videos(
    write_video: Callable[..., Path],
    tmp_path: Path,
    read_numbers: Callable[[Path], list[int]],
    listed: Callable[..., Corpus],
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


def test_seconds_of_a_video_without_times_are_refused(
    write_video: Callable[..., Path], tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    raw_stream(write_video, tmp_path)
    with pytest.raises(InputError, match=r"raw\.h264 \(it has no timestamps\)") as caught:
        listed(tmp_path, HEADER.replace("_frame", "_s") + "raw.h264,0,1,cut,carrot,knife\n")
    assert "-r RATE -i raw.h264" in str(caught.value.next_step)


def test_frames_of_a_video_without_times_are_cut_and_the_rate_is_said(
    write_video: Callable[..., Path],
    tmp_path: Path,
    read_numbers: Callable[[Path], list[int]],
    listed: Callable[..., Corpus],
) -> None:
    raw_stream(write_video, tmp_path)
    corpus = listed(tmp_path, HEADER + "raw.h264,21,50,cut,carrot,knife\n")
    place = Workspace(tmp_path / "workspace")
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    (row,) = read_rows(place.manifests / "clips.jsonl", ClipRow)
    assert read_numbers(place.root / row.path) == list(range(21, 51))
    assert row.fps == 30
    assert any("no timestamps; its clips play at 30 frames per second" in said for said in summary.without_times)


TEN_SECONDS = {"codec": "libx264", "rate": Fraction(25), "g": 50}


def test_a_sentence_of_the_list_is_spoken_for_its_clip(
    write_video: Callable[..., Path], tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    write_video(tmp_path / "a b.mp4", 100, **TEN_SECONDS)
    rows = [
        "a b.mp4,1,40,cut,carrot,knife,Now it gets chopped.",
        "a b.mp4,40,70,cut,carrot,knife,",
        "a b.mp4,71,100,cut,carrot,knife,他在切。",
    ]
    corpus = listed(tmp_path, "\n".join([HEADER.replace("object", "object,sentence").strip(), *rows, ""]))
    place = Workspace(tmp_path / "workspace")
    speech = SpeechOptions(sentences=footage_sentences(corpus))
    build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, voices=speech))
    said = {row.clip: row for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)}
    own = said["a-b_000001-000040"]
    assert (own.text, own.text_source) == ("Now it gets chopped.", "annotations")
    others = [said[clip] for clip in ("a-b_000040-000070", "a-b_000071-000100")]
    assert [row.text_source for row in others] == ["grammar", "grammar"]  # nothing said; said in Chinese


def test_an_end_up_to_a_frame_after_the_video_is_its_end_and_a_later_one_is_told_in_seconds(
    write_video: Callable[..., Path], tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    write_video(tmp_path / "a.mp4", 100, **TEN_SECONDS)
    rows = "a.mp4,3,4.04,cut,carrot,knife\na.mp4,1,4.1,wash,apple,\n"
    place = Workspace(tmp_path / "workspace")
    corpus = listed(tmp_path, HEADER.replace("_frame", "_s") + rows)
    summary = build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    (row,) = read_rows(place.manifests / "clips.jsonl", ClipRow)
    assert (row.start_frame, row.end_frame, row.frames) == (76, 100, 25)
    assert len(summary.failures) == 1
    assert "past the end of its video: at 4.100 s of 4.000 s, frame 103 of 100" in summary.reasons[0]


def test_an_end_after_the_video_is_told_in_the_times_of_the_list(
    write_video: Callable[..., Path], tmp_path: Path, ffmpeg: Callable[..., bytes], listed: Callable[..., Corpus]
) -> None:
    """They are those of players, which show no frame in the first 1.5 s."""
    plain = write_video(tmp_path / "plain.mkv", 100, **TEN_SECONDS, bf=0)
    sound = ("-f", "lavfi", "-i", "sine=d=2:r=48000")
    ffmpeg("-itsoffset", 1.5, "-i", plain, *sound, "-map", 0, "-map", 1, "-c:v", "copy", tmp_path / "a.mkv")
    corpus = listed(tmp_path, HEADER.replace("_frame", "_s") + "a.mkv,3,5,cut,carrot,knife\na.mkv,3,7,wash,apple,\n")
    options = BuildOptions(per_class=5, short_side=64, speech=False)
    summary = build_dataset(Workspace(tmp_path / "workspace"), corpus, CLASSES, options)
    assert "past the end of its video: at 7.000 s of 5.500 s" in summary.reasons[0]


CHINESE = """schema: fmn.classes/1
actions: {cut: {name: 切, zh: 切}, open: {}}
things: {apple: {name: 苹果, zh: 苹果}, door: {}}
classes: [{action: cut, subject: apple}, {action: open, subject: door}]
"""


@pytest.mark.parametrize("dry_run", [False, True])
def test_english_sentences_with_words_in_other_scripts_are_said(
    dry_run: bool, write_video: Callable[..., Path], tmp_path: Path
) -> None:
    write_video(tmp_path / "a.mp4", 100, **TEN_SECONDS)
    (tmp_path / "classes.yaml").write_text(CHINESE, "utf-8")
    classes = load_classes(tmp_path / "classes.yaml", count=None)

    def notes(rows: str) -> list[str]:
        (tmp_path / "list.csv").write_text(f"video,start_frame,end_frame,action,subject,sentence\n{rows}", "utf-8")
        corpus = open_own_footage(tmp_path / "list.csv", classes, cache=tmp_path / "memory")
        voices = SpeechOptions(sentences=footage_sentences(corpus))
        options = BuildOptions(per_class=5, short_side=64, voices=voices)
        place = Workspace(tmp_path / "workspace")
        summary = build_dataset(place, corpus, classes, options, dry_run=dry_run, replace_footage=True)
        return [note for note in summary.speech_notes if "Latin" in note]

    (note,) = notes("a.mp4,1,40,cut,apple,\n")
    assert "'切', '苹果'; build with --language zh, give English names" in note
    assert not notes("a.mp4,1,40,open,door,\n")
    assert not notes("a.mp4,1,40,cut,apple,She slices it.\n")


def test_footage_where_the_clips_are_written_is_refused(tmp_path: Path, write_video: Callable[..., Path]) -> None:
    place = Workspace(tmp_path)
    write_video(place.clips / "cut_carrot_knife" / "p1.mp4", 30)
    (tmp_path / "linked").symlink_to(place.clips)
    before = sorted(tmp_path.rglob("*"))
    for folder in (place.clips, tmp_path / "linked"):
        corpus = open_own_footage(folder, CLASSES, cache=tmp_path.parent / f"{tmp_path.name}-memory" / "sources")
        with pytest.raises(InputError, match="the folder that the workspace's clips are written to"):
            build_dataset(place, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    assert sorted(tmp_path.rglob("*")) == before
    elsewhere = Workspace(tmp_path / "set")
    elsewhere.root.mkdir()
    elsewhere.speech.symlink_to(tmp_path)  # such files are refused when they are read
    with pytest.raises(InputError, match="symbolic link to a place outside"):
        build_dataset(elsewhere, corpus, CLASSES, BuildOptions(per_class=5, short_side=64, speech=False))
    with pytest.raises(InputError, match="symbolic link to a place outside"):
        Booth(elsewhere, CLASSES)
    assert [path.name for path in elsewhere.root.iterdir()] == ["speech"]


def test_a_build_tells_of_recordings_whose_clip_or_class_is_gone(
    tmp_path: Path, write_video: Callable[..., Path], listed: Callable[..., Corpus]
) -> None:
    """A person's recordings must not silently drop out of the data set as a video, folder or class is renamed."""
    own = tmp_path / "own"
    rows = "one.mp4,1,20,cut,carrot,knife\none.mp4,31,50,cut,carrot,knife\none.mp4,61,80,wash,apple,\n"
    write_video(own / "one.mp4", 90)
    place = Workspace(tmp_path / "workspace")
    options = BuildOptions(per_class=5, short_side=64, speech=False)

    def notes(rows: str) -> tuple[str, ...]:
        return build_dataset(place, listed(tmp_path, HEADER + rows, videos=own), CLASSES, options).speech_notes

    assert notes(rows) == ()
    spoken = tmp_path / "anna"
    for number, name in enumerate(("one_000001-000020", "one_000061-000080", "stir_onion_spatula/anna_1")):
        (spoken / name).parent.mkdir(parents=True, exist_ok=True)
        tone = (
            0.3 * np.sin(2 * np.pi * (300 + 10 * number) * np.arange(16000) / 16000) * (np.arange(16000) % 4000 < 3000)
        )
        soundfile.write(spoken / f"{name}.wav", tone, 16000)
    assert import_dataset(place, spoken, CLASSES).added == 3
    assert notes(rows) == ()  # a class without clips is a class
    (own / "one.mp4").rename(own / "first.mp4")
    (note,) = notes(rows.replace("one.mp4", "first.mp4"))
    assert note.startswith("2 recordings are not used, ")
    assert "one_000001-000020_anna" in note
    assert {row.source for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)} == {"recorded"}
    (own / "first.mp4").rename(own / "one.mp4")
    (note,) = notes(rows.partition("\n")[2])
    assert note.startswith("1 recording is not used, ")
    assert "one_000001-000020_anna" in note
    assert "one_000061-000080_anna" not in note
    (note,) = notes(rows.replace("wash,apple,", "grate,cucumber,"))
    assert note.startswith("1 recording is not used, ")
    assert "one_000061-000080_anna" in note
    assert notes(rows) == ()
