"""ELAN, VIA 3, CVAT and Label Studio: the right span of the right video, its label, and what was said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_tools.build_record import sha256_of_annotations
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import ListOptions, format_of, read_annotations
from dataset_tools.corpora.annotations.interval_list import IntervalList
from dataset_tools.corpora.annotations.own_footage import open_own_footage

# As pympi-ling 1.71 writes it (add_linked_file, add_tier, add_annotation, add_ref_annotation).
ELAN = """<?xml version='1.0' encoding='UTF-8'?>
<ANNOTATION_DOCUMENT AUTHOR="a" DATE="2026-11-27T20:27:56+00:00" VERSION="2.8" FORMAT="2.8" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv2.8.xsd">
<HEADER>
<MEDIA_DESCRIPTOR MEDIA_URL="file:///home/anna/films/kitchen.mp4" RELATIVE_MEDIA_URL="./kitchen.mp4" \
MIME_TYPE="video/mp4" />
<PROPERTY NAME="lastUsedAnnotation">0</PROPERTY>
</HEADER>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1200" />
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3400" />
<TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000" />
<TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="5250" />
<TIME_SLOT TIME_SLOT_ID="ts6" TIME_VALUE="0" />
<TIME_SLOT TIME_SLOT_ID="ts7" TIME_VALUE="9000" />
<TIME_SLOT TIME_SLOT_ID="ts8" TIME_VALUE="1200" />
<TIME_SLOT TIME_SLOT_ID="ts9" TIME_VALUE="3400" />
</TIME_ORDER>
<TIER TIER_ID="action" LINGUISTIC_TYPE_REF="default-lt">
<ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>cut carrot</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION>
</ANNOTATION>
<ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
<ANNOTATION_VALUE>take out the plate</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION>
</ANNOTATION>
</TIER>
<TIER TIER_ID="utterance" LINGUISTIC_TYPE_REF="dependent" PARENT_REF="action">
<ANNOTATION>
<REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a2">
<ANNOTATION_VALUE>She cuts a carrot.</ANNOTATION_VALUE>
</REF_ANNOTATION>
</ANNOTATION>
</TIER>
<TIER TIER_ID="gaze" LINGUISTIC_TYPE_REF="default-lt">
<ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts6" TIME_SLOT_REF2="ts7">
<ANNOTATION_VALUE>looks down</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION>
</ANNOTATION>
<ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a6" TIME_SLOT_REF1="ts8" TIME_SLOT_REF2="ts9">
<ANNOTATION_VALUE>left</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION>
</ANNOTATION>
</TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="default-lt" TIME_ALIGNABLE="true" GRAPHIC_REFERENCES="false" />
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="dependent" CONSTRAINTS="Symbolic_Association" GRAPHIC_REFERENCES="false" />
</ANNOTATION_DOCUMENT>
"""
# A project as VIA 3 saves it: two segments, and a region at a point of time.
VIA = {
    "project": {"pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__", "vid_list": ["7"]},
    "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}},
    "attribute": {
        "1": {
            "aname": "TEMPORAL-SEGMENTS",
            "anchor_id": "FILE1_Z2_XY0",
            "type": 4,
            "options": {"default": "Default", "0": "open door"},
            "default_option_id": "",
        }
    },
    "file": {"3": {"fid": "3", "fname": "01NVb-003-072-3 echo.mp4", "type": 4, "loc": 1, "src": ""}},
    "metadata": {
        "1_jcQtDcYu": {"vid": "7", "flg": 0, "z": [324.94525, 326.86192], "xy": [], "av": {"1": "wave_hand"}},
        "1_AsfaNOCJ": {"vid": "7", "flg": 0, "z": [350.55717, 352.88275], "xy": [], "av": {"1": "0"}},
        "1_JbOOmCkx": {"vid": "7", "flg": 0, "z": [325.3], "xy": [2, 1607.7, 1051.4, 201.7, 12.2], "av": {"1": "x"}},
    },
    "view": {"7": {"fid_list": ["3"]}},
}
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task><id>5</id><name>kitchen</name><size>100</size><mode>interpolation</mode>
      <start_frame>0</start_frame><stop_frame>99</stop_frame><source>kitchen.mp4</source>
    </task>
    <dumped>2026-11-01 10:00:00.000000+00:00</dumped>
  </meta>
  <track id="0" label="cut_carrot_knife" source="manual">
{boxes}  </track>
</annotations>
"""
BOX = '    <box frame="{}" keyframe="1" outside="{}" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9" z_order="0"></box>\n'
CONFIG = (
    '<View><Video name="video" value="$video"/><TimelineLabels name="action" toName="video">'
    '<Label value="open door"/><Label value="wave"/></TimelineLabels></View>'
)


