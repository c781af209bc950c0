"""ActivityNet, ActivityNet Captions and YouCook2 in their published form, and EPIC-KITCHENS-100's real rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import format_of, read_intervals
from dataset_tools.corpora.annotations.own_footage import open_own_footage

YOUCOOK2 = {
    "database": {
        "GLd3aX16zBg": {
            "duration": 241.62,
            "subset": "training",
            "recipe_type": "113",
            "annotations": [
                {"segment": [90, 102], "id": 0, "sentence": "spread margarine on two slices of white bread"},
                {"segment": [114, 127], "id": 1, "sentence": "place a slice of cheese on the bread"},
            ],
            "video_url": "https://www.youtube.com/watch?v=GLd3aX16zBg",
        }
    }
}
CAPTIONS = {
    "v_QOlSCBRmfWY": {
        "duration": 82.73,
        "timestamps": [[0.83, 19.86], [17.37, 60.81], [60.0, 59.0], [1, 2]],
        "sentences": [
            "A young woman is seen standing in a room and leads into her dancing.",
            " The girl\u200b dances around the room while the camera captures her movements.",
            "It ends before it starts.",
            " ",
        ],
    }
}


def activitynet(**changes: object) -> dict[str, object]:
    annotation = {"segment": [5.71, 72.3], "label": "Playing water polo", **changes}
    entry = {"duration": 82.4, "subset": "training", "resolution": "320x240", "url": "x", "annotations": [annotation]}
    return {"version": "VERSION 1.3", "taxonomy": [{"nodeName": "Root"}], "database": {"sJFgo9H6zNo": entry}}


def written(folder: Path, content: object) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_youcook2_has_sentences_from_which_classes_are_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, YOUCOOK2)
    assert format_of(path) == "youcook2"
    listed = read_intervals(path)
    assert listed.in_seconds
    assert [(row.video, row.start, row.end, row.action, row.subject, row.object) for row in listed.rows] == [
        ("GLd3aX16zBg", 90, 102, "spread", "margarine", "bread"),
        ("GLd3aX16zBg", 114, 127, "place", "cheese", "bread"),
    ]
    assert listed.rows[0].sentences == ("spread margarine on two slices of white bread",)
    assert len(listed.guessed) == 2


def test_activitynet_has_labels(tmp_path: Path) -> None:
    path = written(tmp_path, activitynet())
    assert format_of(path) == "activitynet"
    (row,) = read_intervals(path).rows
    assert (row.start, row.end, row.action, row.subject, row.sentences) == (5.71, 72.3, "playing", "water polo", ())


def test_captions_that_cannot_be_used_are_left_out_and_named(tmp_path: Path) -> None:
    path = written(tmp_path, CAPTIONS)
    assert format_of(path) == "activitynet-captions"
    listed = read_intervals(path)
    assert [(row.start, row.end, row.action, row.subject) for row in listed.rows] == [
        (0.83, 19.86, "standing in", "room"),
        (17.37, 60.81, "dances", "room"),
    ]
    (said,) = listed.rows[1].sentences
    assert said == "The girl dances around the room while the camera captures her movements."
    (note,) = [note for note in listed.notes if "left out" in note]
    assert note.startswith("2 segments are left out: 'v_QOlSCBRmfWY', segment 3 (the end, 59, is before the start, 60)")


@pytest.mark.parametrize("listed_as", ["QOlSCBRmfWY", "v_QOlSCBRmfWY"])
@pytest.mark.parametrize("file", ["v_QOlSCBRmfWY.mkv", "QOlSCBRmfWY.MP4"])
def test_files_may_have_activitynets_prefix_or_not(listed_as: str, file: str, tmp_path: Path) -> None:
    content = activitynet()
    content["database"] = {listed_as: content["database"]["sJFgo9H6zNo"]}  # type: ignore[index]
    (tmp_path / file).touch()
    (tmp_path / "x_QOlSCBRmfWY.mp4").touch()
    corpus = open_own_footage(written(tmp_path, content), load_classes(), cache=tmp_path / "memory")
    assert list(corpus.videos.values()) == [tmp_path / file]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (activitynet(segment=[1]), "'sJFgo9H6zNo', segment 1: "),
        (activitynet(segment=["a", 2]), "'sJFgo9H6zNo', segment 1: "),
        (activitynet(label=3), "'sJFgo9H6zNo', segment 1: "),
        ({"database": {"a": {"annotations": 3}}}, "'a': "),
        ({"database": {"a": {"annotations": []}}}, "has no rows"),
        ({"a": {"timestamps": [[1, 2]], "sentences": []}}, "1 timestamps, 0 sentences"),
        (
            {"s17-d69.avi": {"timestamps": [[1, 20]], "sentences": ["Cut it."], "fps": 29.4}},
            "use it as --sentences",
        ),
    ],
)
def test_wrong_content_is_refused_with_its_place(content: object, found: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_intervals(path)
    assert found in caught.value.found
    assert caught.value.where == str(path)


@pytest.mark.real_data
def test_epic_kitchens_as_published(real_data: Path) -> None:
    """Against the csv module and the clock by hand: all 200 rows."""
    path = real_data / "formats" / "epic_100_validation_200.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    listed = read_intervals(path)
    assert len(listed.rows) == len(rows) == 200
    for row, found in zip(rows, listed.rows, strict=True):
        hours, minutes, seconds = row["stop_timestamp"].split(":")
        assert found.end == pytest.approx(int(hours) * 3600 + int(minutes) * 60 + float(seconds))
        assert found.sentences == (row["narration"],)
        assert found.person == row["participant_id"]
        assert found.action == row["verb"].replace("-", " ")


def test_epic_kitchens_without_verbs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "EPIC_100_test_timestamps.csv"
    path.write_text(
        "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame\n"
        "P01_101_0,P01,P01_101,00:00:02.466,00:00:02.47,00:00:05.36,123,268\n"
    )
    with pytest.raises(InputError, match="lacks the columns verb, noun"):
        read_intervals(path)


@pytest.mark.real_data
def test_epic_kitchens_is_read_as_published(real_data: Path, tmp_path: Path) -> None:
    """200 lines of EPIC_100_validation.csv (CC BY-NC 4.0), or as in it: timestamps, nouns, narrations, participants."""
    path = real_data / "formats" / "epic_100_validation_200.csv"
    found = read_intervals(path)
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
    (row,) = read_intervals(path).rows
    assert (row.start, row.end) == (61.25, 3602.0)
    assert (row.action, row.subject, row.object) == ("put on", "knife", "chopping board")
