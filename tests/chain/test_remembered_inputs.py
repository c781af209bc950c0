"""A workspace knows its footage and its class file: a later command goes on with them, or refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dataset_tools.classes.reader import load_classes
from dataset_tools.cli.main import app
from dataset_tools.core.shipped_files import shipped_file
from dataset_tools.corpora.standin import standin_corpus
from dataset_tools.corpora.standin.standin_corpus import StandinSummary, write_standin

FEW = ("--short-side", "64", "--no-speech")


@pytest.fixture
def listing(small_corpus: Path) -> Path:
    """A list of two intervals of a class beside its videos."""
    path = small_corpus / "videos" / "mine.csv"
    path.write_text(
        "video,start_frame,end_frame,action,subject,object\n"
        "s07-d20-cam-002.avi,1,20,cut,carrot,knife\ns08-d20-cam-002.avi,31,60,cut,carrot,knife\n"
    )
    return path


def clip_ids(workspace: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (workspace / "manifests" / "clips.jsonl").read_text().splitlines()]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


IDS = ["s07-d20_000001-000020", "s08-d20_000031-000060"]


def test_a_build_without_source_goes_on_with_the_footage_of_the_last(
    run: Callable, listing: Path, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    assert run("fmn-data", "build", "-w", place, "--annotations", listing, *FEW).code == 0
    assert clip_ids(place) == IDS
    for command in (("build", *FEW), ("build", *FEW, "--dry-run"), ("retry",), ("classes",)):
        ended = run("fmn-data", *command, "-w", place)
        assert ended.code == 0, ended.err
        assert str(listing) in ended.out
        assert clip_ids(place) == IDS
    assert not (place / "cache" / "standin").exists()
    environment = {"MPII_COOKING2_ROOT": str(tmp_path / "elsewhere")}
    assert CliRunner().invoke(app, ["build", "-w", str(place), *FEW], env=environment).exit_code == 0
    assert clip_ids(place) == IDS
    listing.rename(listing.with_name("away.csv"))
    ended = run("fmn-data", "build", "-w", place, *FEW)
    assert ended.code == 2
    assert str(listing) in ended.err
    assert "--annotations" in ended.err
    assert clip_ids(place) == IDS


def test_a_build_that_names_its_footage_again_keeps_the_options_that_are_not_given(
    run: Callable, listing: Path, tmp_path: Path
) -> None:
    def persons() -> list[str]:
        lines = (place / "manifests" / "clips.jsonl").read_text().splitlines()
        return [json.loads(line)["person"] for line in lines]

    place, named = tmp_path / "w", ("--annotations", listing)
    assert run("fmn-data", "build", "-w", place, *named, "--person", "^(s0)", "--frame-base", "0", *FEW).code == 0
    first = clip_ids(place)
    assert first != IDS  # which count from 1
    assert persons() == ["s0", "s0"]
    again = run("fmn-data", "build", "-w", place, *named, *FEW)
    assert again.code == 0, again.err
    assert "as in the last build: --frame-base 0 --person '^(s0)'" in again.out
    assert (clip_ids(place), persons()) == (first, ["s0", "s0"])
    other = run("fmn-data", "build", "-w", place, *named, "--person", "^(s..)", *FEW)
    assert "as in the last build: --frame-base 0" in other.out
    assert (clip_ids(place), persons()) == (first, ["s07", "s08"])


def test_no_data_set_is_replaced_by_one_of_other_footage(
    run: Callable, listing: Path, small_corpus: Path, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    own = ("--annotations", listing)
    assert run("fmn-data", "build", "-w", place, *own, *FEW).code == 0
    other = listing.with_name("other.csv")
    other.write_text(listing.read_text().replace("31,60", "1,20"))
    for source in (("--mpii", small_corpus), ("--annotations", other)):
        before = {path: path.read_bytes() for path in files(place)}
        ended = run("fmn-data", "build", "-w", place, *source, *FEW)
        assert ended.code == 2
        assert str(listing) in ended.err
        assert "--replace-footage" in ended.err
        assert {path: path.read_bytes() for path in files(place)} == before
    listing.write_text(listing.read_text().replace("31,60", "31,70"))  # the same list, edited
    assert run("fmn-data", "build", "-w", place, *own, *FEW).code == 0
    assert clip_ids(place) == [IDS[0], "s08-d20_000031-000070"]
    assert run("fmn-data", "build", "-w", place, "--mpii", small_corpus, *FEW, "--replace-footage").code == 0
    assert len(clip_ids(place)) == 12
    assert run("fmn-data", "build", "-w", place, *own, "--mpii", small_corpus, *FEW).code == 2


def test_data_of_unknown_footage_are_not_replaced_by_the_stand_in(run: Callable, listing: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    assert run("fmn-data", "build", "-w", place, "--annotations", listing, *FEW).code == 0
    (place / "workspace.json").unlink()  # as of version 0.1.0
    ended = run("fmn-data", "build", "-w", place, *FEW)
    assert ended.code == 2
    assert "--annotations" in ended.err
    (place / "manifests" / "build.json").unlink()
    assert run("fmn-data", "build", "-w", place, *FEW).code == 2
    assert clip_ids(place) == IDS
    assert not (place / "cache" / "standin").exists()


def test_a_dry_run_draws_nothing(run: Callable, tmp_path: Path) -> None:
    ended = run("fmn-data", "build", "-w", tmp_path / "w", "--dry-run")
    assert ended.code == 0, ended.err
    assert "would be rendered" in ended.out
    assert not (tmp_path / "w").exists()


def test_the_stand_in_is_drawn_once_and_gives_way_to_footage(
    listing: Path, corpus_of_three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small stand-in that exists already, as the usual one takes minutes."""
    drawn: list[Path] = []

    def draw(root: Path, *, jobs: int, **_: object) -> StandinSummary:
        drawn.append(root)
        shutil.copytree(corpus_of_three, root, dirs_exist_ok=True)
        return write_standin(root, seed=8, per_class=3, jobs=jobs)

    place = tmp_path / "w"
    monkeypatch.delenv("MPII_COOKING2_ROOT", raising=False)
    monkeypatch.setattr(standin_corpus, "write_standin", draw)

    def build(*more: object) -> Result:
        return CliRunner().invoke(app, ["build", "-w", str(place), "--per-class", "1", *FEW, *map(str, more)])

    assert build().exit_code == 0
    made = clip_ids(place)
    assert drawn == [place / "cache" / "standin"]
    assert "20 of 20 classes would be cut" in build("--dry-run").output
    assert len(drawn) == 1
    assert build().exit_code == 0
    assert clip_ids(place) == made
    assert build("--annotations", listing).exit_code == 0
    assert set(clip_ids(place)) < set(IDS)
    assert build().exit_code == 0
    assert set(clip_ids(place)) < set(IDS)
    assert len(drawn) == 2


