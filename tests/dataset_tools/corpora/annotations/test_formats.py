"""The format of annotations is told by content; a folder of files is one list."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from dataset_tools.build_record import sha256_of_annotations
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import FORMATS, ListOptions, format_of, read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.annotations.seconds import frames_between
from dataset_tools.video.frame_index import FrameIndex

TOOLS = Path(__file__).parents[3] / "fixtures" / "annotation_tools"
ELAN = (TOOLS / "elan.eaf").read_text("utf-8")
VIA = json.loads((TOOLS / "via.json").read_text("utf-8"))
CVAT = (TOOLS / "cvat.xml").read_text("utf-8")

BOX = '<box frame="{}" outside="0"/>'
LABEL_STUDIO = [{"id": 4, "data": {"video": "a.mp4"}, "annotations": [{"id": 9, "result": []}], "predictions": []}]


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("a.txt", ELAN, "elan"),
        ("a.eaf", CVAT, "cvat"),
        ("a.xml", VIA, "via"),
        ("a", LABEL_STUDIO, "label-studio"),
        ("a.json", {"database": {}}, "activitynet"),
        ("a.json", {"database": {"v1": {"subset": "testing"}}}, "activitynet"),
        ("a.json", "video,action,subject\na,b,c\n", "csv"),
    ],
)
def test_formats_are_told_by_content_whatever_the_suffix(
    name: str, content: object, format_: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert format_of(tmp_path / name) == format_


@pytest.mark.parametrize("first_line", ["video,kind", "File;Label", "start_s\tend_s", '"Sentence",Person'])
def test_a_first_line_with_a_known_column_is_that_of_a_csv(first_line: str, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"\ufeff{first_line}\n", "utf-8")
    assert format_of(tmp_path / "list") == "csv"


@pytest.mark.parametrize(
    ("content", "begins_with"),
    [
        ("{}", "{}"),
        ("[1]", "[1]"),
        ('{"info": {}, "annotations": [{"data": 1}]}', '{"info": {}'),
        ('[{"timestamps": [[1, 2]]}]', '[{"timestamps": '),
        ("\ufeff\n<html></html>", "<html></html>"),
        ("0:00 open door\n1:30 wave, sit down\n", "0:00 open door'"),
        ("clips/a.mp4,1,50,cut carrot\n", "clips/a.mp4,1,50,"),
        (" \n", None),
    ],
)
def test_all_formats_are_named_where_one_cannot_be_told(
    content: str, begins_with: str | None, read: Callable[..., IntervalList]
) -> None:
    with pytest.raises(InputError) as caught:
        read(content)
    said = "it is empty" if begins_with is None else f"it begins with '{begins_with}"
    assert f"cannot be detected: {said}" in caught.value.found
    assert all(name in str(caught.value.expected) for name in FORMATS)
    assert "--format" in str(caught.value.next_step)


def test_a_folder_of_files_is_one_list(tmp_path: Path) -> None:
    (tmp_path / "a.eaf").write_text(ELAN.replace("kitchen.mp4", "hall.mp4"))
    (tmp_path / "B.EAF").write_text(ELAN)
    (tmp_path / ".c.eaf").write_text("")
    (tmp_path / "kitchen.mp4").touch()
    listed = read_intervals(tmp_path, ListOptions(tier="action"))
    assert sorted({row.video for row in listed.rows}) == ["hall.mp4", "kitchen.mp4"]
    assert len(listed.rows) == 4
    assert listed.rows[0].place.startswith("B.EAF, annotation ")
    assert len(listed.guessed) == 2
    place, cache = str(tmp_path), str(tmp_path / "memory")
    read_with = ListOptions(tier="action")
    corpus = open_own_footage(place, load_classes(), read_with=read_with, videos=place, cache=cache)
    assert corpus.videos == {"kitchen": tmp_path / "kitchen.mp4"}
    before = sha256_of_annotations(tmp_path)
    (tmp_path / "a.eaf").write_text(ELAN)
    assert sha256_of_annotations(tmp_path) != before
    (tmp_path / "a.eaf").write_text(ELAN.replace("cut carrot", "-"))
    with pytest.raises(InputError) as caught:
        read_intervals(tmp_path, ListOptions(tier="action"))
    assert caught.value.where == str(tmp_path / "a.eaf")


@pytest.mark.parametrize("suffix", sorted({kind.suffix for kind in FORMATS.values() if kind.suffix}))
def test_a_changed_file_of_any_format_changes_the_hash_of_its_folder(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_text("1")
    before = sha256_of_annotations(tmp_path)
    (tmp_path / f"a{suffix}").write_text("2")
    assert sha256_of_annotations(tmp_path) != before


def test_a_folder_of_files_of_other_formats_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT.format(boxes=BOX.format(3)))
    (tmp_path / "b.xml").write_text(CVAT.format(boxes=BOX.format(5)))
    assert [row.start for row in read_intervals(tmp_path, ListOptions(format="cvat")).rows] == [4, 6]
    with pytest.raises(InputError, match=r"no \.json files in the folder"):
        read_intervals(tmp_path, ListOptions(format="via"))
    (tmp_path / "a.csv").write_text("video,start_frame,end_frame,label\na,1,2,wave\n")
    (tmp_path / "b.csv").write_text("video,start_s,end_s,label\na,1,2,wave\n")
    with pytest.raises(InputError, match="frames in some of the files, and seconds in others"):
        read_intervals(tmp_path, ListOptions(format="csv"))


@pytest.mark.parametrize(
    ("columns", "times", "seconds"), [("start_s,end_s", "1,2", True), ("start_frame,end_frame", "3,4", False)]
)
@pytest.mark.parametrize("name", ["0.csv", "z.csv"])
def test_a_file_of_whole_videos_may_be_beside_one_with_times(
    columns: str, times: str, seconds: bool, name: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(f"video,{columns},label\na,{times},wave\n")
    (tmp_path / name).write_text("video,label\nb,wave\n")
    listed = read_intervals(tmp_path, ListOptions(format="csv"))
    assert listed.in_seconds is seconds
    assert {row.video: (row.start, row.end) for row in listed.rows} == {
        "a": tuple(map(float, times.split(","))),
        "b": (None, None),
    }


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (29.97, Fraction(30000, 1001)),
        (29.97, Fraction(2997, 100)),  # of a copy by `ffmpeg -r 29.97`
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (25.0, 25),
    ],
)
def test_rates_of_ntsc_may_be_written_with_few_decimals(fps: float, rate: Fraction, tmp_path: Path) -> None:
    """Frames 90,001 to 90,100 of a copy of an hour are just these of a video of that rate."""
    path = tmp_path / "a.csv"
    path.write_text("video,start_frame,end_frame,label\na,90001,90100,wave\n")
    (row,) = read_intervals(path, ListOptions(fps=fps)).rows
    index = FrameIndex(100_000, str(rate), stamps=tuple(range(100_000)), tick_s=str(1 / Fraction(rate)))
    assert row.start is not None
    assert row.end is not None
    assert frames_between(row.start, row.end, index, Fraction(rate)) == (90_001, 90_100)
