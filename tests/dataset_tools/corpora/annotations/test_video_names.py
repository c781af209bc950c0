"""Names of videos: the file of each, although spaces and Unicode differ; and its name in ids."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations import video_names
from dataset_tools.corpora.annotations.interval_list import ListedInterval
from dataset_tools.corpora.annotations.own_footage import open_own_footage
from dataset_tools.corpora.annotations.plain_text import plain_text
from dataset_tools.corpora.corpus import Corpus

HEADER = "video,start_frame,end_frame,action,subject,object\n"
RECORDING = "Screen Recording 1.00.00\u202fPM.avi"
DECOMPOSED = unicodedata.normalize("NFD", "Tür_öffnen.mp4")


@pytest.mark.parametrize(
    ("file", "listed_as"),
    [
        ("two  spaces.mp4", "two  spaces.mp4"),
        ("two  spaces.mp4", "two spaces"),
        ("two spaces.mp4", "two  spaces "),
        (" first.mp4", " first.mp4"),
        (" first.mp4", "first.mp4"),
        (RECORDING, RECORDING),
        (RECORDING, "Screen Recording 1.00.00 PM"),
        (DECOMPOSED, "Tür_öffnen"),
        (DECOMPOSED, DECOMPOSED),
        ("Tür_öffnen.mp4", DECOMPOSED),
        ("soft\u00adhyphen.mp4", "soft\u00adhyphen.mp4"),
        (f"{DECOMPOSED}/one  two.mp4", "Tür_öffnen.mp4/one two.mp4"),
    ],
)
def test_a_video_is_found_although_its_name_is_written_in_another_way(
    file: str, listed_as: str, tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    corpus = listed(tmp_path, HEADER + f"{listed_as},1,50,cut,carrot,knife\n")
    ((name, path),) = corpus.videos.items()
    assert path == tmp_path / file
    assert unicodedata.is_normalized("NFC", name)
    assert name == " ".join(name.split())


@pytest.mark.parametrize("folder", ["", "Tür  a/"])
def test_the_work_grows_with_files_and_missing_names_not_with_their_product(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / plain_text(folder)
    written.mkdir(exist_ok=True)
    for n in range(60):
        (written / f"video {n}.mp4").touch()
    listings: list[str] = []
    texts: list[str] = []
    list_folder = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listings.append(str(path)) or list_folder(path))
    monkeypatch.setattr(video_names, "plain_text", lambda text: texts.append(text) or plain_text(text))
    rows = [
        ListedInterval(f"line {n}", f"{folder}{name} {n}", None, None, "cut", "carrot")
        for name in ("missing", "video")
        for n in range(60)
    ]
    found = video_names.find_videos(rows, tmp_path, tmp_path / "list.csv")
    assert sum(video.file is not None for video in found.values()) == 60
    assert len(listings) == len(set(listings))
    assert len(texts) < 10 * (60 + len(rows))


def test_the_exact_name_takes_precedence(tmp_path: Path, listed: Callable[..., Corpus]) -> None:
    for name in ("a b.mp4", "c  d.mp4", "c d.mp4", "cam/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows = "a b,1,50,cut,carrot,\nc  d,1,50,cut,carrot,\ncam/x,1,50,cut,carrot,\n"
    corpus = listed(tmp_path, HEADER + rows)
    assert {path.name for path in corpus.videos.values()} == {"a b.mp4", "c  d.mp4", "x.mp4"}
    with pytest.raises(InputError, match=r"'c   d' matches several videos: c  d\.mp4, c d\.mp4"):
        listed(tmp_path, HEADER + "c   d,1,50,cut,carrot,\n")


def test_rows_that_write_a_missing_video_in_several_ways_name_one_video(
    tmp_path: Path, listed: Callable[..., Corpus]
) -> None:
    rows = "Tür.mp4,1,50,cut,carrot,\n" + unicodedata.normalize("NFD", "Tür.mp4 ,61,90,cut,carrot,\n")
    corpus = listed(tmp_path, HEADER + rows)
    assert {interval.video_file for interval in corpus.annotations.intervals} == {"Tür.mp4"}


def test_class_folders_find_the_files_that_they_list(tmp_path: Path) -> None:
    for name in (RECORDING, "two  spaces.mp4", " first.mp4", DECOMPOSED):
        (tmp_path / "own" / "cut_carrot_knife").mkdir(parents=True, exist_ok=True)
        (tmp_path / "own" / "cut_carrot_knife" / name).touch()
    (tmp_path / "own" / "cut_carrot_knife" / "Tür_öffnen.txt").write_text("It opens.", "utf-8")
    corpus = open_own_footage(tmp_path / "own", load_classes(), cache=tmp_path / "memory")
    assert len(corpus.videos) == len(corpus.annotations.intervals) == 4
    assert corpus.sentences is not None
