"""Persons by a regular expression, which may have come with an export or a workspace of somebody else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations import person_names
from dataset_tools.corpora.annotations.formats import ListOptions, read_intervals
from dataset_tools.corpora.annotations.interval_list import IntervalList


def persons(folder: Path, pattern: str, *videos: str) -> list[str]:
    path = folder / "list.csv"
    rows = [f"{video},1,20,cut_carrot_knife" for video in videos]
    path.write_text("\n".join(["video,start_frame,end_frame,label", *rows]) + "\n", "utf-8", "surrogateescape")
    listed: IntervalList = read_intervals(path, ListOptions(person=pattern))
    return [row.person for row in listed.rows]


def test_the_first_group_in_the_file_name_is_the_person(tmp_path: Path) -> None:
    videos = ("p1/x_Jürgen_1.mp4", "p1/x_安娜_2.mp4", "p1/x_Jürgen_1.mp4")
    assert persons(tmp_path, "_([^_]+)_|never(p)", *videos) == ["Jürgen", "安娜", "Jürgen"]
    with pytest.raises(InputError, match=r"finds no person in 1 name: .*p9_b"):
        persons(tmp_path, "^(x)|p9", "x_a.mp4", "p9_b.mp4")  # a match whose first group takes no part


def test_persons_who_become_one_are_told(tmp_path: Path) -> None:
    note = "Persons whose names differ only in symbols count as one person: 'Zoë 🌸' and 'Zoë 🌹'."
    path = tmp_path / "list.csv"
    path.write_text("video,label\nZoë 🌸_1.mp4,cut_carrot\nZoë 🌹_2.mp4,cut_carrot\nEva_3.mp4,cut_carrot\n", "utf-8")
    found = read_intervals(path, ListOptions(person="([^_]+)_"))
    assert [row.person for row in found.rows] == ["Zoë", "Zoë", "Eva"]
    assert note in found.notes
    path.write_text("video,label,person\na.mp4,cut_carrot,Zoë 🌸\nb.mp4,cut_carrot,Zoë 🌹\n", "utf-8")
    assert note in read_intervals(path, ListOptions()).notes
    path.write_text("video,label,person\na.mp4,cut_carrot,Zoë 🌸\nZoë 🌹_2.mp4,cut_carrot,\n", "utf-8")
    assert note in read_intervals(path, ListOptions(person="([^_]+)_")).notes  # one of the list, one of a file name


@pytest.mark.parametrize("pattern", ["((.+)+)+#", "(.*)" * 12 + "#"])
def test_an_expression_that_takes_years_is_refused(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_names, "MOST_S", 1.0, raising=False)
    began = time.monotonic()
    with pytest.raises(InputError, match="takes more than 1 seconds to match"):
        persons(tmp_path, pattern, "a" * 140 + ".mp4")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("pattern", ["(", "(?:" * 5000 + ")" * 5000, "(a{99999999999})"])
def test_what_is_no_expression_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a valid regular expression"):
        persons(tmp_path, pattern, "p1_a.mp4")
