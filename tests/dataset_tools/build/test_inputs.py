"""What a workspace remembers of its footage: after moves, after builds that made nothing, and without the record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from dataset_tools.build.building import build_dataset
from dataset_tools.build_record import BuildOptions, check_options
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.speech.synthesis import SpeechOptions

PERSON = ("--person", r"(p\d+)_")
EXPECTED = {
    "p1-a_000001-000021": "p1",
    "p1-a_000031-000051": "p1",
    "p2-b_000001-000021": "p2",
    "p2-b_000031-000051": "p2",
}


@pytest.fixture(params=["list", "class folders"])
def place(request: pytest.FixtureRequest, footage: Path) -> Path:
    """The annotations: a list beside its videos, or a folder a class."""
    if request.param == "list":
        return footage
    folder = footage.parent / "cut_carrot_knife"
    folder.mkdir()
    for video in footage.parent.glob("*.mp4"):
        video.rename(folder / video.name)
    footage.unlink()
    return footage.parent


def test_impossible_options_are_refused_and_all_named(tmp_path: Path) -> None:
    check_options(BuildOptions())
    for sentences in ("a.tsv", ["a.tsv"], Path("a.tsv")):
        assert SpeechOptions(sentences=sentences) == SpeechOptions(sentences=(Path("a.tsv"),))  # type: ignore[arg-type]
    wrong = BuildOptions(per_class=0, shortfall="windoes", short_side=1, voices=SpeechOptions(augment=-1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="min_frames=True"):
        check_options(BuildOptions(min_frames=True))
    with pytest.raises(InputError, match=r"per_class=0 .*short_side=1 .*voices\.augment=-1 .*shortfall='windoes'"):
        build_dataset(Workspace(tmp_path), None, None, wrong)  # type: ignore[arg-type]  # before it looks at anything else


def test_a_folder_of_clips_is_the_same_footage_by_either_name(
    footage: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    folder = footage.parent / "cut_carrot_knife"
    folder.mkdir()
    for video in footage.parent.glob("*.mp4"):
        video.rename(folder / video.name)
    refused = run_in("build", "--clips", footage, *PERSON, code=2)
    assert "is a file" in " ".join(refused.output.split())
    footage.unlink()
    run_in("build", "--clips", footage.parent, *PERSON)
    before = persons()
    assert sorted(before.values()) == ["p1", "p2"]
    told = run_in("build", "--annotations", footage.parent)  # with the options of the last build
    assert r"--person '(p\d+)_'" in told.output
    assert persons() == before
    run_in("build", "--clips", footage.parent, "--annotations", footage.parent / folder.name / "..")
    refused = run_in("build", "--clips", footage.parent, "--annotations", footage.parent / folder.name, code=2)
    assert "--annotations and --clips name different sources of footage" in " ".join(refused.output.split())
    refused = run_in("build", "--clips", footage.parent, "--mpii", footage.parent, code=2)
    assert "--clips and --mpii name different sources of footage" in " ".join(refused.output.split())


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_footage_whose_path_is_not_utf_8_is_refused_before_anything_is_written(
    dry_run: list[str], footage: Path, tmp_path: Path, run_in: Callable[..., Result]
) -> None:
    named = footage.parent.rename(tmp_path / os.fsdecode(b"caf\xe9")) / footage.name
    refused = run_in("build", "--annotations", named, *PERSON, *dry_run, code=2)
    assert "The path is not valid UTF-8" in refused.output
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_after_a_refused_first_build_of_own_classes_no_synthetic_corpus_is_drawn(
    dry_run: list[str], footage: Path, tmp_path: Path, run_in: Callable[..., Result]
) -> None:
    classes = tmp_path / "w" / "annotations" / "classes.yaml"
    run_in("classes", "--from", footage, "-o", classes)
    classes.write_text(classes.read_text().replace("carrot", "paper"))
    run_in("build", "--annotations", footage, "--fps", "0", code=2)
    refused = " ".join(run_in("build", *dry_run, code=2).output.split())
    assert (
        "No footage is named, and the synthetic corpus lacks 1 class of the class file, such as 'cut_paper" in refused
    )
    assert "class file, or render it (fmn-data standin DIR) and name it with --mpii DIR" in refused
    assert {path.name for path in (tmp_path / "w").iterdir()} == {"annotations"}


@pytest.mark.parametrize("command", ["build", "retry"])
def test_moved_annotations_are_read_with_the_options_of_the_last_build(
    command: str, place: Path, tmp_path: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    run_in("build", "--annotations", place, *PERSON)
    before = persons()
    assert set(before.values()) == {"p1", "p2"}
    moved = tmp_path / "moved"
    (tmp_path / "footage").rename(moved)
    refused = run_in(command, code=2)
    assert "no longer exists" in refused.output
    named = moved / place.relative_to(tmp_path / "footage")
    told = run_in(command, "--annotations", named)
    assert r"--person '(p\d+)_'" in told.output
    assert persons() == before
    run_in(command)  # which goes on with the new place
    assert persons() == before


def test_videos_below_the_annotations_move_with_them(
    footage: Path, tmp_path: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    videos = footage.parent / "videos"
    videos.mkdir()
    for video in footage.parent.glob("*.mp4"):
        video.rename(videos / video.name)
    run_in("build", "--annotations", footage, "--videos", videos, *PERSON)
    footage.parent.rename(tmp_path / "moved")
    run_in("build", "--annotations", tmp_path / "moved" / "list.csv")
    assert persons() == EXPECTED


@pytest.mark.parametrize("command", ["build", "retry"])
def test_a_copy_without_the_record_reads_with_the_options_in_build_json(
    command: str,
    place: Path,
    tmp_path: Path,
    run_in: Callable[..., Result],
    persons: Callable[..., dict[str, str]],
) -> None:
    run_in("build", "--annotations", place, *PERSON)
    before = (tmp_path / "w" / "manifests" / "build.json").read_bytes()
    shutil.copytree(tmp_path / "w", tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "cache")
    (tmp_path / "copy" / "workspace.json").unlink()
    run_in(command, "--annotations", place, workspace="copy")
    assert persons("copy") == persons("w")
    assert (tmp_path / "copy" / "manifests" / "build.json").read_bytes() == before


def test_the_record_outlives_the_cache_and_is_found_where_it_was_before(
    footage: Path, tmp_path: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    run_in("build", "--annotations", footage, *PERSON)
    record, former = tmp_path / "w" / "workspace.json", tmp_path / "w" / "cache" / "inputs.json"
    written = record.read_bytes()
    shutil.rmtree(tmp_path / "w" / "cache")
    run_in("build")
    assert persons() == EXPECTED
    former.parent.mkdir(exist_ok=True)
    record.replace(former)
    run_in("build")
    assert persons() == EXPECTED
    assert (record.read_bytes(), former.exists()) == (written, False)


def test_options_in_build_json_that_are_none_are_refused(
    footage: Path, tmp_path: Path, run_in: Callable[..., Result]
) -> None:
    run_in("build", "--annotations", footage, *PERSON)
    shutil.rmtree(tmp_path / "w" / "cache")
    (tmp_path / "w" / "workspace.json").unlink()
    record = tmp_path / "w" / "manifests" / "build.json"
    text = record.read_text()
    assert r'"person": "(p\\d+)_"' in text
    record.write_text(text.replace(r'"person": "(p\\d+)_"', '"person": 3'))
    for command in ("build", "retry"):
        told = run_in(command, "--annotations", footage, code=2)
        assert "recorded options of the annotation file cannot be used" in " ".join(told.output.split())


def test_without_the_record_other_footage_is_known_by_content_and_name(
    footage: Path, tmp_path: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    run_in("build", "--annotations", footage, *PERSON)
    record = tmp_path / "w" / "workspace.json"
    record.unlink()
    other = footage.with_name("other.csv")
    other.write_text(footage.read_text().replace("31,51", "31,50"))
    told = run_in("build", "--annotations", other, code=2)
    # not only the option: the build would be of the footage that the workspace remembers
    assert "with the same options and --replace-footage" in " ".join(told.output.split())
    assert "list.csv" in told.output
    assert persons() == EXPECTED
    same = shutil.copy(footage, footage.with_name("same.csv"))
    run_in("build", "--annotations", same)  # another name, the same content
    assert persons() == EXPECTED
    record.unlink()
    footage.unlink()
    edited = footage.with_name("same.csv")
    edited.write_text(other.read_text())  # the same name, edited
    run_in("build", "--annotations", edited)
    assert persons() == {name.replace("000051", "000050"): person for name, person in EXPECTED.items()}
    record.unlink()
    run_in("build", "--annotations", other, "--replace-footage")


@pytest.fixture
def killed_build(run_in: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A build that ends before it writes build.json."""

    def ends(*_: object) -> None:
        raise SystemExit(9)

    def build(*arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("dataset_tools.build.building.write_build", ends)
            run_in("build", *arguments, code=9)

    return build


@pytest.mark.parametrize("is_killed", [False, True])
def test_options_of_a_build_that_made_nothing_do_not_stay(
    is_killed: bool,
    footage: Path,
    tmp_path: Path,
    run_in: Callable[..., Result],
    persons: Callable[..., dict[str, str]],
    killed_build: Callable[..., None],
) -> None:
    if is_killed:
        killed_build("--annotations", footage, "--fps", 25)
    else:  # frames of copies at 1000 a second: all intervals are too short
        run_in("build", "--annotations", footage, "--fps", 1000, code=2)
    assert not (tmp_path / "w" / "manifests" / "build.json").exists()
    told = run_in("build", "--annotations", footage, *PERSON)
    assert "--fps" not in told.output
    assert persons() == EXPECTED


def test_a_killed_build_is_gone_on_with_where_the_footage_is_not_named_again(
    footage: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]], killed_build: Callable
) -> None:
    killed_build("--annotations", footage, *PERSON)
    told = run_in("build")
    assert r"--person '(p\d+)_'" in told.output
    assert persons() == EXPECTED


