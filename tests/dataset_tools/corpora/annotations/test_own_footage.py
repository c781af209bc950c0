"""Lists of one's own footage: videos by any name, words of any kind, and what is refused."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataset_tools.classes.matching import classify
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.corpus import Corpus

CLASSES = load_classes()
HEADER = "video,start_frame,end_frame,action,subject,object\n"


def test_videos_named_like_mpiis_give_the_same_ids(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    rows = "s07-d20-cam-002.avi,194,243,cut,carrot,knife\n"
    one = listed(tmp_path, HEADER + rows).annotations.intervals[0]
    assert (one.id, one.person, one.dish) == ("s07-d20_000194-000243", "s07", "d20")
    both = listed(tmp_path, HEADER + rows + rows.replace("002", "003")).annotations.intervals
    assert [interval.id for interval in both] == ["s07-d20-cam-002_000194-000243", "s07-d20-cam-003_000194-000243"]


def test_one_file_that_rows_write_in_several_ways_is_one_video(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    (tmp_path / "kitchen.mp4").touch()
    written = ("kitchen", "kitchen.mp4", "./kitchen.mp4", str(tmp_path / "kitchen.mp4"))
    rows = "".join(f"{video},{n}1,{n}9,cut,carrot,knife\n" for n, video in enumerate(written, start=1))
    corpus = listed(tmp_path, HEADER + rows)
    assert corpus.videos == {"kitchen": tmp_path / "kitchen.mp4"}
    assert {interval.sequence for interval in corpus.annotations.intervals} == {"kitchen"}


@pytest.mark.parametrize("suffix", [".MP4", ".mov", ".mts", ".M2TS", ".webm", ".Avi"])
def test_a_suffix_of_any_kind_may_be_left_out(tmp_path: Path, suffix: str, listed: Callable[..., Corpus]) -> None:
    (tmp_path / f"GX01{suffix}").touch()
    (tmp_path / "GX01.txt").touch()
    (tmp_path / "GX01-b.mp4").touch()
    corpus = listed(tmp_path, HEADER + "GX01,1,50,cut,carrot,knife\n")
    assert corpus.videos == {"GX01": tmp_path / f"GX01{suffix}"}


def test_a_left_out_suffix_that_fits_several_files_is_refused(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    (tmp_path / "GX01.MP4").touch()
    (tmp_path / "GX01.mov").touch()
    with pytest.raises(InputError) as caught:
        listed(tmp_path, HEADER + "GX01,1,50,cut,carrot,knife\n")
    assert caught.value.found == "'GX01' matches several videos: GX01.MP4, GX01.mov"


@pytest.mark.parametrize("class_", CLASSES.classes, ids=lambda class_: class_.id)
def test_every_class_can_be_said_by_keys_names_and_mpiis_words(
    class_, tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
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


def test_words_that_the_class_file_does_not_know_are_said(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    corpus = listed(tmp_path, HEADER + "a.mp4,1,50,juggle,carrot,\na.mp4,61,90,juggle,chainsaw,\n")
    assert any("'chainsaw' (1), 'juggle' (2)" in note for note in corpus.notes)
    assert [classify(one, CLASSES).status for one in corpus.annotations.intervals] == ["none", "none"]


def test_persons_that_differ_only_in_case_are_said(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    header = HEADER.replace("object", "object,person")
    persons = ("Jürgen Müller", "jürgen müller", unicodedata.normalize("NFD", "Jürgen Müller"), "Anna", "anna b")
    rows = [f"a.mp4,{100 * n + 1},{100 * n + 50},cut,carrot,knife,{person}\n" for n, person in enumerate(persons)]
    corpus = listed(tmp_path, header + "".join(rows))
    assert [note for note in corpus.notes if "case" in note] == [
        "Persons that differ only in case count as different persons: 'Jürgen-Müller' and 'jürgen-müller'."
    ]
    assert len({interval.person for interval in corpus.annotations.intervals}) == 4


def test_rows_without_the_person_that_others_name_are_said(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    """Merged cells of a spreadsheet: only the first of several rows has the value, and one human became two persons."""
    header = HEADER.replace("object", "object,person")
    rows = ["a.mp4,1,50,cut,carrot,knife,Anna\n", "a.mp4,61,90,cut,carrot,knife,\n", "b.mp4,1,50,wash,apple,,\n"]
    notes = listed(tmp_path, header + "".join(rows)).notes
    assert [note for note in notes if "person" in note] == [
        "2 of 3 intervals have no person, the first at line 3: each of their videos counts as a separate person, "
        "unless its name identifies one, also if other rows of it name a person. Repeat the person in every row."
    ]
    assert not [note for note in listed(tmp_path, header + rows[0]).notes if "person" in note]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "cannot be detected: it is empty"),
        ("start_s,end_s,action,subject\n", "the column 'video' is missing"),
        ("video,start,end,action,subject\n", "start_frame and end_frame, or start_s and end_s"),
        (HEADER.replace("end_frame", "end_frame,start_s,end_s"), "not both"),
        (HEADER.replace("start_frame,end_frame", "start,end"), "the columns 'start', 'end' may hold times, by name"),
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
        (HEADER + "🍔.mp4,1,9,cut,carrot,\n", "'🍔.mp4' has no letters or digits"),
        (HEADER + "a b.mp4,1,9,cut,carrot,\na-b.mp4,1,9,cut,carrot,\n", "both be called 'a-b'"),
        (HEADER.encode() + b"a.mp4,1,9,cut,carrot,\xff\n", "is not readable CSV"),
        (HEADER + 'a.mp4,1,9,cut,"carrot,\n', "is not readable CSV"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str | bytes, found: str, listed: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, text)
    assert found in caught.value.found
    assert "intervals.csv" in str(caught.value.where)


def test_all_wrong_rows_come_in_one_message(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    with pytest.raises(InputError) as caught:
        listed(tmp_path, HEADER + "a.mp4,x,9,cut,carrot,\n" * 30)
    assert caught.value.found.count("line ") == 20
    assert "and 10 more" in caught.value.found


@pytest.mark.parametrize(("listing", "videos"), [("gone.csv", None), ("", None), ("intervals.csv", "gone")])
def test_a_file_or_folder_that_is_not_there_is_refused(tmp_path: Path, listing: str, videos: str | None) -> None:
    (tmp_path / "intervals.csv").write_text(HEADER + "a.mp4,1,9,cut,carrot,\n")
    with pytest.raises(InputError):
        open_own_footage(
            tmp_path / listing, CLASSES, videos=tmp_path / videos if videos else None, cache=tmp_path / "memory"
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
    tmp_path_factory: pytest.TempPathFactory, header: str, rest: bytes, listed: Callable[..., Corpus]
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
