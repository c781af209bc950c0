"""A run is used on the data set of another workspace, which --workspace names."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from dataset_tools.manifests import SplitPairRow, read_rows, write_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def keep_classes(workspace: Path, numbers: Collection[int]) -> None:
    """Removes the other classes from a workspace, with their files; lists what is left in clips.jsonl and so on."""
    items: dict[str, dict[str, Any]] = {"clip": {}, "utterance": {}}
    for name in ("train", "test"):
        path, kept = workspace / "manifests" / f"{name}.jsonl", []
        for row in read_rows(path, SplitPairRow):
            if int(row.label.id[-1]) in numbers:
                kept.append(row)
                items["clip"][row.clip.id], items["utterance"][row.utterance.id] = row.clip, row.utterance
            else:
                for item in (row.clip, row.utterance):
                    (workspace / item.path).unlink(missing_ok=True)
        write_rows(path, kept)
    for kind, rows in items.items():
        write_rows(workspace / "manifests" / f"{kind}s.jsonl", [rows[key] for key in sorted(rows)])


@pytest.fixture(scope="module")
def both(
    shared_files: Path,
    tmp_path_factory: pytest.TempPathFactory,
    done: Callable[..., dict[str, Any]],
    small_settings: list[str],
) -> Path:
    """What `run_and_other` is a copy of."""
    folder = tmp_path_factory.mktemp("both")
    for name, numbers in (("workspace", (0, 1, 2)), ("other", (2, 3))):
        keep_classes(Path(shutil.copytree(shared_files, folder / name)), numbers)
    manifest, run = (folder / "workspace" / part for part in ("manifests/train.jsonl", "runs/one"))
    done("train", manifest, "--epochs", 1, *small_settings, "--run", run)
    return folder


@pytest.fixture
def run_and_other(both: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A run that is trained on the classes 0, 1 and 2, and a workspace with 2 and 3."""
    shutil.copytree(both, tmp_path, dirs_exist_ok=True)
    return tmp_path / "workspace" / "runs" / "one", tmp_path / "other"


def test_a_run_is_used_on_the_workspace_that_is_named(
    run_and_other: tuple[Path, Path], tmp_path: Path, done: Callable[..., dict[str, Any]]
) -> None:
    run, other = run_and_other
    test = other / "manifests" / "test.jsonl"
    spoken = next(iter(read_rows(test, SplitPairRow))).utterance
    where = ("--workspace", other)
    for query in (("--speech", other / spoken.path), ("--text", "thing", "--by-words")):
        found = done("search", run, *query, *where)
        assert (Path(found["manifest"]), found["gallery"]) == (test, 2 * 3), query
    assert [one["manifest"] for one in done("index", run, *where)["galleries"]] == [str(test)] * 2
    measured = done("eval", run, *where)
    assert (Path(measured["manifest"]), measured["clips"]) == (test, 2 * 3)
    assert measured["trivial"], "they are fitted to the training items of the run, in its own workspace"
    assert "slots.png" in [Path(file).name for file in done("plot", run, *where, "--dry-run")["files"]]
    assert done("predict", run, *where, "--dry-run")["utterances"] == 2 * 5, "of its training manifest"
    assert done("features", "extract", run, *where, "--dry-run")["utterances"] == 2 * 8
    assert done("features", "export", run, tmp_path / "exported", *where, "--dry-run")["utterances"] == 2 * 8
    learned = done("learn", run, other / "manifests" / "train.jsonl", "--skip-known", *where, "--dry-run")
    assert learned["result"]["classes"] == ["wash_thing3"]
    assert sorted(path.name for path in run.glob("metrics*.json")) == ["metrics-test.json"]


def test_the_own_workspace_changes_nothing(
    run_and_other: tuple[Path, Path], tmp_path: Path, done: Callable[..., dict[str, Any]]
) -> None:
    """Also if a link leads to it, and if manifests are in a folder of another name."""
    run, _ = run_and_other
    own = run.parent.parent
    (own / "manifests").rename(own / "lists")
    (own / "manifests").symlink_to("lists")
    (tmp_path / "link").symlink_to(own)
    for workspace in (own, tmp_path / "link"):
        assert done("eval", run, "--workspace", workspace, "--dry-run")["files"] == [str(run / "metrics.json")]


def test_a_workspace_without_manifests_is_refused(run_and_other: tuple[Path, Path], fmn: Callable[..., Result]) -> None:
    """A search by words reads no clip: it would rank the sentences of another data set."""
    run, other = run_and_other
    (other / "manifests" / "test.jsonl").unlink()
    refused = fmn("search", run, "--text", "thing", "--by-words", "--workspace", other)
    assert refused.exit_code == 2
    assert str(other / "manifests" / "test.jsonl") in refused.output
    assert f"--workspace {other}" in refused.output


def test_a_workspace_within_the_other_one_is_not_the_other_one(
    run_and_other: tuple[Path, Path], done: Callable[..., dict[str, Any]]
) -> None:
    """As the tutorial's demo/ in a folder that is a workspace itself."""
    run, other = run_and_other
    inner = run.parent.parent.rename(other / "demo")
    measured = done("eval", inner / "runs" / "one", "--workspace", other)
    assert Path(measured["manifest"]) == other / "manifests" / "test.jsonl"
    assert done("eval", inner / "runs" / "one")["clips"] == 3 * 3


def test_a_manifest_apart_from_its_media_is_used_with_their_workspace(
    files: Path, tmp_path: Path, done: Callable[..., dict[str, Any]], small_settings: list[str]
) -> None:
    """As in training, where --workspace tells where the media are; the manifests there are of another split."""
    lists = Path(shutil.copytree(files / "manifests", tmp_path / "elsewhere" / "lists"))
    for path in lists.glob("t*.jsonl"):
        write_rows(path, [row for row in read_rows(path, SplitPairRow) if row.label.id[-1] != "3"])
    test, where = lists / "test.jsonl", ("--workspace", files)
    trained = done("train", lists / "train.jsonl", "--epochs", 1, *small_settings, *where)
    measured = done("eval", *where)
    assert (Path(measured["manifest"]), measured["clips"]) == (test, 3 * 3)
    assert (Path(trained["run"]) / "metrics.json").is_file()
    assert measured["trivial"]
    assert done("features", "extract", trained["run"], *where, "--dry-run")["utterances"] == 3 * 8
    other = done("eval", "--manifest", files / "manifests" / "test.jsonl", *where)
    assert other["trivial"], "they are fitted to the training items, whose media are in the workspace"
