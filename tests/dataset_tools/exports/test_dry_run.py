"""A dry run of an export writes nothing, refuses what the export refuses, and says what the export then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from dataset_tools.cli.main import app
from dataset_tools.core.errors import InputError, ManifestError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.exporting import export_dataset
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows
from dataset_tools.speech.recordings.consents import Consents

SMALL = FormatOptions(shard_bytes=15_000)  # several shards
FORMATS = ["csv", "croissant", "lhotse", "webdataset", "huggingface", "mteb"]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below ``folder``, with its content and, for folders, without."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def planned(workspace: Workspace, name: str, folder: Path, **options: Any) -> dict[str, Any]:
    """What a dry run says, after checking that it wrote nothing in the workspace and around the target."""
    before = contents(workspace.root.parent)
    try:
        summary = export_dataset(workspace, name, folder, dry_run=True, **options).as_dict()
    finally:
        assert contents(workspace.root.parent) == before
    assert summary.pop("dry_run") is True
    return summary


def done(workspace: Workspace, name: str, folder: Path, **options: Any) -> dict[str, Any]:
    summary = export_dataset(workspace, name, folder, **options).as_dict()
    assert summary.pop("dry_run") is False
    return summary


@pytest.mark.parametrize("with_media", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_the_export_does_what_its_dry_run_said(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, with_media: bool
) -> None:
    if name in ("huggingface", "mteb"):
        pytest.importorskip("pyarrow")
    monkeypatch.setattr("dataset_tools.exports.exporting.make_recipe", lambda _: None)  # of a workspace by hand
    out = tmp_path / "shared" / "out"
    said = planned(workspace, name, out, options=SMALL, with_media=with_media)
    assert sum(said["counts"]["pairs"].values()) == 8
    assert done(workspace, name, out, options=SMALL, with_media=with_media) == said
    lines = (out / "SHA256SUMS").read_text().splitlines()
    assert (said["written"], said["kept"]) == (len(lines), 0)
    (out / "SHA256SUMS").unlink()  # as a kill leaves it, with two files that have no name yet
    for line in lines[::3][:2]:
        (out / line[66:]).unlink()
    said = planned(workspace, name, out, options=SMALL, with_media=with_media)
    assert (said["written"], said["kept"]) == (2, len(lines) - 2)
    assert done(workspace, name, out, options=SMALL, with_media=with_media) == said


@pytest.mark.parametrize("name", ["csv", "lhotse", "webdataset", "huggingface"])
def test_media_that_are_missing_or_changed_are_refused(workspace: Workspace, tmp_path: Path, name: str) -> None:
    if name == "huggingface":
        pytest.importorskip("pyarrow")
    changed = sorted(workspace.speech.iterdir())[2]
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    with pytest.raises(ManifestError, match="content has changed"):
        planned(workspace, name, tmp_path / "out")
    changed.unlink()
    with pytest.raises(ManifestError):
        planned(workspace, name, tmp_path / "out")


def test_the_folders_that_an_export_refuses_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "file/folder", "link"):
        with pytest.raises(InputError, match="There is a file"):
            planned(workspace, "csv", tmp_path / name)
    with pytest.raises(InputError, match="has other files"):
        planned(workspace, "csv", tmp_path)
    with pytest.raises(InputError, match="belongs to the workspace"):
        planned(workspace, "csv", workspace.clips / "out")
    with OutputFolder(tmp_path / "held", {}), pytest.raises(StoppedError, match="Another command"):
        planned(workspace, "csv", tmp_path / "held")
    done(workspace, "csv", tmp_path / "other")
    with pytest.raises(InputError, match="another export: format differ"):
        planned(workspace, "webdataset", tmp_path / "other")
    assert done(workspace, "csv", tmp_path / "other")["written"] == 0  # the dry run does not hold its lock any more


def test_media_that_may_not_be_redistributed_are_refused(
    workspace: Workspace, tmp_path: Path, make_record: Callable[..., None]
) -> None:
    make_record(workspace, own_footage=True)
    with pytest.raises(InputError, match="own-footage: 4 clips"):
        planned(workspace, "csv", tmp_path / "out")
    with pytest.raises(InputError, match="everything"):
        planned(workspace, "csv", tmp_path / "out", allowed=["everything"])
    with pytest.raises(InputError, match="no export format"):
        planned(workspace, "nothing", tmp_path / "out")


def test_the_command_says_what_would_be_written_and_withheld(
    workspace: Workspace, tmp_path: Path, make_record: Callable[..., None], make_manifests: Callable[..., None]
) -> None:
    """Of four recorded utterances, Anna, who agreed, spoke two, and Ben the others."""
    Consents(workspace, "I agree.").admit("Anna", agreed=True)
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    spoken = [
        msgspec.structs.replace(row, source="recorded", voice="ben" if "test" in row.id else "anna")
        for row in read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow)
    ]
    make_manifests(workspace, clips, spoken, lambda name: name.startswith("test"))
    make_record(workspace, own_footage=True)
    before = contents(tmp_path)

    def run(*options: str) -> Any:
        command = ["export", "csv", str(tmp_path / "out"), "-w", str(workspace.root), *options]
        ended = CliRunner().invoke(app, command, env={"COLUMNS": "400"})
        assert contents(tmp_path) == before
        return ended

    refused = run("--dry-run")
    assert refused.exit_code == 2
    assert "recordings-without-consent: 2 recorded utterances of ben" in refused.output
    allowed = ["--allow", "own-footage", "--allow", "recordings-without-consent"]
    ended = run("--dry-run", *allowed)
    assert ended.exit_code == 0, ended.output
    assert "12 files would be written" in ended.output  # three tables, eight media, README.md
    assert "would be included because of --allow: own-footage: 4 clips" in ended.output
    found = json.loads(run("--dry-run", "--json", *allowed).stdout)
    assert (found["dry_run"], found["written"], found["folder"]) == (True, 12, str(tmp_path / "out"))
    assert [part.partition(":")[0] for part in found["withheld"]] == ["own-footage", "recordings-without-consent"]
