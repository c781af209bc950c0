"""A folder in MPII Cooking 2's layout: what is found in it, what is missing, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dataset_tools.core.errors import InputError
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.corpora.mpii.mpii_corpus import MAT_NAME, find_mat, open_corpus
from dataset_tools.corpora.mpii.official_split import read_official_split


@pytest.fixture
def root(tmp_path: Path, write_mat) -> Path:
    folder = tmp_path / "mpii"
    write_mat(path=folder / MAT_NAME)
    return folder


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_videos_are_found_by_name_and_missing_ones_listed(root):
    _touch(
        root, "videos/s07-d72-cam-002.avi", "videos/._s07-d72-cam-002.avi", "videos/readme.txt", "s99-d01-cam-002.MKV"
    )
    corpus = open_corpus(root)
    assert corpus.videos == {
        "s07-d72-cam-002": root / "videos/s07-d72-cam-002.avi",
        "s99-d01-cam-002": root / "s99-d01-cam-002.MKV",
    }
    assert [interval.sequence for interval in corpus.annotations.intervals] == ["s07-d72"] * 2 + ["s13-d21"] * 2


def test_of_several_files_of_one_video_the_avi_in_videos_counts(root):
    _touch(root, "s07-d72-cam-002.avi", "videos/s07-d72-cam-002.mp4", "videos/s07-d72-cam-002.avi", "videos/a.mkv")
    assert open_corpus(root).videos["s07-d72-cam-002"] == root / "videos/s07-d72-cam-002.avi"


def test_a_folder_with_nothing_but_annotations_can_be_looked_at(root):
    corpus = open_corpus(root)
    assert (corpus.videos, corpus.splits, corpus.standin, corpus.sentences) == ({}, {}, None, None)
    assert "There are no videos in the folder." in corpus.notes


def test_without_experimental_setup_the_shipped_lists_count_and_other_persons_train(root):
    sequences = {"s21-d21", "s21-d99", "s22-d23", "s34-d73", "s28-d99", "s07-d72", "s20-d01"}
    splits, notes = read_official_split(root, sequences)
    assert splits == {
        "train": {"s07-d72", "s20-d01"},
        "val": {"s21-d21"},
        "test": {"s22-d23", "s34-d73"},  # s21-d99 and s28-d99 are of the persons of the lists, and in no list
    }
    assert "1 sequence for validation and 2 for testing; the 2 of other persons are used for training" in notes[0]
    assert read_official_split(root, {"s07-d72"}) == ({}, ())  # none of the test list is there
    listed = yaml.safe_load(shipped_file("mpii-cooking-2-split.yaml").read_text())
    assert {name: len(set(listed[name])) for name in ("val", "test")} == {"val": 17, "test": 42}
    assert {sequence[:3] for sequence in listed["test"]} == {"s22", "s28", "s29", "s33", "s34"}


@pytest.mark.parametrize("setup", ["experimentalSetup", "experimentalSetup/experimentalSetup"])
def test_splits_are_read_also_when_nested(root, setup):
    folder = root / setup
    folder.mkdir(parents=True)
    (folder / "sequencesTrainAttr.txt").write_text("# training\ns07-d72\r\n\ns13-d21  # good\ns20-d01\n")
    (folder / "sequencesVal.txt").write_text("s21-d01\n")
    (folder / "sequencesTest.txt").write_text("s13-d21\n")
    (folder / "sequencesTrainDishes.txt").write_text("whatever\n")
    corpus = open_corpus(root)
    assert corpus.splits == {"train": {"s07-d72", "s20-d01"}, "val": {"s21-d01"}, "test": {"s13-d21"}}
    assert "1 sequence is in the official lists of train and test: kept in test." in corpus.notes


def test_a_split_list_with_a_broken_line_is_refused(root):
    (root / "experimentalSetup").mkdir()
    (root / "experimentalSetup/sequencesVal.txt").write_bytes(b"s07-d72\nvideo one\n\xff\xfe\n")
    with pytest.raises(InputError, match="2 lines that are not sequences: line 2: 'video one'") as refused:
        open_corpus(root)
    assert refused.value.where == str(root / "experimentalSetup/sequencesVal.txt")


def test_a_stand_in_says_so(root):
    (root / "STANDIN.json").write_text('{"seed": 3}')
    assert open_corpus(root).standin == {"seed": 3}


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000])
def test_a_broken_stand_in_mark_is_refused(root, content):
    (root / "STANDIN.json").write_text(content)
    with pytest.raises(InputError, match=r"STANDIN\.json"):
        open_corpus(root)


def test_sentences_are_found(root):
    (root / "tacos").mkdir()
    assert open_corpus(root).sentences == root / "tacos"


def test_the_annotation_file_may_have_another_name_or_lie_one_folder_below(tmp_path):
    _touch(tmp_path, "annos/mine.mat", "annos/._mine.mat")
    assert find_mat(tmp_path) == tmp_path / "annos/mine.mat"
    _touch(tmp_path, "annos/other.mat")
    with pytest.raises(InputError, match=r"several annotation files: annos/mine\.mat, annos/other\.mat"):
        find_mat(tmp_path)
    _touch(tmp_path, f"annos/{MAT_NAME}")
    assert find_mat(tmp_path) == tmp_path / "annos" / MAT_NAME
    _touch(tmp_path, MAT_NAME)
    assert find_mat(tmp_path) == tmp_path / MAT_NAME


def test_what_is_no_such_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path, found in (
        ("none", "There is no such folder"),
        ("file", "is a file"),
        (".", "There is no annotation file"),
    ):
        with pytest.raises(InputError, match=found):
            open_corpus(tmp_path / path)