@pytest.mark.parametrize("is_named", [True, False])
def test_an_error_about_a_remembered_option_says_so_and_how_to_drop_it(
    is_named: bool, footage: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    named = ("--annotations", footage)
    run_in("build", *named, *PERSON, "--frame-base", 0)
    text = footage.read_text().replace("start_frame,end_frame", "start_s,end_s")
    for frames, seconds in (("1,21", "0,1"), ("31,51", "1,2")):
        text = text.replace(f",{frames},", f",{seconds},")
    footage.write_text(text)  # the same list, in seconds now
    for command in ("build", "retry"):
        told = " ".join(run_in(command, *(named if is_named else ()), code=2).output.split())
        assert "--frame-base and --fps apply only to times in frames" in told
        assert "--frame-base 0 is taken from the last build" in told
        assert "--forget-options" in told
        assert "omit them" not in told
    typed = " ".join(run_in("build", *named, "--frame-base", 0, code=2).output.split())
    assert "omit them" in typed
    told_now = run_in("build", *named, *PERSON, "--forget-options")
    assert "as in the last build" not in told_now.output
    assert set(persons().values()) == {"p1", "p2"}
    assert "--frame-base" not in run_in("build").output  # it stays forgotten


def test_forgotten_options_of_footage_that_is_not_named(
    footage: Path, run_in: Callable[..., Result], persons: Callable[..., dict[str, str]]
) -> None:
    run_in("build", "--annotations", footage, "--person", "^(p)")
    assert set(persons().values()) == {"p"}
    run_in("build", "--forget-options")
    assert set(persons().values()) == {"p1-a", "p2-b"}  # by default, every video is of another person
