"""Annotations in other formats by the command line: built, and remembered with the options that they need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.build.inputs import check_same_footage, read_inputs
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows


def write(ffmpeg: Callable[..., bytes], path: Path, frames: int) -> None:
    """A video of so many frames, 30 a second; no other has its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = f"testsrc=size=96x64:rate=30,hue=h={frames}"
    ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", frames, path)


def test_a_build_of_a_folder_remembers_it(ffmpeg: Callable[..., bytes], run: Callable, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    for name, frames in (("cut_carrot_knife/a", 30), ("cut_carrot_knife/b", 40), ("wash apple/a", 50)):
        write(ffmpeg, videos / f"{name}.mp4", frames)
    (videos / "wash apple" / "a.txt").write_text("Rinse it well.\n", "utf-8")
    workspace = tmp_path / "w"
    options = ("-w", workspace, "--short-side", "64")
    assert run("fmn-data", "build", "--annotations", videos, *options).code == 0
    place = Workspace(workspace)
    clips = {row.id: row for row in read_rows(place.manifests / "clips.jsonl", ClipRow)}
    assert {clip_id: (row.class_id, row.frames) for clip_id, row in clips.items()} == {
        "cut-carrot-knife-a_000001-000030": ("cut_carrot_knife", 30),
        "cut-carrot-knife-b_000001-000040": ("cut_carrot_knife", 40),
        "wash-apple-a_000001-000050": ("wash_apple", 50),
    }
    said = {
        row.clip: (row.text, row.text_source) for row in read_rows(place.manifests / "utterances.jsonl", UtteranceRow)
    }
    assert said["wash-apple-a_000001-000050"] == ("Rinse it well.", "annotations")
    assert run("fmn-data", "build", *options).code == 0
    inputs = read_inputs(place)
    assert inputs is not None
    assert Path(inputs.footage.path) == videos
    # A moved folder is known by its content, one of other names is not.
    moved = videos.rename(tmp_path / "moved")
    check_same_footage(place, open_own_footage(moved, load_classes(), cache=tmp_path / "memory"))
    (moved / "wash apple" / "a.mp4").rename(moved / "wash apple" / "c.mp4")
    with pytest.raises(InputError, match="The data set was built from your own footage"):
        check_same_footage(place, open_own_footage(moved, load_classes(), cache=tmp_path / "memory"))


def test_options_of_the_annotations_are_remembered(ffmpeg: Callable[..., bytes], run: Callable, tmp_path: Path) -> None:
    write(ffmpeg, tmp_path / "a.mp4", 60)
    listing = tmp_path / "list.csv"
    listing.write_text("video,start_frame,end_frame,label\na.mp4,0,9,cut_carrot_knife\n")
    workspace = tmp_path / "w"
    options = ("-w", workspace, "--short-side", "64", "--no-speech")
    ended = run("fmn-data", "build", *options, "--frame-base", "0")
    assert ended.code == 2
    assert "--frame-base goes with --annotations" in ended.err
    # Frames 0 to 9 of a copy at 15 frames per second last from 0 s to 10/15 s: 20 frames of the video.
    given = ("--annotations", listing, "--frame-base", "0", "--fps", "15", "--format", "csv")
    assert run("fmn-data", "build", *options, *given).code == 0
    for command in (("build", *options), ("retry", "-w", workspace)):
        assert run("fmn-data", *command).code == 0
        (clip,) = read_rows(workspace / "manifests" / "clips.jsonl", ClipRow)
        assert (clip.start_frame, clip.end_frame) == (1, 20)