def timeline(start: int, end: int, label: str, **more: object) -> dict[str, object]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {"value": value, "id": "r1", "from_name": "action", "to_name": "video", "type": "timelinelabels", **more}


def label_studio(*results: object, video: str = "/data/local-files/?d=films/kitchen.mp4") -> list[dict[str, object]]:
    times = {"created_at": "2026-11-01T10:00:00.000000Z", "updated_at": "2026-11-01T10:00:00.000000Z"}
    annotation = {"id": 9, "result": list(results), "was_cancelled": False, "ground_truth": False, **times}
    return [{"id": 4, "data": {"video": video, "note": "x"}, "annotations": [annotation], "predictions": []}]


def read(folder: Path, content: object, name: str = "list.json", **options: object) -> IntervalList:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return read_annotations(path, **options)  # type: ignore[arg-type]


def spans(listed: IntervalList) -> list[tuple[object, ...]]:
    return [(row.video, row.start, row.end, row.action, row.subject, row.object) for row in listed.rows]


def test_elan_has_times_in_milliseconds_and_sentences_in_other_tiers(tmp_path: Path) -> None:
    listed = read(tmp_path, ELAN, "a.eaf", tier="action")
    assert listed.in_seconds
    assert spans(listed) == [
        ("kitchen.mp4", 1.2, 3.4, "cut", "carrot", ""),
        ("kitchen.mp4", 4.0, 5.25, "take out", "plate", ""),
    ]
    assert [row.sentences for row in listed.rows] == [("She cuts a carrot.",), ()]
    # A tier whose annotations refer to others has their times.
    (row,) = read(tmp_path, ELAN, "a.eaf", tier="utterance").rows
    assert (row.start, row.end, row.sentences) == (1.2, 3.4, ("cut carrot",))


def test_elan_names_its_tiers_where_there_are_several(tmp_path: Path) -> None:
    for tier, found in ((None, "There are 3 tiers"), ("hand", "There is no tier 'hand'")):
        with pytest.raises(InputError) as caught:
            read(tmp_path, ELAN, "a.eaf", tier=tier)
        assert caught.value.found.startswith(found)
        assert "'action' (2), 'utterance' (1), 'gaze' (2)" in str(caught.value.expected)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (' TIME_VALUE="5250"', "", "annotation 'a3' of tier 'action': it has no times"),
        ('TIME_VALUE="5250"', 'TIME_VALUE="100"', "the end, 0.1, is before the start, 4"),
        ('TIME_VALUE="0"', 'TIME_VALUE="soon"', "'soon' is not a time in milliseconds"),
        ('TIME_SLOT_REF2="ts3"', 'TIME_SLOT_REF2="ts99"', "annotation 'a2' of tier 'action': it has no times"),
        ("take out the plate", "", "annotation 'a3' of tier 'action': the label '' has no words"),
        ("<HEADER>", '<HEADER TIME_UNITS="PAL-frames">', "its times are PAL-frames"),
        ('MIME_TYPE="video/mp4"', 'MIME_TYPE="audio/x-wav"', None),  # it is called .mp4
        ("kitchen.mp4", "kitchen.wav", None),  # its type is a video's
        ("<MEDIA_DESCRIPTOR", "<OTHER", "it describes no video"),
        ("<HEADER>", "<HEADER><HEADER>", "is not usable XML"),
        ("?>\n<", '?>\n<!DOCTYPE a [<!ENTITY b "c">]>\n<', "it has a document type"),
    ],
)
def test_elan_that_cannot_be_used_is_refused(old: str, new: str, found: str | None, tmp_path: Path) -> None:
    assert old in ELAN
    if found is None:
        assert read(tmp_path, ELAN.replace(old, new), "a.eaf", tier="action").rows
        return
    with pytest.raises(InputError) as caught:
        read(tmp_path, ELAN.replace(old, new), "a.eaf", tier="action")
    assert found in caught.value.found


