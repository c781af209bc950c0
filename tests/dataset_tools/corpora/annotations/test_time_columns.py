"""Columns of times under other names than start_s and end_s: refused, as their rows would become whole videos."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList


def read(folder: Path, text: str) -> IntervalList:
    path = folder / "list.csv"
    path.write_text(text, "utf-8")
    return read_intervals(path)


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, text)
    assert caught.value.where == f"{folder / 'list.csv'}, line 1"
    return caught.value.found


@pytest.mark.parametrize(
    "names",
    [
        *("von,bis", "Begin,Finish", "onset,offset", "from,to", "start,end", "Start s,End s", "startTime,stopTime"),
        *("Anfang (s),Ende (s)", "开始,结束", "t0,t1", "a,b", "début,fin", "begin,finish", "alku,loppu"),
        *("start_index,end_index", "start_no,end_no", "scene_start,scene_end", "frame_no_1,frame_no_2", "t,duration"),
        *("source_in,source_out", "scene_in,scene_out", "camera_in,camera_out", "first_no,last_no", "index1,index2"),
        *("from_tray,to_tray", "action_start,action_stop", "camera_time,scene_time", "person_from,person_to"),
    ],
)
@pytest.mark.parametrize("values", ["1.5,2.5", "0:01,0:02.5", "00:00:01.500,00:00:02.500", "1s,2s", "40,75"])
def test_columns_of_times_with_other_names_are_named_and_refused(names: str, values: str, tmp_path: Path) -> None:
    found = refused(tmp_path, f"video,{names},label\na,{values},open door\nb,{values},open door\n")
    first, second = names.lower().split(",")
    assert f"the columns {first!r}, {second!r} may hold times" in found
    assert "start_frame and end_frame, or start_s and end_s" in found


@pytest.mark.parametrize("names", ["t_start,t_end", "clip_start,clip_end", "action_begin_s,action_stop_s", "in,out"])
@pytest.mark.parametrize("missing", ["NA,NA", "-,-", "n/a,null", "nan,NaN", "?,"])
def test_columns_of_times_are_told_despite_markers_of_missing_values(names: str, missing: str, tmp_path: Path) -> None:
    found = refused(tmp_path, f"video,{names},label\na,1.5,2.5,open door\nb,{missing},open door\n")
    first, second = names.split(",")
    assert f"the columns {first!r}, {second!r} may hold times" in found


@pytest.mark.parametrize("values", ["-0.5,3", "0:01,the last", "1.5 s,+2"])
def test_columns_that_are_named_as_ends_of_an_interval_are_refused_whatever_else_they_hold(
    values: str, tmp_path: Path
) -> None:
    found = refused(tmp_path, f"video,action_start,action_end_s,label\na,1.5,2.5,open door\nb,{values},open door\n")
    assert "the columns 'action_start', 'action_end_s' may hold times, by name" in found


@pytest.mark.parametrize(
    ("header", "rows", "found"),
    [
        ("video,span,label", ["a,0:01-0:02,wave", "b,0:03 - 0:05,wave"], "the column 'span' may hold times"),
        ("video,when,label", ["a,0:01,wave", "b,,wave"], "the column 'when' may hold times, such as '0:01'"),
        ("video,p,q,label", ["a,x,1,wave", "a.mp4,y,2,wave", "a,z,3,wave"], "the column 'q' may hold times"),
        ("video,p,label", ["a,after 3,wave", "a,NA,wave"], "the column 'p' may hold times, as videos occur in several"),
        ("video,p,label", ["a,3 s,wave", "a,-,wave"], "the column 'p' may hold times, as videos occur in several"),
        ("video,clip_start,label", ["a,frame 3,wave", "b,NA,wave"], "the column 'clip_start' may hold times, by its"),
        ("video,p,label", ["a,3,wave", "a,then 5,wave"], "the column 'p' may hold times, as videos occur in several"),
        ("video,end,label", ["a,,wave"], "the column 'end' may hold times, by its name"),
        ("video,range,label", ["a,0.5-3.2,wave", "b,1 s to 3 s,wave"], "the column 'range' may hold times, such as"),
    ],
)
def test_columns_are_told_by_their_values_too(header: str, rows: list[str], found: str, tmp_path: Path) -> None:
    assert found in refused(tmp_path, "\n".join([header, *rows, ""]))


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("video,mood,take,label", ["a,calm,1,wave", "b,,2,wave"]),  # one number is no interval
        ("video,date,label", ["a,2024-05-01,wave", "b,2024-05-02,wave"]),
        ("video,start_s,end_s,von,bis,label", ["a,,,1,2,wave", "a,,,3,4,wave"]),  # said to be whole videos
        ("video,sentence,label", ["a,It waves.,wave", "a,A hand waves.,wave"]),
        ("video,mood,label", ["a,,wave", "a,,wave"]),
        ("video,p,label", ["a,first,wave", "a,then,wave"]),  # no digit
        ("video,split,annotator,label", ["a,train,Bob,wave", "a,test,Ann,wave"]),
        ("video,from,to,label", ["a,board,bowl,wave", "a,bowl,board,wave"]),
        ("video,conf,label", ["a,0.5,wave", "a,0.9,wave"]),
        ("video,lat,lon,label", ["a,48.1,11.5,wave", "a,48.2,11.6,wave"]),
        (",video,label", ["0,a,wave", "1,a,wave"]),  # pandas' index
        ("video,endoscope,starter,label", ["a,x,y,wave", "b,x,y,wave"]),
        ("video,aspect,label", ["a,16:9,wave", "b,4:3,wave"]),
        ("video,age,label", ["a,20-30,wave", "b,30-40,wave"]),
        ("video,goes_to,label", ["a,room 2,wave", "b,room 3,wave"]),
        ("video,front_end,label", ["a,left,wave", "b,right,wave"]),
        ("video,mood,label", ["a,-,wave", "a,NA,wave"]),
        ("video,bus_stop,label", ["a,Line 5,wave", "b,Line 6,wave"]),
        ("video,surface_finish,label", ["a,,wave", "b,NA,wave"]),
    ],
)
def test_other_columns_are_ignored_and_the_videos_are_whole(header: str, rows: list[str], tmp_path: Path) -> None:
    listed = read(tmp_path, "\n".join([header, *rows, ""]))
    assert {(row.start, row.end) for row in listed.rows} == {(None, None)}


@pytest.mark.parametrize(
    ("there", "missing"),
    [("start_s", "end_s"), ("end_s", "start_s"), ("start_frame", "end_frame"), ("end_frame", "start_frame")],
)
def test_a_single_column_of_times_lacks_the_other(there: str, missing: str, tmp_path: Path) -> None:
    found = refused(tmp_path, f"video,{there},label\na,1,open door\n")
    assert f"the column {missing!r} is missing: there is only {there!r}" in found
    assert "not both" not in found


@pytest.mark.parametrize(
    ("names", "values"),
    [
        *(("take,age", ("1,34", "2,35")), ("age,weight_kg", ("34,70.5", "51,82"))),
        *(("person_id,session", ("1,2", "2,2")), ("participant no,take no", ("1,2", "2,2"))),
        *(("height,width", ("480,640", "480,640")), ("age (years),rating", ("34,5", "35,4"))),
        *(("number_of_people,fps", ("2,25", "1,29.97")), ("latitude,longitude", ("48.1,11.6", "48.2,11.5"))),
        *(("difficulty,mood_score", ("1,2", "3,4")), ("kitchen,year", ("7,2024", "8,2025"))),
        *(
            ("camera_1,camera_2", ("1,0", "1,1")),
            ("alter,gewicht", ("34,70", "51,82")),
            ("âge,taille", ("34,170", "5,90")),
        ),
        *(("from_camera,to_camera", ("1,2", "2,1")), ("from_camera,mood", ("left,calm", "right,calm"))),
        *(("end_user,start_weight", ("3,70", "4,80")), ("from_tray,to_tray", ("left,right", "top,left"))),
        *(("stop_sign,begin_level", ("yes,1", "no,2")), ("from_country,end_user", ("de,x", "fr,y"))),
        *(("take,age,t", ("1,34,7", "2,35,9")), ("frame_rate,frame_width", ("25,640", "30,640"))),
    ],
)
def test_columns_named_after_something_else_hold_no_times(names: str, values: tuple[str, str], tmp_path: Path) -> None:
    first, second = values
    listed = read(tmp_path, f"video,{names},label\na,{first},wave\nb,{second},wave\n")
    assert [(row.start, row.end) for row in listed.rows] == [(None, None)] * 2


def test_a_unit_of_time_says_more_than_a_name(tmp_path: Path) -> None:
    rows = "a,1 s,34 s,wave\nb,2 s,35 s,wave\n"
    assert "the columns 'take', 'age' may hold times" in refused(tmp_path, f"video,take,age,label\n{rows}")