def test_a_moved_workspace_uses_its_own_footage(run: Callable, listing: Path, tmp_path: Path) -> None:
    place, moved = tmp_path / "w", tmp_path / "moved"
    shutil.copytree(listing.parent, place / "footage")
    assert run("fmn-data", "build", "-w", place, "--annotations", place / "footage" / "mine.csv", *FEW).code == 0
    shutil.copytree(place, moved)
    before = {path: path.stat().st_mtime_ns for path in files(place)}
    own = moved / "footage" / "mine.csv"
    own.write_text(own.read_text().replace("31,60", "31,70"))
    ended = run("fmn-data", "build", *FEW, cwd=moved)
    assert ended.code == 0, ended.err
    assert clip_ids(moved) == [IDS[0], "s08-d20_000031-000070"]
    assert clip_ids(place) == IDS
    assert {path: path.stat().st_mtime_ns for path in files(place)} == before


def test_the_class_file_of_the_build_is_used_until_another_is_named(
    run: Callable, listing: Path, tmp_path: Path
) -> None:
    place, words = tmp_path / "w", tmp_path / "words.yaml"
    text = shipped_file("classes.yaml").read_text("utf-8")
    assert len(load_classes().classes) == 20
    words.write_text(text.replace("name: carrot", "name: orange root"), "utf-8")
    listing.write_text(listing.read_text().replace("carrot", "orange root"))
    build = ("fmn-data", "build", "-w", place, "--annotations", listing, *FEW)
    assert run(*build, "--class-file", words).code == 0
    again = run(*build)
    assert str(words) in again.out
    assert again.code == 0  # with the shipped file, nothing would be of a class
    assert clip_ids(place) == IDS
    words.rename(tmp_path / "away.yaml")
    for command in (("build", *FEW), ("report",), ("pairs",)):
        ended = run("fmn-data", *command, "-w", place)
        assert ended.code == 2
        assert str(words) in ended.err
        assert "--class-file" in ended.err
    (place / "workspace.json").unlink()
    ended = run("fmn-data", "report", "-w", place)
    assert ended.code == 2
    assert words.name in ended.err
    (place / "annotations").mkdir(exist_ok=True)
    (tmp_path / "away.yaml").replace(place / "annotations" / "classes.yaml")
    assert run(*build).code == 0