def test_elans_video_may_begin_later_than_its_timeline(tmp_path: Path) -> None:
    later = ELAN.replace('MIME_TYPE="video/mp4"', 'MIME_TYPE="video/mp4" TIME_ORIGIN="500"')
    assert [row.start for row in read(tmp_path, later, "a.eaf", tier="action").rows] == [1.7, 4.5]


def test_via_has_segments_of_two_times(tmp_path: Path) -> None:
    listed = read(tmp_path, VIA)
    assert listed.in_seconds
    assert spans(listed) == [
        ("01NVb-003-072-3 echo.mp4", 324.94525, 326.86192, "wave", "hand", ""),
        ("01NVb-003-072-3 echo.mp4", 350.55717, 352.88275, "open", "door", ""),
    ]
    assert any(note.startswith("1 regions and points in time") for note in listed.notes)


def test_another_attribute_of_via_may_be_the_sentence(tmp_path: Path) -> None:
    attributes = {**VIA["attribute"], "2": {"aname": "said", "type": 1, "options": {}}}  # type: ignore[dict-item]
    first = {**VIA["metadata"]["1_jcQtDcYu"], "av": {"1": "wave_hand", "2": "He waves."}}  # type: ignore[index]
    project = {**VIA, "attribute": attributes, "metadata": {**VIA["metadata"], "1_jcQtDcYu": first}}  # type: ignore[dict-item]
    with pytest.raises(InputError, match="There are 2 tiers"):
        read(tmp_path, project)
    assert [row.sentences for row in read(tmp_path, project, tier="TEMPORAL-SEGMENTS").rows] == [("He waves.",), ()]


@pytest.mark.parametrize(
    ("segment", "found"),
    [
        ({"vid": "8", "z": [1, 2], "av": {"1": "wave_hand"}}, "the view '8' has no file"),
        ({"vid": "7", "z": [2, 1], "av": {"1": "wave_hand"}}, "the end, 1, is before the start, 2"),
        ({"vid": "7", "z": [2, "x"], "av": {"1": "wave_hand"}}, "metadata 'a': "),
        ({"vid": "7", "z": [1, 2], "av": {"1": ""}}, "the label '' has no words"),
        ({"vid": "7", "z": [1, 2], "av": {}}, "There are 0 tiers"),
    ],
)
def test_segments_of_via_that_cannot_be_used_are_refused(segment: object, found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, {**VIA, "metadata": {"a": segment}})
    assert found in caught.value.found


def test_cvat_tracks_are_intervals_while_they_are_seen(tmp_path: Path) -> None:
    seen = [*((frame, 0) for frame in range(10, 20)), (20, 1), *((frame, 0) for frame in (40, 41)), (42, 1)]
    text = CVAT.format(boxes="".join(BOX.format(*shape) for shape in seen))
    listed = read(tmp_path, text, "annotations.xml")
    assert not listed.in_seconds
    # Frames 10 to 19 and 40 to 41, counted from 0.
    assert spans(listed) == [
        ("kitchen.mp4", 11, 20, "cut", "carrot", "knife"),
        ("kitchen.mp4", 41, 42, "cut", "carrot", "knife"),
    ]
    # Of a copy with 10 frames per second: frame 10 begins at 1 s, frame 19 ends at 2 s.
    (first, _) = read(tmp_path, text, "annotations.xml", fps=10.0).rows
    assert (first.start, first.end) == (1.0, 2.0)


