"""``build --from-export DIR --dry-run``: what the rebuild would make, the same refusals, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dataset_tools.cli.main import app
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, reviews_path
from dataset_tools.manifests import ClipRow, read_rows

pytestmark = pytest.mark.xdist_group("rebuilding")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def exported(
    corpus_of_three: Path, tmp_path_factory: pytest.TempPathFactory, make_review: Callable[..., ReviewRow]
) -> Path:
    """Clips of two classes, without media; one was rejected, and another took its place."""
    root = tmp_path_factory.mktemp("planned")
    place = Workspace(root / "data")
    build = ("build", "--classes", 2, "--per-class", 3, "--short-side", 32, "--mpii", corpus_of_three, "-w", place.root)
    assert run(*build).exit_code == 0
    first = next(iter(read_rows(place.manifests / "clips.jsonl", ClipRow)))
    shown = {"class_id": first.class_id}
    verdict = make_review(minute=1, id=first.id, content_sha256=first.sha256, verdict="reject", shown=shown)
    append_reviews(reviews_path(place), [verdict])
    for command in (build, ("pairs", "-w", place.root)):
        assert run(*command).exit_code == 0
    done = run("export", "csv", root / "out", "--no-media", "-w", place.root)
    assert done.exit_code == 0, done.output
    return root / "out"


@pytest.fixture
def planned(exported: Path, tmp_path: Path, tree: Callable[..., Any]) -> Callable[..., Result]:
    """Runs the dry run in the workspace ``w``; fails if it writes anything."""

    def plan(*options: object, code: int = 0) -> Result:
        before = tree(tmp_path)
        done = run("build", "--from-export", exported, *options, "--dry-run", "-w", tmp_path / "w")
        assert done.exit_code == code, done.output
        assert tree(tmp_path) == before
        return done

    return plan


def test_the_plan_is_what_the_rebuild_makes(
    planned: Callable[..., Result], exported: Path, corpus_of_three: Path, tmp_path: Path
) -> None:
    footage = ("--mpii", corpus_of_three)
    said = json.loads(planned(*footage, "--json").stdout)
    assert (said["dry_run"], said["pairs"], said["same"], said["differences"]) == (True, None, None, [])
    made = run("build", "--from-export", exported, *footage, "-w", tmp_path / "w", "--json")
    assert made.exit_code == 0, made.output
    done = json.loads(made.stdout)
    assert (done["same"], done["dry_run"]) == (True, False)
    assert said["build"] == {**done["build"], "dry_run": True}
    assert said["build"]["reviewed"] == {"reject": 1}
    text = planned(*footage).output
    assert f"{done['build']['clips']} would be cut" in text
    assert f"{done['build']['utterances']} utterances would be in the data set" in text
    assert "identical" not in text
    again = json.loads(planned(*footage, "--json").stdout)
    assert again == said


def test_the_files_of_the_export_are_not_copied_for_the_plan(
    planned: Callable[..., Result], corpus_of_three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recordings may be gigabytes, and the folder for temporary files may be in memory."""

    def copied(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("dataset_tools.exports.rebuilding.write_bytes", copied)
    said = json.loads(planned("--mpii", corpus_of_three, "--json").stdout)
    assert said["build"]["reviewed"] == {"reject": 1}


def test_footage_that_lacks_a_video_is_told_before_hours_of_cutting(
    planned: Callable[..., Result], exported: Path, corpus_of_three: Path, tmp_path: Path
) -> None:
    used = [row.video for row in read_rows(exported / "rebuild" / "manifests" / "clips.jsonl", ClipRow)]
    footage = Path(shutil.copytree(corpus_of_three, tmp_path / "footage"))
    (footage / "videos" / f"{used[0]}.avi").unlink()
    ended = planned("--mpii", footage, code=1)
    assert f"The video is missing: {used[0]}.avi" in ended.output
    assert "ledger.jsonl" not in ended.output


def test_what_the_rebuild_refuses_its_dry_run_refuses(
    planned: Callable[..., Result],
    exported: Path,
    corpus_of_three: Path,
    small_corpus: Path,
    tmp_path: Path,
    tree: Callable[..., Any],
    write_video: Callable[..., Path],
) -> None:
    def both(*options: object) -> str:
        refused = json.loads(planned(*options, "--json", code=2).stdout)["error"]
        before = tree(tmp_path)
        done = run("build", "--from-export", exported, *options, "-w", tmp_path / "w", "--json")
        assert (done.exit_code, json.loads(done.stdout)["error"]) == (2, refused)
        assert tree(tmp_path) == before
        return str(refused["found"])

    assert "annotation file is not that of the export" in both("--mpii", small_corpus)
    assert "location of the footage is missing" in both()
    assert "cannot be combined" in both("--mpii", corpus_of_three, "--seed", 1)
    write_video(tmp_path / "mine" / "a.mp4", 60)
    rows = "video,start_frame,end_frame,action,subject\na.mp4,1,40,cut,carrot\n"
    (tmp_path / "mine" / "list.csv").write_text(rows)
    classes = "schema: fmn.classes/1\nclasses: [{action: cut, subject: carrot}]\n"
    (tmp_path / "mine" / "classes.yaml").write_text(classes)
    own = ("--annotations", tmp_path / "mine" / "list.csv", "--class-file", tmp_path / "mine" / "classes.yaml")
    assert run("build", *own, "--no-speech", "--short-side", 32, "-w", tmp_path / "w").exit_code == 0
    assert "was built from your own footage" in both("--mpii", corpus_of_three)
    reviews = tmp_path / "w" / "annotations" / "reviews.jsonl"
    reviews.parent.mkdir(exist_ok=True)
    reviews.write_text("")
    assert "The workspace has files of its own" in both("--mpii", corpus_of_three)


@pytest.mark.parametrize(
    "name", ["annotations/reviews.jsonl", "recordings/recordings.jsonl", "recordings/consents.jsonl"]
)
def test_a_damaged_file_of_the_export_is_named_there_before_anything_is_copied(
    exported: Path, corpus_of_three: Path, tmp_path: Path, tree: Callable[..., Any], name: str
) -> None:
    damaged = Path(shutil.copytree(exported, tmp_path / "out")) / "rebuild" / name
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_text("{\n{\n")
    before = tree(tmp_path)
    for options in (("--dry-run",), ()):
        rebuild = ("build", "--from-export", tmp_path / "out", "--mpii", corpus_of_three, "-w", tmp_path / "w")
        done = run(*rebuild, *options, "--json")
        assert done.exit_code == 2
        assert json.loads(done.stdout)["error"]["where"] == f"{damaged}, line 1"
        assert tree(tmp_path) == before
