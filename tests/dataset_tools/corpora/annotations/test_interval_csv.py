"""The CSV of intervals: labels of one text, several sentences, frames that count from 0 or are of copies."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList


def read(folder: Path, text: str, **options: object) -> IntervalList:
    path = folder / "list.csv"
    path.write_text(text, "utf-8")
    return read_intervals(path, ListOptions(**options))  # type: ignore[arg-type]


def test_a_label_takes_the_place_of_the_words(tmp_path: Path) -> None:
    listed = read(tmp_path, "video,label,object\na.mp4,cut_carrot_knife,\na.mp4,take out the milk,fridge\n")
    assert [(row.action, row.subject, row.object) for row in listed.rows] == [
        ("cut", "carrot", "knife"),
        ("take out", "milk", "fridge"),
    ]
    assert listed.guessed == {
        "cut_carrot_knife": ("cut", "carrot", "knife"),
        "take out the milk": ("take out", "milk", ""),
    }


def test_words_count_before_a_label(tmp_path: Path) -> None:
    listed = read(tmp_path, "video,action,subject,label\na.mp4,cut,carrot,x y\n")
    assert (listed.rows[0].action, listed.rows[0].subject) == ("cut", "carrot")
    assert any("'label'" in note and "ignored" in note for note in listed.notes)


def test_a_row_may_have_several_sentences(tmp_path: Path) -> None:
    header = "video,action,subject,sentence,sentence_2,sentence_10,sentence_x\n"
    listed = read(tmp_path, header + "a,cut,carrot,Cut it.,他在切。,Cut it.,no\na,cut,apple,,,Slice it.,\n")
    assert [row.sentences for row in listed.rows] == [("Cut it.", "他在切。"), ("Slice it.",)]
    assert any("'sentence_x'" in note for note in listed.notes)
    with pytest.raises(InputError, match="'sentence_2' occurs 2 times"):
        read(tmp_path, "video,action,subject,sentence_2,sentence_2\na,cut,carrot,x,y\n")


@pytest.mark.parametrize("blank", [",,,", " , ,	,", '"",,,', ",,,,,,,", ","])
def test_blank_rows_and_columns_of_spreadsheets_are_skipped(blank: str, tmp_path: Path) -> None:
    listed = read(
        tmp_path, f"video,action,subject,object,,\n{blank}\na,cut,carrot,,,\n\n{blank}\nb,cut,apple,,,\n{blank}\n"
    )
    assert [(row.place, row.video) for row in listed.rows] == [("line 3", "a"), ("line 6", "b")]
    assert not listed.notes


def test_a_field_of_no_column_is_refused_whatever_follows_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 2: it has more fields than there are columns"):
        read(tmp_path, "video,action,subject,,\na,cut,carrot,x,\n")


def test_texts_of_every_script_are_read_and_compare_equal(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "a,Öffnen,Tür,Jürgen,Die Tür\u00ad wird\u200b geöffnet.\n")
    listed = read(tmp_path, f"video,action,subject,person,sentence\na,Öffnen,Tür,Jürgen,می\u200cبرم\n{decomposed}")
    composed, other = listed.rows
    assert (other.action, other.subject, other.person) == (composed.action, composed.subject, composed.person)
    assert other.person == "Jürgen"
    assert (composed.sentences, other.sentences) == (("می\u200cبرم",), ("Die Tür wird geöffnet.",))
    with pytest.raises(InputError, match=r"line 2: 'Cut\? it\.' has a nonprintable character \(U\+2066, "):
        read(tmp_path, "video,action,subject,sentence\na,cut,carrot,Cut\u2066 it.\n")


FRAMES = "video,start_frame,end_frame,action,subject\na,0,29,cut,carrot\n"


def test_frames_may_count_from_0_and_be_of_copies(tmp_path: Path) -> None:
    (row,) = read(tmp_path, FRAMES, frame_base=0).rows
    assert (row.start, row.end) == (1, 30)
    listed = read(tmp_path, FRAMES, frame_base=0, fps=60.0)
    assert listed.in_seconds
    assert (listed.rows[0].start, listed.rows[0].end) == (0, 0.5)
    (row,) = read(tmp_path, FRAMES.replace(",0,29", ",1,30"), fps=60.0).rows
    assert (row.start, row.end) == (0, 0.5)
    with pytest.raises(InputError, match="frames count from 1"):
        read(tmp_path, FRAMES)


@pytest.mark.parametrize("options", [{"fps": 30.0}, {"frame_base": 0}])
def test_options_of_frames_are_refused_with_seconds(options: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="these annotations have seconds"):
        read(tmp_path, FRAMES.replace("_frame", "_s"), **options)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"frame_base": 2}, "--frame-base 2"),
        ({"fps": 0.0}, "--fps 0"),
        ({"fps": float("nan")}, "--fps nan"),
        ({"format": "csvv"}, "no format 'csvv'"),
        ({"tier": "x"}, "--tier does not apply to the format csv"),
        ({"format": "elan"}, "is not usable XML"),
        ({"person": "(", "frame_base": 0}, r"--person '\(' is not a valid regular expression"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], found: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=found) as refused:
        read(tmp_path, FRAMES, **options)
    assert refused.value.next_step