def test_a_cvat_export_of_a_job_is_called_like_its_video(tmp_path: Path) -> None:
    text = CVAT.format(boxes=BOX.format(3, 0)).replace("<source>kitchen.mp4</source>", "")
    assert spans(read(tmp_path, text, "hall.xml")) == [("hall", 4, 4, "cut", "carrot", "knife")]
    with pytest.raises(InputError, match="does not name its video"):
        read(tmp_path, text, "annotations.xml")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CVAT.format(boxes=BOX.format("x", 0)), "track '0': `frame`: 'x' is not a frame number"),
        (CVAT.format(boxes=BOX.format(3, 0) * 2), "track '0': it has the same frame twice"),
        (CVAT.format(boxes=BOX.format(3, 1)), "has no rows"),
        (CVAT.format(boxes="").replace("track", "image"), "has images"),
        (
            CVAT.format(boxes=BOX.format(3, 0)).replace("</meta>", "<a><source>b.mp4</source></a></meta>"),
            "several tasks",
        ),
        (CVAT.format(boxes=BOX.format(3, 0)).replace("label=", "lable="), "<track> has no label"),
    ],
)
def test_cvat_that_cannot_be_used_is_refused(text: str, found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, "a.xml")
    assert found in caught.value.found


def test_label_studio_counts_frames_from_1_with_both_ends(tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    task = label_studio(timeline(5, 15, "open door"), timeline(30, 30, "wave", id="r2"))
    assert interface.LabelInterface(CONFIG).validate_annotation(task[0]["annotations"][0])  # type: ignore[index]
    said = {"value": {"text": ["He opens the door."]}, "id": "r1", "from_name": "said", "type": "textarea"}
    task = label_studio(timeline(5, 15, "open door"), said, timeline(30, 30, "wave", id="r2"))
    listed = read(tmp_path, task)
    assert not listed.in_seconds
    assert spans(listed) == [
        ("films/kitchen.mp4", 5, 15, "open", "door", ""),
        ("films/kitchen.mp4", 30, 30, "show", "wave", ""),
    ]
    assert [row.sentences for row in listed.rows] == [("He opens the door.",), ()]
    assert any("frameRate" in note for note in listed.notes)
    (row,) = read(tmp_path, label_studio(timeline(0, 14, "wave")), frame_base=0).rows
    assert (row.start, row.end) == (1, 15)


@pytest.mark.parametrize(
    ("address", "video"),
    [
        ("/data/upload/3/1a2b3c4d-kitchen.mp4", "kitchen.mp4"),
        ("https://example.org/films/kitchen%201.mp4?a=b", "kitchen 1.mp4"),
        ("films/1a2b3c4d-kitchen.mp4", "films/1a2b3c4d-kitchen.mp4"),
        ("s3://bucket/films/kitchen.mov", "kitchen.mov"),
        ("C:\\films\\kitchen.mp4", "kitchen.mp4"),
    ],
)
def test_label_studio_knows_videos_by_addresses(address: str, video: str, tmp_path: Path) -> None:
    (row,) = read(tmp_path, label_studio(timeline(5, 15, "open door"), video=address)).rows
    assert row.video == video


def test_of_several_annotations_of_label_studio_one_counts(tmp_path: Path) -> None:
    (task,) = label_studio(timeline(1, 2, "wave"))
    (first,) = task["annotations"]  # type: ignore[misc]
    later = {**first, "result": [timeline(3, 4, "wave")], "updated_at": "2026-11-02T10:00:00.000000Z"}
    skipped = {**first, "result": [timeline(7, 8, "wave")], "updated_at": "2026-11-09T10:00:00Z", "was_cancelled": True}
    listed = read(tmp_path, [{**task, "annotations": [first, later, skipped]}])
    assert [(row.start, row.end) for row in listed.rows] == [(3, 4)]
    assert any("has 2 annotations" in note for note in listed.notes)
    truth = {**first, "ground_truth": True}
    assert [row.start for row in read(tmp_path, [{**task, "annotations": [truth, later]}]).rows] == [1]


@pytest.mark.parametrize(
    ("tasks", "found"),
    [
        (label_studio(timeline(0, 15, "wave")), "before the first frame"),
        (label_studio(timeline(9, 5, "wave")), "the end, 5, is before the start, 9"),
        (label_studio(timeline(1, 5, "wave"), video="x.txt"), "its data names 0 videos"),
        (label_studio({"type": "timelinelabels", "value": {"ranges": 3}}), "task 1 of the file: "),
        (label_studio(timeline(1, 5, "wave"), timeline(1, 5, "slow", from_name="speed")), "There are 2 tiers"),
        (label_studio(), "There are 0 tiers"),
    ],
)
def test_label_studio_that_cannot_be_used_is_refused(tasks: object, found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, tasks)
    assert found in caught.value.found


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("a.txt", ELAN, "elan"),
        ("a.eaf", CVAT, "cvat"),
        ("a.xml", VIA, "via"),
        ("a", label_studio(), "label-studio"),
        ("a.json", "video,action,subject\na,b,c\n", "csv"),
    ],
)
def test_formats_are_told_by_content_whatever_the_suffix(
    name: str, content: object, format_: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    assert format_of(tmp_path / name) == format_


@pytest.mark.parametrize(
    ("content", "candidates"),
    [("{}", "youcook2, via, label-studio"), ("[1]", "label-studio"), ("<html></html>", "elan, cvat")],
)
def test_candidates_are_named_where_a_format_cannot_be_told(content: str, candidates: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert "cannot be detected" in caught.value.found
    assert candidates in str(caught.value.expected)
    assert "--format" in str(caught.value.next_step)


def test_a_folder_of_files_is_one_list(tmp_path: Path) -> None:
    (tmp_path / "a.eaf").write_text(ELAN.replace("kitchen.mp4", "hall.mp4"))
    (tmp_path / "B.EAF").write_text(ELAN)
    (tmp_path / ".c.eaf").write_text("")
    (tmp_path / "kitchen.mp4").touch()
    listed = read_annotations(tmp_path, tier="action")
    assert sorted({row.video for row in listed.rows}) == ["hall.mp4", "kitchen.mp4"]
    assert len(listed.rows) == 4
    assert listed.rows[0].place.startswith("B.EAF, annotation ")
    assert len([note for note in listed.notes if "guessed from the words of 2 labels" in note]) == 1
    corpus = open_own_footage(
        tmp_path, load_classes(), read_with=ListOptions(tier="action"), memory=tmp_path / "memory"
    )
    assert corpus.videos == {"kitchen": tmp_path / "kitchen.mp4"}
    before = sha256_of_annotations(tmp_path)
    (tmp_path / "a.eaf").write_text(ELAN)
    assert sha256_of_annotations(tmp_path) != before
    (tmp_path / "a.eaf").write_text(ELAN.replace("cut carrot", "-"))
    with pytest.raises(InputError) as caught:
        read_annotations(tmp_path, tier="action")
    assert caught.value.where == str(tmp_path / "a.eaf")


def test_a_folder_of_files_of_other_formats_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(CVAT.format(boxes=BOX.format(3, 0)))
    (tmp_path / "b.xml").write_text(CVAT.format(boxes=BOX.format(5, 0)))
    assert [row.start for row in read_annotations(tmp_path, format="cvat").rows] == [4, 6]
    with pytest.raises(InputError, match=r"no \.json files in the folder"):
        read_annotations(tmp_path, format="via")
    (tmp_path / "a.csv").write_text("video,start_frame,end_frame,label\na,1,2,wave\n")
    (tmp_path / "b.csv").write_text("video,start_s,end_s,label\na,1,2,wave\n")
    with pytest.raises(InputError, match="frames in some of the files, and seconds in others"):
        read_annotations(tmp_path, format="csv")
