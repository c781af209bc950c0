"""Mistakes in a list of intervals: what the looks before a build call usable is what the build cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

FRAMES, SECONDS = "start_frame,end_frame", "start_s,end_s"
VIDEO = "s07-d20-cam-002.avi"  # 5 s at 29.4 fps: 147 frames
GOOD = {FRAMES: f"{VIDEO},1,20", SECONDS: f"{VIDEO},0.1,1.5"}


def list_of(folder: Path, times: str, *rows: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(f"video,{times},action,subject,object\n" + "".join(f"{row},cut,carrot,knife\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("times", "row", "reason"),
    [
        (SECONDS, f"{VIDEO},2,9999", "ends past the end of its video"),  # "the whole video"
        (SECONDS, f"{VIDEO},30,147", "ends past the end of its video"),  # frames where seconds are asked for
        (FRAMES, f"{VIDEO},100,148", "ends past the end of its video"),  # one too many
        (FRAMES, "other.avi,1,50", "The video is missing: other.avi"),
        (SECONDS, "other.mp4,1,2", "The video is missing: other.mp4"),
        (FRAMES, "empty.avi,1,50", "empty.avi"),
    ],
)
@pytest.mark.parametrize("is_alone", [True, False])
def test_what_the_build_drops_is_usable_nowhere(
    run: Callable, small_corpus: Path, tmp_path: Path, times: str, row: str, reason: str, is_alone: bool
) -> None:
    (small_corpus / "videos" / "empty.avi").touch()
    rows = [row] if is_alone else [GOOD[times], row]
    source = ("--annotations", list_of(small_corpus / "videos", times, *rows))
    right = 0 if is_alone else 1
    place = ("-w", tmp_path / "w", "--no-speech", "--short-side", 64)
    looked = run("fmn-data", "classes", *source, "-w", tmp_path / "w", "--json")
    assert sum(each["usable"] for each in looked.json["classes"]) == right
    for dry in (("--dry-run",), ()):
        ended = run("fmn-data", "build", *source, *place, *dry, "--json")
        if is_alone:
            assert ended.code == 2
            assert reason in str(ended.json["error"]) or "None of the videos" in str(ended.json["error"])
        else:
            assert (ended.code, ended.json["clips"]) == (1, 1)
            assert reason in " ".join(ended.json["reasons"])
        shown = run("fmn-data", "build", *source, *place, *dry)
        assert shown.code == ended.code
        assert ("✓" in shown.out) == (not is_alone)
        assert ("ledger.jsonl" in shown.out) == ("fmn-data retry" in shown.out) == (not is_alone and not dry)
    assert (tmp_path / "w" / "manifests" / "clips.jsonl").exists() == (not is_alone)


def test_that_no_video_is_there_names_what_was_looked_for(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    source = list_of(small_corpus / "videos", FRAMES, "s07-d20-cam-002.mp4,1,50")
    ended = run("fmn-data", "build", "--annotations", source, "-w", tmp_path / "w")
    assert ended.code == 2
    assert "s07-d20-cam-002.mp4" in ended.err
    assert str(small_corpus / "videos") in ended.err
    assert "standin" not in ended.err
    assert "copy the video again" not in ended.err


def test_the_first_of_many_reasons_are_shown(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    rows = [f"{VIDEO},{first},{first + 200}" for first in range(1, 9)] + [f"gone-{n}.avi,1,50" for n in range(3)]
    source = list_of(small_corpus / "videos", FRAMES, *rows)
    ended = run("fmn-data", "build", "--annotations", source, "-w", tmp_path / "w")
    assert ended.code == 2
    assert "8 ×" in ended.err
    assert "of 147" in ended.err
    assert "3 ×" in ended.err
    assert "mine.csv" in ended.err.split("next:")[1]


def test_rows_of_none_of_the_classes_are_said(run: Callable, small_corpus: Path, tmp_path: Path) -> None:
    """A build of the rest is right, and ends with 0; that rows are not in it is said by it and by what comes before."""
    source = list_of(small_corpus / "videos", FRAMES, GOOD[FRAMES])
    source.write_text(
        source.read_text()
        + f"{VIDEO},61,90,cut,carot,knife\n{VIDEO},91,120,wash,carrot,\n{VIDEO},121,140,wash,carrot,\n"
    )
    place = ("-w", tmp_path / "w", "--short-side", 64, "--no-speech")
    for command in (("classes", "-w", tmp_path / "w"), ("build", *place, "--dry-run"), ("build", *place)):
        ended = run("fmn-data", command[0], "--annotations", source, *command[1:])
        assert ended.code == 0, ended.err
        said = " ".join((ended.out + ended.err).split())
        assert "The class file lacks 1 of the words: 'carot' (1)." in said
        assert "3 of 4 intervals belong to none of the classes: 'cut carot knife' (1), 'wash carrot' (2)." in said
